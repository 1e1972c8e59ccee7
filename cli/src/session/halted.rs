//! `crumb session halted` and `crumb session resume`: what drift has stopped, and giving it back after a look.

use crate::{
    admin::AdminSocket,
    exit::{Exit, Failure},
    output::{self, Format, dim},
};
use crumb_proto::wire::{self, revocation_service_client::RevocationServiceClient};
use crumb_token::SessionId;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub(super) struct HaltedArgs {
    #[command(flatten)]
    admin: AdminSocket,
}

#[derive(Debug, clap::Args)]
pub(super) struct ResumeArgs {
    /// The session: see `crumb session halted`.
    session: SessionId,
    /// Why it may go on, in one sentence; it goes into the trail.
    #[arg(long)]
    why: String,
    #[command(flatten)]
    admin: AdminSocket,
}

pub(super) async fn list(args: HaltedArgs, format: Format) -> Result<(), Failure> {
    let mut client = RevocationServiceClient::new(args.admin.channel().await?);
    let answer = client.list_halted(wire::ListHaltedRequest {}).await.map_err(|status| args.admin.failed(&status))?;
    let sessions = answer.into_inner().sessions;
    for session in &sessions {
        match format {
            Format::Json => output::json(&to_json(session)),
            Format::Text => output::data(text(session)),
        }
    }
    match sessions.first() {
        None => output::note(dim("no session is halted or contracted")),
        Some(session) => {
            let id = &session.session_id;
            output::next(format!("crumb audit tail --session {id}, then crumb session resume {id} --why '…'"));
        }
    }
    Ok(())
}

pub(super) async fn resume(args: ResumeArgs, format: Format) -> Result<(), Failure> {
    let mut client = RevocationServiceClient::new(args.admin.channel().await?);
    let request = wire::ResumeRequest { session_id: args.session.to_string(), why: args.why };
    let answer = client.resume(request).await.map_err(|status| args.admin.failed(&status))?;
    if !answer.into_inner().resumed {
        let what = format!("{} is neither halted nor contracted itself", args.session);
        return Err(Failure::new(Exit::Conflict, what, "crumb session halted"));
    }
    match format {
        Format::Json => output::json(&json!({"session_id": args.session.to_string(), "resumed": true})),
        Format::Text => output::data(format!("{} goes on", args.session)),
    }
    output::next("what was revoked stays revoked: the agent begins its tasks anew");
    Ok(())
}

fn text(s: &wire::HaltedSession) -> String {
    let action = if s.action == "halt" { "halted" } else { "contracted" };
    let why = format!("{}: {} where {} are allowed, {}", s.rule, s.measured, s.threshold, s.basis);
    format!("{} {action}  {} of {}: {}\n  {}", s.session_id, s.agent, s.owner, s.intent, dim(&why))
}

fn to_json(s: &wire::HaltedSession) -> Value {
    json!({
        "session_id": s.session_id, "agent": s.agent, "owner": s.owner, "intent": s.intent, "action": s.action,
        "rule": s.rule, "measured": s.measured, "threshold": s.threshold, "basis": s.basis, "since": s.since,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_which_rule_stopped_it_and_how_far_it_went() {
        let session = wire::HaltedSession {
            session_id: "ses_1".into(),
            agent: "bot".into(),
            owner: "ada@acme.example".into(),
            action: "halt".into(),
            rule: "denials_in_a_row".into(),
            measured: 6,
            threshold: 5,
            ..Default::default()
        };
        let text = text(&session);
        assert!(text.contains("ses_1 halted  bot of ada@acme.example"), "{text}");
        assert!(text.contains("denials_in_a_row: 6 where 5 are allowed"), "{text}");
        assert_eq!(to_json(&session)["threshold"], 5);
    }
}
