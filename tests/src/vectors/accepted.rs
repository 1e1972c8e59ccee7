//! Tokens that every verifier has to accept: each shape of the profile, each bound at its edge.

use super::{
    Call, Vector,
    forge::{authority, narrowing, seal, sign, text},
    player::{AUDIENCE, HOLDER, NOW, above, call, call_for, claims, grants, vector, word},
};
use biscuit_auth::format::schema::{Biscuit, Block};
use crumb_token::{Caveat, Claims, Scalar, Timestamp, caveat::ArgRule, profile::DEPTH_MAX};
use serde_json::json;

/// The caveats of one block each, appended to the usual token.
pub fn chain(blocks: &[Vec<Caveat>]) -> Biscuit {
    sign(&chain_blocks(blocks))
}

/// The blocks of [`chain`], unsigned.
pub fn chain_blocks(blocks: &[Vec<Caveat>]) -> Vec<Block> {
    let mut all = vec![authority(&claims())];
    for caveats in blocks {
        all.push(narrowing(&all, caveats));
    }
    all
}

/// A caveat on argument `path`.
pub fn arg(name: &str, rule: ArgRule) -> Caveat {
    Caveat::Arg { name: word(name), rule }
}

/// The usual call, with arguments.
pub fn with_args(args: serde_json::Value) -> Call {
    Call { args: serde_json::from_value(args).expect("an object"), ..call() }
}

/// All of them.
pub fn vectors() -> Vec<Vector> {
    [plain(), caveats(), arguments()].concat()
}

fn plain() -> Vec<Vector> {
    let least = Claims { subject: None, actors: vec![], ancestors: vec![], depth_limit: 0, ..claims() };
    let most_grants: Vec<String> = (0..32).map(|i| format!("r:{i}")).collect();
    let rights: Vec<_> = most_grants.iter().map(|r| ("t", "read", r.as_str())).collect();
    let most = Claims {
        grants: grants(&rights),
        actors: vec![word("spiffe://a.example/b"); 8],
        ancestors: vec![above("ses_01983f00000070008000000000000003"); 8],
        ..claims()
    };
    let web = Claims { audience: word("https://tools.acme.example/mcp"), ..claims() };
    let all = Claims { grants: grants(&[("read_file", "read", "*")]), ..claims() };
    let minted =
        |name: &str, why: &str, claims: &Claims| vector(name, why, text(&sign(&[authority(claims)])), "allowed");
    let issued = |s| Claims { issued_at: Timestamp::from_unix_s(s), ..claims() };
    vec![
        minted("task_token", "a task token as the broker mints it; the resource is under a prefix", &claims()),
        Vector {
            ask: call_for("stat_file", "stat", "file:///docs/readme.md"),
            ..minted("grant_exact", "a grant of exactly this resource", &claims())
        },
        minted(
            "without_subject_and_actors",
            "on nobody's behalf, no actor before, no session above, no block may follow",
            &least,
        ),
        Vector {
            ask: call_for("t", "read", "r:31"),
            ..minted(
                "grants_at_the_bound",
                "32 grants, 8 prior actors, 8 sessions above: as many as the profile takes",
                &most,
            )
        },
        Vector {
            audience: "https://tools.acme.example/mcp".into(),
            ..minted("audience_https", "an https audience", &web)
        },
        minted("grant_of_every_resource", "the prefix is empty: every resource", &all),
        minted("issued_within_the_skew", "issued 2 s in the future, which the skew allows", &issued(NOW + 2)),
        Vector { now: NOW + 839, ..minted("last_second", "the last second before the end", &claims()) },
        Vector {
            key_not_before: NOW - 60,
            ..minted("issued_as_the_key_begins", "issued in the first second of the key", &claims())
        },
        Vector {
            environment: Some("production".into()),
            ..minted("environment", "the verifier's own environment", &claims())
        },
        Vector {
            revoked: vec![format!("agent:research-bot <= {}", NOW - 61), "version:research-bot@1.4.1".into()],
            ..minted(
                "issued_after_the_revocation",
                "the agent was revoked a second before, another version for good",
                &claims(),
            )
        },
        vector("sealed", "sealed: checked like any other", text(&seal(&chain_blocks(&[]))), "allowed"),
        vector(
            "sealed_call_token",
            "sealed after a block was appended",
            text(&seal(&chain_blocks(&[vec![Caveat::Tool(word("read_file"))]]))),
            "allowed",
        ),
    ]
}

