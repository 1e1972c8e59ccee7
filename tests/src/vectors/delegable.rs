//! Authority blocks outside the profile as to who may act, each signed by the broker's own key.

use super::{
    Vector,
    forge::{add_fact, authority, public, sign, string, symbol, take_facts, text},
    handed_on::EIGHT,
    hops::{FIRST, SECOND, STRANGER, delegable, delegable_to, hop_seed},
    player::{HOLDER, claims, vector},
};
use biscuit_auth::format::schema::{Block, PublicKey, Scope, Term, scope, term};
use crumb_token::{Reason, profile::fact};
use ed25519_dalek::VerifyingKey;

/// All of them.
pub fn vectors() -> Vec<Vector> {
    [versions(), facts(), keys(), checks()].concat()
}

/// One change of the authority block of a token that may be handed on.
fn changed(name: &str, why: &str, change: impl Fn(&mut Block)) -> Vector {
    let mut block = authority(&delegable());
    change(&mut block);
    vector(name, why, text(&sign(&[block])), Reason::TokenOutOfProfile.code())
}

fn versions() -> Vec<Vector> {
    let version = |block: Block, version: u32| text(&sign(&[Block { version: Some(version), ..block }]));
    let case = |name: &str, why: &str, token: String, reason: Reason| vector(name, why, token, reason.code());
    let (to_hand_on, plain) = (authority(&delegable()), authority(&claims()));
    vec![
        case(
            "delegable_version_3",
            "the version without keys, and a key",
            version(to_hand_on.clone(), 3),
            Reason::TokenOutOfProfile,
        ),
        case("delegable_version_5", "that of a hop", version(to_hand_on, 5), Reason::TokenVersion),
        case(
            "version_4_without_may_act",
            "the version with keys, and none",
            version(plain.clone(), 4),
            Reason::TokenOutOfProfile,
        ),
        case(
            "authority_version_6",
            "a version that the profile does not take",
            version(plain, 6),
            Reason::TokenVersion,
        ),
    ]
}

/// Adds a `may_act`.
fn name(block: &mut Block, place: i64, (holder, agent, version): (&str, &str, &str)) {
    let terms = [holder, agent, version].map(|text| string(block, text));
    add_fact(block, fact::MAY_ACT, [vec![integer(place)], terms.to_vec()].concat());
}

fn integer(i: i64) -> Term {
    Term { content: Some(term::Content::Integer(i)) }
}

fn facts() -> Vec<Vector> {
    let added = |id: &str, why: &str, place: i64, delegate: (&'static str, &'static str, &'static str)| {
        changed(id, why, move |b| name(b, place, delegate))
    };
    let mut without_key = authority(&claims());
    name(&mut without_key, 0, (FIRST, "summariser", "0.3"));
    let mut nine = authority(&delegable_to(&EIGHT));
    name(&mut nine, 8, (STRANGER, "other", "1"));
    let bare =
        |id: &str, why: &str, block: Block| vector(id, why, text(&sign(&[block])), Reason::TokenOutOfProfile.code());
    vec![
        bare("may_act_without_key", "who may act, and no key to say so with", without_key),
        bare("nine_may_act", "nine who may act", nine),
        changed("key_without_may_act", "a key to hand on with, and nobody to hand to", |b| {
            drop(take_facts(b, fact::MAY_ACT))
        }),
        added("may_act_holder", "the holder itself", 2, (HOLDER, "research-bot", "1.4.0")),
        added("may_act_twice", "a workload twice, as two agents", 2, (SECOND, "other", "1")),
        added("may_act_out_of_order", "the fourth without the third", 3, (STRANGER, "other", "1")),
        added("may_act_not_canonical", "a SPIFFE ID in capitals", 2, ("spiffe://ACME.example/a", "other", "1")),
        added("may_act_no_agent", "an agent that is no name", 2, (STRANGER, "Other", "1")),
        added("may_act_no_version", "a version that is none", 2, (STRANGER, "other", "one two")),
        changed("may_act_of_three_terms", "without the version", |b| {
            let terms = [STRANGER, "other"].map(|text| string(b, text));
            add_fact(b, fact::MAY_ACT, [vec![integer(2)], terms.to_vec()].concat());
        }),
        changed("hop_in_the_authority_block", "the broker hands nothing on", |b| {
            let terms = [HOLDER, FIRST].map(|text| string(b, text));
            add_fact(b, fact::HOP, terms.to_vec());
        }),
    ]
}

/// 32 bytes that are no point of the curve.
pub fn no_point() -> [u8; 32] {
    let mut bytes = (0..=255).map(|byte| [byte; 32]);
    bytes.find(|bytes| VerifyingKey::from_bytes(bytes).is_err()).expect("half of all bytes are none")
}

