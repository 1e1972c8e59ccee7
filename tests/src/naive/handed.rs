//! Sections 1, 2 and 3.1 as to tokens that are handed on: whether the blocks are of the shape, and who holds the token.
//!
//! Apart from [`super::World`], whose rules are about one call.

use super::{
    datalog::{Fact, Value},
    read::{Block, Check, Token},
};
use ed25519_dalek::VerifyingKey;

/// A holder's check, when the token goes no further; and when it may, as the authority block and as a hop writes it.
const LAST: &str = "peer(text)";
const FIRST_OPEN: &str = "peer(text) or hop(text, $a), may_act($b, $a, $c, $d) trusting key";
const HOP_OPEN: &str = "peer(text) or hop(text, $a), may_act($b, $a, $c, $d) trusting authority, key";

/// The facts that an authority block may have.
const FACTS: [&str; 19] = [
    "crumb_profile",
    "token_id",
    "session",
    "agent",
    "agent_version",
    "environment",
    "holder",
    "origin",
    "subject",
    "actor",
    "ancestor",
    "may_act",
    "intent_digest",
    "audience",
    "grant",
    "issued_at",
    "expires_at",
    "depth_limit",
    "identity_provider",
];

/// Who may be handed a token: a `may_act` of the authority block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegate {
    /// The workload.
    pub holder: String,
    /// The agent that it is.
    pub agent: String,
    /// Of which version.
    pub version: String,
}

/// Reads the hops that a token has made; `None` when a block is not as the document has it.
pub fn hops(token: &Token) -> Option<Vec<Delegate>> {
    are_versions_right(token).then_some(())?;
    let (authority, appended) = token.blocks.split_first()?;
    let holder = token.text("holder")?;
    let named = delegates(&authority.facts)?;
    let may_be_named = |(i, delegate): (usize, &Delegate)| {
        delegate.holder != holder && named[..i].iter().all(|other| other.holder != delegate.holder)
    };
    let has_key = authority.keys.iter().filter(|key| is_point(key)).count();
    let keyed = authority.keys.len() == has_key && has_key == usize::from(!named.is_empty());
    let shape = if named.is_empty() { LAST } else { FIRST_OPEN };
    let listed = authority.facts.iter().all(|fact| FACTS.contains(&fact.name.as_str()));
    let checked = listed && is_holders(authority.checks.get(2)?, shape, holder);
    if !(keyed && checked && named.len() <= 8 && named.iter().enumerate().all(may_be_named)) {
        return None;
    }

    let mut keys: Vec<Vec<u8>> = authority.keys.clone();
    let mut next = authority.keys.first().cloned();
    let mut hops: Vec<Delegate> = Vec::new();
    for (before, block) in appended.iter().enumerate() {
        if block.external.is_none() {
            is_plain(block).then_some(())?;
            continue;
        }
        // The first hop is the first appended block.
        (before == 0 || !hops.is_empty()).then_some(())?;
        let (from, to, onward) = hop(block)?;
        let delegate = named.iter().find(|delegate| delegate.holder == to)?;
        let held = to == holder || hops.iter().any(|hop| hop.holder == to);
        let by_its_holder = next.is_some() && block.external.as_ref().map(|external| &external.key) == next.as_ref();
        let from_its_holder = from == hops.last().map_or(holder, |hop| hop.holder.as_str());
        if held || !from_its_holder || !by_its_holder || onward.as_ref().is_some_and(|key| keys.contains(key)) {
            return None;
        }
        keys.extend(onward.clone());
        next = onward;
        hops.push(delegate.clone());
    }
    Some(hops)
}

/// Section 1: what is signed has version 1 in a hop and after one; what is said has version 3, 4 or 5.
fn are_versions_right(token: &Token) -> bool {
    let mut hopped = false;
    token.blocks.iter().enumerate().all(|(place, block)| {
        hopped |= place > 0 && block.external.is_some();
        let version = match (place, &block.external) {
            (0, Some(_)) => return false,
            (0, None) if block.keys.is_empty() => 3,
            (0, None) => 4,
            (_, None) => 3,
            (_, Some(_)) => 5,
        };
        block.payload_version == hopped.then_some(1) && block.version == Some(version)
    })
}

fn delegates(facts: &[Fact]) -> Option<Vec<Delegate>> {
    let named = facts.iter().filter(|fact| fact.name == "may_act").enumerate();
    let delegate = |(place, fact): (usize, &Fact)| match &fact.terms[..] {
        [Value::Int(number), Value::Text(holder), Value::Text(agent), Value::Text(version)] => {
            let [holder, agent, version] = [holder, agent, version].map(Clone::clone);
            (i64::try_from(place) == Ok(*number)).then_some(Delegate { holder, agent, version })
        }
        _ => None,
    };
    named.map(delegate).collect()
}

fn is_plain(block: &Block) -> bool {
    let closed = block.facts.is_empty() && block.keys.is_empty();
    closed && (1..=16).contains(&block.checks.len()) && block.checks.iter().all(|check| check.is_listed())
}

/// Says whether a check has the shape of a holder's, and is that of `holder`: who may present it, and who may hand it on.
fn is_holders(check: &Check, shape: &str, holder: &str) -> bool {
    let handed = check.0.get(1).and_then(|query| query.body.first());
    let hands_on = handed.is_none_or(|hop| hop.terms.first() == Some(&Value::Text(holder.to_owned())));
    check.printed().as_deref() == Some(shape) && check.text() == Some(holder) && hands_on
}

/// A hop: from whom, to whom, and the key with which it may go on from there.
type Read = (String, String, Option<Vec<u8>>);

/// Reads a hop.
fn hop(block: &Block) -> Option<Read> {
    let (from, to) = match &block.facts[..] {
        [fact] if fact.name == "hop" => match &fact.terms[..] {
            [Value::Text(from), Value::Text(to)] => (from.clone(), to.clone()),
            _ => return None,
        },
        _ => return None,
    };
    let (holders, rest) = block.checks.split_first()?;
    let onward = match &block.keys[..] {
        [] => None,
        [key] if is_point(key) => Some(key.clone()),
        _ => return None,
    };
    let shape = if onward.is_some() { HOP_OPEN } else { LAST };
    let listed = rest.len() <= 15 && rest.iter().all(|check| check.is_listed());
    (is_holders(holders, shape, &to) && listed).then_some((from, to, onward))
}

fn is_point(key: &[u8]) -> bool {
    <[u8; 32]>::try_from(key).is_ok_and(|key| VerifyingKey::from_bytes(&key).is_ok())
}
