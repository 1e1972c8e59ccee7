//! An agent on a real SPIRE: one request to the broker, or one call, with the SVID that this user's process gets.
//!
//! `spire_agent WORKLOAD_API BROKER_ID BROKER WHAT …` says `ok` and what it got, or `no` and the reason code. A token is
//! written to stdout and read from the arguments, because a test has to hand it to somebody whom it does not belong to.

use anyhow::{Context as _, anyhow, bail};
use crumb_identity::{Endpoint, Workload};
use crumb_sdk::{
    CallFailed,
    broker::{BrokerClient, Delegate, Exchange, OpenSession, new_request_id},
    call::ToolClient,
};
use crumb_token::{Audience, Grant, Grants, Origin, TokenText, origin::Assurance};
use std::{io::Write as _, str::FromStr, time::Duration};

/// SPIRE's agent hears of a new entry within its sync interval of five seconds.
const IDENTITY_WITHIN: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [endpoint, broker_id, broker, ref what @ ..] = arguments[..] else { bail!("too few arguments") };
    let endpoint: Endpoint = endpoint.parse()?;
    let workload = Workload::connect(&endpoint, IDENTITY_WITHIN).await.context("no identity")?;
    let broker = BrokerClient::new(&workload, broker, read(broker_id)?);
    let said = match *what {
        ["whoami"] => format!("ok {}", workload.spiffe_id()),
        ["call", server, address, token, path] => call(&workload, server, address, token, path).await?,
        ref what => answered(ask(&broker, what).await?),
    };
    Ok(writeln!(std::io::stdout(), "{said}")?)
}

fn answered(answer: Result<String, CallFailed>) -> String {
    match answer {
        Ok(got) => format!("ok {got}"),
        Err(failed) => format!("no {}", failed.to_denial().reason),
    }
}

async fn ask(broker: &BrokerClient, what: &[&str]) -> anyhow::Result<Result<String, CallFailed>> {
    Ok(match *what {
        ["open", agent, server, resource] => {
            let open = OpenSession {
                request: new_request_id(),
                agent: read(agent)?,
                intent: read("have the documents read")?,
                origin: Origin::User { name: read("bob@acme.example")?, assurance: Assurance::Asserted },
                envelope: envelope(server, resource)?,
                lifetime: None,
                process: None,
                subject_token: None,
            };
            broker.open_session(&open).await.map(|session| session.id.to_string())
        }
        ["delegate", session, agent, peer, server, resource] => {
            let delegate = Delegate {
                request: new_request_id(),
                session: read(session)?,
                agent: read(agent)?,
                peer: read(peer)?,
                intent: read("read a part of them")?,
                envelope: envelope(server, resource)?,
                lifetime: None,
                depth: 0,
                process: None,
            };
            broker.delegate(&delegate).await.map(|session| session.id.to_string())
        }
        ["exchange", session, server, resource] => {
            let exchange = Exchange {
                request: new_request_id(),
                session: read(session)?,
                task: None,
                audience: read(server)?,
                grants: reading(resource)?,
                ttl: None,
                holder: None,
                process: None,
                handing: None,
            };
            broker.exchange(&exchange).await.map(|issued| issued.token.expose().to_owned())
        }
        ["close", session] => broker.close_session(read(session)?).await.map(|revocation| revocation.to_string()),
        _ => bail!("no such request: {what:?}"),
    })
}

async fn call(workload: &Workload, server: &str, address: &str, token: &str, path: &str) -> anyhow::Result<String> {
    let token = TokenText::from_presented(token).map_err(|reason| anyhow!("{reason}"))?;
    let client = ToolClient::new(workload.clone(), address, read(server)?);
    let arguments = serde_json::json!({ "path": path }).to_string().into();
    let answer = client.call(&token, &read("read_file")?, arguments).await?;
    Ok(match answer.denial {
        Some(denial) => format!("no {}", denial.reason),
        None => format!("ok {}", answer.status),
    })
}

fn envelope(server: &str, resource: &str) -> anyhow::Result<Vec<(Audience, Grants)>> {
    Ok(vec![(read(server)?, reading(resource)?)])
}

fn reading(resource: &str) -> anyhow::Result<Grants> {
    let grant = Grant { tool: read("read_file")?, operation: read("read")?, resource: read(resource)? };
    Ok(Grants::try_new([grant])?)
}

fn read<T>(text: &str) -> anyhow::Result<T>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e| anyhow!("{text:?}: {e}"))
}
