//! `crumb-bench readme`: the README's figures, made from the ones that are checked in, so that no figure is typed.

use crate::report::{Report, Row, number};
use anyhow::{Context, ensure};
use std::{fmt::Write as _, fs, path::Path};

/// Between these the section is ours.
const BEGIN: &str = "<!-- numbers: written by crumb-bench readme -->";
const END: &str = "<!-- numbers end -->";

/// What `readme` takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReadmeArgs {
    /// Only say whether the README is as it would be written.
    #[arg(long)]
    check: bool,
}

/// Writes the section, or holds it against what it should be.
pub(crate) fn run(args: &ReadmeArgs) -> anyhow::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = here.with_file_name("README.md");
    let readme = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let wanted = replaced(&readme, &section(&Report::read(&here.join("numbers.json"))?))?;
    if args.check {
        ensure!(readme == wanted, "the README's figures are not those of bench/numbers.json: run crumb-bench readme");
        return Ok(());
    }
    fs::write(&path, wanted).with_context(|| path.display().to_string())
}

fn replaced(readme: &str, section: &str) -> anyhow::Result<String> {
    let (before, rest) = readme.split_once(BEGIN).with_context(|| format!("the README has no {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("the README has no {END}"))?;
    Ok(format!("{before}{BEGIN}\n{section}{END}{after}"))
}

fn section(report: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Measured on {}, at commit `{}`. Medians, unless it says otherwise.\n",
        report.machine, report.commit
    );
    let _ = writeln!(text, "| what | measured | mark | |\n|---|---|---|---|");
    for row in report.rows.iter().filter(|row| row.mark.is_some()) {
        let mark = row.mark.as_deref().unwrap_or_default();
        let met = if row.met == Some(true) { "met" } else { "missed" };
        let _ = writeln!(text, "| {} | {} | {mark} | {met} |", what(row), measured(row));
    }
    let peers: Vec<_> = report.rows.iter().filter(|row| row.name.starts_with("peer:")).collect();
    if !peers.is_empty() {
        let _ = writeln!(text, "\nOthers at the same task, in the same run, with the same claims:\n");
        let _ = writeln!(text, "| | a call | of our seen token | of our new token |\n|---|---|---|---|");
        for row in peers {
            let times = |ratio: Option<f64>| ratio.map(|r| format!("{}x", number(r))).unwrap_or_default();
            let (hot, cold) = (times(row.ratio_to_hot), times(row.ratio));
            let _ = writeln!(text, "| {} | {} | {hot} | {cold} |", what(row), row.figure());
        }
    }
    let _ = writeln!(
        text,
        "\nTo repeat it, on an idle machine:\n\n```sh\ncargo build --release -p crumb-bench\ntarget/release/crumb-bench all --json bench/numbers.json && target/release/crumb-bench readme\n```"
    );
    text
}

fn what(row: &Row) -> String {
    match row.conditions().as_str() {
        "" => row.what.clone(),
        conditions => format!("{} ({conditions})", row.what),
    }
}

fn measured(row: &Row) -> String {
    let ratio = row.ratio.map(|ratio| format!("{}x", number(ratio)));
    [Some(row.figure()), ratio].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let readme = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replaced(&readme, "new\n").expect("both markers");
        assert_eq!(new, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert!(replaced("no markers", "new").is_err());
    }

    #[test]
    fn marks_and_peers_are_shown_and_a_missed_one_is_called_so() {
        let hot =
            Row::new("hot", "a seen token").live(1000).nanos(181.0, 240.0).ratio(1.7).mark("100 ns or less", false);
        let peer = Row::new("peer:jwt-es256", "a JWT").nanos(54_700.0, 60_000.0).ratio(2.5);
        let text = section(&Report::new(vec![hot, peer, Row::new("floor", "not shown")]));
        assert!(
            text.contains("| a seen token (live 1000) | 181 ns, p99 240 ns; 1.70x | 100 ns or less | missed |"),
            "{text}"
        );
        assert!(text.contains("| a JWT | 54.7 µs, p99 60.0 µs | 302x | 2.50x |"), "{text}");
        assert!(!text.contains("not shown"), "{text}");
    }

    #[test]
    fn the_readme_is_as_it_would_be_written() {
        run(&ReadmeArgs { check: true }).expect("the section of bench/numbers.json");
    }
}
