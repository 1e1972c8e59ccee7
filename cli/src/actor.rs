//! `crumb actor`: an agent in a process of its own, which does what it is told, for `crumb demo governance`.
//!
//! It is apart from `demo` because it is the other end of a pipe: orders come on stdin and answers go to stdout, each a
//! line of JSON. Its SVID is its own, and so are its sessions and tokens: **no token ever leaves it**, an order names one
//! by its id. It decides nothing and judges nothing; what it is refused is its answer.

mod handle;
mod order;

pub(crate) use handle::Actor;
pub(crate) use order::{Order, Refused, Reply};

use crate::{
    demo::IDENTITY_WITHIN,
    exit::Failure,
    output,
    scope::{Allow, envelope},
    stack::dev_id,
};
use anyhow::{Context, anyhow};
use crumb_identity::{Endpoint, Workload};
use crumb_sdk::{
    CallFailed,
    broker::{BrokerClient, Delegate, Exchange, OpenSession, approval::Approve, new_request_id},
    call::ToolClient,
};
use crumb_token::{Audience, Grants, Origin, TokenText, origin::Assurance};
use std::{collections::BTreeMap, io::BufRead, str::FromStr};

#[derive(Debug, clap::Args)]
pub(crate) struct ActorArgs {
    /// The Workload API.
    #[arg(long)]
    workload_api: String,
    /// The broker's address.
    #[arg(long)]
    broker: String,
    /// A tool server: NAME=ADDRESS; repeat for more.
    #[arg(long, value_parser = named)]
    tool: Vec<(String, String)>,
}

fn named(text: &str) -> Result<(String, String), String> {
    let (name, address) = text.split_once('=').ok_or("is written NAME=ADDRESS")?;
    Ok((name.to_owned(), address.to_owned()))
}

pub(crate) async fn run(args: ActorArgs) -> Result<(), Failure> {
    crate::serve::wait_for_go()?;
    let endpoint: Endpoint = args.workload_api.parse().map_err(|e| Failure::usage(format!("--workload-api: {e}")))?;
    let workload = Workload::connect(&endpoint, IDENTITY_WITHIN).await.context("no identity")?;
    let server =
        |(name, address): &(String, String)| (name.clone(), ToolClient::new(workload.clone(), address, tool_id(name)));
    let mut agent = Agent {
        broker: BrokerClient::new(&workload, &args.broker, dev_id("broker")),
        servers: args.tool.iter().map(server).collect(),
        tokens: BTreeMap::new(),
    };
    while let Some(line) = next_line().await? {
        let order = serde_json::from_str(&line).context("an order cannot be read")?;
        let reply = match agent.obey(order).await {
            Ok(reply) => reply,
            Err(Trouble::Refused(why)) => Reply::refused(&why.to_denial()),
            Err(Trouble::Order(why)) => return Err(why.into()),
        };
        output::json(&reply);
    }
    Ok(())
}

fn tool_id(name: &str) -> crumb_token::SpiffeId {
    dev_id(&format!("tool/{name}"))
}

/// Reads a line of stdin, on a thread where waiting hurts nobody; `None` at its end.
async fn next_line() -> anyhow::Result<Option<String>> {
    let line = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().next().transpose());
    line.await.context("stdin")?.context("stdin")
}

/// Why an order came to nothing.
enum Trouble {
    /// Somebody said no: that is what the order is about.
    Refused(Box<CallFailed>),
    /// The order itself makes no sense.
    Order(anyhow::Error),
}

