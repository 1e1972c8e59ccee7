//! Tokens that were handed on and are in order: those that are accepted, and those that the call, the feed or the
//! signatures refuse.

use super::{
    Call, Vector,
    accepted::{arg, with_args},
    forge::{authority, text, third_party_payload},
    hops::{
        FIRST, Link, SECOND, STRANGER, delegable, delegable_to, external, first, hop, hop_seed, hop_text,
        narrowing_link, plain, seal_links, second, sign_again, sign_links, task,
    },
    player::{AUDIENCE, HOLDER, NOW, call, vector, word},
};
use biscuit_auth::format::schema::{Biscuit, proof};
use crumb_token::{
    Caveat, Claims, Reason, Scalar, Timestamp,
    caveat::ArgRule,
    handover::{DelegationKey, MayAct},
};
use serde_json::json;

/// Eight workloads that a token may be handed to, as many as the profile takes.
pub const EIGHT: [(&str, &str, &str); 8] = [
    ("spiffe://acme.example/agent/d0", "d0", "1"),
    ("spiffe://acme.example/agent/d1", "d1", "1"),
    ("spiffe://acme.example/agent/d2", "d2", "1"),
    ("spiffe://acme.example/agent/d3", "d3", "1"),
    ("spiffe://acme.example/agent/d4", "d4", "1"),
    ("spiffe://acme.example/agent/d5", "d5", "1"),
    ("spiffe://acme.example/agent/d6", "d6", "1"),
    ("spiffe://acme.example/agent/d7", "d7", "1"),
];

/// A vector of the usual call by `peer`.
pub fn presented(name: &str, why: &str, token: &Biscuit, peer: &str, expect: &str) -> Vector {
    Vector { peer: peer.into(), ..vector(name, why, text(token), expect) }
}

/// A token that was handed on to the first delegate, who has to keep it.
pub fn once() -> Vec<Link> {
    then(task(), hop(&hop_text([HOLDER, FIRST], None, ""), 0))
}

/// A chain and one link more.
pub fn then(mut links: Vec<Link>, next: Link) -> Vec<Link> {
    links.push(next);
    links
}

/// A chain and a block of caveats more.
pub fn narrowed(links: Vec<Link>, caveats: &[Caveat]) -> Vec<Link> {
    let next = narrowing_link(&links, caveats);
    then(links, next)
}

/// A chain in the hands of the first delegate, handed on to the second, who has to keep it.
fn to_second(links: Vec<Link>) -> Vec<Link> {
    then(links, hop(&hop_text([FIRST, SECOND], None, ""), 1))
}

/// A token that went through as many hands as the profile takes; `rest` stands in the last hop.
pub fn eight_hops(rest: &str) -> Vec<Link> {
    let mut links = vec![plain(&authority(&delegable_to(&EIGHT)))];
    let mut from = HOLDER;
    for (n, (to, ..)) in (0u8..).zip(EIGHT) {
        let last = n == 7;
        let onward = (!last).then(|| hop_seed(n + 1));
        links.push(hop(&hop_text([from, to], onward, if last { rest } else { "" }), n));
        from = to;
    }
    links
}

fn ends(s: u64) -> Caveat {
    Caveat::ExpiresAt(Timestamp::from_unix_s(NOW + s))
}

const DIGEST: [u8; 32] = [0x5a; 32];

/// What a sidecar adds for one call of `holder`.
fn for_one_call(holder: &str) -> Vec<Caveat> {
    vec![
        Caveat::Tool(word("read_file")),
        Caveat::Resource(word("file:///docs/readme.md")),
        Caveat::ArgsDigest(DIGEST),
        Caveat::Audience(word(AUDIENCE)),
        ends(10),
        Caveat::Nonce([0x11; 16]),
        Caveat::Holder(word(holder)),
    ]
}

fn with_digest() -> Call {
    Call { args_digest: Some(hex::encode(DIGEST)), ..call() }
}

/// Those that have to be accepted.
pub fn accepted() -> Vec<Vector> {
    [in_other_hands(), with_caveats(), sealed(), revoked_beside()].concat()
}

fn allowed(name: &str, why: &str, links: &[Link], peer: &str) -> Vector {
    presented(name, why, &sign_links(links), peer, "allowed")
}

