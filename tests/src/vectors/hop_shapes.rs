//! Hops that the gate refuses by their envelope and by what they say. All are signed by whoever has the keys to, unless they
//! are about signatures. Those that it refuses for where they stand are [`super::hop_places`].

use super::{
    Vector,
    delegable::no_point,
    forge::{authority, symbol},
    handed_on::{narrowed, once, presented, then},
    hops::{
        FIRST, Link, SECOND, STRANGER, delegable, hop, hop_seed, hop_text, key_text, plain, sign_links,
        stock_third_party, task, third_party,
    },
    player::{HOLDER, word},
};
use biscuit_auth::format::schema::{Biscuit, Block, PublicKey, Scope, Term, scope, term};
use crumb_token::{Caveat, Reason};
use prost_biscuit::Message;

/// All of them.
pub fn vectors() -> Vec<Vector> {
    [envelopes(), versions(), texts(), raw(), tables()].concat()
}

/// The usual token, handed on once with this hop.
fn handed(name: &str, why: &str, block: &Block, reason: Reason) -> Vector {
    let link = Link { block: block.encode_to_vec(), by: Some(hop_seed(0)) };
    presented(name, why, &sign_links(&then(task(), link)), FIRST, reason.code())
}

fn envelopes() -> Vec<Vector> {
    let (out, version) = (Reason::TokenOutOfProfile, Reason::TokenVersion);
    let case = |name: &str, why: &str, reason: Reason, change: &dyn Fn(&mut Biscuit)| {
        let mut token = sign_links(&narrowed(once(), &[Caveat::Tool(word("read_file"))]));
        change(&mut token);
        presented(name, why, &token, FIRST, reason.code())
    };
    let key = |change: fn(&mut PublicKey)| {
        move |t: &mut Biscuit| change(&mut t.blocks[0].external_signature.as_mut().expect("a hop").public_key)
    };
    let on_the_authority = |token: &mut Biscuit, version: Option<u32>| {
        token.authority.external_signature = token.blocks[0].external_signature.clone();
        token.authority.version = version;
    };
    vec![
        case("hop_payload_version_0", "a hop that is not bound to its place", version, &|t| t.blocks[0].version = None),
        case("hop_payload_version_0_aloud", "the same, said aloud", version, &|t| t.blocks[0].version = Some(0)),
        case("hop_payload_version_2", "a version of the future", version, &|t| t.blocks[0].version = Some(2)),
        case("block_after_hop_version_0", "a block after a hop that is not bound to it", version, &|t| {
            t.blocks[1].version = None
        }),
        case("block_before_hop_version_1", "bound before any hop", version, &|t| t.authority.version = Some(1)),
        case("third_party_authority", "a third party beside the broker", out, &|t| on_the_authority(t, None)),
        case("third_party_authority_bound", "the same, in the newer version", version, &|t| {
            on_the_authority(t, Some(1))
        }),
        case("hop_signature_of_63_bytes", "too short for a signature", out, &|t| {
            t.blocks[0].external_signature.as_mut().expect("a hop").signature.truncate(63);
        }),
        case("hop_key_of_31_bytes", "too short for a key", out, &key(|key| key.key.truncate(31))),
        case("hop_key_of_p256", "the key of another algorithm", out, &key(|key| key.algorithm = 1)),
        case(
            "hop_key_no_point",
            "bytes that are no point of the curve",
            out,
            &key(|key| key.key = no_point().to_vec()),
        ),
        case("hop_signature_removed", "a hop without its third party", version, &|t| {
            t.blocks[0].external_signature = None
        }),
    ]
}

