//! `crumb demo governance`: who may have what, in six acts, each a fact that is held to its reason code.
//!
//! Every agent in it is a process of its own with an SVID of its own ([`crate::actor`]); people prove who they are with
//! tokens of an identity provider that lives in this process; operators come by the admin socket. An act that does not
//! come out as it has to ends the demo with exit code 7: like the twelve steps of `crumb demo`, it is a check as well.

mod act;
mod approval;
mod call_watch;
mod cast;
mod delegation;
mod drift;
mod envelope;
mod environment;
mod people;
mod registry;
mod retirement;

use super::stack_in;
use crate::{
    exit::Failure,
    output::{self, Format, dim},
    stack::Setting,
};
use act::{Act, Plot};
use anyhow::Context;
use cast::Cast;
use people::People;
use tokio::signal::unix::{SignalKind, signal};

const EXAMPLES: &str = "\
Examples:
  crumb demo governance
  crumb demo governance -o json | jq -c '.[] | [.name, .decision, .reason]'
  crumb demo governance --stay        and in another terminal, with the socket that it names:
  crumb audit tail --admin-socket …";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GovernanceArgs {
    /// Stay after the last act until Ctrl-C, so that the trail can be read.
    #[arg(long)]
    stay: bool,
}

pub(crate) async fn run(args: GovernanceArgs, format: Format) -> Result<(), Failure> {
    output::note(dim("starting a Workload API, a broker, tool servers, and three agents of their own, on loopback …"));
    let people = People::new()?;
    let setting = Setting {
        manifests: registry::manifests(),
        broker: people.issuers() + registry::DRIFT,
        archive_in: Some("production".parse().context("environment")?),
    };
    let (stack, _directory) = stack_in(&setting).await?;
    let mut cast = Cast::gather(stack, people).await?;
    let mut acts = Vec::new();
    let played = play(&mut cast, format, &mut acts).await;
    if format == Format::Json {
        output::json(&acts);
    }
    if played.is_ok() {
        next(&cast, args.stay);
        if args.stay {
            let mut stop = signal(SignalKind::interrupt()).context("signals")?;
            stop.recv().await;
        }
    }
    cast.part().await;
    played
}

/// Plays the acts in order, up to the first that does not come out as it has to.
async fn play(cast: &mut Cast, format: Format, acts: &mut Vec<Act>) -> Result<(), Failure> {
    for plot in Plot::ALL {
        let mut act = Act::begin(plot, cast.clock);
        let played = match plot {
            Plot::Envelope => envelope::play(cast, &mut act).await,
            Plot::Delegation => delegation::play(cast, &mut act).await,
            Plot::Approval => approval::play(cast, &mut act).await,
            Plot::Drift => drift::play(cast, &mut act).await,
            Plot::Retirement => retirement::play(cast, &mut act).await,
            Plot::Environment => environment::play(cast, &mut act).await,
        };
        let ended = played.and_then(|()| act.end());
        if format == Format::Text {
            act.show();
        }
        acts.push(act);
        ended?;
    }
    Ok(())
}

fn next(cast: &Cast, stays: bool) {
    let socket = cast.stack.places().admin_socket();
    let tail = format!("crumb audit tail --admin-socket {} --session {}", socket.display(), cast.session);
    if stays {
        output::next(format!("in another terminal: {tail}; Ctrl-C ends it"));
    } else {
        output::note("Every line above is in the broker's trail, with agent, owner, session, intent and origin.");
        output::next("crumb demo governance --stay, and then crumb audit tail with the socket that it names");
    }
}