fn in_other_hands() -> Vec<Vector> {
    let to_eight = [plain(&authority(&delegable_to(&EIGHT)))];
    vec![
        allowed("delegable", "a task token that may be handed to two others, with its holder", &task(), HOLDER),
        allowed("may_act_at_the_bound", "eight who may act, as many as the profile takes", &to_eight, HOLDER),
        allowed("hop", "handed to another holder, who presents it", &once(), FIRST),
        allowed("hop_that_may_go_on", "handed to another holder, who might hand it on", &first(), FIRST),
        allowed("two_hops", "handed on twice", &second(), SECOND),
        allowed("eight_hops", "as many hops as the profile takes", &eight_hops(""), EIGHT[7].0),
        Vector {
            ask: with_digest(),
            ..allowed(
                "hop_call_token",
                "a call token of the next holder's",
                &narrowed(once(), &for_one_call(FIRST)),
                FIRST,
            )
        },
    ]
}

fn with_caveats() -> Vec<Vector> {
    let tool = || vec![Caveat::Tool(word("read_file"))];
    let checks = r#"check if operation("read"); "#.repeat(15);
    let deep = (0..6).fold(first(), |links, i| narrowed(links, &[ends(60 - i)]));
    let single_use =
        "check if nonce(hex:11111111111111111111111111111111); check if time($t), $t < 2100-01-01T00:00:00Z;";
    let mixed = then(task(), hop(&hop_text([HOLDER, FIRST], Some(hop_seed(1)), single_use), 0));
    let mixed = narrowed(narrowed(mixed, &tool()), &tool());
    let mixed = narrowed(then(mixed, hop(&hop_text([FIRST, SECOND], None, ""), 1)), &[ends(30)]);
    let note = || arg("note", ArgRule::Is(Scalar::text("draft").expect("short")));
    let draft = then(task(), hop(&hop_text([HOLDER, FIRST], None, r#"check if arg("note", "draft");"#), 0));
    vec![
        allowed(
            "hops_between_blocks",
            "two hops with narrowing blocks between and after, the first single use",
            &mixed,
            SECOND,
        ),
        allowed(
            "hop_most_checks",
            "16 checks in a hop, one of them the holder's",
            &then(task(), hop(&hop_text([HOLDER, FIRST], None, &checks), 0)),
            FIRST,
        ),
        allowed(
            "hop_deepest",
            "a hop in the last block that the profile takes",
            &then(deep, hop(&hop_text([FIRST, SECOND], None, ""), 1)),
            SECOND,
        ),
        Vector {
            ask: with_args(json!({ "note": "draft" })),
            ..allowed(
                "hop_text_again",
                "a later block says a text of the hop's with a number of its own",
                &narrowed(draft, &[note()]),
                FIRST,
            )
        },
    ]
}

fn sealed() -> Vec<Vector> {
    let called = narrowed(first(), &[Caveat::Tool(word("read_file"))]);
    let case = |name: &str, why: &str, links: &[Link]| presented(name, why, &seal_links(links), FIRST, "allowed");
    vec![
        case("hop_sealed", "sealed after a hop", &once()),
        case("hop_sealed_call_token", "sealed after a hop and a block", &called),
    ]
}

fn revoked_beside() -> Vec<Vector> {
    vec![
        Vector {
            revoked: vec!["agent:translator".into(), "version:summariser@0.4".into()],
            ..allowed(
                "hop_others_revoked",
                "who was named and does not hold it is revoked, and another version",
                &once(),
                FIRST,
            )
        },
        Vector {
            revoked: vec![format!("agent:summariser <= {}", NOW - 61)],
            ..allowed(
                "hop_issued_after_the_revocation",
                "the next holder's agent was revoked before the issue",
                &once(),
                FIRST,
            )
        },
    ]
}

/// Those that are refused after the gate.
pub fn refused() -> Vec<Vector> {
    [wrong_holders(), caveats(), revoked(), wrong_signatures()].concat()
}

fn wrong_holders() -> Vec<Vector> {
    let case = |name: &str, why: &str, links: &[Link], peer: &str| {
        presented(name, why, &sign_links(links), peer, Reason::HolderMismatch.code())
    };
    let bound = to_second(narrowed(first(), &[Caveat::Holder(word(FIRST))]));
    let called = narrowed(once(), &[ends(10)]);
    vec![
        case("delegable_by_a_delegate", "who may act has to be handed the token first", &task(), FIRST),
        case("hop_by_the_holder_before", "presented by the one who handed it on", &once(), HOLDER),
        case("hop_by_another_delegate", "presented by one who was named, and not handed it", &once(), SECOND),
        case("hop_by_a_stranger", "presented by one whom nobody named", &once(), STRANGER),
        case(
            "hop_call_token_by_the_holder_before",
            "narrowed since, and still not the first holder's",
            &called,
            HOLDER,
        ),
        case("two_hops_by_the_first", "presented by the one in the middle", &second(), FIRST),
        case("two_hops_by_the_holder_before", "presented by the first of three", &second(), HOLDER),
        case("open_hop_by_the_holder_before", "it may go on, and is the next holder's until then", &first(), HOLDER),
        case("open_hop_by_a_delegate", "presented by one whom it might be handed to", &first(), SECOND),
        case("open_hop_by_a_stranger", "presented by one whom nobody named", &first(), STRANGER),
        case("hop_after_caveat_holder", "a caveat binds it to the holder before, and goes along", &bound, SECOND),
    ]
}

fn caveats() -> Vec<Vector> {
    let case = |name: &str, why: &str, links: &[Link], reason: Reason| {
        presented(name, why, &sign_links(links), FIRST, reason.code())
    };
    let within = |rest: &str| then(task(), hop(&hop_text([HOLDER, FIRST], None, rest), 0));
    let before = to_second(narrowed(first(), &[Caveat::Tool(word("stat_file"))]));
    let after = narrowed(once(), &[Caveat::Operation(word("stat"))]);
    let single_use = within("check if nonce(hex:11111111111111111111111111111111);");
    vec![
        case(
            "hop_caveat_fails",
            "a caveat of the hop itself",
            &within(r#"check if tool("stat_file");"#),
            Reason::ToolNotGranted,
        ),
        case(
            "hop_argument_fails",
            "an argument that the hop demands",
            &within(r#"check if arg("n", 1);"#),
            Reason::ArgumentRefused,
        ),
        case(
            "hop_expired",
            "an end that the hop sets",
            &within("check if time($t), $t < 2027-01-15T08:00:00Z;"),
            Reason::TokenExpired,
        ),
        Vector {
            peer: SECOND.into(),
            ..case(
                "hop_caveat_before_fails",
                "what was narrowed before the hop stays so",
                &before,
                Reason::ToolNotGranted,
            )
        },
        case("hop_caveat_after_fails", "a block after the hop counts", &after, Reason::OperationNotGranted),
        Vector {
            again: true,
            ..case(
                "hop_nonce_used",
                "a single use that the hop sets, for the second time",
                &single_use,
                Reason::NonceReplayed,
            )
        },
    ]
}

fn revoked() -> Vec<Vector> {
    let case = |name: &str, what: &str, links: &[Link], peer: &str| Vector {
        revoked: vec![what.into()],
        ..presented(
            name,
            "revoked, although everything else allows it",
            &sign_links(links),
            peer,
            Reason::TokenRevoked.code(),
        )
    };
    let until_the_issue = format!("agent:summariser <= {}", NOW - 60);
    vec![
        case("revoked_agent_of_a_hop", "agent:summariser", &once(), FIRST),
        case("revoked_version_of_a_hop", "version:summariser@0.3", &narrowed(once(), &[ends(10)]), FIRST),
        case("revoked_agent_of_an_earlier_hop", "agent:summariser", &second(), SECOND),
        case("revoked_agent_of_the_last_hop", "agent:translator", &second(), SECOND),
        case("revoked_agent_before_a_hop", "agent:research-bot", &once(), FIRST),
        case("revoked_agent_of_a_hop_until_the_issue", &until_the_issue, &once(), FIRST),
    ]
}

/// Changes the token of a chain, and signs the given block again with the token's own key, as whoever has the token can.
fn changed(links: &[Link], place: usize, change: impl Fn(&mut Biscuit)) -> Biscuit {
    let mut token = sign_links(links);
    change(&mut token);
    sign_again(&mut token, place);
    token
}

fn wrong_signatures() -> Vec<Vector> {
    let case =
        |name: &str, why: &str, token: &Biscuit| presented(name, why, token, FIRST, Reason::SignatureInvalid.code());
    let flipped = |change: &dyn Fn(&mut Biscuit)| {
        let mut token = sign_links(&first());
        change(&mut token);
        token
    };
    let by_a_thief = changed(&once(), 1, |token| {
        // He has the token and its secret, and another key than the holder's.
        let message = third_party_payload(&token.authority.signature, &token.blocks[0].block);
        let signature = external([0x44; 32], &message).signature;
        token.blocks[0].external_signature.as_mut().expect("a hop").signature = signature;
    });
    let narrower = to_second(narrowed(first(), &[Caveat::Tool(word("read_file"))]));
    let cut_out = sign_links(&narrower).blocks[2].external_signature.clone();
    let moved = changed(&second(), 2, |token| token.blocks[1].external_signature.clone_from(&cut_out));
    let other_token = Claims { token: word("tok_01983f00000070008000000000000009"), ..delegable() };
    let of_another = then(vec![plain(&authority(&other_token))], once().remove(1));
    let of_another = sign_links(&of_another).blocks.remove(0).external_signature;
    let replanted = changed(&once(), 1, |token| token.blocks[0].external_signature.clone_from(&of_another));
    let unbound = changed(&once(), 1, |token| {
        let message = [&token.blocks[0].block[..], &0i32.to_le_bytes(), &token.authority.next_key.key].concat();
        token.blocks[0].external_signature = Some(external(hop_seed(0), &message));
    });
    let stripped = {
        let mut token = sign_links(&narrower);
        token.blocks.remove(1);
        token
    };
    let after = |message_of: &dyn Fn(&mut Biscuit)| {
        let mut token = sign_links(&narrowed(once(), &[ends(10)]));
        message_of(&mut token);
        token
    };
    let before_the_hop = after(&|token| {
        // Signed as a block that nothing binds to the hop.
        token.blocks[1].version = None;
        sign_again(token, 2);
        token.blocks[1].version = Some(1);
    });
    vec![
        case("hop_of_a_thief", "by somebody who has the token, and not its holder's key", &by_a_thief),
        Vector {
            peer: SECOND.into(),
            ..case("hop_moved", "a hop of another token, cut out: of one with a block more", &moved)
        },
        case("hop_of_another_token", "the first hop of another token of the same holder", &replanted),
        case(
            "hop_bound_to_nothing",
            "the older signature of third parties, which says nothing about the place",
            &unbound,
        ),
        Vector {
            peer: SECOND.into(),
            ..case("block_before_hop_stripped", "the block before the hop is taken out", &stripped)
        },
        case("block_after_hop_unbound", "the next block is signed as if no hop were before it", &before_the_hop),
        case(
            "flip_hop_signature",
            "one bit of the third party's signature",
            &flipped(&|t| {
                t.blocks[0].external_signature.as_mut().expect("a hop").signature[7] ^= 1;
            }),
        ),
        case("flip_hop_block_signature", "one bit of the token's own", &flipped(&|t| t.blocks[0].signature[7] ^= 1)),
        case("hop_weak_key", "the holder's key is of small order: anybody signs with it", &weak()),
        Vector {
            peer: EIGHT[7].0.into(),
            ..case("eight_hops_wrong_proof", "17 signatures verify, and the proof does not", &unproved())
        },
    ]
}

/// A hop behind a key of small order, with the signature that a lax verifier takes for every message.
fn weak() -> Biscuit {
    let mut one = [0; 32];
    one[0] = 1;
    let key = DelegationKey::try_from(&one[..]).expect("a point");
    let may_act = delegable().may_act.map(|named| MayAct { key, ..named });
    let links =
        then(vec![plain(&authority(&Claims { may_act, ..delegable() }))], hop(&hop_text([HOLDER, FIRST], None, ""), 0));
    changed(&links, 1, |token| {
        let external_signature = token.blocks[0].external_signature.as_mut().expect("a hop");
        external_signature.public_key.key = one.to_vec();
        external_signature.signature = [one, [0; 32]].concat();
    })
}

/// A token of as many signatures as the profile takes: all verify, and the proof at its end does not.
///
/// # Panics
///
/// Never.
pub fn unproved() -> Biscuit {
    let mut token = sign_links(&eight_hops(""));
    if let Some(proof::Content::NextSecret(secret)) = &mut token.proof.content {
        secret[9] ^= 4;
    }
    token
}
