//! `crumb-bench sidecar`: a call token from the sidecar over its Unix socket: attestation of the caller, and narrowing of
//! a task token that it holds.

use crate::{
    load::{Load, Measured, Pace, drive},
    meter::Effort,
    report::Row,
    services::{Services, audience, grants, origin, spans},
};
use anyhow::Context;
use crumb_cli::stack::manifests::AGENT;
use crumb_sdk::sidecar::{BeginTask, CallToken, Open, Presenter, SidecarClient};
use crumb_tests::broker::admin_channel;
use crumb_token::TaskId;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// What `sidecar` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct SidecarArgs {
    /// Requests due each second in the runs on a fixed beat.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// How long to measure each run.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
}

impl Default for SidecarArgs {
    fn default() -> Self {
        Self { rate: 500, seconds: 10 }
    }
}

/// Whether the sidecar was asked for the same call before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Again,
    Anew,
}

pub(crate) async fn run(args: &SidecarArgs, effort: Effort) -> anyhow::Result<Vec<Row>> {
    let services = Services::start(0).await?;
    let client = SidecarClient::at(&services.stack().places().sidecar_socket())?;
    let task = begin(&client).await.context("no task")?;
    let (warmup, measured) = spans(effort, args.seconds);
    let mut rows = Vec::new();
    for (asked, pace) in [
        (Asked::Again, Pace::AtOnce(1)),
        (Asked::Anew, Pace::AtOnce(1)),
        (Asked::Again, Pace::Beat(args.rate)),
        (Asked::Anew, Pace::Beat(args.rate)),
    ] {
        let client = client.clone();
        let request = move |n| {
            let client = client.clone();
            async move { client.call_token(&wanted(task, asked, n)?).await.map(drop).map_err(Into::into) }
        };
        let came = drive(Load { pace, warmup, measured }, || (), request).await?;
        rows.push(row(asked, pace, &came));
    }
    rows.push(floor(&services, effort, args.seconds).await?);
    services.stop().await;
    Ok(rows)
}

/// The least that a request over a Unix socket costs here: a health check of another process.
async fn floor(services: &Services, effort: Effort, seconds: u32) -> anyhow::Result<Row> {
    let client = HealthClient::new(admin_channel(&services.stack().places().admin_socket()));
    let request = move |_| {
        let mut client = client.clone();
        async move { client.check(HealthCheckRequest::default()).await.map(drop).map_err(Into::into) }
    };
    let (warmup, measured) = spans(effort, seconds);
    let came = drive(Load { pace: Pace::AtOnce(1), warmup, measured }, || (), request).await?;
    let row = Row::new("sidecar:floor", "the floor: a health check over a Unix socket, one at a time");
    let row = row.nanos(came.percentile(50.0), came.percentile(99.0)).slowest(came.percentile(100.0));
    Ok(row.failed(came.failed).value(came.rate(), "/s"))
}

fn row(asked: Asked, pace: Pace, came: &Measured) -> Row {
    let (name, what) = match asked {
        Asked::Again => ("sidecar:cached", "a call token for the same call as before"),
        Asked::Anew => ("sidecar:new", "a call token for another resource each time"),
    };
    let (p50, p99) = (came.percentile(50.0), came.percentile(99.0));
    let (suffix, how) = match pace {
        Pace::AtOnce(_) => ("", "one at a time"),
        Pace::Beat(_) => (":beat", "on a fixed beat"),
    };
    let row = Row::new(format!("{name}{suffix}"), format!("{what}, {how}"));
    let row = row.nanos(p50, p99).slowest(came.percentile(100.0)).failed(came.failed).value(came.rate(), "/s");
    match (asked, pace) {
        (Asked::Again, Pace::AtOnce(_)) => {
            row.mark("p50 60 µs or less, p99 500 µs or less", p50 <= 60e3 && p99 <= 500e3)
        }
        (Asked::Anew, Pace::AtOnce(_)) => row.mark("p50 150 µs or less", p50 <= 150e3),
        _ => row,
    }
}

async fn begin(client: &SidecarClient) -> anyhow::Result<TaskId> {
    let open = Open {
        agent: AGENT.parse()?,
        intent: "measure the sidecar".parse()?,
        origin: origin()?,
        envelope: vec![(audience()?, grants()?)],
        lifetime: None,
    };
    let begin = BeginTask {
        session: client.open(&open).await?.id,
        task: None,
        audience: audience()?,
        grants: grants()?,
        ttl: None,
        presenter: Presenter::Agent,
    };
    Ok(client.begin_task(&begin).await?.id)
}

fn wanted(task: TaskId, asked: Asked, n: u64) -> anyhow::Result<CallToken> {
    let file = match asked {
        Asked::Again => 0,
        Asked::Anew => n + 1,
    };
    Ok(CallToken {
        task,
        tool: "read_file".parse()?,
        operation: "read".parse()?,
        resource: format!("file:///docs/{file}.md").parse()?,
        args_digest: None,
        ttl: None,
    })
}
