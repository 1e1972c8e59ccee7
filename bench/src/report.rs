//! What a benchmark says: one table, and the same as JSON.

use crate::load::{Measured, Shape};
use serde::Serialize;
use std::fs;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    name: &'static str,
    machine: Machine,
    rate: u32,
    answered: u64,
    failed: u64,
    last_failure: Option<String>,
    p50_us: f64,
    p90_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    /// Resident memory of each service at the end, KiB.
    rss_kib: Vec<(String, u64)>,
}

#[derive(Debug, Serialize)]
struct Machine {
    cpus: usize,
    model: String,
    load_average: String,
}

impl Report {
    pub(crate) fn new(name: &'static str, shape: Shape, measured: &Measured, pids: &[(String, u32)]) -> Self {
        let us = |q: f64| micros(measured.latency.value_at_quantile(q));
        Self {
            name,
            machine: Machine::here(),
            rate: shape.rate,
            answered: measured.latency.len(),
            failed: measured.failed,
            last_failure: measured.last_failure.clone(),
            p50_us: us(0.5),
            p90_us: us(0.9),
            p99_us: us(0.99),
            p999_us: us(0.999),
            max_us: micros(measured.latency.max()),
            rss_kib: pids.iter().filter_map(|(name, pid)| Some((name.clone(), rss_kib(*pid)?))).collect(),
        }
    }

    #[expect(clippy::print_stdout, reason = "the table is the program's output")]
    pub(crate) fn print(&self) {
        println!(
            "{:<10} {:>8} {:>8} {:>8} {:>10} {:>10} {:>10} {:>10}",
            "", "rate/s", "answered", "failed", "p50 us", "p99 us", "p99.9 us", "max us"
        );
        println!(
            "{:<10} {:>8} {:>8} {:>8} {:>10.0} {:>10.0} {:>10.0} {:>10.0}",
            self.name, self.rate, self.answered, self.failed, self.p50_us, self.p99_us, self.p999_us, self.max_us
        );
        for (name, kib) in &self.rss_kib {
            println!("{name:<10} rss {:.1} MiB", mebi(*kib));
        }
        if let Some(why) = &self.last_failure {
            println!("last failure: {why}");
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and texts")
    }
}

impl Machine {
    fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")).unwrap_or_default();
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            model: model.trim_start_matches([' ', '\t', ':']).to_owned(),
            load_average: fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned(),
        }
    }
}

fn rss_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?.split_whitespace().next()?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "shown with no decimals")]
fn micros(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn mebi(kib: u64) -> f64 {
    kib as f64 / 1024.0
}
