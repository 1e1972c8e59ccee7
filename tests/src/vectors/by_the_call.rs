//! Tokens in good order that do not allow the call they come with: each rule broken by itself.

use super::{
    Vector,
    accepted::{arg, chain, with_args},
    forge::{authority, sign, text},
    player::{NOW, call_for, claims, vector, word},
};
use crumb_token::{Caveat, Claims, Reason, Scalar, Timestamp, caveat::ArgRule};
use serde_json::json;

/// All of them.
pub fn vectors() -> Vec<Vector> {
    [keys_and_time(), authority_rules(), caveats(), arguments(), super::at_the_gate::wrong_signatures()].concat()
}

fn minted(name: &str, why: &str, claims: &Claims, reason: Reason) -> Vector {
    vector(name, why, text(&sign(&[authority(claims)])), reason.code())
}

fn keys_and_time() -> Vec<Vector> {
    let usual = |name: &str, why: &str, reason| minted(name, why, &claims(), reason);
    let future = Claims { issued_at: Timestamp::from_unix_s(NOW + 3), ..claims() };
    let revoked = |name: &str, what: &str| Vector {
        revoked: vec![what.into()],
        ..usual(name, "revoked, although everything else allows it", Reason::TokenRevoked)
    };
    vec![
        Vector { root_key_id: 8, ..usual("key_unknown", "names a key that is not known", Reason::KeyUnknown) },
        Vector {
            key_not_before: NOW - 59,
            ..usual("issued_before_its_key", "issued a second before its key began", Reason::KeyUnknown)
        },
        Vector {
            key_not_after: NOW - 61,
            ..usual("issued_after_its_key", "issued a second after its key ended", Reason::KeyUnknown)
        },
        minted("issued_in_the_future", "issued 3 s in the future", &future, Reason::TokenNotYetValid),
        Vector { now: NOW + 840, ..usual("expired", "the second of the end is outside", Reason::TokenExpired) },
        revoked("revoked_token", "token:tok_01983f00000070008000000000000001"),
        revoked("revoked_session", "session:ses_01983f00000070008000000000000002"),
        revoked("revoked_agent", "agent:research-bot"),
        revoked("revoked_key", "key:7"),
        revoked("revoked_session_above", "session:ses_01983f00000070008000000000000003"),
        revoked("revoked_agent_above", "agent:planner"),
        revoked("revoked_version_above", "version:planner@2.0"),
        revoked("revoked_version", "version:research-bot@1.4.0"),
        revoked("revoked_tool_server", "tool_server:spiffe://acme.example/tool/files"),
        revoked("revoked_subject", "subject:bob@acme.example"),
        revoked("revoked_agent_until_the_issue", &format!("agent:research-bot <= {}", NOW - 60)),
    ]
}

fn authority_rules() -> Vec<Vector> {
    let usual = |name: &str, why: &str, reason| minted(name, why, &claims(), reason);
    let asked = |name: &str, why: &str, (t, o, r): (&str, &str, &str), reason| Vector {
        ask: call_for(t, o, r),
        ..usual(name, why, reason)
    };
    let docs = "file:///docs/readme.md";
    vec![
        Vector {
            peer: "spiffe://acme.example/agent/other".into(),
            ..usual("holder_mismatch", "presented by another workload", Reason::HolderMismatch)
        },
        Vector {
            peer: "spiffe://acme.example/agent/research-bot-2".into(),
            ..usual("holder_is_not_a_prefix", "the holder's ID begins the peer's", Reason::HolderMismatch)
        },
        Vector {
            environment: Some("development".into()),
            ..usual("environment_mismatch", "of production, presented in development", Reason::EnvironmentMismatch)
        },
        Vector {
            environment: Some("production-eu".into()),
            ..usual("environment_is_not_a_prefix", "the name begins alike", Reason::EnvironmentMismatch)
        },
        Vector {
            audience: "spiffe://acme.example/tool/mail".into(),
            ..usual("audience_mismatch", "presented at another tool server", Reason::AudienceMismatch)
        },
        asked("tool_not_granted", "no grant names the tool", ("write_file", "read", docs), Reason::ToolNotGranted),
        asked(
            "operation_not_granted",
            "a grant has the tool only",
            ("read_file", "write", docs),
            Reason::OperationNotGranted,
        ),
        asked(
            "resource_not_granted",
            "a grant has tool and operation only",
            ("read_file", "read", "file:///etc/passwd"),
            Reason::ResourceNotGranted,
        ),
        asked(
            "resource_beside_the_prefix",
            "a sibling whose name begins like the prefix",
            ("read_file", "read", "file:///docs-secret/a"),
            Reason::ResourceNotGranted,
        ),
        asked(
            "grants_do_not_mix",
            "the operation of one grant with the tool of another",
            ("stat_file", "read", docs),
            Reason::OperationNotGranted,
        ),
        asked(
            "resource_with_dot_segments",
            "the call's resource is not one: the server might resolve it to another",
            ("read_file", "read", "file:///docs/../etc/passwd"),
            Reason::AskMalformed,
        ),
        asked(
            "resource_escaped",
            "a percent escape is a second spelling",
            ("read_file", "read", "file:///docs/%61"),
            Reason::AskMalformed,
        ),
    ]
}

