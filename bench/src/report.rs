//! What a benchmark says: one table for people, and the same as JSON for programs.

use crate::{machine::Machine, meter::Series};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::{fmt::Write as _, fs, path::Path};

/// Everything that one run measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// The commit that was measured, with `+` when the tree had changes.
    pub(crate) commit: String,
    pub(crate) rows: Vec<Row>,
}

/// One figure. What does not apply is zero, or absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    /// What was measured: `hot`, `cold`, `floor`, `peer:jwt-es256`, … The same name may come with other conditions.
    pub(crate) name: String,
    /// A sentence for those who do not know the name.
    pub(crate) what: String,
    /// Tokens that were alive at once; sessions or listeners where those count.
    pub(crate) live: u64,
    /// Blocks of a token, the authority block included.
    pub(crate) blocks: u64,
    pub(crate) threads: u64,
    pub(crate) revocations: u64,
    pub(crate) ns_p50: Option<f64>,
    pub(crate) ns_p99: Option<f64>,
    /// The slowest, where that was looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ns_max: Option<f64>,
    /// How many times the hot call with a thousand live tokens of the same run.
    pub(crate) ratio_to_hot: Option<f64>,
    /// How many times what it is held against by its mark, or by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
    /// A figure that is no time, with its unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// Answers that were wrong or did not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<u64>,
    /// What we have set ourselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) met: Option<bool>,
}

/// The row that others are held against.
pub(crate) const HOT: (&str, u64) = ("hot", 1000);

impl Row {
    pub(crate) fn new(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            what: what.into(),
            live: 0,
            blocks: 0,
            threads: 1,
            revocations: 0,
            ns_p50: None,
            ns_p99: None,
            ns_max: None,
            ratio_to_hot: None,
            ratio: None,
            value: None,
            unit: None,
            failed: None,
            mark: None,
            met: None,
        }
    }

    pub(crate) fn live(self, live: usize) -> Self {
        Self { live: live as u64, ..self }
    }

    pub(crate) fn blocks(self, blocks: usize) -> Self {
        Self { blocks: blocks as u64, ..self }
    }

    pub(crate) fn threads(self, threads: usize) -> Self {
        Self { threads: threads as u64, ..self }
    }

    pub(crate) fn revocations(self, revocations: usize) -> Self {
        Self { revocations: revocations as u64, ..self }
    }

    pub(crate) fn took(self, series: &Series) -> Self {
        self.nanos(series.p50(), series.p99())
    }

    pub(crate) fn nanos(self, p50: f64, p99: f64) -> Self {
        Self { ns_p50: Some(tidy(p50)), ns_p99: Some(tidy(p99)), ..self }
    }

    pub(crate) fn slowest(self, ns: f64) -> Self {
        Self { ns_max: Some(tidy(ns)), ..self }
    }

    pub(crate) fn ratio(self, ratio: f64) -> Self {
        Self { ratio: Some(tidy(ratio)), ..self }
    }

    pub(crate) fn value(self, value: f64, unit: &str) -> Self {
        Self { value: Some(tidy(value)), unit: Some(unit.to_owned()), ..self }
    }

    pub(crate) fn failed(self, failed: u64) -> Self {
        Self { failed: Some(failed), ..self }
    }

    /// Says what was wanted, and whether this is it.
    pub(crate) fn mark(self, mark: &str, met: bool) -> Self {
        Self { mark: Some(mark.to_owned()), met: Some(met), ..self }
    }

    /// Says in one word what the row's conditions are.
    pub(crate) fn conditions(&self) -> String {
        let parts = [
            (self.live > 0).then(|| format!("live {}", self.live)),
            (self.blocks > 0).then(|| format!("blocks {}", self.blocks)),
            (self.threads > 1).then(|| format!("threads {}", self.threads)),
            (self.revocations > 0).then(|| format!("revoked {}", self.revocations)),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Says what was measured, in words.
    pub(crate) fn figure(&self) -> String {
        let parts = [
            self.ns_p50.map(time),
            self.ns_p99.map(|ns| format!("p99 {}", time(ns))),
            self.ns_max.map(|ns| format!("max {}", time(ns))),
            self.value.map(|value| self.value_with_unit(value)),
            self.failed.map(|n| format!("{n} failed")),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    fn value_with_unit(&self, value: f64) -> String {
        format!("{} {}", number(value), self.unit.as_deref().unwrap_or_default()).trim_end().to_owned()
    }
}

impl Report {
    /// Collects rows, and relates each to the hot one when that is among them.
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        let mut report = Self { machine: Machine::here(), commit: crate::machine::commit(), rows };
        let hot = report.rows.iter().find(|r| (r.name.as_str(), r.live) == HOT && r.threads == 1 && r.revocations == 0);
        if let Some(hot) = hot.and_then(|r| r.ns_p50).filter(|ns| *ns > 0.0) {
            for row in report.rows.iter_mut().filter(|r| r.ratio_to_hot.is_none()) {
                row.ratio_to_hot = row.ns_p50.map(|ns| tidy(ns / hot));
            }
        }
        report
    }

    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self).context("numbers and texts")? + "\n";
        fs::write(path, text).with_context(|| path.display().to_string())
    }

    #[expect(clippy::print_stdout, reason = "the table is the program's output")]
    pub(crate) fn print(&self) {
        print!("{}", self.table());
    }

    fn table(&self) -> String {
        let mut rows = vec![
            ["", "conditions", "p50", "p99", "max", "value", "/ hot", "ratio", "failed", "mark"].map(str::to_owned),
        ];
        rows.extend(self.rows.iter().map(cells));
        let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or(0);
        let widths: [usize; 10] = std::array::from_fn(width);
        let mut table = String::new();
        for row in &rows {
            let mut line = String::new();
            for (i, (cell, width)) in row.iter().zip(widths).enumerate() {
                let right = (2..9).contains(&i);
                let _ = if right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
            }
            let _ = writeln!(table, "{}", line.trim_end());
        }
        let _ = writeln!(table, "{} at commit {}", self.machine, self.commit);
        table
    }
}

