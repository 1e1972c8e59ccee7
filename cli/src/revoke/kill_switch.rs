//! `crumb kill-switch`: ends what something has, and refuses whatever it asks for until an operator lifts it.

use super::{
    Sure, end,
    target::{Kind, Target},
};
use crate::{
    admin::AdminSocket,
    exit::{Exit, Failure},
    output::{self, Format, dim},
};
use crumb_proto::wire::{self, revocation_service_client::RevocationServiceClient};
use serde_json::json;
use time::OffsetDateTime;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb kill-switch agent research-bot --why 'it deletes what it should read'\n  crumb kill-switch everything --why 'breach' --yes\n  crumb kill-switch --list\n  crumb kill-switch --lift agent research-bot --why 'fixed in 1.4.1'\n\nWhat was revoked stays revoked when the switch is lifted."
)]
pub(crate) struct KillSwitchArgs {
    /// What: agent, owner, tool, subject or everything.
    #[arg(value_enum, required_unless_present = "list")]
    kind: Option<Kind>,
    /// Which one; none for everything.
    name: Option<String>,
    /// Why, in one sentence; it goes into the trail, and whoever is refused is told.
    #[arg(long, required_unless_present = "list")]
    why: Option<String>,
    /// Lift the switch.
    #[arg(long, conflicts_with_all = ["dry_run", "yes"])]
    lift: bool,
    /// List what is stopped.
    #[arg(long, conflicts_with_all = ["kind", "name", "why", "lift", "dry_run", "yes"])]
    list: bool,
    #[command(flatten)]
    sure: Sure,
    #[command(flatten)]
    admin: AdminSocket,
}

pub(crate) async fn run(args: KillSwitchArgs, format: Format) -> Result<(), Failure> {
    let (Some(kind), Some(why)) = (args.kind, &args.why) else { return list(&args.admin, format).await };
    let target = Target::read_stop(kind, args.name.as_deref()).map_err(Failure::usage)?;
    if args.lift {
        return lift(&args.admin, &target, why, format).await;
    }
    if end(&args.admin, args.sure, target.revocation(why, true), format).await? {
        output::next(format!("when it is over: crumb kill-switch --lift {target} --why '…'"));
    }
    Ok(())
}

async fn lift(admin: &AdminSocket, target: &Target, why: &str, format: Format) -> Result<(), Failure> {
    let mut client = RevocationServiceClient::new(admin.channel().await?);
    let answer = client.lift(target.lifting(why)).await.map_err(|status| admin.failed(&status))?;
    if !answer.into_inner().lifted {
        return Err(Failure::new(Exit::Conflict, format!("{target} is not stopped"), "crumb kill-switch --list"));
    }
    match format {
        Format::Json => output::json(&json!({"lifted": target.to_string()})),
        Format::Text => output::data(format!("{target} goes on")),
    }
    output::next("what was revoked stays revoked: agents open new sessions");
    Ok(())
}

async fn list(admin: &AdminSocket, format: Format) -> Result<(), Failure> {
    let mut client = RevocationServiceClient::new(admin.channel().await?);
    let answer = client.list_stops(wire::ListStopsRequest {}).await.map_err(|status| admin.failed(&status))?;
    let stops = answer.into_inner().stops;
    for stop in &stops {
        match format {
            Format::Json => output::json(&json!({
                "kind": stop.kind, "name": stop.name, "since": stop.since, "by": stop.by, "why": stop.why,
            })),
            Format::Text => output::data(line(stop)),
        }
    }
    match stops.first() {
        None => output::note(dim("nothing is stopped")),
        Some(stop) => output::next(format!("crumb kill-switch --lift {} --why '…'", words(stop))),
    }
    Ok(())
}

fn words(stop: &wire::Stop) -> String {
    format!("{} {}", stop.kind.replace('_', "-"), stop.name).trim_end().to_owned()
}

fn line(stop: &wire::Stop) -> String {
    let since = i64::try_from(stop.since).ok().and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok());
    let since = since.map(|at| format!("{} {:02}:{:02} UTC", at.date(), at.hour(), at.minute())).unwrap_or_default();
    format!("{}  {} {}", words(stop), dim(&format!("since {since} by {}:", stop.by)), stop.why)
}
