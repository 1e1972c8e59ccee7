//! Hand a token on, and read it back; refuse every hop that is not in order. A stock Biscuit verifier is the judge.

use super::*;
use crate::{
    attenuate::attenuate,
    fixture::{claims, root, token},
    mint,
    parse::Unverified,
    profile::fact,
};
use biscuit_auth::{
    Biscuit, PrivateKey, UnverifiedBiscuit,
    builder::{AuthorizerBuilder, BlockBuilder},
};

const FIRST: &str = "spiffe://acme.example/agent/first";
const SECOND: &str = "spiffe://acme.example/agent/second";

fn pair(seed: u8) -> KeyPair {
    KeyPair::from(&PrivateKey::from_bytes(&[seed; 32], Algorithm::Ed25519).expect("32 bytes"))
}

fn key(seed: u8) -> DelegationKey {
    DelegationKey::of(&pair(seed)).expect("Ed25519")
}

fn id(text: &str) -> SpiffeId {
    text.parse().expect("a SPIFFE ID")
}

fn delegable() -> crate::Claims {
    let delegate = |holder, agent: &str| Delegate {
        holder: id(holder),
        agent: agent.parse().expect("a name"),
        version: "1.0".parse().expect("a version"),
    };
    let delegates = vec![delegate(FIRST, "first"), delegate(SECOND, "second")];
    crate::Claims { may_act: Some(MayAct { key: key(1), delegates }), ..claims() }
}

fn parent() -> Parent {
    Parent::read(&token(&delegable())).expect("a token")
}

fn stock_allows(token: &[u8], peer: &str) -> bool {
    let biscuit = Biscuit::from(token, root().public()).expect("signed");
    let facts = format!(
        r#"time(1970-01-01T00:20:00Z); peer("{peer}"); server("{}");
        tool("read_file"); operation("read"); resource("0000"); allow if true;"#,
        claims().audience
    );
    let authorizer = AuthorizerBuilder::new().code(facts).expect("code").build(&biscuit);
    authorizer.expect("builds").authorize().is_ok()
}

#[test]
fn what_is_handed_on_is_the_next_holders_alone() {
    let handed = parent().hand_over(&id(FIRST), None, &[], &pair(1)).expect("hands over");
    let read = Unverified::parse(&handed).expect("inside the profile");
    let [hop] = read.hops() else { panic!("one hop") };
    assert_eq!((hop.to.holder.as_str(), hop.to.agent.as_str(), hop.key, hop.block), (FIRST, "first", None, 1));
    assert_eq!(Parent::read(&handed).expect("a token").holder().as_str(), FIRST);
    for (peer, allowed) in [(FIRST, true), (SECOND, false), (claims().holder.as_str(), false)] {
        assert_eq!(stock_allows(&handed, peer), allowed, "{peer}");
    }
    assert!(stock_allows(&token(&delegable()), claims().holder.as_str()), "and until then it is its holder's");
    assert!(!stock_allows(&token(&delegable()), FIRST));
}

#[test]
fn goes_on_over_two_hops_with_narrowing_between() {
    let tool = [Caveat::Tool("read_file".parse().expect("a tool")), Caveat::Nonce([1; 16])];
    let first = parent().hand_over(&id(FIRST), Some(key(2)), &tool, &pair(1)).expect("hands over");
    let narrowed = attenuate(&first, &[Caveat::Nonce([2; 16])]).expect("narrows");
    let second = Parent::read(&narrowed).expect("a token").hand_over(&id(SECOND), None, &[], &pair(2));
    let call = attenuate(&second.expect("hands over"), &[Caveat::Operation("read".parse().expect("an operation"))]);
    let call = call.expect("narrows");
    let read = Unverified::parse(&call).expect("inside the profile");
    let chain: Vec<_> = read.hops().iter().map(|hop| (hop.to.holder.as_str(), hop.block)).collect();
    assert_eq!(chain, [(FIRST, 1), (SECOND, 3)]);
    assert_eq!(read.blocks().iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 0, 1]);
    Biscuit::from(&call[..], root().public()).expect("a stock verifier takes every signature");
}

#[test]
fn refuses_a_first_hop_that_is_not_bound_to_the_authority_block() {
    let narrowed = attenuate(&token(&delegable()), &[Caveat::Nonce([1; 16])]).expect("narrows");
    let handed = Parent::read(&narrowed).expect("a token").hand_over(&id(FIRST), None, &[], &pair(1));
    assert!(matches!(handed, Err(AttenuateError::TooMuch(Reason::TokenOutOfProfile))));
}