fn versions() -> Vec<Vector> {
    let usual = || third_party(&hop_text([HOLDER, FIRST], None, ""));
    let labelled = |name: &str, version: u32| {
        let why = "a version that no hop has";
        handed(name, why, &Block { version: Some(version), ..usual() }, Reason::TokenVersion)
    };
    let newest = stock_third_party(&hop_text([HOLDER, FIRST], None, r#"check if tool($t), $t == "read_file";"#));
    let unsigned = |version: u32| plain(&Block { version: Some(version), ..usual() });
    let bare = |name: &str, why: &str, version: u32, reason: Reason| {
        presented(name, why, &sign_links(&then(task(), unsigned(version))), FIRST, reason.code())
    };
    vec![
        labelled("hop_version_3", 3),
        labelled("hop_version_4", 4),
        handed(
            "hop_version_6",
            "as stock libraries label it: a version that no hop has",
            &newest,
            Reason::TokenVersion,
        ),
        handed("hop_without_version", "no version", &Block { version: None, ..usual() }, Reason::TokenVersion),
        bare("hop_without_third_party", "says that it is a hop, and nobody signed it", 3, Reason::TokenOutOfProfile),
        bare("hop_without_third_party_version_5", "the same, with a hop's version", 5, Reason::TokenVersion),
    ]
}

/// Hops by their Datalog, each with what is wrong with it.
fn texts() -> Vec<Vector> {
    let cases = [last_texts(), open_texts()].concat();
    let case = |(name, why, text): &Case| handed(name, why, &third_party(text), Reason::TokenOutOfProfile);
    cases.iter().map(case).collect()
}

/// A vector's name, why it is there, and the Datalog of the hop.
type Case = (&'static str, &'static str, String);

/// The fact of the usual hop, and its check.
fn usual() -> (String, String) {
    (format!(r#"hop("{HOLDER}", "{FIRST}");"#), format!(r#"check if peer("{FIRST}");"#))
}

/// Of hops that name no key.
fn last_texts() -> Vec<Case> {
    let (to, peer) = usual();
    vec![
        ("hop_without_fact", "a third party's checks alone", peer.clone()),
        ("hop_without_check", "nobody is named to present it", to.clone()),
        ("hop_of_two", "two next holders", format!(r#"{to} hop("{HOLDER}", "{SECOND}"); {peer}"#)),
        ("hop_check_for_another", "the check is for another", format!(r#"{to} check if peer("{SECOND}");"#)),
        (
            "hop_check_later",
            "another check is before the holder's",
            format!(r#"{to} check if tool("read_file"); {peer}"#),
        ),
        (
            "hop_check_of_two_peers",
            "one of two may present it",
            format!(r#"{to} check if peer("{FIRST}") or peer("{SECOND}");"#),
        ),
        ("hop_check_of_anybody", "whoever presents it", format!("{to} check if peer($p);")),
        ("hop_check_all", "`check all`", format!(r#"{to} check all peer($p), $p === "{FIRST}";"#)),
        ("hop_reject_if", "`reject if`", format!(r#"{to} {peer} reject if tool("write_file");"#)),
        ("hop_from_nobody", "a hop that does not say from whom", format!(r#"hop("{FIRST}"); {peer}"#)),
        ("hop_from_a_stranger", "a hop from one who never held it", format!(r#"hop("{STRANGER}", "{FIRST}"); {peer}"#)),
        ("hop_from_a_delegate", "a hop from one who was only named", format!(r#"hop("{SECOND}", "{FIRST}"); {peer}"#)),
        ("hop_from_oneself", "a hop from whom it goes to", format!(r#"hop("{FIRST}", "{FIRST}"); {peer}"#)),
        ("hop_backwards", "to whom before from whom", format!(r#"hop("{FIRST}", "{HOLDER}"); {peer}"#)),
        ("hop_of_three_terms", "a term too many", format!(r#"hop("{HOLDER}", "{FIRST}", "{SECOND}"); {peer}"#)),
        ("hop_to_a_number", "a hop to a number", format!(r#"hop("{HOLDER}", 1); {peer}"#)),
        ("hop_from_a_number", "a hop from a number", format!(r#"hop(1, "{FIRST}"); {peer}"#)),
        ("hop_of_another_name", "a fact of another name", format!(r#"holder("{HOLDER}", "{FIRST}"); {peer}"#)),
        (
            "hop_with_a_grant",
            "a holder grants more than it has",
            format!(r#"{to} grant("read_file", "write", "under", ""); {peer}"#),
        ),
        (
            "hop_with_may_act",
            "a holder names who may act",
            format!(r#"{to} may_act(9, "{STRANGER}", "other", "1"); {peer}"#),
        ),
        (
            "hop_with_ambient_fact",
            "a holder answers the check of the one before",
            format!(r#"{to} peer("{HOLDER}"); {peer}"#),
        ),
        ("hop_with_a_rule", "a rule", format!(r#"{to} hop("{HOLDER}", $p) <- peer($p); {peer}"#)),
        (
            "hop_of_17_checks",
            "a check too many",
            format!("{to} {peer} {}", r#"check if operation("read"); "#.repeat(16)),
        ),
        (
            "hop_with_unlisted_check",
            "a check that is not of the list",
            format!(r#"{to} {peer} check if hop("{HOLDER}", "{FIRST}");"#),
        ),
        (
            "hop_not_canonical",
            "a SPIFFE ID in capitals",
            format!(r#"hop("{HOLDER}", "spiffe://ACME.example/a"); check if peer("spiffe://ACME.example/a");"#),
        ),
    ]
}

/// Of hops that name one.
fn open_texts() -> Vec<Case> {
    let (to, peer) = usual();
    let (key, other) = (key_text(hop_seed(1)), key_text(hop_seed(2)));
    let open = |trusting: &str| {
        format!(r#"{to} check if peer("{FIRST}") or hop("{FIRST}", $c), may_act($i, $c, $a, $v) trusting {trusting};"#)
    };
    let onward = || open(&format!("authority, {key}"));
    let own_half = format!(r#"or hop("{FIRST}", $c),"#);
    vec![
        (
            "hop_open_to_any_hop",
            "any hop will do, and this is one: whoever presents it",
            onward().replace(&own_half, "or hop($f, $c),"),
        ),
        (
            "hop_open_to_itself",
            "the hop that it stands in will do: whoever presents it",
            onward().replace(&own_half, &format!(r#"or hop("{HOLDER}", $c),"#)),
        ),
        (
            "hop_open_from_nobody",
            "a hop that does not say from whom will do",
            onward().replace(&own_half, "or hop($c),"),
        ),
        (
            "hop_open_from_another",
            "somebody else hands it on",
            onward().replace(&own_half, &format!(r#"or hop("{SECOND}", $c),"#)),
        ),
        ("hop_open_from_and_to_one", "one name for two terms", onward().replace(&own_half, "or hop($c, $c),")),
        (
            "hop_open_met_by_its_fact",
            "the fact and the check are another's, and meet",
            onward().replacen(HOLDER, FIRST, 1),
        ),
        ("hop_open_without_authority", "only the next key is trusted, so nobody was named", open(&key)),
        ("hop_open_backwards", "the key before the authority block", open(&format!("{key}, authority"))),
        ("hop_open_with_two_keys", "two keys to go on with", open(&format!("authority, {key}, {other}"))),
        ("hop_open_to_previous", "every block before is trusted", open("previous")),
        ("hop_open_without_key", "nobody's key is trusted", open("authority")),
        (
            "hop_open_for_another",
            "the check is for another",
            onward().replace(&format!(r#"peer("{FIRST}")"#), &format!(r#"peer("{SECOND}")"#)),
        ),
        ("hop_open_to_anybody", "to whom the broker did not name", onward().replace(", may_act($i, $c, $a, $v)", "")),
        (
            "hop_open_of_another",
            "the hop goes to one, and another was named",
            onward().replace("may_act($i, $c,", "may_act($i, $x,"),
        ),
        (
            "hop_second_scope",
            "a caveat that trusts another",
            format!(r#"{to} {peer} check if tool("read_file") trusting {key};"#),
        ),
    ]
}

/// Hops that no Datalog text can say.
fn raw() -> Vec<Vector> {
    let bent = |name: &str, why: &str, text: String, change: &dyn Fn(&mut Block)| {
        let mut block = third_party(&text);
        change(&mut block);
        handed(name, why, &block, Reason::TokenOutOfProfile)
    };
    let last = || hop_text([HOLDER, FIRST], None, "");
    let open = || hop_text([HOLDER, FIRST], Some(hop_seed(1)), "");
    let key = |key: &[u8], algorithm| vec![PublicKey { algorithm, key: key.to_vec() }];
    let previous = Scope { content: Some(scope::Content::ScopeType(scope::ScopeType::Previous as i32)) };
    vec![
        bent("hop_with_idle_key", "a key that no check trusts", last(), &|b| b.public_keys = key(&[1; 32], 0)),
        bent("hop_open_with_empty_table", "a check that trusts a key, and no table", open(), &|b| {
            b.public_keys.clear()
        }),
        bent("hop_open_key_no_point", "bytes that are no point of the curve", open(), &|b| {
            b.public_keys = key(&no_point(), 0)
        }),
        bent("hop_open_key_p256", "a P-256 key", open(), &|b| b.public_keys = key(&[2; 33], 1)),
        bent("hop_open_key_of_33_bytes", "too long for a key", open(), &|b| b.public_keys[0].key.push(0)),
        bent("hop_scope", "a block that trusts those before it", last(), &|b| b.scope = vec![previous.clone()]),
        bent("hop_context", "free text", last(), &|b| b.context = Some("for you".into())),
        bent("hop_check_kind_0", "`check if` said aloud", last(), &|b| b.checks[0].kind = Some(0)),
        bent("hop_open_check_kind_1", "`check all`", open(), &|b| b.checks[0].kind = Some(1)),
    ]
}

/// Tables of texts: a hop has its own, and nobody else knows it.
fn tables() -> Vec<Vector> {
    let named = |number| Term { content: Some(term::Content::String(number)) };
    let bent = |name: &str, why: &str, change: &dyn Fn(&mut Block)| {
        let mut block = third_party(&hop_text([HOLDER, FIRST], None, ""));
        change(&mut block);
        handed(name, why, &block, Reason::TokenOutOfProfile)
    };
    let mut before = authority(&delegable());
    let earlier = symbol(&mut before, FIRST);
    let of_the_hop = 1024 + u64::try_from(before.symbols.len()).expect("few");
    let mut later = super::forge::datalog(&[before], r#"check if operation("read");"#);
    later.checks[0].queries[0].body[0].terms[0] = named(of_the_hop + 1);
    let later =
        then(then(task(), hop(&hop_text([HOLDER, FIRST], None, r#"check if operation("read");"#), 0)), plain(&later));
    vec![
        bent("hop_with_texts_before", "a text of the authority block, by its number there", &|b| {
            b.facts[0].predicate.terms[1] = named(earlier);
            b.checks[0].queries[0].body[0].terms[0] = named(earlier);
            let place = b.symbols.iter().position(|text| text == FIRST).expect("the next holder");
            b.symbols.remove(place);
            let peer = b.symbols.iter().position(|text| text == "peer").expect("what is checked");
            b.checks[0].queries[0].body[0].name = 1024 + u64::try_from(peer).expect("few");
        }),
        bent("hop_of_257_symbols", "a text too many", &|b| b.symbols.extend((0..256).map(|i| format!("s{i}")))),
        bent("hop_symbol_of_every_implementation", "a new number for a text that has one", &|b| {
            b.symbols.push("read".into())
        }),
        bent("hop_symbol_twice", "two numbers for one text", &|b| b.symbols.push(FIRST.into())),
        presented(
            "texts_of_a_hop_used_later",
            "a text of the hop's, by the number that it would have had",
            &sign_links(&later),
            FIRST,
            Reason::TokenOutOfProfile.code(),
        ),
    ]
}
