//! `crumb requests`: what waits for an approval, with everything that a person needs to decide.

mod show;

pub(crate) use show::{standing, text, to_json};

use crate::{
    approver::{Approver, ApproverArg},
    exit::Failure,
    output::{self, Format, dim},
};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use crumb_proto::wire;
use crumb_sdk::broker::approval::ApprovalState;
use crumb_token::SessionId;
use std::{collections::BTreeMap, time::Duration};

/// How often the listing is looked at with --watch: a person does not notice, and the broker does not either.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb requests --state pending\n  crumb requests --watch --token-file ~/.crumb/id-token\n  crumb requests --state pending -o json | jq -r .approval_id\n\nOn the admin socket an operator sees all requests. With a token, or as a workload, you see your groups' and your own."
)]
pub(crate) struct RequestsArgs {
    /// Only those in this state.
    #[arg(long, value_parser = states())]
    state: Option<ApprovalState>,
    /// Only those of this session.
    #[arg(long)]
    session: Option<SessionId>,
    /// Stay, and show each again when it changes.
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    who: ApproverArg,
}

/// Takes the words of the states, and names them in the help.
fn states() -> impl TypedValueParser<Value = ApprovalState> {
    PossibleValuesParser::new(ApprovalState::ALL.map(ApprovalState::word)).try_map(|word| word.parse())
}

/// What was shown of a request: its state, and how many votes it had.
type Shown = BTreeMap<String, (String, usize)>;

pub(crate) async fn run(args: RequestsArgs, format: Format) -> Result<(), Failure> {
    let mut approver = args.who.look().await?;
    let listed = list(&mut approver, &args).await?;
    let mut shown = Shown::new();
    show_changed(&listed, &mut shown, format);
    let pending = listed.iter().find(|request| request.state == ApprovalState::Pending.word());
    match pending {
        Some(request) => output::next(format!(
            "crumb approve {id} --token-file FILE, or crumb deny {id} --why '…' --token-file FILE",
            id = request.approval_id
        )),
        None => output::note(dim(&format!("{} requests, none pending", listed.len()))),
    }
    if !args.watch {
        return Ok(());
    }
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let listed = list(&mut approver, &args).await?;
        show_changed(&listed, &mut shown, format);
    }
}

async fn list(approver: &mut Approver<'_>, args: &RequestsArgs) -> Result<Vec<wire::Approval>, Failure> {
    let request = wire::ListApprovalsRequest {
        state: args.state.map(ApprovalState::word).unwrap_or_default().to_owned(),
        session_id: args.session.as_ref().map(ToString::to_string).unwrap_or_default(),
        approver_token: approver.token(),
    };
    let answer = approver.client.list_approvals(request).await.map_err(|status| approver.failed(&status))?;
    let mut listed = answer.into_inner().approvals;
    // The newest last, where a terminal ends.
    listed.reverse();
    Ok(listed)
}

/// Shows what is new or has changed, and forgets what is not listed any more.
fn show_changed(listed: &[wire::Approval], shown: &mut Shown, format: Format) {
    for request in changed(listed, shown) {
        match format {
            Format::Json => output::json(&to_json(request)),
            Format::Text => output::data(text(request)),
        }
    }
}

fn changed<'l>(listed: &'l [wire::Approval], shown: &mut Shown) -> Vec<&'l wire::Approval> {
    let now: Shown = listed.iter().map(|r| (r.approval_id.clone(), (r.state.clone(), r.votes.len()))).collect();
    let before = std::mem::replace(shown, now);
    listed.iter().filter(|r| before.get(&r.approval_id) != shown.get(&r.approval_id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_shown_again_only_when_it_changes() {
        let request = |id: &str, state: &str| wire::Approval {
            approval_id: id.into(),
            state: state.into(),
            ..Default::default()
        };
        let mut shown = Shown::new();
        assert_eq!(changed(&[request("a", "pending"), request("b", "pending")], &mut shown).len(), 2);
        assert!(changed(&[request("a", "pending"), request("b", "pending")], &mut shown).is_empty());
        let now = [request("a", "approved"), request("b", "pending")];
        assert_eq!(changed(&now, &mut shown).iter().map(|r| r.approval_id.as_str()).collect::<Vec<_>>(), ["a"]);
        assert!(changed(&[], &mut shown).is_empty() && shown.is_empty());
    }
}
