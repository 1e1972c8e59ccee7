//! `crumb`: the command line. Parsing, and which command does what; each command is a module of its own.
//!
//! A library as well as a program, so that the benchmarks run the same development stack as `crumb dev`.

mod actor;
mod admin;
mod apply;
mod approve;
mod approver;
mod audit;
mod bench;
mod call;
mod check;
mod demo;
mod dev;
mod exit;
mod export;
mod get;
mod hand;
mod output;
pub mod places;
mod policy;
mod requests;
mod review;
mod revoke;
mod scope;
mod secret_file;
mod serve;
mod session;
mod span;
pub mod stack;
mod token;
mod why;

use clap::{Parser, Subcommand};
use exit::{Exit, Failure};
use output::Form;
use std::{io::IsTerminal, process::ExitCode};
use tracing_subscriber::EnvFilter;

const EXAMPLES: &str = "\
Examples:
  crumb demo                     the whole story in twelve steps, then exit
  crumb demo governance          who may have what, in six acts
  crumb dev                      a broker, a sidecar and two tool servers on this machine, until Ctrl-C
  crumb session open --agent research-bot --intent 'read the docs' --origin user:bob@acme.example \\
      --allow 'files read_file read file:///docs/*'
  crumb call --session ses_… files read_file read file:///docs/readme.md
  crumb requests --state pending
  crumb approve apr_… --token-file ~/.crumb/id-token
  crumb revoke session ses_… --why 'it went astray'
  crumb audit tail --follow
  crumb why req_…
  crumb review --due
  crumb apply -f registry/ --dry-run --diff

Exit codes: 0 ok, 1 unexpected, 2 usage, 3 denied, 4 approval pending, 5 no identity, 6 unreachable, 7 check failed,
8 conflict.";

/// A crumb of authority for an AI agent: enough for one task, for minutes, and a trail of what it did.
#[derive(Debug, Parser)]
#[command(name = "crumb", version, after_help = EXAMPLES, arg_required_else_help = true)]
struct Cli {
    /// How data is written to stdout: text for people, json for programs, yaml for manifests.
    #[arg(short, long, global = true, value_enum, default_value = "text", env = "CRUMB_OUTPUT")]
    output: Form,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Drive an agent through the whole story, and exit.
    Demo(demo::DemoArgs),
    /// Run everything on this machine's loopback, for development.
    Dev(dev::DevArgs),
    /// Open, delegate, take over, describe and close sessions; see what drift has halted.
    Session(session::SessionArgs),
    /// Hand a token on to another agent without the broker, and call with one that was handed on.
    Hand(hand::HandArgs),
    /// Call a tool through the sidecar, which attaches a call token.
    Call(call::CallArgs),
    /// Get a call token, for a program that makes its own calls.
    Token(token::TokenArgs),
    /// List what waits for an approval, with everything that a decision needs.
    Requests(requests::RequestsArgs),
    /// Approve a request, or less than it asks.
    Approve(approve::ApproveArgs),
    /// Refuse a request.
    Deny(approve::DenyArgs),
    /// Ask again what was refused, with a reason.
    Appeal(approve::AppealArgs),
    /// End a token, a session, or all that somebody or something was given.
    Revoke(revoke::RevokeArgs),
    /// End what something was given, and stop what it would be given, until it is lifted.
    KillSwitch(revoke::KillSwitchArgs),
    /// Say why: what was decided on something and by which rule, or what would be.
    Why(why::WhyArgs),
    /// Review what agents may do against what they used, and record a reviewer's decision.
    Review(review::ReviewArgs),
    /// Read the trail.
    Audit(audit::AuditArgs),
    /// Check, test, explain and compare policy bundles, offline.
    Policy(policy::PolicyArgs),
    /// Make manifests the ones in force: all of them, or none.
    Apply(apply::ApplyArgs),
    /// List manifests, or show one.
    Get(get::GetArgs),
    /// Write every manifest in force into a directory.
    Export(export::ExportArgs),
    /// Check manifests offline, as a pull request does.
    Check(check::CheckArgs),
    /// Measure: becomes the program `crumb-bench` beside this one.
    Bench(bench::BenchArgs),
    /// Run one service as a child of `dev` or `demo`.
    #[command(hide = true)]
    Serve(serve::ServeArgs),
    /// Replay a stolen token, as another workload, for the demo.
    #[command(hide = true)]
    Intruder(demo::IntruderArgs),
    /// Be an agent that does what it is told, for the demo.
    #[command(hide = true)]
    Actor(actor::ActorArgs),
}