#[test]
fn a_stock_verifier_agrees_over_two_hops() {
    let first = parent().hand_over(&id(FIRST), Some(key(2)), &[], &pair(1)).expect("hands over");
    // A block trusts itself: that it may go further must not let in whom nobody handed it to.
    for (peer, allowed) in [(FIRST, true), (SECOND, false), (claims().holder.as_str(), false), ("spiffe://x/y", false)]
    {
        assert_eq!(stock_allows(&first, peer), allowed, "{peer}");
    }
    let second = Parent::read(&first).expect("a token").hand_over(&id(SECOND), None, &[], &pair(2));
    let second = second.expect("hands over");
    for (peer, allowed) in [(FIRST, false), (SECOND, true), (claims().holder.as_str(), false)] {
        assert_eq!(stock_allows(&second, peer), allowed, "{peer}");
    }
}

#[test]
fn refuses_a_hop_to_whom_the_broker_did_not_name_or_who_held_it() {
    let stranger = id("spiffe://acme.example/agent/stranger");
    let refused = |parent: &Parent, to: &SpiffeId, by| match parent.hand_over(to, None, &[], &pair(by)) {
        Err(AttenuateError::NotForThem(who)) => who == *to,
        _ => false,
    };
    assert!(refused(&parent(), &stranger, 1));
    assert!(refused(&parent(), &claims().holder, 1));
    let first = parent().hand_over(&id(FIRST), Some(key(2)), &[], &pair(1)).expect("hands over");
    let first = Parent::read(&first).expect("a token");
    assert!(refused(&first, &id(FIRST), 2));
    assert!(refused(&first, &claims().holder, 2));
    let plain = Parent::read(&token(&claims())).expect("a token");
    assert!(refused(&plain, &id(FIRST), 1), "a token that may not be handed on at all");
}

#[test]
fn refuses_another_key_than_the_token_names() {
    let refused = |parent: &Parent, to, by| {
        matches!(parent.hand_over(&id(to), None, &[], &pair(by)), Err(AttenuateError::NotTheirKey))
    };
    assert!(refused(&parent(), FIRST, 2));
    let last = parent().hand_over(&id(FIRST), None, &[], &pair(1)).expect("hands over");
    let last = Parent::read(&last).expect("a token");
    assert!(refused(&last, SECOND, 1), "goes no further");
    let again = parent().hand_over(&id(FIRST), Some(key(1)), &[], &pair(1));
    assert!(matches!(again, Err(AttenuateError::TooMuch(Reason::TokenOutOfProfile))), "a key that is named already");
}

/// Appends a third-party block that stock Biscuit writes, signed with `by`.
fn forged(code: &str, by: &KeyPair) -> Vec<u8> {
    let parent = UnverifiedBiscuit::from(token(&delegable())).expect("a token");
    let builder = BlockBuilder::new().code(code).expect("code");
    let block = parent.third_party_request().expect("open").create_block(&by.private(), builder).expect("signs");
    parent.append_third_party(&block.serialize().expect("encodes")).expect("appends").to_vec().expect("encodes")
}

