//! Three verifiers that share no code answer the same: ours, the naive one written from the document, and stock Biscuit.
//!
//! Each story goes on with one verifier: several tokens, many calls, each asked twice, while time passes and revocations
//! come. So whatever a verifier may keep of an earlier decision is compared with verifiers that keep nothing.

use crumb_tests::{
    fed_verifier::{FedVerifier, KEY_IN_FORCE, at},
    generated_tokens::{Case, NONCES, case, root},
    naive,
    oracle::{self, Answer},
    property,
    vectors::{
        forge::{self, ROOT, ROOT_ID},
        player::NOW,
    },
};
use crumb_token::{Claims, Reason, SpiffeId, revocation::Target};
use crumb_verifier::Decision;
use proptest::{collection, option, prelude::*, sample::Index};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
};

/// One thing that happens: time passes, something may be revoked, and a token is presented twice.
#[derive(Clone, Debug)]
struct Step {
    wait_s: u64,
    revoke: Option<(Index, Ending)>,
    token: Index,
    /// Whose call it is: the token's own, or another's.
    call: Option<Index>,
    /// Who presents it: the one of the call, or one of all who held it.
    by: Option<Index>,
}

/// What is revoked of a token.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Token,
    Session,
    Above,
    Agent,
    Version,
    ToolServer,
    Subject,
    /// The agent of one who may act, or may not.
    Delegate,
    DelegateVersion,
    Nothing,
}

/// A session that no token is of.
const UNKNOWN: &str = "ses_ffffffffffffffffffffffffffffffff";

#[derive(Clone, Debug)]
struct Story {
    cases: Vec<Case>,
    steps: Vec<Step>,
}

fn step() -> impl Strategy<Value = Step> {
    let ending = prop_oneof![
        4 => Just(Ending::Token), 3 => Just(Ending::Session), 1 => Just(Ending::Above), 1 => Just(Ending::Agent),
        1 => Just(Ending::Version), 1 => Just(Ending::ToolServer), 1 => Just(Ending::Subject),
        2 => Just(Ending::Delegate), 2 => Just(Ending::DelegateVersion), 4 => Just(Ending::Nothing)
    ];
    let revoke = option::weighted(0.15, (any::<Index>(), ending));
    let wait_s = prop_oneof![4 => Just(0u64), 4 => 1..4u64, 1 => 4..40u64];
    let call = option::weighted(0.3, any::<Index>());
    let by = option::weighted(0.3, any::<Index>());
    (wait_s, revoke, any::<Index>(), call, by).prop_map(|(wait_s, revoke, token, call, by)| Step {
        wait_s,
        revoke,
        token,
        call,
        by,
    })
}

/// Tokens of different ids, two of a session, most of them for one tool server.
fn story() -> impl Strategy<Value = Story> {
    (collection::vec(case(), 1..=3), collection::vec(step(), 1..=6)).prop_map(|(mut cases, steps)| {
        let server = cases[0].server.clone();
        for (i, case) in cases.iter_mut().enumerate() {
            case.claims.token = format!("tok_{:032x}", i + 1).parse().expect("an id");
            case.claims.session = format!("ses_{:032x}", i / 2 + 1).parse().expect("an id");
            case.server = server.clone();
        }
        Story { cases, steps }
    })
}

/// The verifiers of one tool server, and what has happened so far.
struct Bench {
    ours: FedVerifier,
    naive: naive::World,
    now_s: u64,
}

impl Bench {
    fn new(case: &Case) -> Self {
        let naive = naive::World {
            audience: case.server.to_string(),
            environment: None,
            key: (ROOT_ID, forge::public(ROOT)),
            key_in_force: KEY_IN_FORCE,
            revoked: BTreeSet::new(),
            used: BTreeSet::new(),
            seen: 0,
        };
        Self { ours: FedVerifier::new(case.server.clone(), NOW), naive, now_s: NOW }
    }

    fn revoke(&mut self, case: &Case, ending: Ending) {
        let claims = &case.claims;
        let words = match ending {
            Ending::Token => ("token", claims.token.to_string()),
            Ending::Session => ("session", claims.session.to_string()),
            Ending::Above => {
                ("session", claims.ancestors.first().map_or_else(|| UNKNOWN.into(), |a| a.session.to_string()))
            }
            Ending::Agent => ("agent", claims.agent.to_string()),
            Ending::Version => ("version", format!("{}@{}", claims.agent, claims.version)),
            Ending::ToolServer => ("tool_server", claims.audience.to_string()),
            Ending::Subject => {
                ("subject", claims.subject.as_ref().map_or_else(|| "nobody".into(), |s| s.name.to_string()))
            }
            Ending::Delegate => ("agent", delegate(claims).0),
            Ending::DelegateVersion => ("version", delegate(claims).1),
            Ending::Nothing => ("session", UNKNOWN.to_owned()),
        };
        let target = Target::from_words(words.0, &words.1).expect("something that can be revoked");
        let text = format!("{}:{}", words.0, words.1);
        self.ours.revoke([target], self.now_s);
        self.naive.revoked.insert(text);
    }

