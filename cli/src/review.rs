//! `crumb review`: what agents were given beside what they used, the narrower manifest that would do, and a reviewer's word.

mod due;
mod show;

use crate::{
    admin::AdminSocket,
    exit::{Exit, Failure},
    output::{self, Format, dim},
    secret_file, span,
};
use anyhow::Context as _;
use crumb_proto::wire::{self, review_service_client::ReviewServiceClient};
use crumb_token::{AgentName, Owner};
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tonic::transport::Channel;

/// The longest answer about one agent, in bytes: its rights with what was touched, and a manifest with its difference.
const ANSWER_LEN_MAX: usize = 4 * 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb review --due\n  crumb review research-bot --since 30d\n  crumb review research-bot --propose narrower.yaml && crumb apply -f narrower.yaml --dry-run --diff --no-widening\n  crumb review research-bot --narrow --reason 'writes nothing since spring' --token-file ~/.crumb/id-token\n  crumb review --owner ada@acme.example -o json\n\nA reviewer is a person of a group of approvers who does not answer for the agent, known by a token as for `crumb approve`."
)]
pub(crate) struct ReviewArgs {
    /// The agent; all of them when left out.
    agent: Option<AgentName>,
    /// Only the agents that this person answers for.
    #[arg(long, conflicts_with = "agent")]
    owner: Option<Owner>,
    /// How far back to look: 30d, 12h; at most 400d.
    #[arg(long, value_parser = window, default_value = "90d")]
    since: Duration,
    /// Write the narrower manifest to this file, or - for stdout, and show how it differs.
    #[arg(long, value_name = "FILE", requires = "agent", conflicts_with = "verdict")]
    propose: Option<PathBuf>,
    /// List the agents whose review is overdue, or is due within 30 days.
    #[arg(long, conflicts_with_all = ["agent", "verdict"])]
    due: bool,
    #[command(flatten)]
    verdict: VerdictArgs,
    #[command(flatten)]
    admin: AdminSocket,
}

#[derive(Debug, clap::Args)]
#[group(id = "decision", multiple = true)]
struct VerdictArgs {
    /// What it may do stays as it is.
    #[arg(long, group = "verdict", requires_all = ["agent", "reason", "token_file"])]
    keep: bool,
    /// It may do only what the window shows, or what --manifest says.
    #[arg(long, group = "verdict", requires_all = ["agent", "reason", "token_file"])]
    narrow: bool,
    /// It is retired, for good.
    #[arg(long, group = "verdict", requires_all = ["agent", "reason", "token_file"])]
    remove: bool,
    /// Why, in one sentence; it goes into the trail.
    #[arg(long, requires = "verdict")]
    reason: Option<String>,
    /// The last day until which it counts as reviewed, such as 2027-01-31; 90 days from now when left out.
    #[arg(long, value_name = "DATE", requires = "verdict")]
    next_review: Option<String>,
    /// The narrower manifest to put in force, instead of the proposal.
    #[arg(long, value_name = "FILE", requires = "verdict", conflicts_with_all = ["keep", "remove"])]
    manifest: Option<PathBuf>,
    /// A file with a token that says who reviews, made out for approving; - for stdin.
    #[arg(long, value_name = "FILE", requires = "verdict")]
    token_file: Option<PathBuf>,
}

impl VerdictArgs {
    fn word(&self) -> Option<&'static str> {
        match (self.keep, self.narrow, self.remove) {
            (true, _, _) => Some("keep"),
            (_, true, _) => Some("narrow"),
            (_, _, true) => Some("remove"),
            _ => None,
        }
    }
}

/// Reads a window: days, or a span as everywhere.
fn window(text: &str) -> Result<Duration, String> {
    let days = text.strip_suffix('d').map(|days| span::span(&format!("{days}h")).map(|hours| hours * 24));
    let window = days.unwrap_or_else(|| span::span(text)).map_err(|_| "is written 90d, 12h or 30m".to_owned())?;
    if window.as_secs() <= 400 * 86_400 { Ok(window) } else { Err("is at most 400d".to_owned()) }
}

pub(crate) async fn run(args: ReviewArgs, format: Format) -> Result<(), Failure> {
    if args.due {
        return due::list(&args.admin, format).await;
    }
    let channel = args.admin.channel().await?;
    let mut client = ReviewServiceClient::new(channel).max_decoding_message_size(ANSWER_LEN_MAX);
    match (args.verdict.word(), &args.agent) {
        (Some(verdict), Some(agent)) => decide(&mut client, &args, verdict, agent, format).await,
        _ => look(&mut client, &args, format).await,
    }
}