fn caveats() -> Vec<Vector> {
    let one = |name: &str, why: &str, caveat: Caveat, reason: Reason| {
        vector(name, why, text(&chain(&[vec![caveat]])), reason.code())
    };
    let at = |s| Caveat::ExpiresAt(Timestamp::from_unix_s(s));
    let later = [vec![at(NOW + 30)], vec![Caveat::Tool(word("read_file")), Caveat::Operation(word("write"))]];
    let wider = [vec![Caveat::Resource(word("file:///docs/a/*"))], vec![Caveat::Resource(word("*"))]];
    vec![
        one("caveat_tool_fails", "narrowed to another tool", Caveat::Tool(word("stat_file")), Reason::ToolNotGranted),
        one(
            "caveat_tools_fail",
            "not one of the tools",
            Caveat::ToolOneOf([word("a"), word("b")].into()),
            Reason::ToolNotGranted,
        ),
        one(
            "caveat_operation_fails",
            "narrowed to another operation",
            Caveat::Operation(word("stat")),
            Reason::OperationNotGranted,
        ),
        one(
            "caveat_resource_fails",
            "narrowed to another resource",
            Caveat::Resource(word("file:///docs/a.md")),
            Reason::ResourceNotGranted,
        ),
        one(
            "caveat_resource_prefix_fails",
            "outside the prefix",
            Caveat::Resource(word("file:///docs/a/*")),
            Reason::ResourceNotGranted,
        ),
        one(
            "caveat_audience_fails",
            "narrowed to another tool server",
            Caveat::Audience(word("https://a.example")),
            Reason::AudienceMismatch,
        ),
        one("caveat_expired", "a block's own end has come", at(NOW), Reason::TokenExpired),
        one(
            "caveat_holder_fails",
            "narrowed to another peer",
            Caveat::Holder(word("spiffe://a.example/b")),
            Reason::HolderMismatch,
        ),
        one("caveat_args_digest_fails", "other argument bytes", Caveat::ArgsDigest([1; 32]), Reason::ArgumentRefused),
        Vector {
            again: true,
            ..one(
                "caveat_nonce_used",
                "single use, for the second time",
                Caveat::Nonce([0x11; 16]),
                Reason::NonceReplayed,
            )
        },
        vector(
            "last_block_fails",
            "every block counts, also the last",
            text(&chain(&later)),
            Reason::OperationNotGranted.code(),
        ),
        vector(
            "wider_again",
            "a later block cannot widen an earlier one",
            text(&chain(&wider)),
            Reason::ResourceNotGranted.code(),
        ),
    ]
}

fn arguments() -> Vec<Vector> {
    let texts = |set: &[&str]| set.iter().map(|s| (*s).into()).collect();
    let range = || ArgRule::Range { min: 1, max: 9 };
    let cases = [
        ("arg_absent", "is absent, and has to be there", ArgRule::Present, json!({})),
        ("arg_text_fails", "is another text", ArgRule::Is(Scalar::text("a").expect("short")), json!({"arg": "b"})),
        ("arg_number_is_no_text", "is the text of that number", ArgRule::Is(Scalar::Int(1)), json!({"arg": "1"})),
        ("arg_truth_fails", "is the other truth value", ArgRule::Is(Scalar::Bool(true)), json!({"arg": false})),
        ("arg_one_of_fails", "is none of the texts", ArgRule::OneOf(texts(&["a"])), json!({"arg": "b"})),
        ("arg_one_of_numbers_fails", "is none of the numbers", ArgRule::OneOfNumbers([1].into()), json!({"arg": 2})),
        ("arg_not_one_of_fails", "is one of the texts", ArgRule::NotOneOf(texts(&["a"])), json!({"arg": "a"})),
        (
            "arg_not_one_of_absent",
            "is absent: a ban is no leave to drop it",
            ArgRule::NotOneOf(texts(&["a"])),
            json!({}),
        ),
        (
            "arg_not_one_of_number",
            "is a number, and has to be a text",
            ArgRule::NotOneOf(texts(&["a"])),
            json!({"arg": 1}),
        ),
        ("arg_below_range", "is below 1", range(), json!({"arg": 0})),
        ("arg_above_range", "is above 9", range(), json!({"arg": 10})),
        ("arg_range_text", "is a text, and has to be a number", range(), json!({"arg": "5"})),
        ("arg_prefix_fails", "begins otherwise", ArgRule::Prefix("notes/".into()), json!({"arg": "note"})),
        ("arg_prefix_number", "is a number, and has to be a text", ArgRule::Prefix("1".into()), json!({"arg": 12})),
    ];
    let case = |(name, why, rule, args): (&str, &str, ArgRule, serde_json::Value)| Vector {
        ask: with_args(args),
        ..vector(
            name,
            &format!("the argument {why}"),
            text(&chain(&[vec![arg("arg", rule)]])),
            Reason::ArgumentRefused.code(),
        )
    };
    cases.into_iter().map(case).collect()
}
