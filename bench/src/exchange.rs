//! `crumb-bench exchange`: an X.509-SVID for a task token, over mTLS, with policy, a durable audit record, a signature.

use crate::{
    load::{Load, Measured, Pace, drive},
    machine::{cpu_seconds, rss_mib},
    meter::Effort,
    report::Row,
    services::{Services, exchange, open, spans},
};
use anyhow::Context;
use crumb_sdk::broker::BrokerClient;
use std::sync::{Arc, Mutex, PoisonError};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// What `exchange` takes. Without any of it, all three usual runs are made.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ExchangeArgs {
    /// One run only, of so many requests due each second; 0 is as fast as it goes.
    #[arg(long)]
    rate: Option<u32>,
    /// How many at once, as fast as it goes.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// Over how many connections.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// A new connection for every request.
    #[arg(long)]
    cold: bool,
    /// How many sessions of others are in the store; several numbers make the runs several times.
    #[arg(long, value_delimiter = ',', default_value = "0")]
    sessions: Vec<u64>,
    /// How long to measure each run.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
}

impl Default for ExchangeArgs {
    fn default() -> Self {
        Self { rate: None, in_flight: 64, connections: 4, cold: false, sessions: vec![1000, 1_000_000], seconds: 20 }
    }
}

/// One run.
#[derive(Clone, Copy, Debug)]
struct Run {
    name: &'static str,
    what: &'static str,
    pace: Pace,
    /// How many connections; 0 for a new one each time.
    connections: usize,
}

impl ExchangeArgs {
    fn runs(&self, effort: Effort) -> Vec<Run> {
        let beat = |rate, connections| Run {
            name: if connections == 0 { "exchange:cold" } else { "exchange" },
            what: "a task token, on a fixed beat, each with its durable audit record",
            pace: Pace::Beat(rate),
            connections,
        };
        let full_speed = Run {
            name: "exchange:full_speed",
            what: "the same as fast as it goes, the load generator on the same cores",
            pace: Pace::AtOnce(self.in_flight),
            connections: self.connections,
        };
        let cold = Run {
            name: "exchange:cold",
            what: "a new mTLS connection and a task token over it, one at a time",
            pace: Pace::AtOnce(1),
            connections: 0,
        };
        let connections = if self.cold { 0 } else { self.connections };
        match self.rate {
            Some(0) => vec![Run { connections, ..full_speed }],
            Some(rate) => vec![beat(rate, connections)],
            None if self.cold => vec![cold],
            None => vec![beat(effort.pick(500, 50), connections), full_speed, cold],
        }
    }
}

pub(crate) async fn run(args: &ExchangeArgs, effort: Effort) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for &sessions in &args.sessions {
        let sessions = effort.pick(sessions, sessions.min(100));
        let services = Services::start(sessions).await?;
        // Beside the runs that it is the floor of: those that ask for one run get that run.
        if args.rate.is_none() && !args.cold {
            rows.push(floor(&services, args, effort).await?);
        }
        for run in args.runs(effort) {
            rows.extend(measure(&services, run, args, effort).await?.map(|row| Row { live: sessions, ..row }));
        }
        services.stop().await;
    }
    Ok(flat(rows))
}

/// The least that a request costs here: the broker's health, which decides, signs and writes nothing, by the same
/// connections and load generator.
async fn floor(services: &Services, args: &ExchangeArgs, effort: Effort) -> anyhow::Result<Row> {
    let clients: Arc<[_]> = (0..args.connections).map(|_| HealthClient::new(services.broker().channel())).collect();
    let request = move |n: u64| {
        let client = usize::try_from(n).ok().and_then(|n| clients.get(n % clients.len().max(1)).cloned());
        async move {
            let mut client = client.context("no connection")?;
            client.check(HealthCheckRequest::default()).await.map(drop).map_err(Into::into)
        }
    };
    let (warmup, measured) = spans(effort, args.seconds);
    let came = drive(Load { pace: Pace::AtOnce(args.in_flight), warmup, measured }, || (), request).await?;
    let what = "the floor: a health check by the same connections, as fast as it goes";
    let row = Row::new("exchange:floor", what).nanos(came.percentile(50.0), came.percentile(99.0));
    Ok(row.slowest(came.percentile(100.0)).failed(came.failed).value(came.rate(), "/s"))
}

async fn measure(services: &Services, run: Run, args: &ExchangeArgs, effort: Effort) -> anyhow::Result<[Row; 3]> {
    let first = services.broker();
    let session = open(&first).await.context("no session")?;
    let clients: Arc<[BrokerClient]> = (0..run.connections).map(|_| services.broker()).collect();
    let (warmup, measured) = spans(effort, args.seconds);
    let broker = services.pid("broker").context("the broker has a process")?;
    let before = Arc::new(Mutex::new(0.0));
    let note = {
        let before = before.clone();
        move || *before.lock().unwrap_or_else(PoisonError::into_inner) = cpu_seconds(broker).unwrap_or(f64::NAN)
    };
    let connect = services.connector();
    let request = move |n: u64| {
        let warm = usize::try_from(n).ok().and_then(|n| clients.get(n % clients.len().max(1)).cloned());
        let client = warm.unwrap_or_else(&connect);
        async move {
            let exchange = exchange(session)?;
            client.exchange(&exchange).await.map(drop).map_err(Into::into)
        }
    };
    let came = drive(Load { pace: run.pace, warmup, measured }, note, request).await?;
    let used = cpu_seconds(broker).unwrap_or(f64::NAN) - *before.lock().unwrap_or_else(PoisonError::into_inner);
    let cpu = Row::new(format!("{}:broker_cpu", run.name), "CPU time of the broker for one exchange");
    let rss = Row::new(format!("{}:broker_rss", run.name), "resident memory of the broker afterwards");
    Ok([
        latency(run, &came),
        cpu.value(used * 1e6 / came.answered(), "µs"),
        rss.value(rss_mib(broker).unwrap_or(f64::NAN), "MiB"),
    ])
}

fn latency(run: Run, came: &Measured) -> Row {
    let row = Row::new(run.name, run.what).nanos(came.percentile(50.0), came.percentile(99.0));
    let row = row.slowest(came.percentile(100.0)).failed(came.failed).value(came.rate(), "/s");
    match run.pace {
        Pace::Beat(500) if run.connections > 0 => {
            row.mark("p99 15 ms or less at 500/s, none failed", came.percentile(99.0) <= 15e6 && came.failed == 0)
        }
        Pace::AtOnce(_) if run.connections > 0 => {
            row.mark("8,000/s or more, none failed", came.rate() >= 8000.0 && came.failed == 0)
        }
        _ => row,
    }
}

/// Relates what an exchange costs the broker with the most sessions to what it costs with the fewest.
fn flat(mut rows: Vec<Row>) -> Vec<Row> {
    let cost = |row: &Row| (row.name == "exchange:full_speed:broker_cpu").then_some(row.value).flatten();
    let fewest = rows.iter().find_map(cost);
    if let (Some(fewest), Some(row)) = (fewest, rows.iter_mut().rfind(|row| cost(row).is_some())) {
        let ratio = cost(row).unwrap_or(f64::NAN) / fewest;
        let related = row.clone().ratio(ratio);
        *row = if row.live >= 1_000_000 {
            related.mark("flat from 10^3 to 10^6 sessions: 1.15x or less", ratio <= 1.15)
        } else {
            related
        };
    }
    rows
}