async fn look(client: &mut ReviewServiceClient<Channel>, args: &ReviewArgs, format: Format) -> Result<(), Failure> {
    let request = wire::ReviewRequest {
        agent: args.agent.as_ref().map(ToString::to_string).unwrap_or_default(),
        owner: args.owner.as_ref().map(ToString::to_string).unwrap_or_default(),
        window_s: args.since.as_secs(),
        // Of one agent it is always told whether less would do.
        propose: args.agent.is_some(),
    };
    let answer = client.review(request).await.map_err(|status| args.admin.failed(&status))?;
    let mut reviews = answer.into_inner();
    let mut count = 0u32;
    while let Some(review) = reviews.message().await.map_err(|status| args.admin.failed(&status))? {
        count += 1;
        match format {
            Format::Json => output::json(&show::to_json(&review)),
            // The manifest alone, so that it can be applied from a pipe.
            Format::Text if args.propose.as_deref() == Some(Path::new("-")) => output::note(show::text(&review)),
            Format::Text => output::data(show::text(&review)),
        }
        match (&args.propose, &args.agent) {
            (Some(file), Some(agent)) => propose(file, agent, &review, format)?,
            (None, Some(agent)) => hint(agent, &review),
            _ => {}
        }
    }
    if args.agent.is_none() {
        output::note(dim(&format!("{count} agents")));
    }
    Ok(())
}

fn propose(file: &Path, agent: &AgentName, review: &wire::AgentReview, format: Format) -> Result<(), Failure> {
    let proposal = review.proposal.clone().unwrap_or_default();
    if proposal.manifest.is_empty() {
        let notes = proposal.notes.join("; ");
        let what =
            if notes.is_empty() { "all that it may do was used: there is nothing to propose".into() } else { notes };
        return Err(Failure::new(
            Exit::Conflict,
            what,
            format!("crumb review {agent} --keep --reason '…' --token-file FILE"),
        ));
    }
    if file == Path::new("-") {
        if format == Format::Text {
            output::data(proposal.manifest.trim_end());
        }
        return Ok(());
    }
    let mut written = fs::File::create(file).with_context(|| file.display().to_string())?;
    written.write_all(proposal.manifest.as_bytes()).with_context(|| file.display().to_string())?;
    output::next(format!("crumb apply -f {} --dry-run --diff --no-widening", file.display()));
    Ok(())
}

fn hint(agent: &AgentName, review: &wire::AgentReview) {
    match review.proposal.as_ref().map(|proposal| proposal.action.as_str()) {
        Some("narrow") => {
            output::next(format!("crumb review {agent} --propose FILE, or --narrow --reason '…' --token-file FILE"))
        }
        Some("set-aside") => {
            output::next(format!("crumb review {agent} --propose FILE, or --remove --reason '…' --token-file FILE"))
        }
        _ => output::next(format!("crumb review {agent} --keep --reason '…' --token-file FILE")),
    }
}

async fn decide(
    client: &mut ReviewServiceClient<Channel>,
    args: &ReviewArgs,
    verdict: &str,
    agent: &AgentName,
    format: Format,
) -> Result<(), Failure> {
    let VerdictArgs { reason, next_review, manifest, token_file, .. } = &args.verdict;
    let token = token_file.as_deref().map(secret_file::read).transpose()?;
    let text = |path: &PathBuf| fs::read_to_string(path).with_context(|| path.display().to_string());
    let request = wire::DecideReviewRequest {
        agent: agent.to_string(),
        verdict: verdict.to_owned(),
        reason: reason.clone().unwrap_or_default(),
        next_review: next_review.clone().unwrap_or_default(),
        manifest: manifest.as_ref().map(text).transpose()?.unwrap_or_default(),
        window_s: args.since.as_secs(),
        approver_token: token.as_ref().map(|token| token.expose().to_owned()).unwrap_or_default(),
    };
    let answer = client.decide(request).await.map_err(|status| args.admin.failed(&status))?;
    let decided = answer.into_inner();
    match format {
        Format::Json => output::json(&show::decided_to_json(agent, verdict, &decided)),
        Format::Text => output::data(show::decided(agent, verdict, &decided)),
    }
    output::next(format!("crumb get agents {agent} -o yaml, and keep it where changes are reviewed"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_days_or_a_span() {
        assert_eq!(window("90d"), Ok(Duration::from_secs(90 * 86_400)));
        assert_eq!(window("12h"), Ok(Duration::from_secs(12 * 3600)));
        for bad in ["", "d", "0d", "-1d", "1.5d", "90 d", "401d", "9999999999999d", "soon"] {
            assert!(window(bad).is_err(), "{bad:?}");
        }
    }
}
