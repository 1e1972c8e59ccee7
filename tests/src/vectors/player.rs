//! Plays a vector against our own verifier, and makes vectors with usual values.

use super::{
    Call, Vector,
    forge::{self, ROOT, ROOT_ID},
};
use crumb_token::{
    Args, Ask, Claims, Grant, Grants, KeyId, Now, Reason, Scalar, SpiffeId, Timestamp, TokenText,
    claims::{Ancestor, Subject},
    origin::Assurance,
    revocation::Target,
};
use crumb_verifier::{
    Decision, Limits, Verifier,
    feed::{CONTEXT, Key, Message, Revocation, Signed},
};
use ed25519_dalek::{Signer, SigningKey};
use std::{collections::BTreeMap, time::Duration};

/// The verifier's clock.
pub const NOW: u64 = 1_800_000_000;
/// The tool server.
pub const AUDIENCE: &str = "spiffe://acme.example/tool/files";
/// The holder.
pub const HOLDER: &str = "spiffe://acme.example/agent/research-bot";

/// The feed's messages are signed with a key of their own here, so that a vector's key may be any.
const FEED_ID: KeyId = KeyId(u32::MAX);
const FEED: [u8; 32] = [0xfe; 32];

/// Parses a text of the vocabulary.
///
/// # Panics
///
/// When it is none; only for texts that are written down in these vectors.
pub fn word<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e:?}"))
}

/// Makes a session above, which meant to plan.
pub fn above(session: &str) -> Ancestor {
    Ancestor {
        session: word(session),
        agent: word("planner"),
        version: word("2.0"),
        intent_digest: word::<crumb_token::Intent>("plan the work for Bob").digest(),
    }
}

/// Collects rights.
pub fn grants(rights: &[(&str, &str, &str)]) -> Grants {
    let grants = rights.iter().map(|(t, o, r)| Grant { tool: word(t), operation: word(o), resource: word(r) });
    Grants::try_new(grants).expect("few")
}

/// The claims that most vectors begin with: may read below `file:///docs/`, and look at one file.
pub fn claims() -> Claims {
    Claims {
        token: word("tok_01983f00000070008000000000000001"),
        session: word("ses_01983f00000070008000000000000002"),
        agent: word("research-bot"),
        version: word("1.4.0"),
        environment: word("production"),
        holder: word(HOLDER),
        subject: Some(Subject { name: word("bob@acme.example"), assurance: Assurance::Verified }),
        actors: vec![word("spiffe://acme.example/agent/planner")],
        ancestors: vec![above("ses_01983f00000070008000000000000003")],
        origin: crumb_token::Origin::User { name: word("bob@acme.example"), assurance: Assurance::Verified },
        intent_digest: word::<crumb_token::Intent>("summarise the release notes for Bob").digest(),
        audience: word(AUDIENCE),
        grants: grants(&[("read_file", "read", "file:///docs/*"), ("stat_file", "stat", "file:///docs/readme.md")]),
        issued_at: Timestamp::from_unix_s(NOW - 60),
        expires_at: Timestamp::from_unix_s(NOW + 840),
        may_act: None,
        depth_limit: 8,
        identity_provider: word("spire"),
    }
}

/// The call that the claims allow.
pub fn call() -> Call {
    call_for("read_file", "read", "file:///docs/readme.md")
}

/// A call without arguments.
pub fn call_for(tool: &str, operation: &str, resource: &str) -> Call {
    Call {
        tool: tool.into(),
        operation: operation.into(),
        resource: resource.into(),
        args: BTreeMap::new(),
        args_digest: None,
    }
}

/// A vector of the usual call with `token`.
pub fn vector(name: &str, why: &str, token: String, expect: &str) -> Vector {
    Vector {
        name: name.into(),
        why: why.into(),
        token,
        root_key_id: ROOT_ID,
        public_key: hex::encode(forge::public(ROOT)),
        key_not_before: NOW - 3600,
        key_not_after: NOW + 7200,
        now: NOW,
        peer: HOLDER.into(),
        audience: AUDIENCE.into(),
        environment: None,
        ask: call(),
        revoked: vec![],
        again: false,
        expect: expect.into(),
    }
}