fn caveats() -> Vec<Vector> {
    let digest = [0x5a; 32];
    let one = |name: &str, why: &str, caveat: Caveat| vector(name, why, text(&chain(&[vec![caveat]])), "allowed");
    let deepest: Vec<Vec<Caveat>> =
        (0..u64::from(DEPTH_MAX)).map(|i| vec![Caveat::ExpiresAt(Timestamp::from_unix_s(NOW + 60 - i))]).collect();
    let most = vec![Caveat::Operation(word("read")); 16];
    let tools = ["read_file".to_owned()].into_iter().chain((0..31).map(|i| format!("tool_{i}")));
    let call_token = vec![
        Caveat::Tool(word("read_file")),
        Caveat::Operation(word("read")),
        Caveat::Resource(word("file:///docs/readme.md")),
        Caveat::ArgsDigest(digest),
        Caveat::Audience(word(AUDIENCE)),
        Caveat::ExpiresAt(Timestamp::from_unix_s(NOW + 10)),
        Caveat::Nonce([0x11; 16]),
        Caveat::Holder(word(HOLDER)),
    ];
    let with_digest = || Call { args_digest: Some(hex::encode(digest)), ..call() };
    vec![
        one("caveat_tool", "only this tool", Caveat::Tool(word("read_file"))),
        one("caveat_tools", "one of 32 tools, the most of a set", Caveat::ToolOneOf(tools.map(|t| word(&t)).collect())),
        one("caveat_operation", "only this operation", Caveat::Operation(word("read"))),
        one("caveat_resource", "only this resource", Caveat::Resource(word("file:///docs/readme.md"))),
        one("caveat_resource_prefix", "only below this prefix", Caveat::Resource(word("file:///docs/*"))),
        one("caveat_audience", "only at this tool server", Caveat::Audience(word(AUDIENCE))),
        one("caveat_expiry", "a nearer end", Caveat::ExpiresAt(Timestamp::from_unix_s(NOW + 1))),
        one("caveat_holder", "only from this peer", Caveat::Holder(word(HOLDER))),
        one("caveat_nonce", "single use, and not used yet", Caveat::Nonce([0x11; 16])),
        Vector {
            ask: with_digest(),
            ..one("caveat_args_digest", "only with these argument bytes", Caveat::ArgsDigest(digest))
        },
        Vector {
            ask: with_digest(),
            ..vector("call_token", "a call token with all of the above", text(&chain(&[call_token])), "allowed")
        },
        vector("deepest", "eight appended blocks, as many as the profile takes", text(&chain(&deepest)), "allowed"),
        vector("most_checks", "16 checks in a block, as many as the profile takes", text(&chain(&[most])), "allowed"),
    ]
}

fn arguments() -> Vec<Vector> {
    let texts = |set: &[&str]| set.iter().map(|s| (*s).into()).collect();
    let cases = [
        ("arg_text", "is this text", ArgRule::Is(Scalar::text("notes/a").expect("short")), json!("notes/a")),
        ("arg_number", "is this number", ArgRule::Is(Scalar::Int(-3)), json!(-3)),
        ("arg_truth", "is this truth value", ArgRule::Is(Scalar::Bool(true)), json!(true)),
        ("arg_one_of", "is one of these texts", ArgRule::OneOf(texts(&["a", "b"])), json!("b")),
        ("arg_one_of_numbers", "is one of these numbers", ArgRule::OneOfNumbers([1, 2].into()), json!(2)),
        ("arg_not_one_of", "is a text, and none of these", ArgRule::NotOneOf(texts(&["a", "b"])), json!("c")),
        ("arg_range_low", "from 1 to 9, at its low end", ArgRule::Range { min: 1, max: 9 }, json!(1)),
        ("arg_range_high", "from 1 to 9, at its high end", ArgRule::Range { min: 1, max: 9 }, json!(9)),
        ("arg_prefix", "begins with this", ArgRule::Prefix("notes/".into()), json!("notes/a")),
        ("arg_present", "is there, whatever it is", ArgRule::Present, json!("")),
    ];
    let case = |(name, why, rule, value): (&str, &str, ArgRule, serde_json::Value)| Vector {
        ask: with_args(json!({ "arg": value })),
        ..vector(name, &format!("the argument {why}"), text(&chain(&[vec![arg("arg", rule)]])), "allowed")
    };
    cases.into_iter().map(case).collect()
}
