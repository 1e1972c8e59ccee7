//! `crumb dev`: the whole of Crumb on this machine's loopback, for development.

use crate::{
    exit::{Exit, Failure},
    output::{self, Format, dim, verdict},
    places::Places,
    stack::{FILES, Stack, dev_id, manifests::AGENT},
};
use crumb_identity::SystemClock;
use crumb_token::Clock;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  crumb dev\n  crumb dev --once      # start, make one allowed and one refused call, stop"
)]
pub(crate) struct DevArgs {
    /// Start, make one allowed and one refused call, and stop.
    #[arg(long)]
    once: bool,
}

pub(crate) async fn run(args: DevArgs, format: Format) -> Result<(), Failure> {
    let clock = SystemClock::new();
    let began = clock.now().ticks;
    let program = std::env::current_exe().map_err(anyhow::Error::from)?;
    let mut stack = Stack::start(Places::usual(), program).await?;
    output::note(stack.banner());
    let ready = clock.now().ticks.saturating_sub(began);
    let first = crate::demo::first_calls(&stack).await?;
    let decided = clock.now().ticks.saturating_sub(began);
    match format {
        Format::Json => output::json(&json!({
            "ready_ms": ready.as_millis(), "first_calls_ms": decided.as_millis(), "broker": stack.broker(),
            "files": stack.files(), "archive": stack.archive(), "workload_api": stack.endpoint(),
            "sidecar": stack.places().sidecar_socket(), "admin_socket": stack.places().admin_socket(),
            "allowed": first.allowed, "denied": first.denied,
        })),
        Format::Text => {
            show(&stack);
            output::data(format!("  {} {}", verdict(true, "allowed"), first.allowed));
            output::data(format!("  {} {}", verdict(false, "denied "), first.denied));
            output::data(dim(&format!(
                "  ready after {} ms, both calls after {} ms",
                ready.as_millis(),
                decided.as_millis()
            )));
        }
    }
    if args.once {
        stack.stop().await;
        return Ok(());
    }
    try_next();
    wait(&mut stack).await?;
    stack.stop().await;
    Ok(())
}

fn show(stack: &Stack) {
    let lines = [
        ("identity", stack.endpoint()),
        ("broker", format!("{} (gRPC over mTLS)", stack.broker())),
        ("sidecar", format!("unix://{}", stack.places().sidecar_socket().display())),
        ("tool servers", format!("{FILES} {} and archive {}", stack.files(), stack.archive())),
        ("registry", stack.places().registry().display().to_string()),
    ];
    for (name, value) in &lines {
        output::data(format!("  {name:<13} {value}"));
    }
}

fn try_next() {
    let server = dev_id(&format!("tool/{FILES}"));
    output::next(format!(
        "in another terminal\n\
         \x20 1  crumb session open --agent {AGENT} --intent 'read the docs' --origin user:bob@acme.example \\\n\
         \x20      --allow '{FILES} read_file read file:///docs/*'\n\
         \x20 2  crumb call --session ses_… {FILES} read_file read file:///docs/readme.md\n\
         \x20 3  crumb call --session ses_… {FILES} delete_file delete file:///docs/readme.md    # refused, and why\n\
         \x20 4  crumb audit tail\n\
         {}\nCtrl-C stops everything.",
        dim(&format!("({FILES} is short for {server})"))
    ));
}

async fn wait(stack: &mut Stack) -> Result<(), Failure> {
    let mut terminated = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminated.recv() => Ok(()),
        why = stack.broken() => Err(Failure::new(Exit::Unexpected, why, "read the log, then start `crumb dev` again")),
    }
}