/// Plays the vector, and returns `allowed` or the reason code.
pub fn play(vector: &Vector) -> &'static str {
    let Some(ask) = ask(&vector.ask) else { return Reason::AskMalformed.code() };
    let token = match TokenText::from_presented(&vector.token) {
        Ok(token) => token,
        Err(reason) => return reason.code(),
    };
    let verifier = verifier(vector);
    let peer: SpiffeId = word(&vector.peer);
    let decide = || match verifier.decide(&token, &ask, &peer, now(vector)) {
        Decision::Allowed(_) => "allowed",
        Decision::Denied(refused) => refused.denial.reason.code(),
    };
    if vector.again {
        assert_eq!(decide(), "allowed", "{}: the first of the two calls", vector.name);
    }
    decide()
}

fn now(vector: &Vector) -> Now {
    Now { wall: Timestamp::from_unix_s(vector.now), ticks: Duration::ZERO }
}

/// Reads the call; `None` when it is none, which an enforcement point has to refuse by itself.
pub fn ask(call: &Call) -> Option<Ask> {
    let scalar = |value: &serde_json::Value| match value {
        serde_json::Value::String(s) => Scalar::text(s).ok(),
        serde_json::Value::Bool(b) => Some(Scalar::Bool(*b)),
        other => other.as_i64().map(Scalar::Int),
    };
    let args = call.args.iter().map(|(name, value)| Some((name.parse().ok()?, scalar(value)?)));
    let digest = call.args_digest.as_ref().map(|d| hex::decode(d).ok()?.try_into().ok());
    Some(Ask {
        args: Args::try_new(args.collect::<Option<Vec<_>>>()?).ok()?,
        args_digest: digest.map_or(Some(None), |d: Option<[u8; 32]>| d.map(Some))?,
        ..Ask::new(call.tool.parse().ok()?, call.operation.parse().ok()?, call.resource.parse().ok()?)
    })
}

/// Makes a verifier that has just heard of the vector's key and revocations.
fn verifier(vector: &Vector) -> Verifier {
    let verifier = Verifier::new(word(&vector.audience), Limits::default());
    let verifier = match &vector.environment {
        Some(environment) => verifier.in_environment(word(environment)),
        None => verifier,
    };
    let seconds = Timestamp::from_unix_s;
    let until = seconds(u64::MAX);
    let mut keys = vec![Key { id: FEED_ID, public: forge::public(FEED), not_before: seconds(0), not_after: until }];
    if let Ok(public) = hex::decode(&vector.public_key).expect("hexadecimal").try_into() {
        let (not_before, not_after) = (seconds(vector.key_not_before), seconds(vector.key_not_after));
        keys.push(Key { id: KeyId(vector.root_key_id), public, not_before, not_after });
    }
    let revocations: Vec<_> = (1..).zip(&vector.revoked).map(|(sequence, text)| revocation(sequence, text)).collect();
    let sequence = u64::try_from(revocations.len()).expect("few");
    let message = Message { epoch: 1, sequence, time_unix_ms: vector.now * 1000, full: true, keys, revocations };
    let signature = SigningKey::from_bytes(&FEED).sign(CONTEXT).to_bytes();
    let signed = Signed { bytes: &[], key_id: FEED_ID, signature: &signature };
    verifier.apply(&signed, message, now(vector)).expect("a message that is in order");
    verifier
}

/// Reads `kind:name`, or `kind:name <= seconds` for one that reaches what was issued until then.
fn revocation(sequence: u64, text: &str) -> Revocation {
    let end = u64::MAX.to_string();
    let (what, issued_until) = text.split_once(" <= ").unwrap_or((text, &end));
    let until = Timestamp::from_unix_s(u64::MAX);
    let issued_until = Timestamp::from_unix_s(word(issued_until));
    Revocation { issued_until, ..Revocation::whole(sequence, target(what), until) }
}

fn target(text: &str) -> Target {
    let (kind, name) = text.split_once(':').expect("kind and name");
    Target::from_words(kind, name).unwrap_or_else(|| panic!("{text}: not a revocation"))
}