/// Runs the command line, and returns its exit code.
pub fn main() -> ExitCode {
    // The usage errors of clap end with 2 by themselves.
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("CRUMB_LOG").unwrap_or_else(|_| EnvFilter::new("error"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            output::failure(&Failure::new(Exit::Unexpected, format!("no runtime: {e}"), ""));
            return Exit::Unexpected.into();
        }
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure);
            failure.exit.into()
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let format = || cli.output.plain();
    match cli.command {
        Command::Demo(args) => demo::run(args, format()?).await,
        Command::Dev(args) => dev::run(args, format()?).await,
        Command::Session(args) => session::run(args, format()?).await,
        Command::Hand(args) => hand::run(args, format()?).await,
        Command::Call(args) => call::run(args, format()?).await,
        Command::Token(args) => token::run(args, format()?).await,
        Command::Requests(args) => requests::run(args, format()?).await,
        Command::Approve(args) => approve::approve(args, format()?).await,
        Command::Deny(args) => approve::deny(args, format()?).await,
        Command::Appeal(args) => approve::appeal(args, format()?).await,
        Command::Revoke(args) => revoke::run(args, format()?).await,
        Command::KillSwitch(args) => revoke::kill_switch(args, format()?).await,
        Command::Why(args) => why::run(args, format()?).await,
        Command::Review(args) => review::run(args, format()?).await,
        Command::Audit(args) => audit::run(args, format()?).await,
        Command::Policy(args) => policy::run(args, format()?),
        Command::Apply(args) => apply::run(args, format()?).await,
        Command::Get(args) => get::run(args, cli.output).await,
        Command::Export(args) => export::run(args, format()?).await,
        Command::Check(args) => check::run(args, format()?),
        Command::Bench(args) => Err(bench::run(args)),
        Command::Serve(args) => serve::run(args).await,
        Command::Intruder(args) => demo::intrude(args).await,
        Command::Actor(args) => actor::run(args).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    const ID: &str = "apr_01983f00000070008000000000000001";
    const SESSION: &str = "ses_01983f00000070008000000000000001";

    fn parses(line: &str) -> bool {
        Cli::try_parse_from(line.split(' ')).is_ok()
    }

    #[test]
    fn the_commands_agree_with_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_that_is_shown_has_examples() {
        let command = Cli::command();
        let (verbs, nouns): (Vec<_>, Vec<_>) =
            command.get_subcommands().filter(|c| !c.is_hide_set()).partition(|c| c.get_subcommands().next().is_none());
        let of_nouns = nouns.iter().flat_map(|noun| noun.get_subcommands());
        for command in verbs.iter().copied().chain(of_nouns) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "{} has no examples", command.get_name());
        }
    }

    #[test]
    fn takes_the_words_of_operators_and_approvers() {
        for line in [
            "crumb revoke session ses_1 --why x",
            "crumb revoke everything --why x --dry-run -o json",
            "crumb kill-switch tool files --why x --yes",
            "crumb kill-switch --list",
            "crumb kill-switch --lift agent bot --why x",
            "crumb requests --watch --state pending",
            &format!("crumb why {ID}"),
            "crumb why --agent bot --tool read_file --operation read --resource docs/*",
            &format!("crumb why --session {SESSION} --tool read_file --operation read --resource a -o json"),
            "crumb review",
            "crumb review bot --since 30d --propose -",
            "crumb review --due",
            "crumb review bot --keep --reason x --token-file - --next-review 2027-01-31",
            "crumb review bot --narrow --manifest m.yaml --reason x --token-file f",
            &format!("crumb approve {ID} --ttl 5m --token-file -"),
            &format!("crumb deny {ID} --why x --token-file f"),
            &format!("crumb appeal {ID} --why x --broker b:1 --broker-id spiffe://td/broker"),
            &format!("crumb session adopt {SESSION}"),
            &format!("crumb session describe {SESSION}"),
        ] {
            assert!(parses(line), "{line}");
        }
    }

    #[test]
    fn refuses_words_that_leave_something_open() {
        for line in [
            "crumb revoke session ses_1",
            "crumb revoke robot x --why x",
            "crumb revoke agent bot --why x --dry-run --yes",
            "crumb kill-switch agent bot",
            "crumb kill-switch --list agent bot",
            "crumb kill-switch --lift agent bot --why x --yes",
            "crumb approve",
            "crumb approve apr_1",
            &format!("crumb approve {ID} --ttl 0"),
            &format!("crumb approve {ID} --broker b:1"),
            &format!("crumb deny {ID} --token-file f"),
            &format!("crumb appeal {ID}"),
            "crumb requests --state forgotten",
            "crumb why",
            "crumb why --tool read_file --operation read --resource a",
            "crumb why --agent bot --tool read_file --operation read",
            "crumb why --agent bot --tool read_file --operation read --resource a/../b",
            &format!("crumb why {ID} --agent bot"),
            "crumb review bot --keep --token-file -",
            "crumb review bot --keep --reason x",
            "crumb review bot --keep --narrow --reason x --token-file -",
            "crumb review --remove --reason x --token-file -",
            "crumb review bot --reason x",
            "crumb review bot --keep --reason x --token-file - --manifest m.yaml",
            "crumb review --propose -",
            "crumb review --since 401d",
            &format!("crumb session delegate {SESSION} --to bot --intent x --allow y"),
        ] {
            assert!(!parses(line), "{line}");
        }
    }
}
