//! `crumb hand`: hand a token on to another agent without the broker, and call with one that was handed on.

use crate::{
    exit::{Exit, Failure},
    output::{self, Format},
    scope::{Allow, SidecarArg, envelope},
    secret_file,
};
use crumb_sdk::sidecar::{BeginTask, Call, HandOver, Presenter};
use crumb_token::{AgentName, Operation, Resource, SessionId, SpiffeId, TokenText, ToolName};
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

#[derive(Debug, clap::Args)]
pub(crate) struct HandArgs {
    #[command(subcommand)]
    command: HandCommand,
}

#[derive(Debug, clap::Subcommand)]
enum HandCommand {
    /// Hand a token of your session on: writes it to stdout, good for that agent's own workload alone.
    #[command(
        after_help = "Example:\n  crumb hand over --session ses_0198… --to reader=spiffe://acme.example/agent/reader \\\n      --allow 'files read_file read file:///docs/a/*' --seconds 120 > handed"
    )]
    Over(OverArgs),
    /// Call a tool with a token that was handed to this agent.
    #[command(
        after_help = "Examples:\n  crumb hand call handed read_file read file:///docs/a/1.md\n  crumb hand call - search_docs read docs:index --args '{\"query\": \"crumb\"}' < handed"
    )]
    Call(CallArgs),
}

#[derive(Debug, clap::Args)]
struct OverArgs {
    #[command(flatten)]
    sidecar: SidecarArg,
    /// Your own session.
    #[arg(long, env = "CRUMB_SESSION")]
    session: SessionId,
    /// The agent and its own workload, as AGENT=SPIFFE_ID; your manifest's mayHandTo has to name the agent.
    #[arg(long, value_parser = delegate)]
    to: (AgentName, SpiffeId),
    /// What it may do, of what your session has, at one tool server: 'SERVER TOOL OPERATION RESOURCE'; repeat for more.
    #[arg(long, required = true)]
    allow: Vec<Allow>,
    /// How long, in seconds; as long as the token lives when left out.
    #[arg(long)]
    seconds: Option<u32>,
}

#[derive(Debug, clap::Args)]
struct CallArgs {
    #[command(flatten)]
    sidecar: SidecarArg,
    /// A file with the token; - for stdin.
    token: PathBuf,
    /// The tool.
    tool: ToolName,
    /// What the tool does.
    operation: Operation,
    /// What it does it to.
    resource: Resource,
    /// The arguments, as JSON; for a file:/// resource {"path": …} when left out.
    #[arg(long)]
    args: Option<String>,
}

fn delegate(text: &str) -> Result<(AgentName, SpiffeId), String> {
    let (agent, peer) = text.split_once('=').ok_or("is written AGENT=SPIFFE_ID")?;
    Ok((agent.parse().map_err(|e| format!("agent: {e}"))?, peer.parse().map_err(|e| format!("SPIFFE ID: {e}"))?))
}

pub(crate) async fn run(args: HandArgs, format: Format) -> Result<(), Failure> {
    match args.command {
        HandCommand::Over(args) => over(args, format).await,
        HandCommand::Call(args) => call(args, format).await,
    }
}

async fn over(args: OverArgs, format: Format) -> Result<(), Failure> {
    let sidecar = args.sidecar.client()?;
    let mut scopes = envelope(&args.allow)?;
    let (Some((audience, grants)), true) = (scopes.pop(), scopes.is_empty()) else {
        return Err(Failure::usage("a token is good at one tool server: hand over one for each"));
    };
    let begin =
        BeginTask { session: args.session, task: None, audience, grants, ttl: None, presenter: Presenter::Sidecar };
    let task = sidecar.begin_task_to_hand_on(&begin, std::slice::from_ref(&args.to)).await;
    let wanted = HandOver {
        task: task.map_err(|e| e.to_denial())?.id,
        to: args.to.1,
        tools: Vec::new(),
        operation: None,
        resource: None,
        ttl: args.seconds.map(|s| Duration::from_secs(s.into())),
        onward: None,
    };
    let handed = sidecar.hand_over(&wanted).await.map_err(|e| e.to_denial())?;
    match format {
        Format::Json => {
            output::json(&json!({"token": handed.token.expose(), "expires_at": handed.expires_at.as_unix_s()}));
        }
        Format::Text => output::data(handed.token.expose()),
    }
    output::next(format!("give it to {}, which runs: crumb hand call FILE TOOL OPERATION RESOURCE", args.to.0));
    Ok(())
}

async fn call(args: CallArgs, format: Format) -> Result<(), Failure> {
    let sidecar = args.sidecar.client()?;
    let token = read(&args.token)?;
    let task = sidecar.accept(&token).await.map_err(|e| e.to_denial())?;
    let arguments = crate::call::arguments(args.args.as_deref(), &args.resource)?.into();
    let call = Call { task: task.id, tool: args.tool, operation: args.operation, resource: args.resource, arguments };
    let answer = sidecar.call(&call).await.map_err(|e| e.to_denial())?;
    crate::call::show(answer, format)
}

/// Reads a token from a file or a pipe; line ends around it are not part of it.
fn read(path: &Path) -> Result<TokenText, Failure> {
    let text = secret_file::text(path, TokenText::LEN_MAX)?;
    TokenText::from_presented(text.trim()).map_err(|reason| {
        Failure::new(Exit::Usage, format!("{}: {reason}", path.display()), "crumb hand over writes one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_whom_it_is_handed_to() {
        let (agent, peer) = delegate("reader=spiffe://td/agent/reader").expect("both");
        assert_eq!((agent.as_str(), peer.as_str()), ("reader", "spiffe://td/agent/reader"));
        for text in ["reader", "=spiffe://td/a", "reader=", "Reader=spiffe://td/a", "reader=spiffe://td/a/"] {
            assert!(delegate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn refuses_a_file_that_holds_no_token() {
        assert_eq!(read(Path::new("/nowhere/at/all")).expect_err("no file").exit, Exit::Usage);
        let empty = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(read(empty.path()).expect_err("nothing").exit, Exit::Usage);
    }
}
