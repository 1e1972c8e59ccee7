//! Strategies for claims, caveats and calls.
//!
//! The words are few, so that a caveat and a call often meet: a generator that never allows tests nothing.

mod hands;

pub use hands::{Step, seed_of};

use crate::vectors::{
    forge::{ROOT, ROOT_ID},
    player::{self, NOW, word},
};
use biscuit_auth::{KeyPair, PrivateKey, builder::Algorithm};
use crumb_token::{
    Args, Ask, Caveat, Claims, Grant, Grants, KeyId, Scalar, SpiffeId, Timestamp, caveat::ArgRule, mint::mint,
};
use hands::{draws, may_act, steps};
use proptest::{collection, option, prelude::*, sample::select};
use std::{collections::BTreeSet, str::FromStr};

const TOOLS: &[&str] = &["read_file", "write_file", "query", "read"];
const OPERATIONS: &[&str] = &["read", "write", "time"];
const RESOURCES: &[&str] =
    &["file:///docs/a.md", "file:///docs/b/c.md", "file:///docs", "file:///docs-secret/a", "repo:acme/web", "tool"];
const PATTERNS: &[&str] = &["*", "file:///docs/*", "file:///docs/b/*", "repo:*", "file:///*"];
const PEERS: &[&str] = &[
    "spiffe://acme.example/agent/a",
    "spiffe://acme.example/agent/a-2",
    "spiffe://acme.example/agent/b",
    "spiffe://acme.example/agent/c",
];
const SERVERS: &[&str] = &["spiffe://acme.example/tool/files", "https://tools.acme.example/mcp"];
const ABOVE: &[&str] = &["ses_01983f00000070008000000000000003", "ses_01983f00000070008000000000000004"];
const NAMES: &[&str] = &["path", "count", "force"];
const TEXTS: &[&str] = &["", "a", "ab", "abc", "b", "read", "1"];

fn one<T>(words: &'static [&'static str]) -> impl Strategy<Value = T>
where
    T: FromStr<Err: std::fmt::Debug> + std::fmt::Debug,
{
    select(words).prop_map(word)
}

fn pattern<T: FromStr<Err: std::fmt::Debug> + std::fmt::Debug>() -> impl Strategy<Value = T> {
    prop_oneof![2 => one(PATTERNS), 1 => one(RESOURCES)]
}

fn grants() -> impl Strategy<Value = Grants> {
    let grant = (one(TOOLS), one(OPERATIONS), pattern()).prop_map(|(tool, operation, resource)| Grant {
        tool,
        operation,
        resource,
    });
    collection::vec(grant, 1..6).prop_map(|grants| Grants::try_new(grants).expect("few"))
}

/// Claims that were issued before [`NOW`], and end around it.
pub fn claims() -> impl Strategy<Value = Claims> {
    (
        grants(),
        one(PEERS),
        one(SERVERS),
        1..=60u64,
        0..=40u64,
        0..=8u8,
        collection::vec(one(PEERS), 0..4),
        collection::vec(select(ABOVE).prop_map(player::above), 0..4),
        may_act(),
    )
        .prop_map(|(grants, holder, audience, age, left, depth_limit, actors, ancestors, named)| Claims {
            grants,
            may_act: hands::among_others(&holder, named),
            holder,
            audience,
            issued_at: Timestamp::from_unix_s(NOW - age),
            expires_at: Timestamp::from_unix_s(NOW + left),
            depth_limit,
            actors,
            ancestors,
            ..player::claims()
        })
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        3 => select(TEXTS).prop_map(|t| Scalar::text(t).expect("short")),
        2 => (-2..4i64).prop_map(Scalar::Int),
        1 => any::<bool>().prop_map(Scalar::Bool),
    ]
}

/// Any call.
pub fn ask() -> impl Strategy<Value = Ask> {
    let args = collection::btree_map(one(NAMES), scalar(), 0..3);
    (one(TOOLS), one(OPERATIONS), one(RESOURCES), args, option::of(select(vec![[1; 32], [2; 32]]))).prop_map(
        |(tool, operation, resource, args, args_digest)| Ask {
            args: Args::try_new(args).expect("few"),
            args_digest,
            ..Ask::new(tool, operation, resource)
        },
    )
}

/// The claims that fit `ask` in all but what `claims` has at random: one of the grants covers it.
pub fn fitting(claims: Claims, ask: &Ask) -> Claims {
    let own = Grant {
        tool: ask.tool.clone(),
        operation: ask.operation.clone(),
        resource: crumb_token::ResourcePattern::Exact(ask.resource.clone()),
    };
    Claims { grants: Grants::try_new(claims.grants.iter().cloned().chain([own])).expect("few"), ..claims }
}

/// Any peer.
pub fn peer() -> impl Strategy<Value = SpiffeId> {
    one(PEERS)
}

fn arg_rule() -> impl Strategy<Value = ArgRule> {
    let texts = || collection::btree_set(select(TEXTS).prop_map(Box::from), 1..4);
    prop_oneof![
        scalar().prop_map(ArgRule::Is),
        texts().prop_map(ArgRule::OneOf),
        collection::btree_set(-2..4i64, 1..4).prop_map(ArgRule::OneOfNumbers),
        texts().prop_map(ArgRule::NotOneOf),
        (-3..4i64, -3..5i64).prop_map(|(min, max)| ArgRule::Range { min, max }),
        select(TEXTS).prop_map(|t| ArgRule::Prefix(t.into())),
        Just(ArgRule::Present),
    ]
}

