//! `crumb revoke` and `crumb kill-switch`: end what was issued, and stop what would come.
//!
//! # Invariants
//!
//! - What will end is shown first, and somebody says yes: at a terminal, or beforehand with --yes.

mod kill_switch;
mod target;

pub(crate) use kill_switch::{KillSwitchArgs, run as kill_switch};

use crate::{
    admin::AdminSocket,
    exit::{Exit, Failure},
    output::{self, Format},
};
use crumb_proto::wire::{self, revocation_service_client::RevocationServiceClient};
use serde_json::json;
use std::io::{BufRead as _, IsTerminal as _, Read as _};
use target::{Kind, Target};

/// The most targets that are named for people; the rest is counted.
const NAMED_MAX: usize = 20;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb revoke session ses_0198… --why 'it went astray'\n  crumb revoke owner bob@acme.example --why 'Bob has left' --dry-run\n  crumb revoke version research-bot@1.4.0 --why 'bad release' --yes -o json\n\nWhat goes on afterwards can get new tokens: `crumb kill-switch` stops that as well."
)]
pub(crate) struct RevokeArgs {
    /// What kind of thing.
    #[arg(value_enum)]
    kind: Kind,
    /// Which one; none for everything.
    name: Option<String>,
    /// Why, in one sentence; it goes into the trail.
    #[arg(long)]
    why: String,
    #[command(flatten)]
    sure: Sure,
    #[command(flatten)]
    admin: AdminSocket,
}

/// How sure somebody is.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Sure {
    /// Only say what would end.
    #[arg(long)]
    dry_run: bool,
    /// Do it without asking.
    #[arg(short, long, conflicts_with = "dry_run")]
    yes: bool,
}

pub(crate) async fn run(args: RevokeArgs, format: Format) -> Result<(), Failure> {
    let target = Target::read(args.kind, args.name.as_deref()).map_err(Failure::usage)?;
    let ended = end(&args.admin, args.sure, target.revocation(&args.why, false), format).await?;
    if ended && target.goes_on() {
        output::next(format!("stop what it asks for from now on: crumb kill-switch {target} --why '…'"));
    } else if ended {
        output::next("crumb audit tail --follow");
    }
    Ok(())
}

/// Shows what `request` would end, asks, and does it. `false` when it was only to be shown.
async fn end(admin: &AdminSocket, sure: Sure, request: wire::RevokeRequest, format: Format) -> Result<bool, Failure> {
    sure.check_can_ask(std::io::stdin().is_terminal())?;
    let mut client = RevocationServiceClient::new(admin.channel().await?);
    let trial = wire::RevokeRequest { dry_run: true, ..request.clone() };
    let would = client.revoke(trial).await.map_err(|status| admin.failed(&status))?.into_inner();
    if sure.dry_run {
        show(&request, &would, true, format);
        output::next("the same without --dry-run");
        return Ok(false);
    }
    output::note(format!("this ends {}", in_words(&request, &would)));
    if !sure.yes {
        ask().await?;
    }
    let ended = client.revoke(request.clone()).await.map_err(|status| admin.failed(&status))?.into_inner();
    show(&request, &ended, false, format);
    Ok(true)
}

impl Sure {
    fn check_can_ask(self, stdin_is_terminal: bool) -> Result<(), Failure> {
        if self.yes || self.dry_run || stdin_is_terminal {
            return Ok(());
        }
        let what = "nobody can be asked, because stdin is no terminal";
        Err(Failure::new(Exit::Usage, what, "--dry-run to see what would end, --yes to end it"))
    }
}

async fn ask() -> Result<(), Failure> {
    output::note("type yes to go on:");
    let answer = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().take(64).read_line(&mut line).map(|_| line)
    });
    match answer.await {
        Ok(Ok(line)) if line.trim() == "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Unexpected, "nothing was ended", "the same again, and yes")),
    }
}

fn show(request: &wire::RevokeRequest, ended: &wire::RevokeResponse, dry_run: bool, format: Format) {
    match format {
        Format::Json => output::json(&json!({
            "targets": ended.targets, "sessions": ended.sessions, "dry_run": dry_run, "stop": request.stop,
            "revocation": (ended.revocation != 0).then_some(ended.revocation),
        })),
        Format::Text if dry_run => output::data(format!("would end {}", in_words(request, ended))),
        Format::Text => output::data(format!("ended {}", in_words(request, ended))),
    }
}

fn in_words(request: &wire::RevokeRequest, ended: &wire::RevokeResponse) -> String {
    let named: Vec<_> = ended.targets.iter().take(NAMED_MAX).map(String::as_str).collect();
    let rest = ended.targets.len().saturating_sub(NAMED_MAX);
    let more = if rest == 0 { String::new() } else { format!(" and {rest} more") };
    let targets = if named.is_empty() { "no tokens".to_owned() } else { format!("all tokens of {}", named.join(", ")) };
    let stop = if request.stop { ", and stops what would come" } else { "" };
    format!("{targets}{more}, with {} open sessions{stop}", ended.sessions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_somebody_has_to_be_sure_beforehand() {
        let sure = |dry_run, yes| Sure { dry_run, yes };
        assert_eq!(sure(false, false).check_can_ask(false).expect_err("nobody is there").exit, Exit::Usage);
        assert!(sure(false, false).check_can_ask(true).is_ok());
        assert!(sure(true, false).check_can_ask(false).is_ok() && sure(false, true).check_can_ask(false).is_ok());
    }

    #[test]
    fn says_what_ends_and_counts_what_is_too_much_to_name() {
        let targets: Vec<_> = (0..NAMED_MAX + 3).map(|n| format!("agent:bot-{n}")).collect();
        let ended = wire::RevokeResponse { targets, sessions: 7, revocation: 0 };
        let words = in_words(&wire::RevokeRequest { stop: true, ..Default::default() }, &ended);
        assert!(words.contains("agent:bot-0,") && words.contains(" and 3 more"), "{words}");
        assert!(words.contains("7 open sessions") && words.contains("stops what would come"), "{words}");
        let none = in_words(&wire::RevokeRequest::default(), &wire::RevokeResponse::default());
        assert_eq!(none, "no tokens, with 0 open sessions");
    }
}
