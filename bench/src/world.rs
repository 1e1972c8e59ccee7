//! The world that `verify` measures in: a broker's key, holders, live call tokens, and verifiers that know the key.
//!
//! Tokens are minted and narrowed the way the broker and the sidecar do it, through the same functions. The key is that
//! of the test vectors, so that their hostile tokens get as far here as they would there.

use crate::meter::{cores, stay_on_core};
use anyhow::Context;
use biscuit_auth::{KeyPair, PrivateKey, builder::Algorithm};
use crumb_identity::SystemClock;
use crumb_tests::vectors::{
    forge::{ROOT, ROOT_ID, public},
    player,
};
use crumb_token::{
    Ask, Caveat, Claims, Clock, KeyId, Now, ResourcePattern, SpiffeId, Timestamp, TokenId, TokenText,
    attenuate::attenuate, mint::mint, revocation::Target,
};
use crumb_verifier::{
    Limits, Verifier,
    feed::{CONTEXT, Key, Message, Revocation, Signed},
};
use ed25519_dalek::{Signer, SigningKey};
use std::{thread, time::Duration};
use uuid::Uuid;

/// How long everything here is alive: longer than a run.
const ALIVE: Duration = Duration::from_secs(6 * 3600);

/// How many workloads hold the tokens.
const HOLDERS: usize = 64;

/// How many call tokens are broken off one task token.
const CALLS_PER_TASK: usize = 8;

/// One call with its token, as it comes to a tool server.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) token: TokenText,
    pub(crate) ask: Ask,
    pub(crate) peer: SpiffeId,
}

impl Call {
    /// Does what a server does on each call, and says whether it is allowed.
    pub(crate) fn decide(&self, verifier: &Verifier) -> bool {
        verifier.decide(&self.token, &self.ask, &self.peer, now()).is_allowed()
    }

    /// Reads one byte of each cache line of the token, as receiving it does.
    pub(crate) fn touch(&self) -> u8 {
        self.token.expose().as_bytes().iter().step_by(64).fold(0, |sum, byte| sum ^ byte)
    }
}

/// Reads the clock as a server does.
pub(crate) fn now() -> Now {
    SystemClock::new().now()
}

/// What the broker says of task token number `n`: the usual claims of the test vectors, alive now.
pub(crate) fn claims(n: usize) -> anyhow::Result<Claims> {
    let issued_at = Timestamp::from_unix_s(now().wall.as_unix_s() - 60);
    Ok(Claims {
        token: TokenId::from_uuid(Uuid::from_u128(n as u128)),
        holder: holder(n)?,
        issued_at,
        expires_at: issued_at.plus(ALIVE),
        ..player::claims()
    })
}

fn holder(n: usize) -> anyhow::Result<SpiffeId> {
    Ok(format!("spiffe://acme.example/agent/research-bot-{}", n % HOLDERS).parse()?)
}

/// The resource of a call: each of a task's calls has its own.
fn ask(n: usize) -> anyhow::Result<Ask> {
    let resource = format!("file:///docs/chapter-{n}/readme.md");
    Ok(Ask::new("read_file".parse()?, "read".parse()?, resource.parse()?))
}

/// The same call at a resource that the grants leave out.
pub(crate) fn elsewhere(call: &Call) -> anyhow::Result<Call> {
    let resource = "file:///finance/payroll.csv".parse()?;
    Ok(Call { ask: Ask { resource, ..call.ask.clone() }, ..call.clone() })
}

/// Mints task token number `n`.
pub(crate) fn task_token(n: usize) -> anyhow::Result<Vec<u8>> {
    let key = KeyPair::from(&PrivateKey::from_bytes(&ROOT, Algorithm::Ed25519)?);
    Ok(mint(&claims(n)?, KeyId(ROOT_ID), &key)?.to_vec())
}

/// Appends the block that a sidecar appends for one call.
fn narrow(token: &[u8], ask: &Ask) -> anyhow::Result<Vec<u8>> {
    let caveats = [
        Caveat::Tool(ask.tool.clone()),
        Caveat::Operation(ask.operation.clone()),
        Caveat::Resource(ResourcePattern::Exact(ask.resource.clone())),
        Caveat::ExpiresAt(now().wall.plus(ALIVE)),
    ];
    Ok(attenuate(token, &caveats)?.to_vec())
}

/// Makes call number `n` with a token of `appended` blocks behind the authority block, the last of them new.
pub(crate) fn call(task: usize, n: usize, appended: usize) -> anyhow::Result<Call> {
    call_from(&task_token(task)?, task, n, appended)
}

