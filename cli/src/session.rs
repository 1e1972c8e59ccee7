//! `crumb session`: declare an intent, hand a part of it to another agent, and end it.

mod describe;
mod halted;

use crate::{
    exit::Failure,
    output::{self, Format},
    scope::{Allow, SidecarArg, envelope, origin},
    secret_file,
};
use crumb_sdk::{
    broker::Session,
    sidecar::{DelegateWithin, Open},
};
use crumb_token::{AgentName, Intent, Origin, SessionId, SpiffeId};
use serde_json::json;
use std::{path::PathBuf, time::Duration};

#[derive(Debug, clap::Args)]
pub(crate) struct SessionArgs {
    #[command(subcommand)]
    command: SessionCommand,
}

#[derive(Debug, clap::Subcommand)]
enum SessionCommand {
    /// Declare an intent and what it may need; prints the session's id.
    #[command(
        after_help = "Example:\n  crumb session open --agent research-bot --intent 'read the docs' --origin user:bob@acme.example \\\n      --allow 'files read_file read file:///docs/*'\n  crumb session open --agent research-bot --intent 'read the docs' --origin user:bob@acme.example \\\n      --subject-token-file ~/.crumb/id-token --allow 'files read_file read file:///docs/*'"
    )]
    Open(OpenArgs),
    /// Open a session inside yours for another agent, which alone can use it; prints its id.
    #[command(
        after_help = "Examples:\n  crumb session delegate ses_0198… --to reader --peer spiffe://acme.example/agent/reader \\\n      --intent 'read one folder' --allow 'files read_file read file:///docs/a/*'\n  crumb session delegate ses_0198… --to reader --peer spiffe://acme.example/sidecar/host-2 --depth 1 --seconds 600 \\\n      --intent 'read one folder' --allow 'files read_file read file:///docs/a/*' -o json"
    )]
    Delegate(DelegateArgs),
    /// Take over a session that another agent delegated to yours.
    #[command(
        after_help = "Examples:\n  crumb session adopt ses_0198…\n  crumb session adopt ses_0198… -o json | jq .envelope"
    )]
    Adopt(NamedArgs),
    /// Tell what a session of yours is: on whose behalf, through whom, for what.
    #[command(after_help = "Examples:\n  crumb session describe ses_0198…\n  crumb session describe ses_0198… -o json")]
    Describe(NamedArgs),
    /// End a session: its tokens are refused everywhere within a second.
    #[command(after_help = "Example:\n  crumb session close ses_0198…")]
    Close(NamedArgs),
    /// List the sessions that drift has halted or contracted; for operators.
    #[command(after_help = "Examples:\n  crumb session halted\n  crumb session halted -o json | jq -r .session_id")]
    Halted(halted::HaltedArgs),
    /// Give a session back what drift took from it; for operators.
    #[command(
        after_help = "Examples:\n  crumb session resume ses_0198… --why 'it was a load test'\n  crumb session resume ses_0198… --why 'looked at with Ada' -o json"
    )]
    Resume(halted::ResumeArgs),
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
    /// A file with a token that proves the user of the origin; - for stdin.
    #[arg(long, value_name = "FILE")]
    subject_token_file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct DelegateArgs {
    #[command(flatten)]
    sidecar: SidecarArg,
    /// Your own session.
    session: SessionId,
    /// The registered name of the agent that will act.
    #[arg(long, value_name = "AGENT")]
    to: AgentName,
    /// The workload that will act for it: the agent's own SPIFFE ID, or its sidecar's.
    #[arg(long, value_name = "SPIFFE_ID")]
    peer: SpiffeId,
    /// What it will do, in one sentence.
    #[arg(long)]
    intent: Intent,
    /// What it may need, of what your session has: 'SERVER TOOL OPERATION RESOURCE'; repeat for more.
    #[arg(long, required = true)]
    allow: Vec<Allow>,
    /// How many further levels it may delegate.
    #[arg(long, default_value_t = 0)]
    depth: u32,
    /// How long it will take, in seconds; never longer than your session.
    #[arg(long)]
    seconds: Option<u32>,
}

#[derive(Debug, clap::Args)]
struct NamedArgs {
    #[command(flatten)]
    sidecar: SidecarArg,
    /// The session.
    session: SessionId,
}

pub(crate) async fn run(args: SessionArgs, format: Format) -> Result<(), Failure> {
    match args.command {
        SessionCommand::Open(args) => open(args, format).await,
        SessionCommand::Delegate(args) => delegate(args, format).await,
        SessionCommand::Adopt(args) => adopt(args, format).await,
        SessionCommand::Describe(args) => describe(args, format).await,
        SessionCommand::Close(args) => close(args, format).await,
        SessionCommand::Halted(args) => halted::list(args, format).await,
        SessionCommand::Resume(args) => halted::resume(args, format).await,
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
    let token = args.subject_token_file.as_deref().map(secret_file::read).transpose()?;
    let opened = match &token {
        Some(token) => sidecar.open_proven(&open, token).await,
        None => sidecar.open(&open).await,
    };
    let session = opened.map_err(|e| e.to_denial())?;
    show(&session, format);
    output::next(format!("crumb call --session {} SERVER TOOL OPERATION RESOURCE", session.id));
    Ok(())
}

async fn delegate(args: DelegateArgs, format: Format) -> Result<(), Failure> {
    let sidecar = args.sidecar.client()?;
    let delegate = DelegateWithin {
        session: args.session,
        agent: args.to,
        peer: args.peer,
        intent: args.intent,
        envelope: envelope(&args.allow)?,
        lifetime: args.seconds.map(|s| Duration::from_secs(s.into())),
        depth: args.depth,
    };
    let session = sidecar.delegate(&delegate).await.map_err(|e| e.to_denial())?;
    show(&session, format);
    output::next(format!("hand it to {}, which runs: crumb session adopt {}", delegate.agent, session.id));
    Ok(())
}

async fn adopt(args: NamedArgs, format: Format) -> Result<(), Failure> {
    let sidecar = args.sidecar.client()?;
    let session = sidecar.adopt(args.session).await.map_err(|e| e.to_denial())?;
    describe::show(args.session, &session, format);
    output::next(format!("crumb call --session {} SERVER TOOL OPERATION RESOURCE", args.session));
    Ok(())
}

async fn describe(args: NamedArgs, format: Format) -> Result<(), Failure> {
    let sidecar = args.sidecar.client()?;
    let session = sidecar.describe_session(args.session).await.map_err(|e| e.to_denial())?;
    describe::show(args.session, &session, format);
    output::next(format!("crumb audit tail --session {}", args.session));
    Ok(())
}

fn show(session: &Session, format: Format) {
    match format {
        Format::Json => {
            output::json(&json!({"session_id": session.id.to_string(), "expires_at": session.expires_at.as_unix_s()}));
        }
        Format::Text => output::data(session.id),
    }
}

async fn close(args: NamedArgs, format: Format) -> Result<(), Failure> {
    let sidecar = args.sidecar.client()?;
    sidecar.close(args.session).await.map_err(|e| e.to_denial())?;
    match format {
        Format::Json => output::json(&json!({"session_id": args.session.to_string(), "closed": true})),
        Format::Text => output::data(format!("{} is closed", args.session)),
    }
    output::next(format!("crumb audit tail --session {}", args.session));
    Ok(())
}