    /// Has all three decide once, and returns the answer, in words.
    fn decide(
        &mut self,
        token: &[u8],
        case: &Case,
        (call, peer): (&Case, &SpiffeId),
    ) -> Result<&'static str, TestCaseError> {
        let id = case.claims.token.to_string();
        let unused = |nonce: &&[u8; 16]| !self.naive.used.contains(&(id.clone(), nonce.to_vec()));
        let nonces: Vec<[u8; 16]> = NONCES.iter().filter(unused).copied().collect();
        let time = at(self.now_s).wall;
        let stock = oracle::evaluate(token, root().public(), &call.ask, peer, &case.server, time, &nonces);
        let naive = self.naive.decide(token, &call.ask, peer.as_str(), self.now_s);
        let ours = match self.ours.decide(token, &call.ask, peer, self.now_s) {
            Decision::Allowed(verified) => {
                prop_assert_eq!(verified.claims(), &case.claims);
                prop_assert!(verified.blocks().eq(case.blocks()));
                prop_assert_eq!(verified.holder(), case.holder());
                prop_assert!(verified.hops().map(|hop| &hop.to.holder).eq(case.hops()));
                prop_assert!(verified.expires_at() > time);
                Ok(())
            }
            Decision::Denied(refused) => Err(refused.denial.reason),
        };
        prop_assert_eq!(ours, naive, "ours, and the naive one");
        // A stock verifier has no feed.
        if ours != Err(Reason::TokenRevoked) {
            let expected = if ours.is_ok() { Answer::Allowed } else { Answer::Denied };
            prop_assert_eq!(stock, expected, "stock Datalog, and ours: {:?}", ours);
        }
        Ok(ours.err().map_or("allowed", Reason::code))
    }
}

/// The agent whom a token was handed to first, or might be, and that version of it.
fn delegate(claims: &Claims) -> (String, String) {
    let named = claims.may_act.as_ref().and_then(|may_act| may_act.delegates.first());
    named.map_or_else(
        || ("nobody".to_owned(), "nobody@0".to_owned()),
        |named| (named.agent.to_string(), format!("{}@{}", named.agent, named.version)),
    )
}

#[test]
fn three_verifiers_agree_through_every_story() {
    let answers = RefCell::new(BTreeMap::<&str, u64>::new());
    let (handed, twice) = (Cell::new(0u64), Cell::new(0u64));
    let agree = |story: Story| {
        let tokens: Vec<_> = story.cases.iter().map(Case::token).collect();
        let mut bench = Bench::new(&story.cases[0]);
        for step in &story.steps {
            bench.now_s += step.wait_s;
            let place = step.token.index(tokens.len());
            let (token, case) = (&tokens[place], &story.cases[place]);
            let call = step.call.map_or(case, |call| call.get(&story.cases));
            let holders = case.holders();
            let peer = step.by.map_or(&call.peer, |by| holders[by.index(holders.len())]);
            bench.decide(token, case, (call, peer))?;
            if let Some((of, ending)) = &step.revoke {
                bench.revoke(of.get(&story.cases), *ending);
            }
            let answer = bench.decide(token, case, (call, peer))?;
            let hops = case.hops().count();
            handed.set(handed.get() + u64::from(answer == "allowed" && hops == 1));
            twice.set(twice.get() + u64::from(answer == "allowed" && hops > 1));
            *answers.borrow_mut().entry(answer).or_default() += 1;
        }
        Ok(())
    };
    let cases = property::holds("three_verifiers_agree_through_every_story", story(), agree);
    let (handed, twice) = (handed.get(), twice.get());
    assert!(handed > cases / 10 && twice > cases / 40, "{handed} allowed after a hop, {twice} after more, of {cases}");
    let answers = answers.into_inner();
    let wanted = ["allowed", "token_expired", "token_revoked", "holder_mismatch", "nonce_replayed", "argument_refused"];
    let rare: Vec<_> = wanted.iter().filter(|a| answers.get(**a).is_none_or(|n| *n < cases / 50)).collect();
    assert!(rare.is_empty(), "{rare:?} are too rare: the generator is lopsided: {answers:?}");
}
