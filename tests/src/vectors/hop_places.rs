//! Hops in good order that the gate refuses for where they stand: after whom, from whom, by whose key, and how deep.
//!
//! Apart from [`super::hop_shapes`], whose hops are wrong by themselves.

use super::{
    Vector,
    forge::authority,
    handed_on::{narrowed, once, presented, then},
    hops::{
        FIRST, Link, SECOND, STRANGER, delegable, delegable_to, first, hop, hop_seed, hop_text, plain, second,
        sign_links, task,
    },
    player::{HOLDER, NOW, claims},
};
use crumb_token::{Caveat, Claims, Reason, Timestamp};

/// All of them.
pub fn vectors() -> Vec<Vector> {
    [places(), unbound(), signers(), next_keys(), depths()].concat()
}

fn case(name: &str, why: &str, links: Vec<Link>, peer: &str) -> Vector {
    presented(name, why, &sign_links(&links), peer, Reason::TokenOutOfProfile.code())
}

/// A hop of holder number `by`; who gets the token may go on with the key of number `onward`.
fn to(hands: [&str; 2], onward: Option<u8>, by: u8) -> Link {
    hop(&hop_text(hands, onward.map(hop_seed), ""), by)
}

fn places() -> Vec<Vector> {
    let may_not = vec![plain(&authority(&claims()))];
    let swapped = [task(), vec![to([FIRST, SECOND], None, 1), to([HOLDER, FIRST], Some(1), 0)]].concat();
    let dropped = {
        let mut token = sign_links(&second());
        token.blocks.remove(0);
        presented("hop_dropped", "the first of two hops is taken out", &token, SECOND, Reason::TokenOutOfProfile.code())
    };
    vec![
        dropped,
        case("hops_swapped", "two hops in the other order", swapped, FIRST),
        case(
            "hop_without_may_act",
            "of a token that may not be handed on",
            then(may_not, to([HOLDER, FIRST], None, 0)),
            FIRST,
        ),
        case(
            "hop_to_a_stranger",
            "to one whom the broker did not name",
            then(task(), to([HOLDER, STRANGER], None, 0)),
            STRANGER,
        ),
        case(
            "hop_to_its_holder",
            "back to the first holder, at once",
            then(task(), to([HOLDER, HOLDER], None, 0)),
            HOLDER,
        ),
        case(
            "hop_back_to_the_first_holder",
            "back to the first holder",
            then(first(), to([FIRST, HOLDER], None, 1)),
            HOLDER,
        ),
        case("hop_to_oneself", "to the one who holds it", then(first(), to([FIRST, FIRST], None, 1)), FIRST),
    ]
}

/// Hops in order but for a block before the first of them, which nothing binds to the authority block.
fn unbound() -> Vec<Vector> {
    let before = |n: u64| {
        let ends = |i| [Caveat::ExpiresAt(Timestamp::from_unix_s(NOW + 60 + i))];
        (0..n).fold(task(), |links, i| narrowed(links, &ends(i)))
    };
    let onward = |n| then(then(before(n), to([HOLDER, FIRST], Some(1), 0)), to([FIRST, SECOND], None, 1));
    vec![
        case(
            "narrowed_before_the_first_hop",
            "a block before the first hop",
            then(before(1), to([HOLDER, FIRST], None, 0)),
            FIRST,
        ),
        case(
            "narrowed_before_an_open_first_hop",
            "the same, and it may go on",
            then(before(1), to([HOLDER, FIRST], Some(1), 0)),
            FIRST,
        ),
        case(
            "hops_behind_unbound_blocks",
            "two blocks before the first hop: the second fits behind another token, and all after it too",
            onward(2),
            SECOND,
        ),
    ]
}

/// Signed by another than who holds the token, or said to be from another.
fn signers() -> Vec<Vector> {
    vec![
        case(
            "hop_by_another_key",
            "signed with a key that the token does not name",
            then(task(), to([HOLDER, FIRST], None, 5)),
            FIRST,
        ),
        case(
            "hop_by_the_key_that_it_names",
            "signed with the next holder's key",
            then(task(), to([HOLDER, FIRST], Some(1), 1)),
            FIRST,
        ),
        case(
            "hop_after_the_last",
            "the hop before says that it goes no further",
            then(once(), to([FIRST, SECOND], None, 1)),
            SECOND,
        ),
        case(
            "hop_after_the_last_by_the_first",
            "and the first holder's key does not help",
            then(once(), to([FIRST, SECOND], None, 0)),
            SECOND,
        ),
        case(
            "second_hop_by_the_first_holder",
            "the token is the next holder's now",
            then(first(), to([FIRST, SECOND], None, 0)),
            SECOND,
        ),
        case(
            "second_hop_from_the_first_holder",
            "signed by the next holder, and says that the first one hands it on again",
            then(first(), to([HOLDER, SECOND], None, 1)),
            SECOND,
        ),
        case(
            "second_hop_all_of_the_first_holder",
            "the first holder hands it on again, past the next one",
            then(first(), to([HOLDER, SECOND], None, 0)),
            SECOND,
        ),
    ]
}

/// The key to go on with is one that was named before.
fn next_keys() -> Vec<Vector> {
    let three = [(FIRST, "summariser", "0.3"), (SECOND, "translator", "1.0"), (STRANGER, "other", "1")];
    let three = vec![plain(&authority(&delegable_to(&three)))];
    let again = then(then(three, to([HOLDER, FIRST], Some(1), 0)), to([FIRST, SECOND], Some(1), 1));
    vec![
        case(
            "hop_names_the_authoritys_key",
            "the first holder's key again",
            then(task(), to([HOLDER, FIRST], Some(0), 0)),
            FIRST,
        ),
        case(
            "second_hop_names_the_authoritys_key",
            "the first holder's key again, later",
            then(first(), to([FIRST, SECOND], Some(0), 1)),
            SECOND,
        ),
        case("hop_names_an_earlier_hops_key", "the key that it is signed with, again", again, SECOND),
    ]
}

fn depths() -> Vec<Vector> {
    let case = |name: &str, why: &str, links: Vec<Link>| {
        presented(name, why, &sign_links(&links), SECOND, Reason::TokenTooDeep.code())
    };
    let limited = |depth_limit: u8| vec![plain(&authority(&Claims { depth_limit, ..delegable() }))];
    let step = || vec![Caveat::ExpiresAt(Timestamp::from_unix_s(NOW + 60))];
    let to_first = || hop(&hop_text([HOLDER, FIRST], Some(hop_seed(1)), ""), 0);
    let to_second = || hop(&hop_text([FIRST, SECOND], None, ""), 1);
    let eight = (0..7).fold(first(), |links, _| narrowed(links, &step()));
    vec![
        case("hop_of_depth_limit_0", "a hop, and the broker allowed no block", then(limited(0), to_first())),
        case(
            "hops_past_the_depth_limit",
            "two hops, and the broker allowed one block",
            then(then(limited(1), to_first()), to_second()),
        ),
        case("nine_blocks_with_hops", "one block more than the profile takes", then(eight, to_second())),
    ]
}