#[test]
fn is_what_a_stock_biscuit_writes() {
    let (first, holder) = (FIRST, claims().holder);
    let code = format!(r#"hop("{holder}", "{FIRST}"); check if peer("{FIRST}");"#);
    let stock = Unverified::parse(&forged(&code, &pair(1))).expect("inside the profile");
    assert_eq!(stock.hops()[0].to.holder.as_str(), FIRST);
    let onward = format!(
        r#"hop("{holder}", "{FIRST}"); check if peer("{FIRST}") or hop("{first}", $c), may_act($i, $c, $a, $v) trusting authority, {};"#,
        pair(2).public().print()
    );
    let stock = Unverified::parse(&forged(&onward, &pair(1))).expect("inside the profile");
    assert_eq!(stock.hops()[0].key, Some(key(2)));
    let mut builder = Biscuit::builder();
    for fact in mint::facts(&delegable()) {
        builder = builder.fact(fact).expect("a fact");
    }
    for check in mint::checks(&delegable()).expect("a key") {
        builder = builder.check(check).expect("a check");
    }
    let stock = builder.root_key_id(7).build(&root()).and_then(|t| t.to_vec()).expect("builds");
    assert_eq!(Unverified::parse(&stock).expect("inside the profile").claims(), &delegable());
}

#[test]
fn refuses_a_hop_of_another_shape() {
    let (first, holder, key2) = (FIRST, claims().holder, pair(2).public().print());
    let key3 = pair(3).public().print();
    for (why, code) in [
        ("from another", format!(r#"hop("{SECOND}", "{first}"); check if peer("{first}");"#)),
        ("from nobody", format!(r#"hop("{first}"); check if peer("{first}");"#)),
        (
            "met by any hop",
            format!(
                r#"hop("{holder}", "{first}"); check if peer("{first}") or hop($f, $c), may_act($i, $c, $a, $v) trusting authority, {key2};"#
            ),
        ),
        (
            "met by its own hop",
            format!(
                r#"hop("{holder}", "{first}"); check if peer("{first}") or hop("{holder}", $c), may_act($i, $c, $a, $v) trusting authority, {key2};"#
            ),
        ),
        ("no fact", format!(r#"check if peer("{first}");"#)),
        ("no check", format!(r#"hop("{holder}", "{first}");"#)),
        ("another's check", format!(r#"hop("{holder}", "{first}"); check if peer("{SECOND}");"#)),
        ("two hops", format!(r#"hop("{holder}", "{first}"); hop("{holder}", "{SECOND}"); check if peer("{first}");"#)),
        ("another fact", format!(r#"{}("{first}"); check if peer("{first}");"#, fact::HOLDER)),
        ("a right", format!(r#"hop("{holder}", "{first}"); grant("a", "b", "under", ""); check if peer("{first}");"#)),
        (
            "a name of its own",
            format!(r#"hop("{holder}", "{first}"); may_act(9, "{first}", "a", "1"); check if peer("{first}");"#),
        ),
        (
            "a stranger",
            format!(r#"hop("{holder}", "spiffe://acme.example/x"); check if peer("spiffe://acme.example/x");"#),
        ),
        (
            "the check comes later",
            format!(r#"hop("{holder}", "{first}"); check if tool("a"); check if peer("{first}");"#),
        ),
        (
            "anybody named by anybody",
            format!(
                r#"hop("{holder}", "{first}"); check if peer("{first}") or hop("{first}", $c), may_act($i, $c, $a, $v) trusting previous;"#
            ),
        ),
        (
            "without the broker's names",
            format!(
                r#"hop("{holder}", "{first}"); check if peer("{first}") or hop("{first}", $c) trusting authority, {key2};"#
            ),
        ),
        (
            "two keys",
            format!(
                r#"hop("{holder}", "{first}"); check if peer("{first}") or hop("{first}", $c), may_act($i, $c, $a, $v) trusting authority, {key2}, {key3};"#
            ),
        ),
        (
            "other names",
            format!(
                r#"hop("{holder}", "{first}"); check if peer("{first}") or hop("{first}", $c), may_act($i, $x, $a, $v) trusting authority, {key2};"#
            ),
        ),
        ("a rule", format!(r#"hop("{holder}", "{first}"); hop("x", "y") <- peer($p); check if peer("{first}");"#)),
    ] {
        let refused = Unverified::parse(&forged(&code, &pair(1))).expect_err(why);
        assert_eq!(refused, Reason::TokenOutOfProfile, "{why}");
    }
    let good = format!(r#"hop("{holder}", "{first}"); check if peer("{first}");"#);
    assert_eq!(Unverified::parse(&forged(&good, &pair(3))).expect_err("a key"), Reason::TokenOutOfProfile);
}

#[test]
fn refuses_to_mint_for_a_list_that_is_none() {
    let with = |delegates| {
        let claims = crate::Claims { may_act: Some(MayAct { key: key(1), delegates }), ..claims() };
        matches!(mint::mint(&claims, crate::fixture::KEY_ID, &root()), Err(mint::MintError::Depth))
    };
    let one = delegable().may_act.expect("named").delegates.remove(0);
    assert!(with(vec![]));
    assert!(with(vec![one.clone(), one.clone()]));
    assert!(with(vec![Delegate { holder: claims().holder, ..one.clone() }]));
    let many = (0..9).map(|i| Delegate { holder: id(&format!("{FIRST}{i}")), ..one.clone() }).collect();
    assert!(with(many));
}

#[test]
fn refuses_bytes_that_are_no_key() {
    assert!(DelegationKey::try_from(&[7; 31][..]).is_err());
    let none = (0..=255u8).map(|byte| [byte; 32]).filter(|bytes| DelegationKey::try_from(&bytes[..]).is_err());
    assert!(none.count() > 0, "not every text of 32 bytes is a point");
}
