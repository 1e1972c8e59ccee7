//! `crumb why`: what was decided on something and by which rule, or what would be decided on an ask that was never made.

mod show;

use crate::{
    admin::AdminSocket,
    exit::{Exit, Failure},
    output::{self, Format},
    scope::{audience, origin},
    span::span,
};
use clap::ArgGroup;
use crumb_proto::{
    convert,
    wire::{self, explain_service_client::ExplainServiceClient},
};
use crumb_token::{AgentName, Audience, Operation, Origin, ResourcePattern, SessionId, ToolName};
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(
    group(ArgGroup::new("who").args(["agent", "session"]).multiple(true)),
    after_help = "Examples:\n  crumb why req_0198…\n  crumb why tok_0198… -o json | jq .denial\n  crumb why --agent research-bot --tool delete_file --operation delete --resource 'file:///tmp/*'\n  crumb why --session ses_0198… --tool read_file --operation read --resource file:///etc/passwd\n\nWithout a number nothing is issued and nothing counted. It ends as the real ask would: 3 when it would be denied, 4 when it\nwould wait for an approval. A number of which nothing is known ends with 8."
)]
pub(crate) struct WhyArgs {
    /// The number of a request, token, approval, session or audit record: req_…, tok_…, apr_…, ses_…, rec_….
    #[arg(required_unless_present = "tool", conflicts_with_all = ["tool", "who"])]
    id: Option<String>,
    /// The agent that would ask.
    #[arg(long, requires = "tool")]
    agent: Option<AgentName>,
    /// The session in which it would ask; without it, one that declares just this.
    #[arg(long, requires = "tool")]
    session: Option<SessionId>,
    /// The tool that it would ask for.
    #[arg(long, requires_all = ["operation", "resource", "who"])]
    tool: Option<ToolName>,
    /// What the tool would do.
    #[arg(long, requires = "tool")]
    operation: Option<Operation>,
    /// What it would do it to: a resource, or a prefix with *.
    #[arg(long, requires = "tool")]
    resource: Option<ResourcePattern>,
    /// The tool server, when more than one has the tool: a SPIFFE ID, an https URI, or a short name of `crumb dev`.
    #[arg(long, value_name = "SERVER", requires = "tool", value_parser = audience)]
    at: Option<Audience>,
    /// What would set it off, without a session: user:NAME or schedule:NAME.
    #[arg(long, requires = "tool", conflicts_with = "session", value_parser = origin)]
    origin: Option<Origin>,
    /// For how long it would ask: 90s, 5m, 1h.
    #[arg(long, requires = "tool", value_parser = span)]
    ttl: Option<Duration>,
    #[command(flatten)]
    admin: AdminSocket,
}

pub(crate) async fn run(args: WhyArgs, format: Format) -> Result<(), Failure> {
    let mut client = ExplainServiceClient::new(args.admin.channel().await?);
    let failed = |status: tonic::Status| args.admin.failed(&status);
    let explained = match &args.id {
        Some(id) => client.explain_id(wire::ExplainIdRequest { id: id.clone() }).await.map_err(failed)?,
        None => client.explain_ask(ask(&args)).await.map_err(failed)?,
    };
    let explained = explained.into_inner();
    match format {
        Format::Json => output::json(&show::to_json(&explained)),
        Format::Text => output::data(show::text(&explained)),
    }
    match (&explained.denial, explained.decision.as_str()) {
        (_, "unknown") => {
            let what = match explained.steps.is_empty() {
                true => format!("nothing is known of a {} by this number", explained.about),
                false => format!("this is the number of more than one {}", explained.about),
            };
            Err(Failure::new(Exit::Conflict, what, explained.next))
        }
        // What was never asked ends as asking would.
        (Some(denial), _) if args.id.is_none() => Err(convert::denial(denial).into()),
        _ => {
            output::next(explained.next);
            Ok(())
        }
    }
}

fn ask(args: &WhyArgs) -> wire::ExplainAskRequest {
    fn text<T: ToString>(of: Option<&T>) -> String {
        of.map(ToString::to_string).unwrap_or_default()
    }
    wire::ExplainAskRequest {
        agent: text(args.agent.as_ref()),
        session_id: text(args.session.as_ref()),
        audience: text(args.at.as_ref()),
        grant: Some(wire::Grant {
            tool: text(args.tool.as_ref()),
            operation: text(args.operation.as_ref()),
            resource: text(args.resource.as_ref()),
        }),
        ttl_s: args.ttl.map_or(0, |ttl| u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX)),
        origin: args.origin.as_ref().map(convert::to_origin),
    }
}