impl From<CallFailed> for Trouble {
    fn from(why: CallFailed) -> Self {
        Self::Refused(Box::new(why))
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(why: anyhow::Error) -> Self {
        Self::Order(why)
    }
}

/// What an agent has: a way to the broker and to tool servers, and the tokens that it was given, by their ids.
struct Agent {
    broker: BrokerClient,
    servers: BTreeMap<String, ToolClient>,
    tokens: BTreeMap<String, TokenText>,
}

impl Agent {
    async fn obey(&mut self, order: Order) -> Result<Reply, Trouble> {
        match order {
            Order::Open { agent, user, intent, allow } => self.open(&agent, &user, &intent, &allow).await,
            Order::Delegate { session, to, intent, allow } => self.delegate(&session, &to, &intent, &allow).await,
            Order::Describe { session } => {
                let told = self.broker.describe_session(read(&session)?).await?;
                let above =
                    told.above.iter().map(|above| format!("{} of {} {}", above.session, above.agent, above.version));
                Ok(Reply { above: above.collect(), origin: told.origin.to_string(), ..Reply::default() })
            }
            Order::Exchange { session, allow } => self.exchange(&session, &allow).await,
            Order::Call { token, server, tool, path } => self.call(&token, &server, &tool, &path).await,
            Order::Approve { approval } => {
                let approve = Approve { id: read(&approval)?, grants: None, ttl: None, why: String::new(), by: None };
                self.broker.approve(&approve).await?;
                Ok(Reply::default())
            }
        }
    }

    async fn open(&self, agent: &str, user: &str, intent: &str, allow: &[String]) -> Result<Reply, Trouble> {
        let open = OpenSession {
            request: new_request_id(),
            agent: read(agent)?,
            intent: read(intent)?,
            origin: Origin::User { name: read(user)?, assurance: Assurance::Asserted },
            envelope: scopes(allow)?,
            lifetime: None,
            process: None,
            subject_token: None,
        };
        let session = self.broker.open_session(&open).await?.id;
        Ok(Reply { session: session.to_string(), ..Reply::default() })
    }

    async fn delegate(&self, session: &str, to: &str, intent: &str, allow: &[String]) -> Result<Reply, Trouble> {
        let delegate = Delegate {
            request: new_request_id(),
            session: read(session)?,
            agent: read(to)?,
            peer: dev_id(&format!("agent/{to}")),
            intent: read(intent)?,
            envelope: scopes(allow)?,
            lifetime: None,
            depth: 0,
            process: None,
        };
        let session = self.broker.delegate(&delegate).await?.id;
        Ok(Reply { session: session.to_string(), ..Reply::default() })
    }

    async fn exchange(&mut self, session: &str, allow: &[String]) -> Result<Reply, Trouble> {
        let one = <[(Audience, Grants); 1]>::try_from(scopes(allow)?);
        let [(audience, grants)] = one.map_err(|_| anyhow!("a token is for one tool server"))?;
        let exchange = Exchange {
            request: new_request_id(),
            session: read(session)?,
            task: None,
            audience,
            grants,
            ttl: None,
            holder: None,
            process: None,
            handing: None,
        };
        let issued = self.broker.exchange(&exchange).await?;
        let id = issued.id.to_string();
        self.tokens.insert(id.clone(), issued.token);
        Ok(Reply { token: id, grants: issued.grants.iter().map(ToString::to_string).collect(), ..Reply::default() })
    }

    async fn call(&self, token: &str, server: &str, tool: &str, path: &str) -> Result<Reply, Trouble> {
        let token = self.tokens.get(token).context("no such token")?;
        let server = self.servers.get(server).context("no such tool server")?;
        let arguments = serde_json::json!({ "path": path }).to_string().into();
        let answer = server.call(token, &read(tool)?, arguments).await?;
        match &answer.denial {
            Some(denial) => Ok(Reply::refused(denial)),
            None => Ok(Reply { status: answer.status, ..Reply::default() }),
        }
    }
}

fn read<T>(text: &str) -> anyhow::Result<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e| anyhow!("{text:?}: {e}"))
}

fn scopes(allow: &[String]) -> anyhow::Result<Vec<(Audience, Grants)>> {
    let rights = allow.iter().map(|text| read(text)).collect::<anyhow::Result<Vec<Allow>>>()?;
    envelope(&rights).map_err(|failure| anyhow!(failure.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_rights_and_servers_that_leave_something_open() {
        assert!(scopes(&["files read_file read docs/*".into()]).is_ok());
        assert!(scopes(&["read_file read docs/*".into()]).is_err());
        assert_eq!(named("files=127.0.0.1:1"), Ok(("files".into(), "127.0.0.1:1".into())));
        assert!(named("files").is_err());
    }
}
