//! `crumb call`: one tool call through the sidecar, which attaches a call token that this process never sees.

use crate::{
    exit::{Exit, Failure},
    output::{self, Format},
    scope::{SidecarArg, audience},
    span::{in_words, span},
};
use crumb_sdk::{
    CallFailed,
    broker::approval::awaited,
    call::ToolAnswer,
    sidecar::{BeginTask, Call, Presenter, SidecarClient, Task, WAIT_MAX},
};
use crumb_token::{Audience, Grant, Grants, Operation, Resource, ResourcePattern, SessionId, ToolName};
use serde_json::{Value, json};
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb call --session ses_0198… files read_file read file:///docs/readme.md\n  crumb call --session ses_0198… files search_docs read docs:index --args '{\"query\": \"crumb\"}'\n  crumb call --session ses_0198… --wait 90s files delete_file delete file:///docs/old.md"
)]
pub(crate) struct CallArgs {
    #[command(flatten)]
    sidecar: SidecarArg,
    #[command(flatten)]
    what: What,
    /// The arguments, as JSON; for a file:/// resource {"path": …} when left out.
    #[arg(long)]
    args: Option<String>,
}

/// Which call, in which session.
#[derive(Debug, clap::Args)]
pub(crate) struct What {
    /// The session that it belongs to.
    #[arg(long, env = "CRUMB_SESSION")]
    session: SessionId,
    /// The tool server: its SPIFFE ID or https URI, or a name of `crumb dev`'s.
    #[arg(value_parser = audience)]
    server: Audience,
    /// The tool.
    pub(crate) tool: ToolName,
    /// What the tool does.
    pub(crate) operation: Operation,
    /// What it does it to.
    pub(crate) resource: Resource,
    /// Wait so long for an approval when one is needed, at most 5m.
    #[arg(long, value_parser = wait)]
    wait: Option<Duration>,
}

fn wait(text: &str) -> Result<Duration, String> {
    let wait = span(text)?;
    if wait > WAIT_MAX { Err(format!("is at most {}", in_words(WAIT_MAX))) } else { Ok(wait) }
}

impl What {
    /// Begins a task with exactly this right.
    pub(crate) async fn begin(&self, sidecar: &SidecarClient, presenter: Presenter) -> Result<Task, Failure> {
        let grant = Grant {
            tool: self.tool.clone(),
            operation: self.operation.clone(),
            resource: ResourcePattern::Exact(self.resource.clone()),
        };
        let begin = BeginTask {
            session: self.session,
            task: None,
            audience: self.server.clone(),
            grants: Grants::try_new([grant]).map_err(Failure::usage)?,
            ttl: None,
            presenter,
        };
        let failed = match sidecar.begin_task(&begin).await {
            Ok(task) => return Ok(task),
            Err(failed) => failed,
        };
        match (self.wait, awaits_people(&failed)) {
            (Some(wait), true) => {
                let denial = failed.to_denial();
                output::note(format!("waiting {} for an approval of {}", in_words(wait), denial.asked));
                output::next(&denial.next);
                Ok(sidecar.begin_task_waiting(&begin, wait).await.map_err(|e| e.to_denial())?)
            }
            _ => Err(failed.to_denial().into()),
        }
    }
}

pub(crate) async fn run(args: CallArgs, format: Format) -> Result<(), Failure> {
    let sidecar = args.sidecar.client()?;
    let arguments = arguments(args.args.as_deref(), &args.what.resource)?;
    let task = args.what.begin(&sidecar, Presenter::Sidecar).await?;
    let call = Call {
        task: task.id,
        tool: args.what.tool.clone(),
        operation: args.what.operation.clone(),
        resource: args.what.resource.clone(),
        arguments: arguments.into(),
    };
    show(sidecar.call(&call).await.map_err(|e| e.to_denial())?, format)
}

/// Shows what a tool answered, or fails with why it did not.
pub(crate) fn show(answer: ToolAnswer, format: Format) -> Result<(), Failure> {
    if let Some(denial) = answer.denial {
        return Err(denial.into());
    }
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    match format {
        Format::Json => {
            let body = serde_json::from_str::<Value>(&body).unwrap_or(Value::String(body));
            output::json(&json!({"status": answer.status, "body": body}));
        }
        Format::Text => output::data(body.trim_end()),
    }
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    Err(Failure::new(Exit::Unexpected, format!("the tool answered {}", answer.status), "see the tool server's log"))
}

fn awaits_people(failed: &CallFailed) -> bool {
    matches!(failed, CallFailed::Denied(denial) if awaited(denial).is_some())
}

/// Takes the arguments as they were given; for a file they are its path when left out.
pub(crate) fn arguments(given: Option<&str>, resource: &Resource) -> Result<Vec<u8>, Failure> {
    if let Some(text) = given {
        serde_json::from_str::<Value>(text).map_err(|e| Failure::usage(format!("--args is not JSON: {e}")))?;
        return Ok(text.as_bytes().to_vec());
    }
    let path = resource.as_str().strip_prefix("file:///");
    let value = path.map_or_else(|| json!({}), |path| json!({"path": path}));
    Ok(value.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_token::{Denial, Reason};

    #[test]
    fn waits_no_longer_than_the_sidecar_does() {
        assert_eq!(wait("5m"), Ok(WAIT_MAX));
        assert!(wait("301").is_err() && wait("0").is_err());
    }

    #[test]
    fn waits_for_people_and_for_nothing_else() {
        let denied =
            |reason| CallFailed::Denied(Box::new(Denial::new(reason).asked("apr_01983f00000070008000000000000001")));
        assert!(awaits_people(&denied(Reason::ApprovalNeeded)));
        assert!(!awaits_people(&denied(Reason::ApprovalDenied)));
    }
}