fn keys() -> Vec<Vector> {
    let replaced = |id: &str, why: &str, algorithm: i32, key: &[u8]| {
        changed(id, why, |b| b.public_keys = vec![PublicKey { algorithm, key: key.to_vec() }])
    };
    let p256 = [&[2][..], &[0x6b; 32]].concat();
    vec![
        changed("two_keys", "a table of two keys", |b| {
            b.public_keys.push(PublicKey { algorithm: 0, key: public(hop_seed(1)).to_vec() });
        }),
        changed("key_twice", "the key twice", |b| b.public_keys.push(b.public_keys[0].clone())),
        changed("no_key_in_the_table", "a check that trusts a key, and an empty table", |b| b.public_keys.clear()),
        replaced("key_no_point", "bytes that are no point of the curve", 0, &no_point()),
        replaced("key_of_31_bytes", "too short for a key", 0, &[1; 31]),
        replaced("key_p256", "a P-256 key", 1, &p256),
    ]
}

/// What the holder's check trusts.
fn trusting(contents: &[scope::Content]) -> impl Fn(&mut Block) {
    let scopes: Vec<_> = contents.iter().map(|content| Scope { content: Some(content.clone()) }).collect();
    move |b| b.checks[2].queries[1].scope.clone_from(&scopes)
}

fn checks() -> Vec<Vector> {
    let key = || scope::Content::PublicKey(0);
    let in_authority = || scope::Content::ScopeType(scope::ScopeType::Authority as i32);
    let before = scope::Content::ScopeType(scope::ScopeType::Previous as i32);
    vec![
        changed("holder_check_plain", "the half of who hands it on is missing", |b| drop(b.checks[2].queries.pop())),
        changed("holder_check_of_hops_alone", "the holder's half is missing", |b| drop(b.checks[2].queries.remove(0))),
        changed("holder_check_of_three", "anybody with the tool", |b| {
            let more = b.checks[3].queries[0].clone();
            b.checks[2].queries.push(more);
        }),
        changed("holder_check_disagrees", "another holder than the fact says", |b| {
            let other = string(b, STRANGER);
            b.checks[2].queries[0].body[0].terms[0] = other;
        }),
        changed("holder_check_all", "`check all` for the holder", |b| b.checks[2].kind = Some(1)),
        changed("holder_check_trusts_nobody", "no key is named", trusting(&[])),
        changed(
            "holder_check_trusts_the_authority",
            "only the authority block is trusted",
            trusting(&[in_authority()]),
        ),
        changed("holder_check_trusts_both", "the authority block beside the key", trusting(&[in_authority(), key()])),
        changed("holder_check_trusts_all_before", "every block before beside the key", trusting(&[before, key()])),
        changed(
            "holder_check_trusts_no_key",
            "a key that is not in the table",
            trusting(&[scope::Content::PublicKey(1)]),
        ),
        changed("holder_check_without_may_act", "a hop to anybody", |b| drop(b.checks[2].queries[1].body.pop())),
        changed("holder_check_without_hop", "whoever was named, without a hop", |b| {
            drop(b.checks[2].queries[1].body.remove(0))
        }),
        changed("holder_check_of_another", "the hop goes to one, and another was named", |b| {
            let other = u32::try_from(symbol(b, "elsewhere")).expect("small");
            b.checks[2].queries[1].body[1].terms[1] = Term { content: Some(term::Content::Variable(other)) };
        }),
        changed("holder_check_of_any_hop", "a hop from anybody", |b| {
            let from = u32::try_from(symbol(b, "from")).expect("small");
            b.checks[2].queries[1].body[0].terms[0] = Term { content: Some(term::Content::Variable(from)) };
        }),
        changed("holder_check_of_anothers_hop", "a hop from another than the holder", |b| {
            let other = string(b, SECOND);
            b.checks[2].queries[1].body[0].terms[0] = other;
        }),
        changed("holder_check_of_a_hop_from_nobody", "a hop that does not say from whom", |b| {
            drop(b.checks[2].queries[1].body[0].terms.remove(0));
        }),
        changed("holder_check_of_one", "a hop to one, written down", |b| {
            let one = string(b, FIRST);
            b.checks[2].queries[1].body[0].terms[1] = one.clone();
            b.checks[2].queries[1].body[1].terms[1] = one;
        }),
        changed("holder_check_agent_is_version", "one name for two terms", |b| {
            let body = &mut b.checks[2].queries[1].body;
            body[1].terms[2] = body[1].terms[3].clone();
        }),
    ]
}
