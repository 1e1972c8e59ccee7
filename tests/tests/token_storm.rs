//! A storm of revocations while threads decide: what `apply` has returned from holds for every decision that begins later.

use crumb_tests::{
    fed_verifier::{FedVerifier, at},
    generated_tokens::root,
    property,
    vectors::{
        forge::ROOT_ID,
        player::{self, NOW},
    },
};
use crumb_token::{
    Ask, Caveat, Claims, KeyId, SpiffeId, TokenText, attenuate::attenuate, mint::mint, revocation::Target,
};
use proptest::{collection, prelude::*};
use std::{
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

/// Live tokens, a third of them narrowed.
const TOKENS: usize = 24;
/// Threads that decide; more than most machines of ours have cores.
const DECIDERS: usize = 4;

/// Token `n` is of session `n / 2`.
static LIVE: LazyLock<Vec<(Claims, TokenText)>> = LazyLock::new(|| {
    let live = |n: usize| {
        let token = player::word(&format!("tok_{n:032x}"));
        let session = player::word(&format!("ses_{:032x}", n / 2));
        let claims = Claims { token, session, ..player::claims() };
        let mut bytes = mint(&claims, KeyId(ROOT_ID), &root()).expect("mints");
        if n.is_multiple_of(3) {
            bytes = attenuate(&bytes, &[Caveat::Tool(player::word("read_file"))]).expect("narrows");
        }
        (claims, TokenText::from_bytes(&bytes))
    };
    (0..TOKENS).map(live).collect()
});

/// One revocation of the storm.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Token(usize),
    Session(usize),
    /// Of a token that nobody presents.
    Elsewhere(u64),
}

impl Blow {
    fn target(self) -> Target {
        match self {
            Self::Token(n) => Target::Token(LIVE[n].0.token),
            Self::Session(n) => Target::Session(LIVE[n].0.session),
            Self::Elsewhere(n) => Target::Token(player::word(&format!("tok_f{n:031x}"))),
        }
    }

    fn ends(self, n: usize) -> bool {
        match self {
            Self::Token(token) => token == n,
            Self::Session(token) => token / 2 == n / 2,
            Self::Elsewhere(_) => false,
        }
    }
}

/// Some thousand revocations in some hundred messages; a few of them concern somebody.
fn storm() -> impl Strategy<Value = Vec<Vec<Blow>>> {
    let blow = prop_oneof![
        1 => (0..TOKENS).prop_map(Blow::Token),
        1 => (0..TOKENS).prop_map(Blow::Session),
        200 => any::<u32>().prop_map(|n| Blow::Elsewhere(n.into())),
    ];
    collection::vec(collection::vec(blow, 1..40), 50..200)
}

#[test]
fn no_decision_that_begins_after_a_revocation_allows() {
    let ask: Ask = player::ask(&player::call()).expect("a call");
    let peer: SpiffeId = player::word(player::HOLDER);
    let weathers = |storm: Vec<Vec<Blow>>| {
        let mut fed = FedVerifier::new(player::word(player::AUDIENCE), NOW);
        let verifier = fed.verifier.clone();
        // Set after `apply` has returned, read before `decide` begins.
        let ended: Vec<AtomicBool> = (0..TOKENS).map(|_| AtomicBool::new(false)).collect();
        let (over, decided, wrong) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
        let decide = |n: usize| {
            let was_ended = ended[n].load(SeqCst);
            let allowed = verifier.decide(&LIVE[n].1, &ask, &peer, at(NOW)).is_allowed();
            decided.fetch_add(1, SeqCst);
            wrong.fetch_add(usize::from(was_ended && allowed), SeqCst);
            allowed
        };
        thread::scope(|scope| {
            for first in 0..DECIDERS {
                let (decide, over) = (&decide, &over);
                scope.spawn(move || {
                    let mut n = first;
                    while !over.load(SeqCst) {
                        decide(n % TOKENS);
                        n += 1;
                    }
                });
            }
            for message in &storm {
                fed.revoke(message.iter().map(|blow| blow.target()), NOW);
                for (n, flag) in ended.iter().enumerate() {
                    flag.fetch_or(message.iter().any(|blow| blow.ends(n)), SeqCst);
                }
            }
            over.store(true, SeqCst);
        });
        for (n, ended) in ended.iter().enumerate() {
            prop_assert_eq!(decide(n), !ended.load(SeqCst), "token {} after the storm", n);
        }
        prop_assert_eq!(wrong.load(SeqCst), 0, "of {} decisions", decided.load(SeqCst));
        Ok(())
    };
    property::holds_in(24, "no_decision_that_begins_after_a_revocation_allows", storm(), weathers);
}