fn cells(row: &Row) -> [String; 10] {
    let mark = match (&row.mark, row.met) {
        (Some(mark), Some(met)) => format!("{} {mark}", if met { "met" } else { "MISSED" }),
        _ => String::new(),
    };
    let or_nothing = |n: Option<f64>, show: fn(f64) -> String| n.map(show).unwrap_or_default();
    [
        row.name.clone(),
        row.conditions(),
        or_nothing(row.ns_p50, time),
        or_nothing(row.ns_p99, time),
        or_nothing(row.ns_max, time),
        row.value.map(|n| row.value_with_unit(n)).unwrap_or_default(),
        or_nothing(row.ratio_to_hot, number),
        or_nothing(row.ratio, number),
        row.failed.map(|n| n.to_string()).unwrap_or_default(),
        mark,
    ]
}

/// Writes a time in the unit that suits it, with three digits or so.
pub(crate) fn time(ns: f64) -> String {
    match ns {
        n if n < 1e3 => format!("{} ns", number(n)),
        n if n < 1e6 => format!("{} µs", number(n / 1e3)),
        n if n < 1e9 => format!("{} ms", number(n / 1e6)),
        n => format!("{} s", number(n / 1e9)),
    }
}

/// Writes a number with three digits or so.
pub(crate) fn number(n: f64) -> String {
    match n.abs() {
        a if a >= 100.0 || a == 0.0 => format!("{n:.0}"),
        a if a >= 10.0 => format!("{n:.1}"),
        _ => format!("{n:.2}"),
    }
}

/// A thousandth is finer than anything here is measured.
pub(crate) fn tidy(n: f64) -> f64 {
    (n * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hot(live: usize, ns: f64) -> Row {
        Row::new("hot", "a call").live(live).nanos(ns, ns)
    }

    #[test]
    fn rows_are_related_to_the_hot_call_with_a_thousand_tokens() {
        let report = Report::new(vec![hot(1, 50.0), hot(1000, 100.0), Row::new("allocations", "").value(0.0, "")]);
        let ratios: Vec<_> = report.rows.iter().map(|r| r.ratio_to_hot).collect();
        assert_eq!(ratios, [Some(0.5), Some(1.0), None]);
    }

    #[test]
    fn json_reads_back_as_it_was() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let report = Report::new(vec![hot(1000, 81.234).mark("100 ns or less", true)]);
        report.write(file.path()).expect("written");
        assert_eq!(Report::read(file.path()).expect("read"), report);
    }

    #[test]
    fn a_missed_mark_is_seen_in_the_table() {
        let table = Report::new(vec![hot(1000, 181.0).mark("100 ns or less", false)]).table();
        assert!(table.contains("MISSED 100 ns or less"), "{table}");
        assert!(table.contains("181 ns"), "{table}");
    }

    #[test]
    fn times_come_in_the_unit_that_suits_them() {
        assert_eq!([81.0, 8_123.0, 12_345_678.0, 2e9].map(time), ["81.0 ns", "8.12 µs", "12.3 ms", "2.00 s"]);
    }
}
