//! `crumb audit tail`: the trail, as the broker committed it.

pub(crate) use crate::admin::connect;

use crate::{
    admin::{self, AdminSocket},
    exit::Failure,
    output::{self, Format, dim, verdict},
};
use crumb_proto::wire::{self, audit_service_client::AuditServiceClient};
use serde_json::{Value, json};
use std::path::Path;

#[derive(Debug, clap::Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AuditCommand {
    /// Write records in the order they were committed.
    #[command(
        after_help = "Examples:\n  crumb audit tail --session ses_0198…\n  crumb audit tail --follow -o json | jq .reason"
    )]
    Tail(TailArgs),
}

#[derive(Debug, clap::Args)]
struct TailArgs {
    /// Only the records of this session.
    #[arg(long)]
    session: Option<String>,
    /// Only records after this number.
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// Stay, and write new records as they come.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    admin: AdminSocket,
}

pub(crate) async fn run(args: AuditArgs, format: Format) -> Result<(), Failure> {
    let AuditCommand::Tail(args) = args.command;
    let socket = args.admin.path();
    let request =
        wire::TailRequest { after: args.after, session_id: args.session.unwrap_or_default(), follow: args.follow };
    let mut count = 0u64;
    let mut records = tail(&socket, request).await?;
    while let Some(record) = records.message().await.map_err(|status| admin::failed(&socket, &status))? {
        count += 1;
        match format {
            Format::Json => output::json(&to_json(&record)),
            Format::Text => output::data(line(&record)),
        }
    }
    output::note(dim(&format!("{count} records")));
    Ok(())
}

/// Asks for records over the admin socket.
pub(crate) async fn tail(
    socket: &Path,
    request: wire::TailRequest,
) -> Result<tonic::Streaming<wire::AuditRecord>, Failure> {
    let mut client = AuditServiceClient::new(connect(socket).await?);
    let answer = client.tail(request).await.map_err(|status| admin::failed(socket, &status))?;
    Ok(answer.into_inner())
}

/// One line for people: when, what, the verdict, and who did it for whom.
fn line(r: &wire::AuditRecord) -> String {
    let (through, inside) = (r.actors.join(","), r.ancestors.join(","));
    let by = [
        ("agent", &r.agent),
        ("owner", &r.owner),
        ("for", &r.subject),
        ("through", &through),
        ("origin", &r.origin),
        ("session", &r.session_id),
        ("inside", &inside),
    ];
    let by = by.iter().filter(|(_, v)| !v.is_empty()).map(|(k, v)| format!(" {k}={v}")).collect::<String>();
    let intent = if r.intent.is_empty() { String::new() } else { format!(" intent={:?}", r.intent) };
    format!("{}{}", short_line(r), dim(&format!("{by}{intent}")))
}

/// One line for people, without what is the same in the whole session.
pub(crate) fn short_line(r: &wire::AuditRecord) -> String {
    let seconds = r.at_unix_ms / 1000 % 86_400;
    let time = format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, r.at_unix_ms % 1000);
    let asked =
        r.asked.iter().map(|g| format!("{} {} {}", g.tool, g.operation, g.resource)).collect::<Vec<_>>().join(", ");
    let decision = match &r.denial {
        None if r.allowed => verdict(true, "allowed"),
        None => verdict(false, "denied"),
        Some(denial) => verdict(false, &format!("denied {}", denial.reason)),
    };
    let outcome = if r.outcome_status == 0 { String::new() } else { format!(" → {}", r.outcome_status) };
    let peer = if r.peer.is_empty() { String::new() } else { dim(&format!(" by {}", r.peer)) };
    let detail = if r.detail.is_empty() { String::new() } else { format!(" {}", r.detail) };
    format!("{:>5} {time} {:<16} {decision} {asked}{detail}{outcome}{peer}", r.number, r.kind)
}

/// The whole record, for programs.
pub(crate) fn to_json(r: &wire::AuditRecord) -> Value {
    let grants = |grants: &[wire::Grant]| -> Vec<Value> {
        grants.iter().map(|g| json!({"tool": g.tool, "operation": g.operation, "resource": g.resource})).collect()
    };
    json!({
        "number": r.number, "record_id": r.record_id, "at_unix_ms": r.at_unix_ms, "kind": r.kind, "allowed": r.allowed,
        "reason": r.denial.as_ref().map(|d| &d.reason),
        "denial": r.denial.as_ref().map(denial_to_json),
        "request_id": r.request_id, "peer": r.peer, "agent": r.agent, "agent_version": r.agent_version, "owner": r.owner,
        "session_id": r.session_id, "intent": r.intent, "task": r.task, "origin": r.origin, "token_id": r.token_id, "holder": r.holder,
        "audience": r.audience, "asked": grants(&r.asked), "granted": grants(&r.granted),
        "args_sha256": hex(&r.args_digest), "expires_at": r.expires_at,
        "process": r.process.as_ref().map(|p| json!({
            "pid": p.pid, "uid": p.uid, "gid": p.gid, "exe": p.exe, "exe_sha256": hex(&p.exe_sha256),
        })),
        "outcome_status": r.outcome_status, "duration_us": r.duration_us,
        "subject": r.subject, "actors": r.actors, "ancestors": r.ancestors, "detail": r.detail,
        "registry_version": r.registry_version, "policy_version": r.policy_version,
    })
}

/// A refusal, for programs.
pub(crate) fn denial_to_json(d: &wire::Denial) -> Value {
    json!({
        "reason": d.reason, "layer": d.layer, "asked": d.asked, "rule": d.rule, "author": d.author, "next": d.next,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> wire::AuditRecord {
        wire::AuditRecord {
            kind: "approval".into(),
            allowed: true,
            subject: "bob@acme.example (verified)".into(),
            actors: vec!["spiffe://td/agent/lead".into()],
            ancestors: vec!["ses_1".into()],
            detail: "approved apr_1".into(),
            registry_version: "r1".into(),
            policy_version: "files@abc".into(),
            ..Default::default()
        }
    }

    #[test]
    fn tells_on_whose_behalf_through_whom_and_what_was_done() {
        let line = line(&record());
        for part in
            ["for=bob@acme.example (verified)", "through=spiffe://td/agent/lead", "inside=ses_1", "approved apr_1"]
        {
            assert!(line.contains(part), "{part:?} is missing: {line}");
        }
    }

    #[test]
    fn tells_programs_all_of_it() {
        let value = to_json(&record());
        assert_eq!((&value["registry_version"], &value["policy_version"]), (&"r1".into(), &"files@abc".into()));
        assert_eq!((&value["actors"][0], &value["ancestors"][0]), (&"spiffe://td/agent/lead".into(), &"ses_1".into()));
        assert_eq!(
            (&value["detail"], &value["subject"]),
            (&"approved apr_1".into(), &"bob@acme.example (verified)".into())
        );
    }
}