/// Makes a call whose token is broken off task token number `task`.
pub(crate) fn call_from(token: &[u8], task: usize, n: usize, appended: usize) -> anyhow::Result<Call> {
    let ask = ask(n)?;
    let mut token = token.to_vec();
    for _ in 0..appended {
        token = narrow(&token, &ask)?;
    }
    Ok(Call { token: TokenText::from_bytes(&token), ask, peer: holder(task)? })
}

/// Makes `n` calls with as many different call tokens of one appended block, spread over tasks and holders.
pub(crate) fn live(n: usize) -> anyhow::Result<Vec<Call>> {
    let tasks = n.div_ceil(CALLS_PER_TASK);
    let workers = cores().min(tasks.max(1));
    let made = thread::scope(|scope| {
        let worker = |first: usize| {
            scope.spawn(move || {
                stay_on_core(first);
                let tasks = (first..tasks).step_by(workers);
                tasks.map(calls_of).collect::<anyhow::Result<Vec<_>>>()
            })
        };
        let running: Vec<_> = (0..workers).map(worker).collect();
        running.into_iter().map(|w| w.join().ok().context("a worker ended")?).collect::<anyhow::Result<Vec<_>>>()
    })?;
    let mut calls: Vec<Call> = made.into_iter().flatten().flatten().collect();
    calls.truncate(n);
    Ok(calls)
}

fn calls_of(task: usize) -> anyhow::Result<Vec<Call>> {
    let token = task_token(task)?;
    (0..CALLS_PER_TASK).map(|n| call_from(&token, task, n, 1)).collect()
}

/// Makes a verifier that has just heard of the key, and keeps on believing it.
pub(crate) fn verifier() -> anyhow::Result<Verifier> {
    verifier_with(0)
}

/// Makes a verifier that remembers `live` tokens.
pub(crate) fn verifier_for(live: usize) -> anyhow::Result<Verifier> {
    verifier_within(roomy(live), now(), 0)
}

/// Makes a verifier that has heard of `revocations` revocations of other sessions as well.
pub(crate) fn verifier_with(revocations: usize) -> anyhow::Result<Verifier> {
    verifier_at(now(), revocations)
}

/// Makes a verifier as of `now`.
pub(crate) fn verifier_at(now: Now, revocations: usize) -> anyhow::Result<Verifier> {
    verifier_within(limits(revocations), now, revocations)
}

fn verifier_within(limits: Limits, now: Now, revocations: usize) -> anyhow::Result<Verifier> {
    let verifier = Verifier::new(player::claims().audience, limits);
    let (public, until) = (public(ROOT), Timestamp::from_unix_s(u64::MAX));
    let key = Key { id: KeyId(ROOT_ID), public, not_before: Timestamp::from_unix_s(0), not_after: until };
    let session = |n: usize| crumb_token::SessionId::from_uuid(Uuid::from_u128(0xdead << 64 | n as u128));
    let revoked = |n: usize| Revocation::whole(n as u64, Target::Session(session(n)), until);
    let message = Message {
        epoch: 1,
        sequence: revocations as u64,
        time_unix_ms: now.wall.as_unix_s() * 1000,
        full: true,
        keys: vec![key],
        revocations: (1..=revocations).map(revoked).collect(),
    };
    let signature = SigningKey::from_bytes(&ROOT).sign(CONTEXT).to_bytes();
    verifier.apply(&Signed { bytes: &[], key_id: KeyId(ROOT_ID), signature: &signature }, message, now)?;
    Ok(verifier)
}

/// Room for everything that is measured, and no heartbeat needed.
fn limits(revocations: usize) -> Limits {
    Limits { stale_after: ALIVE, revocations_max: revocations.max(1), ..Limits::default() }
}

/// Room for `live` tokens, all of one holder if need be.
fn roomy(live: usize) -> Limits {
    let usual = limits(0);
    let tokens = usual.tokens_max.max(live * 4);
    Limits { tokens_max: tokens, tokens_per_holder: tokens, ..usual }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_live_call_is_allowed_and_none_elsewhere() {
        let verifier = verifier_with(1000).expect("a verifier");
        for call in live(20).expect("calls") {
            assert!(call.decide(&verifier));
            assert!(!elsewhere(&call).expect("a call").decide(&verifier));
        }
    }

    #[test]
    fn tokens_of_every_depth_are_allowed() {
        let verifier = verifier().expect("a verifier");
        for appended in 0..=8 {
            assert!(call(1, 2, appended).expect("a call").decide(&verifier), "{appended} blocks appended");
        }
    }
}