/// Any caveat.
pub fn caveat() -> impl Strategy<Value = Caveat> {
    prop_oneof![
        one(TOOLS).prop_map(Caveat::Tool),
        collection::btree_set(one(TOOLS), 1..4).prop_map(Caveat::ToolOneOf),
        one(OPERATIONS).prop_map(Caveat::Operation),
        pattern().prop_map(Caveat::Resource),
        (one(NAMES), arg_rule()).prop_map(|(name, rule)| Caveat::Arg { name, rule }),
        select(vec![[1; 32], [2; 32]]).prop_map(Caveat::ArgsDigest),
        one(SERVERS).prop_map(Caveat::Audience),
        (0..40u64).prop_map(|left| Caveat::ExpiresAt(Timestamp::from_unix_s(NOW + left))),
        one(PEERS).prop_map(Caveat::Holder),
        select(&NONCES).prop_map(Caveat::Nonce),
    ]
}

/// A caveat that holds for the call of `ask` by the holder of `claims` at its audience.
fn holding(claims: &Claims, ask: &Ask) -> impl Strategy<Value = Caveat> + use<> {
    let mut all = vec![
        Caveat::Tool(ask.tool.clone()),
        Caveat::ToolOneOf(BTreeSet::from([ask.tool.clone(), word("other")])),
        Caveat::Operation(ask.operation.clone()),
        Caveat::Resource(crumb_token::ResourcePattern::Exact(ask.resource.clone())),
        Caveat::Resource(word("*")),
        Caveat::Audience(claims.audience.clone()),
        Caveat::Holder(claims.holder.clone()),
        Caveat::ExpiresAt(Timestamp::from_unix_s(NOW + 60)),
    ];
    all.extend(ask.args_digest.map(Caveat::ArgsDigest));
    for (name, value) in ask.args.iter() {
        let rules = [ArgRule::Is(value.clone()), ArgRule::Present];
        all.extend(rules.map(|rule| Caveat::Arg { name: name.clone(), rule }));
    }
    select(all)
}

/// One to three caveats; most of them hold.
fn caveats(claims: &Claims, ask: &Ask) -> impl Strategy<Value = Vec<Caveat>> + Clone + use<> {
    let caveat = prop_oneof![4 => holding(claims, ask), 1 => caveat()];
    collection::vec(caveat.boxed(), 1..4).boxed()
}

/// Everything about one call.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the broker says.
    pub claims: Claims,
    /// What holders appended.
    pub steps: Vec<Step>,
    /// The call.
    pub ask: Ask,
    /// Who calls.
    pub peer: SpiffeId,
    /// The tool server.
    pub server: crumb_token::Audience,
    /// Seconds after [`NOW`].
    pub later_s: u64,
}

/// The nonces that generated caveats have; a new verifier has seen none of them.
pub const NONCES: [[u8; 16]; 3] = [[1; 16], [2; 16], [3; 16]];

impl Case {
    /// Mints the claims and takes the steps; returns the token after each of them.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn chain(&self) -> Vec<Vec<u8>> {
        let mut tokens = vec![mint(&self.claims, KeyId(ROOT_ID), &root()).expect("mints").to_vec()];
        let mut holder = &self.claims.holder;
        for step in &self.steps {
            tokens.push(step.take(tokens.last().expect("minted"), holder));
            holder = step.to().unwrap_or(holder);
        }
        tokens
    }

    /// Returns who holds the token after each step, and before the first.
    pub fn holders(&self) -> Vec<&SpiffeId> {
        let mut holders = vec![&self.claims.holder];
        for step in &self.steps {
            holders.extend(step.to().or_else(|| holders.last().copied()));
        }
        holders
    }

    /// Returns who holds the whole token.
    pub fn holder(&self) -> &SpiffeId {
        self.steps.iter().rev().find_map(Step::to).unwrap_or(&self.claims.holder)
    }

    /// Returns the caveats of each step.
    pub fn blocks(&self) -> Vec<&[Caveat]> {
        self.steps.iter().map(Step::caveats).collect()
    }

    /// Walks to whom the token was handed.
    pub fn hops(&self) -> impl Iterator<Item = &SpiffeId> {
        self.steps.iter().filter_map(Step::to)
    }

    /// Returns the whole token.
    ///
    /// # Panics
    ///
    /// Never.
    pub fn token(&self) -> Vec<u8> {
        self.chain().pop().expect("minted")
    }

    /// Returns the time of the call, in Unix seconds.
    pub fn now_s(&self) -> u64 {
        NOW + self.later_s
    }
}

/// Returns the key pair that all generated tokens are minted with: the vectors' root key.
///
/// # Panics
///
/// Never.
pub fn root() -> KeyPair {
    KeyPair::from(&PrivateKey::from_bytes(&ROOT, Algorithm::Ed25519).expect("32 bytes"))
}

/// Any case of up to four steps; about half of them are allowed.
pub fn case() -> impl Strategy<Value = Case> {
    case_of(4)
}

/// Any case of up to `most` steps.
pub fn case_of(most: u8) -> impl Strategy<Value = Case> {
    let strange = || prop::bool::weighted(0.1);
    (claims(), ask(), peer(), one(SERVERS), 0..20u64, (strange(), strange(), strange())).prop_flat_map(
        move |(claims, ask, peer, server, later_s, (any_grant, any_peer, any_server))| {
            let claims = if any_grant { claims } else { fitting(claims, &ask) };
            let server = if any_server { server } else { claims.audience.clone() };
            draws(caveats(&claims, &ask), claims.depth_limit.min(most)).prop_map(move |draws| {
                let claims = claims.clone();
                let steps = steps(&claims, draws);
                let case =
                    Case { claims, steps, ask: ask.clone(), peer: peer.clone(), server: server.clone(), later_s };
                if any_peer { case } else { Case { peer: case.holder().clone(), ..case } }
            })
        },
    )
}
