//! `crumb session`: declare an intent, and end it.

use crate::{
    exit::Failure,
    output::{self, Format},
    scope::{Allow, SidecarArg, envelope, origin},
};
use crumb_sdk::sidecar::Open;
use crumb_token::{AgentName, Intent, Origin, SessionId};
use serde_json::json;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(crate) struct SessionArgs {
    #[command(subcommand)]
    command: SessionCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SessionCommand {
    /// Declare an intent and what it may need; prints the session's id.
    #[command(
        after_help = "Example:\n  crumb session open --agent research-bot --intent 'read the docs' --origin user:bob@acme.example \\\n      --allow 'files read_file read file:///docs/*'"
    )]
    Open(OpenArgs),
    /// End a session: its tokens are refused everywhere within a second.
    #[command(after_help = "Example:\n  crumb session close ses_0198…")]
    Close(CloseArgs),
}

#[derive(Debug, clap::Args)]
struct OpenArgs {
    #[command(flatten)]
    sidecar: SidecarArg,
    /// The registered name of the agent.
    #[arg(long)]
    agent: AgentName,
    /// What the session will do, in one sentence.
    #[arg(long)]
    intent: Intent,
    /// Who or what set it off: user:NAME, schedule:NAME or session:SESSION.
    #[arg(long, value_parser = origin)]
    origin: Origin,
    /// What it may need: 'SERVER TOOL OPERATION RESOURCE'; repeat for more.
    #[arg(long, required = true)]
    allow: Vec<Allow>,
    /// How long it will take, in seconds, at most 28800; an hour when left out.
    #[arg(long)]
    seconds: Option<u32>,
}

#[derive(Debug, clap::Args)]
struct CloseArgs {
    #[command(flatten)]
    sidecar: SidecarArg,
    /// The session.
    session: SessionId,
}

pub(crate) async fn run(args: SessionArgs, format: Format) -> Result<(), Failure> {
    match args.command {
        SessionCommand::Open(args) => open(args, format).await,
        SessionCommand::Close(args) => close(args, format).await,
    }
}

async fn open(args: OpenArgs, format: Format) -> Result<(), Failure> {
    let sidecar = args.sidecar.client()?;
    let open = Open {
        agent: args.agent,
        intent: args.intent,
        origin: args.origin,
        envelope: envelope(&args.allow)?,
        lifetime: args.seconds.map(|s| Duration::from_secs(s.into())),
    };
    let session = sidecar.open(&open).await.map_err(|e| e.to_denial())?;
    match format {
        Format::Json => {
            output::json(&json!({"session_id": session.id.to_string(), "expires_at": session.expires_at.as_unix_s()}));
        }
        Format::Text => output::data(session.id),
    }
    output::next(format!("crumb call --session {} SERVER TOOL OPERATION RESOURCE", session.id));
    Ok(())
}

async fn close(args: CloseArgs, format: Format) -> Result<(), Failure> {
    let sidecar = args.sidecar.client()?;
    sidecar.close(args.session).await.map_err(|e| e.to_denial())?;
    match format {
        Format::Json => output::json(&json!({"session_id": args.session.to_string(), "closed": true})),
        Format::Text => output::data(format!("{} is closed", args.session)),
    }
    output::next(format!("crumb audit tail --session {}", args.session));
    Ok(())
}
