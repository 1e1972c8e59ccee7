//! `crumb-bench feed --governance`: each kind of revocation in turn, under a load of exchanges: from the acknowledgement to
//! the refusal by every verifier.
//!
//! A token says its time in seconds, so one that is issued in the very second in which its agent, owner or tool server was
//! revoked is revoked with those before: a round begins with one that is later.

use super::{PATIENCE, Scene, background::Background};
use crate::{
    meter::{Effort, Series},
    report::Row,
};
use anyhow::{Context, ensure};
use crumb_proto::{
    from_status,
    wire::{LiftRequest, RevokeRequest},
};
use crumb_tests::broker::{AGENT, FILES, Setup, exchange};
use crumb_token::{KeyId, Reason, TokenText};
use crumb_verifier::Decision;
use std::time::Duration;
use tokio::time::Instant;

/// How many verifiers when nobody says.
const VERIFIERS: usize = 50;

/// How long to wait before another token is asked for.
const AGAIN: Duration = Duration::from_millis(20);

/// How often a verifier is looked at that does not know the key yet.
const LOOK: Duration = Duration::from_millis(5);

/// What is revoked.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Token,
    Session,
    Agent,
    Version,
    Owner,
    ToolServer,
    Subject,
    Key,
    KillSwitch,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Token,
        Self::Session,
        Self::Agent,
        Self::Version,
        Self::Owner,
        Self::ToolServer,
        Self::Subject,
        Self::Key,
        Self::KillSwitch,
    ];

    /// The word that requests have for it.
    fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
            Self::Agent => "agent",
            Self::Version => "version",
            Self::Owner => "owner",
            Self::ToolServer => "tool_server",
            Self::Subject => "subject",
            Self::Key => "key",
            Self::KillSwitch => "everything",
        }
    }

    fn row(self) -> Row {
        let name = if matches!(self, Self::KillSwitch) { "kill_switch" } else { self.word() };
        let what = match self {
            Self::Token => "a token",
            Self::Session => "a session",
            Self::Agent => "an agent",
            Self::Version => "a version of an agent",
            Self::Owner => "an owner",
            Self::ToolServer => "a tool server",
            Self::Subject => "a person",
            Self::Key => "a signing key",
            Self::KillSwitch => "everything, by the kill switch",
        };
        let what = format!("{what}: from acknowledged to refused, at every verifier, under exchanges");
        Row::new(format!("feed:governance:{name}"), what)
    }
}

/// A token that every verifier allows, and what can be revoked of it.
struct Live {
    session: String,
    token: TokenText,
    token_id: String,
    key: String,
}

impl Live {
    fn revocation(&self, kind: Kind) -> RevokeRequest {
        let name = match kind {
            Kind::Token => self.token_id.clone(),
            Kind::Session => self.session.clone(),
            Kind::Agent => AGENT.to_owned(),
            Kind::Version => format!("{AGENT}@1.4.0"),
            Kind::Owner => "ada@a.test".to_owned(),
            Kind::ToolServer => FILES.to_owned(),
            Kind::Subject => "bob@a.test".to_owned(),
            Kind::Key => self.key.clone(),
            Kind::KillSwitch => String::new(),
        };
        let stop = matches!(kind, Kind::KillSwitch);
        RevokeRequest { kind: kind.word().into(), name, why: "it is measured".into(), stop, dry_run: false }
    }
}

/// Revokes each kind in turn.
pub(super) async fn run(verifiers: &[usize], effort: Effort) -> anyhow::Result<Vec<Row>> {
    let verifiers = if verifiers.is_empty() { &[effort.pick(VERIFIERS, 3)] } else { verifiers };
    let mut rows = Vec::new();
    for &n in verifiers {
        let scene = Scene::start_with(n, Setup::governed()).await?;
        let load = Background::start(&scene.broker).await?;
        for kind in Kind::ALL {
            rows.push(revoked(&scene, kind, effort).await.with_context(|| format!("{kind:?}"))?);
        }
        rows.push(load.stop().await?.live(n));
        scene.stop().await?;
    }
    Ok(rows)
}

