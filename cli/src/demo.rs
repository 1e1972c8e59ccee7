//! `crumb demo`: an agent, driven through the whole story on real parts, in twelve steps; and its parts that stand alone.

mod governance;
mod story;
mod teller;

use crate::{
    exit::{Exit, Failure},
    output::{self, Format, dim, verdict},
    places::Places,
    stack::{ARCHIVE, FILES, Setting, Stack, dev_id},
};
use anyhow::Context;
use crumb_identity::{Endpoint, SystemClock, Workload};
use crumb_sdk::call::ToolClient;
use crumb_token::{Clock, TokenText};
use serde::Serialize;
use std::{os::unix::fs::PermissionsExt, time::Duration};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// How long a workload waits for its SVID.
pub(crate) const IDENTITY_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb demo\n  crumb demo -o json | jq -c '[.step, .decision, .reason]'\n  crumb demo governance"
)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    command: Option<DemoCommand>,
}

#[derive(Debug, clap::Subcommand)]
enum DemoCommand {
    /// Who may have what: envelope, delegation, approval, drift, retirement, environment, in six acts.
    Governance(governance::GovernanceArgs),
}

/// One step of the story, as `-o json` writes it.
#[derive(Debug, Serialize)]
pub(crate) struct Step {
    pub(crate) step: u32,
    pub(crate) name: String,
    pub(crate) decision: Decision,
    pub(crate) reason: String,
    pub(crate) ms: u64,
    #[serde(skip)]
    pub(crate) detail: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Decision {
    Allowed,
    Denied,
    Done,
}

pub(crate) async fn run(args: DemoArgs, format: Format) -> Result<(), Failure> {
    match args.command {
        None => twelve_steps(format).await,
        Some(DemoCommand::Governance(args)) => governance::run(args, format).await,
    }
}

/// Starts a stack in a directory of its own, which only its owner can enter and which ends with the demo.
async fn stack_in(setting: &Setting) -> Result<(Stack, TempDir), Failure> {
    let owner_only = std::fs::Permissions::from_mode(0o700);
    let dir = tempfile::Builder::new().prefix("crumb-demo-").permissions(owner_only).tempdir();
    let dir = dir.context("no temporary directory")?;
    let program = std::env::current_exe().context("this program's path")?;
    let stack = Stack::start_in(Places::at(dir.path().to_owned()), program, setting).await?;
    Ok((stack, dir))
}

async fn twelve_steps(format: Format) -> Result<(), Failure> {
    output::note(dim("starting a Workload API, a broker, a sidecar and two tool servers on loopback …"));
    let (stack, _dir) = stack_in(&Setting::default()).await?;
    let told = story::tell(&stack, |step| show(step, format)).await;
    stack.stop().await;
    told?;
    output::note("Everything above ran through real mTLS, a real Unix socket and a durable audit trail.");
    output::next("crumb dev — the same parts, for you to call");
    Ok(())
}

fn show(step: &Step, format: Format) {
    if format == Format::Json {
        output::json(step);
        return;
    }
    let decision = match step.decision {
        Decision::Allowed => verdict(true, "allowed"),
        Decision::Done => verdict(true, "done   "),
        Decision::Denied => verdict(false, "denied "),
    };
    output::data(format!("{:>2}  {decision}  {}  {}", step.step, step.name, dim(&format!("{} ms", step.ms))));
    for line in &step.detail {
        output::data(format!("             {line}"));
    }
}

/// What the first two calls of `crumb dev` came to, in words.
#[derive(Debug)]
pub(crate) struct FirstCalls {
    pub(crate) allowed: String,
    pub(crate) denied: String,
}

/// Makes one call that is allowed and one that is not, so that `crumb dev` shows that it works.
pub(crate) async fn first_calls(stack: &Stack) -> Result<FirstCalls, Failure> {
    let session = story::open(stack, "show that everything works").await?;
    let allowed = story::sidecar_call(stack, session, "docs/readme.md").await?;
    let denied = story::sidecar_call(stack, session, "finance/payroll.csv").await;
    story::close(stack, session).await?;
    let denied = match denied {
        Err(failure) if failure.exit == Exit::Denied => failure.what,
        Err(failure) => return Err(failure),
        Ok(_) => return Err(Failure::new(Exit::CheckFailed, "a call outside the envelope was allowed", "")),
    };
    Ok(FirstCalls {
        allowed: format!("read_file file:///docs/readme.md: {allowed} bytes"),
        denied: format!("read_file file:///finance/payroll.csv: {denied}"),
    })
}

#[derive(Debug, clap::Args)]
pub(crate) struct IntruderArgs {
    /// The Workload API.
    #[arg(long)]
    workload_api: String,
    /// The tool server's address.
    #[arg(long)]
    address: String,
}

/// Another workload, with an SVID of its own and somebody else's token: reads the token from stdin and presents it.
pub(crate) async fn intrude(args: IntruderArgs) -> Result<(), Failure> {
    crate::serve::wait_for_go()?;
    let endpoint: Endpoint = args.workload_api.parse().map_err(|e| Failure::usage(format!("--workload-api: {e}")))?;
    let workload = Workload::connect(&endpoint, IDENTITY_WITHIN).await.context("no identity")?;
    let mut token = Zeroizing::new(String::new());
    std::io::stdin().read_line(&mut token).context("stdin")?;
    let token = TokenText::from_presented(token.trim_end()).map_err(|r| Failure::usage(r.sentence()))?;
    let client = ToolClient::new(workload, args.address, dev_id(&format!("tool/{FILES}")));
    let answer = story::read_file(&client, &token, "docs/readme.md").await?;
    let (decision, reason) = teller::decision_of(&answer);
    let step = Step { step: 0, name: String::new(), decision, reason, ms: 0, detail: vec![] };
    output::json(&step);
    Ok(())
}

/// Returns the address of the tool server that the demo's tokens are not for.
pub(crate) fn other_server(stack: &Stack) -> (crumb_token::SpiffeId, String) {
    (dev_id(&format!("tool/{ARCHIVE}")), stack.archive())
}

/// Returns milliseconds since `began`.
pub(crate) fn since(clock: &SystemClock, began: Duration) -> u64 {
    u64::try_from(clock.now().ticks.saturating_sub(began).as_millis()).unwrap_or(u64::MAX)
}
