//! `crumb approve`, `crumb deny`, `crumb appeal`: a person's, or a workload's, word on a request.

use crate::{
    approver::{ApproverArg, NetworkArg},
    exit::Failure,
    output::{self, Format},
    requests::{standing, text, to_json},
    span::span,
};
use crumb_proto::{convert::to_grant, wire};
use crumb_token::{ApprovalId, Grant};
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb approve apr_0198… --token-file ~/.crumb/id-token\n  crumb approve apr_0198… --grant 'delete_file delete file:///tmp/a/*' --ttl 5m --why 'only these' --token-file -\n  crumb approve apr_0198… --broker broker:8443 --broker-id spiffe://acme.example/crumb/broker\n\nWhoever asked, is asked for, or answers for an agent in the chain approves nothing of it."
)]
pub(crate) struct ApproveArgs {
    /// The request: see `crumb requests`.
    id: ApprovalId,
    /// Only this right of those asked for: 'TOOL OPERATION RESOURCE'; repeat for more. All when left out.
    #[arg(long, value_parser = right)]
    grant: Vec<Grant>,
    /// For a shorter time than was asked: 90s, 5m, 1h.
    #[arg(long, value_parser = span)]
    ttl: Option<Duration>,
    /// Why, in one sentence.
    #[arg(long, default_value = "")]
    why: String,
    #[command(flatten)]
    who: ApproverArg,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb deny apr_0198… --why 'not tonight' --token-file ~/.crumb/id-token\n  crumb deny apr_0198… --why 'ask for less' --token-file - -o json"
)]
pub(crate) struct DenyArgs {
    /// The request: see `crumb requests`.
    id: ApprovalId,
    /// Why, in one sentence; the agent is told.
    #[arg(long)]
    why: String,
    #[command(flatten)]
    who: ApproverArg,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb appeal apr_0198… --why 'the ticket is closed now' --broker broker:8443 --broker-id spiffe://acme.example/crumb/broker\n  crumb appeal apr_0198… --why 'as agreed with Eve' --broker broker:8443 --broker-id spiffe://acme.example/crumb/broker -o json\n\nOnly the workload that asked can appeal, with its own SVID."
)]
pub(crate) struct AppealArgs {
    /// The refused request.
    id: ApprovalId,
    /// Why it should be looked at again, in one sentence.
    #[arg(long)]
    why: String,
    #[command(flatten)]
    network: NetworkArg,
}

/// Reads one right: `TOOL OPERATION RESOURCE`.
fn right(text: &str) -> Result<Grant, String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let [tool, operation, resource] = words[..] else {
        return Err("is written 'TOOL OPERATION RESOURCE', such as 'delete_file delete file:///tmp/*'".into());
    };
    Ok(Grant {
        tool: tool.parse().map_err(|e| format!("tool: {e}"))?,
        operation: operation.parse().map_err(|e| format!("operation: {e}"))?,
        resource: resource.parse().map_err(|e| format!("resource: {e}"))?,
    })
}

pub(crate) async fn approve(args: ApproveArgs, format: Format) -> Result<(), Failure> {
    let mut approver = args.who.decide().await?;
    let request = wire::ApproveRequest {
        approval_id: args.id.to_string(),
        grants: args.grant.iter().map(to_grant).collect(),
        ttl_s: args.ttl.map_or(0, |ttl| u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX)),
        why: args.why,
        approver_token: approver.token(),
    };
    let answer = approver.client.approve(request).await.map_err(|status| approver.failed(&status))?;
    let approval = answer.into_inner();
    show(&approval, format);
    match approval.state.as_str() {
        "pending" => output::next(format!("more have to agree: {}", standing(&approval))),
        _ => output::next(format!("crumb audit tail --session {}", approval.session_id)),
    }
    Ok(())
}

pub(crate) async fn deny(args: DenyArgs, format: Format) -> Result<(), Failure> {
    let mut approver = args.who.decide().await?;
    let (approval_id, approver_token) = (args.id.to_string(), approver.token());
    let request = wire::RefuseRequest { approval_id, why: args.why, approver_token };
    let answer = approver.client.refuse(request).await.map_err(|status| approver.failed(&status))?;
    let approval = answer.into_inner();
    show(&approval, format);
    output::next(format!("crumb audit tail --session {}", approval.session_id));
    Ok(())
}

pub(crate) async fn appeal(args: AppealArgs, format: Format) -> Result<(), Failure> {
    let mut approver = args.network.approver().await?;
    let request = wire::AppealRequest { approval_id: args.id.to_string(), why: args.why };
    let answer = approver.client.appeal(request).await.map_err(|status| approver.failed(&status))?;
    let approval = answer.into_inner();
    show(&approval, format);
    output::next(format!(
        "wait for {}: crumb requests --watch --session {}",
        approval.approval_id, approval.session_id
    ));
    Ok(())
}

fn show(approval: &wire::Approval, format: Format) {
    match format {
        Format::Json => output::json(&to_json(approval)),
        Format::Text => output::data(text(approval)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_rights_that_are_not_three_words() {
        assert!(right("delete_file delete tmp/*").is_ok());
        for bad in ["", "delete_file delete", "files delete_file delete tmp/*", "delete_file DELETE tmp/*"] {
            assert!(right(bad).is_err(), "{bad:?}");
        }
    }
}