async fn revoked(scene: &Scene, kind: Kind, effort: Effort) -> anyhow::Result<Row> {
    let verifiers = scene.verifiers.len();
    let rounds = effort.pick(20, 1);
    let (mut took, mut last) = (Vec::with_capacity(rounds * verifiers), Vec::with_capacity(rounds));
    for _ in 0..rounds {
        let live = live(scene).await?;
        let watch = tokio::task::spawn_blocking(scene.watch(&live.token));
        let answer = scene.broker.operator().revoke(live.revocation(kind)).await?.into_inner();
        let acknowledged = now();
        ensure!(answer.revocation > 0, "nothing was revoked");
        let refused = watch.await??;
        let after = refused.iter().map(|at| at.saturating_duration_since(acknowledged).as_secs_f64() * 1e9);
        took.extend(after.clone());
        last.push(after.fold(0.0, f64::max));
        if matches!(kind, Kind::KillSwitch) {
            let lift = LiftRequest { kind: kind.word().into(), name: String::new(), why: "it was measured".into() };
            ensure!(scene.broker.operator().lift(lift).await?.into_inner().lifted, "there is nothing to lift");
        }
    }
    let (series, last) = (Series::of(took), Series::of(last));
    let row = kind.row().live(verifiers).revocations(rounds).took(&series).slowest(series.max());
    let row = row.value(last.p50() / 1e6, "ms until the last refuses");
    Ok(if verifiers == VERIFIERS { row.mark("p99 100 ms or less", series.p99() <= 100e6) } else { row })
}

/// Opens a session, and waits until every verifier allows a token of it.
async fn live(scene: &Scene) -> anyhow::Result<Live> {
    let until = now() + PATIENCE;
    let session = scene.agent.session().await;
    loop {
        let issued = match scene.agent.exchange(exchange(&session)).await {
            Ok(issued) => issued,
            // In the second of an ending that would reach it there is no token.
            Err(status) if from_status(&status).is_some_and(|denial| denial.reason == Reason::Overloaded) => {
                ensure!(now() < until, "there is no token: {status}");
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(status) => return Err(status.into()),
        };
        let token = TokenText::from_presented(&issued.token).map_err(|reason| anyhow::anyhow!("{reason}"))?;
        if let Some(key) = allowed_by_all(scene, &token, until).await? {
            return Ok(Live { session, token, token_id: issued.token_id, key: key.0.to_string() });
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Waits until every verifier allows a token, and returns the key that signed it. `None` when it was revoked before it was
/// used.
async fn allowed_by_all(scene: &Scene, token: &TokenText, until: Instant) -> anyhow::Result<Option<KeyId>> {
    let mut key = None;
    for verifier in scene.verifiers.iter() {
        key = loop {
            match scene.decide(verifier, token) {
                Decision::Allowed(verified) => break Some(verified.key_id()),
                Decision::Denied(refused) if refused.denial.reason == Reason::TokenRevoked => return Ok(None),
                Decision::Denied(denial) => ensure!(now() < until, "a good token is refused: {denial}"),
            }
            tokio::time::sleep(LOOK).await;
        };
    }
    Ok(key)
}

fn now() -> Instant {
    // The clock of latencies is the runtime's, which no pure room reads.
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_row_of_its_own_and_names_what_it_ends() {
        let live = Live {
            session: "ses_1".into(),
            token: TokenText::from_bytes(&[0]),
            token_id: "tok_1".into(),
            key: "7".into(),
        };
        let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.row().name).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let request = live.revocation(kind);
            assert_eq!(request.name.is_empty(), matches!(kind, Kind::KillSwitch), "{kind:?}");
            assert_eq!(request.stop, matches!(kind, Kind::KillSwitch), "{kind:?}");
        }
    }
}
