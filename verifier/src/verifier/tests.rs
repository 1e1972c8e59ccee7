//! Each reason to deny a call, each in a call that would be allowed but for it.

use super::*;
use crate::{
    feed::{Revocation, Target},
    fixture::{
        AUDIENCE, BROKER, OTHER, T0, allowed, ask, ask_for, at, claims, denied, full, heartbeat, narrowed, now, peer,
        revoke, token, verifier, verifier_with,
    },
};
use crumb_token::{
    Args, Scalar, TokenText,
    attenuate::attenuate,
    caveat::ArgRule,
    claims::{Ancestor, Subject},
    origin::{Assurance, Principal},
};

mod handed;

fn decide(token: &TokenText, ask: &Ask) -> Decision {
    verifier().decide(token, ask, &peer(), now(1))
}

fn refusal(decision: Decision, reason: Reason) -> (String, String) {
    let denial = denied(decision, reason).denial;
    (denial.rule, denial.author)
}

#[test]
fn allows_what_every_rule_allows() {
    let verified = allowed(decide(&token(&claims()), &ask()));
    assert_eq!(verified.claims(), &claims());
    assert_eq!(verified.expires_at(), at(T0 + 600));
    assert_eq!(verified.key_id(), BROKER.id);
    let caveat = Caveat::ExpiresAt(at(T0 + 30));
    let verified = allowed(decide(&narrowed(std::slice::from_ref(&caveat)), &ask()));
    assert_eq!(verified.expires_at(), at(T0 + 30));
    assert_eq!(verified.blocks().collect::<Vec<_>>(), [&[caveat][..]]);
}

#[test]
fn refuses_everything_before_the_first_message() {
    let verifier = Verifier::new(AUDIENCE.parse().expect("an audience"), Limits::default());
    assert_eq!(verifier.freshness(now(0)), Freshness::Never);
    let refused = denied(verifier.decide(&token(&claims()), &ask(), &peer(), now(0)), Reason::FeedStale);
    assert_eq!(refused.claims, None);
}

#[test]
fn refuses_everything_when_the_feed_is_stale() {
    let verifier = verifier();
    allowed(verifier.decide(&token(&claims()), &ask(), &peer(), now(5)));
    denied(verifier.decide(&token(&claims()), &ask(), &peer(), now(6)), Reason::FeedStale);
    assert!(matches!(verifier.freshness(now(6)), Freshness::Stale { .. }));
}

#[test]
fn refuses_what_is_no_token_before_looking_at_keys() {
    let presented = |text: &str| TokenText::from_presented(text).expect("length is fine");
    denied(decide(&presented("not base64!"), &ask()), Reason::TokenMalformed);
    denied(decide(&presented("AAAA"), &ask()), Reason::TokenMalformed);
    let (rule, author) = refusal(decide(&presented("AAAA"), &ask()), Reason::TokenMalformed);
    assert_eq!((&*rule, &*author), ("token profile", "this tool server"));
}

#[test]
fn refuses_a_key_that_is_unknown_or_not_in_force() {
    let foreign = TokenText::from_bytes(&OTHER.mint(&claims()));
    let refused = denied(decide(&foreign, &ask()), Reason::KeyUnknown);
    assert_eq!(refused.claims, None, "nobody knows who wrote them");
    let early = Claims { issued_at: at(T0 - 3601), ..claims() };
    denied(decide(&token(&early), &ask()), Reason::KeyUnknown);
}

#[test]
fn refuses_a_signature_by_another_key() {
    let forger = crate::fixture::Broker { id: BROKER.id, ..OTHER };
    let forged = TokenText::from_bytes(&forger.mint(&claims()));
    let refused = denied(decide(&forged, &ask()), Reason::SignatureInvalid);
    assert_eq!(refused.claims, None);
}

#[test]
fn refuses_a_token_from_the_future() {
    let soon = |s| Claims { issued_at: at(T0 + s), ..claims() };
    allowed(decide(&token(&soon(3)), &ask()));
    let (rule, author) = refusal(decide(&token(&soon(4)), &ask()), Reason::TokenNotYetValid);
    assert_eq!((&*rule, &*author), ("authority block, issued_at", "the broker"));
}

#[test]
fn refuses_from_the_second_of_expiry_on() {
    let ends = |s| Claims { expires_at: at(T0 + s), ..claims() };
    allowed(decide(&token(&ends(2)), &ask()));
    let (rule, _) = refusal(decide(&token(&ends(1)), &ask()), Reason::TokenExpired);
    assert_eq!(rule, "authority block, expiry");
    let call = narrowed(&[Caveat::ExpiresAt(at(T0 + 1))]);
    let (rule, author) = refusal(decide(&call, &ask()), Reason::TokenExpired);
    assert_eq!((&*rule, &*author), ("block 1, expiry", "a holder (block 1)"));
}

#[test]
fn a_clock_that_goes_back_revives_nothing() {
    let verifier = verifier();
    let short = token(&Claims { expires_at: at(T0 + 3), ..claims() });
    denied(verifier.decide(&short, &ask(), &peer(), now(3)), Reason::TokenExpired);
    denied(verifier.decide(&short, &ask(), &peer(), now(1)), Reason::TokenExpired);
    BROKER.tell(&verifier, heartbeat(2, 0), now(1)).expect("within the skew");
    denied(verifier.decide(&short, &ask(), &peer(), now(1)), Reason::TokenExpired);
}

#[test]
fn a_clock_that_went_astray_is_believed_again_after_a_full_message() {
    let verifier = verifier();
    let astray = Now { wall: at(T0 + 7200), ..now(1) };
    denied(verifier.decide(&token(&claims()), &ask(), &peer(), astray), Reason::TokenExpired);
    denied(verifier.decide(&token(&claims()), &ask(), &peer(), now(2)), Reason::TokenExpired);
    BROKER.tell(&verifier, full(3), now(3)).expect("taken");
    allowed(verifier.decide(&token(&claims()), &ask(), &peer(), now(3)));
}

#[test]
fn a_token_revoked_between_two_calls_is_refused_in_the_second() {
    let targets = [
        Target::Token(claims().token),
        Target::Session(claims().session),
        Target::Agent(claims().agent),
        Target::Version(claims().agent, claims().version),
        Target::ToolServer(claims().audience),
        Target::Key(OTHER.id),
    ];
    for target in targets {
        let verifier = verifier();
        let keys = vec![OTHER.key()];
        BROKER.tell(&verifier, Message { keys, ..heartbeat(1, 0) }, now(1)).expect("taken");
        let presented = TokenText::from_bytes(&OTHER.mint(&claims()));
        allowed(verifier.decide(&presented, &ask(), &peer(), now(1)));
        BROKER.tell(&verifier, revoke(2, 1, target.clone()), now(2)).expect("taken");
        let refused = denied(verifier.decide(&presented, &ask(), &peer(), now(2)), Reason::TokenRevoked);
        let by_key = matches!(target, Target::Key(_));
        assert_eq!(refused.claims.is_none(), by_key, "{target:?}: who has the key can write anything");
        assert_eq!(refused.denial.author, "the broker");
    }
}

#[test]
fn whatever_is_above_or_behind_a_token_ends_it() {
    let above = Ancestor {
        session: "ses_000000000000000000000000000000aa".parse().expect("an id"),
        agent: "planner".parse().expect("a name"),
        version: "2.0".parse().expect("a version"),
        intent_digest: [7; 32],
    };
    let bob: Principal = "bob@acme.example".parse().expect("a name");
    let subject = Subject { name: bob.clone(), assurance: Assurance::Verified };
    let delegated = Claims { ancestors: vec![above.clone()], subject: Some(subject), ..claims() };
    let presented = token(&delegated);
    for target in [
        Target::Session(above.session),
        Target::Agent(above.agent.clone()),
        Target::Version(above.agent, above.version),
        Target::Subject(bob),
    ] {
        let verifier = verifier();
        allowed(verifier.decide(&presented, &ask(), &peer(), now(1)));
        BROKER.tell(&verifier, revoke(1, 1, target.clone()), now(1)).expect("taken");
        denied(verifier.decide(&presented, &ask(), &peer(), now(1)), Reason::TokenRevoked);
    }
}

#[test]
fn a_revoked_agent_goes_on_with_what_was_issued_later() {
    let issued_at = claims().issued_at;
    let earlier = Timestamp::from_unix_s(issued_at.as_unix_s() - 1);
    for (issued_until, ended) in [(earlier, false), (issued_at, true)] {
        let verifier = verifier();
        let target = Target::Agent(claims().agent);
        let revocations = vec![Revocation { issued_until, ..Revocation::whole(1, target, at(T0 + 3600)) }];
        let message = Message { revocations, ..heartbeat(1, 1) };
        BROKER.tell(&verifier, message, now(1)).expect("taken");
        assert_eq!(
            !verifier.decide(&token(&claims()), &ask(), &peer(), now(1)).is_allowed(),
            ended,
            "{issued_until:?}"
        );
    }
}

#[test]
fn refuses_a_token_of_another_environment_each_time() {
    let own = claims().environment;
    let elsewhere = verifier().in_environment("staging".parse().expect("an environment"));
    for _ in 0..2 {
        let refused = denied(elsewhere.decide(&token(&claims()), &ask(), &peer(), now(1)), Reason::EnvironmentMismatch);
        assert_eq!(refused.denial.rule, "authority block, environment");
    }
    allowed(verifier().in_environment(own).decide(&token(&claims()), &ask(), &peer(), now(1)));
}

#[test]
fn refuses_another_peer_than_the_holder() {
    let other = "spiffe://acme.example/agent/other".parse().expect("a SPIFFE ID");
    let refused = denied(verifier().decide(&token(&claims()), &ask(), &other, now(1)), Reason::HolderMismatch);
    assert_eq!(refused.denial.rule, "authority block, holder");
    assert_eq!(refused.claims.as_deref(), Some(&claims()));
}

#[test]
fn refuses_a_token_for_another_tool_server() {
    let elsewhere = Claims { audience: "spiffe://acme.example/tool/mail".parse().expect("an audience"), ..claims() };
    let (rule, _) = refusal(decide(&token(&elsewhere), &ask()), Reason::AudienceMismatch);
    assert_eq!(rule, "authority block, audience");
}

#[test]
fn tells_apart_tool_operation_and_resource_that_are_not_granted() {
    let cases = [
        (ask_for("drop_table", "read", "file:///docs/a.md"), Reason::ToolNotGranted),
        (ask_for("read_file", "delete", "file:///docs/a.md"), Reason::OperationNotGranted),
        (ask_for("read_file", "read", "file:///etc/passwd"), Reason::ResourceNotGranted),
    ];
    for (ask, reason) in cases {
        let refused = denied(decide(&token(&claims()), &ask), reason);
        assert_eq!(refused.denial.rule, "authority block, grant");
        assert_eq!(refused.denial.asked, ask.to_string());
        assert!(!refused.denial.next.is_empty());
    }
}

#[test]
fn each_caveat_refuses_for_its_own_reason() {
    let arg = |rule| Caveat::Arg { name: "path".parse().expect("a name"), rule };
    let cases = [
        (Caveat::Tool("other".parse().expect("a tool")), Reason::ToolNotGranted, "tool"),
        (Caveat::ToolOneOf(["other".parse().expect("a tool")].into()), Reason::ToolNotGranted, "tool"),
        (Caveat::Operation("write".parse().expect("an operation")), Reason::OperationNotGranted, "operation"),
        (Caveat::Resource("file:///docs/b/*".parse().expect("a pattern")), Reason::ResourceNotGranted, "resource"),
        (arg(ArgRule::Present), Reason::ArgumentRefused, "argument path"),
        (Caveat::ArgsDigest([0; 32]), Reason::ArgumentRefused, "arguments digest"),
        (Caveat::Audience("https://other.example".parse().expect("an audience")), Reason::AudienceMismatch, "audience"),
        (Caveat::ExpiresAt(at(T0)), Reason::TokenExpired, "expiry"),
        (
            Caveat::Holder("spiffe://acme.example/agent/other".parse().expect("a SPIFFE ID")),
            Reason::HolderMismatch,
            "holder",
        ),
    ];
    for (caveat, reason, name) in cases {
        let first = attenuate(&BROKER.mint(&claims()), &[Caveat::ExpiresAt(at(T0 + 60))]).expect("narrows");
        let second = TokenText::from_bytes(&attenuate(&first, &[caveat]).expect("narrows"));
        let (rule, author) = refusal(decide(&second, &ask()), reason);
        assert_eq!((rule, author), (format!("block 2, {name}"), "a holder (block 2)".to_owned()));
    }
}

#[test]
fn an_argument_passes_only_by_its_rule() {
    let rule = ArgRule::Prefix("notes/".into());
    let token = narrowed(&[Caveat::Arg { name: "path".parse().expect("a name"), rule }]);
    let ask_with = |value: &str| {
        let value = Scalar::text(value).expect("short");
        Ask { args: Args::try_new([("path".parse().expect("a name"), value)]).expect("few"), ..ask() }
    };
    allowed(decide(&token, &ask_with("notes/a")));
    denied(decide(&token, &ask_with("other/a")), Reason::ArgumentRefused);
}

#[test]
fn a_single_use_token_is_good_once() {
    let verifier = verifier();
    let token = narrowed(&[Caveat::Nonce([9; 16])]);
    let elsewhere = ask_for("read_file", "read", "file:///etc/passwd");
    denied(verifier.decide(&token, &elsewhere, &peer(), now(1)), Reason::ResourceNotGranted);
    allowed(verifier.decide(&token, &ask(), &peer(), now(1)));
    let refused = denied(verifier.decide(&token, &ask(), &peer(), now(1)), Reason::NonceReplayed);
    assert_eq!(refused.denial.rule, "block 1, nonce");
}

#[test]
fn a_full_nonce_table_refuses_single_use_tokens_only() {
    let verifier = verifier_with(Limits { nonces_max: 1, ..Limits::default() });
    allowed(verifier.decide(&narrowed(&[Caveat::Nonce([1; 16])]), &ask(), &peer(), now(1)));
    denied(verifier.decide(&narrowed(&[Caveat::Nonce([2; 16])]), &ask(), &peer(), now(1)), Reason::NonceTableFull);
    allowed(verifier.decide(&token(&claims()), &ask(), &peer(), now(1)));
}

#[test]
fn a_clock_that_jumps_ahead_does_not_free_nonces() {
    let verifier = verifier();
    let single = narrowed(&[Caveat::Nonce([9; 16])]);
    allowed(verifier.decide(&single, &ask(), &peer(), now(1)));
    let astray = Now { wall: at(T0 + 86_000), ..now(2) };
    denied(verifier.decide(&single, &ask(), &peer(), astray), Reason::TokenExpired);
    BROKER.tell(&verifier, full(3), now(3)).expect("taken");
    denied(verifier.decide(&single, &ask(), &peer(), now(3)), Reason::NonceReplayed);
}

#[test]
fn counts_what_it_does() {
    let verifier = verifier();
    allowed(verifier.decide(&token(&claims()), &ask(), &peer(), now(1)));
    let elsewhere = ask_for("drop_table", "read", "x");
    denied(verifier.decide(&token(&claims()), &elsewhere, &peer(), now(1)), Reason::ToolNotGranted);
    let counters = verifier.counters();
    assert_eq!((counters.allowed, counters.keys, counters.feed_taken, counters.feed_refused), (1, 1, 1, 0));
    assert_eq!(counters.denied, vec![(Reason::ToolNotGranted, 1)]);
}

#[test]
fn can_be_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Verifier>();
}

#[test]
fn a_token_that_was_revoked_before_it_came_is_refused_each_time() {
    let verifier = verifier();
    BROKER.tell(&verifier, revoke(1, 1, Target::Token(claims().token)), now(1)).expect("taken");
    let token = token(&claims());
    for _ in 0..3 {
        denied(verifier.decide(&token, &ask(), &peer(), now(1)), Reason::TokenRevoked);
    }
}

#[test]
fn a_token_that_was_verified_before_is_refused_from_the_revocation_on() {
    let verifier = verifier();
    let tokens = [token(&claims()), narrowed(&[Caveat::ExpiresAt(at(T0 + 30))])];
    for token in &tokens {
        for _ in 0..3 {
            allowed(verifier.decide(token, &ask(), &peer(), now(1)));
        }
    }
    BROKER.tell(&verifier, revoke(2, 1, Target::Session(claims().session)), now(2)).expect("taken");
    for token in &tokens {
        for _ in 0..3 {
            denied(verifier.decide(token, &ask(), &peer(), now(2)), Reason::TokenRevoked);
        }
    }
}

#[test]
fn a_key_that_has_another_number_or_is_gone_vouches_for_nothing_that_is_remembered() {
    let verifier = verifier();
    let token = narrowed(&[Caveat::ExpiresAt(at(T0 + 30))]);
    allowed(verifier.decide(&token, &ask(), &peer(), now(1)));
    // A broker that began anew, and gave the number to another key.
    let key = crate::feed::Key { id: BROKER.id, ..OTHER.key() };
    let broker = crate::fixture::Broker { id: BROKER.id, ..OTHER };
    let message = Message { epoch: 2, keys: vec![key], ..full(2) };
    broker.tell(&verifier, message, now(2)).expect("taken");
    denied(verifier.decide(&token, &ask(), &peer(), now(2)), Reason::SignatureInvalid);
    let sibling = narrowed(&[Caveat::ExpiresAt(at(T0 + 31))]);
    denied(verifier.decide(&sibling, &ask(), &peer(), now(2)), Reason::SignatureInvalid);
}

#[test]
fn remembers_a_token_and_its_parent_and_no_stranger_does() {
    let verifier = verifier();
    let stranger = "spiffe://acme.example/agent/other".parse().expect("a SPIFFE ID");
    let token = narrowed(&[Caveat::ExpiresAt(at(T0 + 30))]);
    denied(verifier.decide(&token, &ask(), &stranger, now(1)), Reason::HolderMismatch);
    assert_eq!((verifier.counters().tokens, verifier.counters().parents), (0, 0));
    allowed(verifier.decide(&token, &ask(), &peer(), now(1)));
    allowed(verifier.decide(&token, &ask(), &peer(), now(1)));
    assert_eq!((verifier.counters().tokens, verifier.counters().parents), (1, 1));
    denied(verifier.decide(&token, &ask(), &stranger, now(1)), Reason::HolderMismatch);
    let single = narrowed(&[Caveat::Nonce([1; 16])]);
    allowed(verifier.decide(&single, &ask(), &peer(), now(1)));
    denied(verifier.decide(&single, &ask(), &peer(), now(1)), Reason::NonceReplayed);
    assert_eq!(verifier.counters().tokens, 1, "a single-use token is not seen again");
}

#[test]
fn what_has_ended_is_let_go() {
    let verifier = verifier();
    allowed(verifier.decide(&narrowed(&[Caveat::ExpiresAt(at(T0 + 3))]), &ask(), &peer(), now(1)));
    for s in 2..40 {
        BROKER.tell(&verifier, heartbeat(s, 0), now(s)).expect("taken");
    }
    assert_eq!((verifier.counters().tokens, verifier.counters().parents), (0, 1));
}

#[test]
fn a_leaf_of_a_known_parent_is_held_to_its_own_signature_and_proof() {
    let verifier = verifier();
    allowed(verifier.decide(&narrowed(&[Caveat::ExpiresAt(at(T0 + 30))]), &ask(), &peer(), now(1)));
    let sibling = narrowed(&[Caveat::ExpiresAt(at(T0 + 31))]).decode().expect("bytes");
    for from_the_end in [1, 40, 100, 140] {
        let mut other = sibling.to_vec();
        let at = other.len() - from_the_end;
        other[at] ^= 1;
        let decision = verifier.decide(&TokenText::from_bytes(&other), &ask(), &peer(), now(1));
        assert!(!decision.is_allowed(), "a flipped bit {from_the_end} bytes from the end");
    }
    allowed(verifier.decide(&TokenText::from_bytes(&sibling), &ask(), &peer(), now(1)));
}

#[test]
fn a_nonce_outlives_the_ends_that_its_presenter_appends() {
    let verifier = verifier();
    let single = attenuate(&BROKER.mint(&claims()), &[Caveat::Nonce([1; 16])]).expect("narrows");
    let until = |s| TokenText::from_bytes(&attenuate(&single, &[Caveat::ExpiresAt(at(T0 + s))]).expect("narrows"));
    allowed(verifier.decide(&until(2), &ask(), &peer(), now(1)));
    for s in 2..12 {
        BROKER.tell(&verifier, heartbeat(s, 0), now(s)).expect("taken");
    }
    // Another single-use token makes the table forget what it may.
    allowed(verifier.decide(&narrowed(&[Caveat::Nonce([2; 16])]), &ask(), &peer(), now(11)));
    denied(verifier.decide(&until(30), &ask(), &peer(), now(11)), Reason::NonceReplayed);
}

#[test]
fn debug_shows_no_token() {
    let verifier = verifier();
    let token = narrowed(&[Caveat::ExpiresAt(at(T0 + 30))]);
    allowed(verifier.decide(&token, &ask(), &peer(), now(1)));
    let found = allowed(verifier.decide(&token, &ask(), &peer(), now(1)));
    let shown = format!("{verifier:?} {found:?} {:?}", Presented::from(&token));
    let (text, bytes) = (token.expose(), format!("{:?}", token.expose().as_bytes()));
    assert!(!shown.contains(&text[text.len() - 16..]), "{shown}");
    assert!(!shown.contains(&bytes[bytes.len() - 40..]), "{shown}");
}

#[test]
fn a_token_that_takes_many_times_its_length_is_not_remembered() {
    let verifier = verifier();
    let texts = (0..16).map(|i| format!("{i:0100}").into()).collect();
    let rule = ArgRule::NotOneOf(texts);
    let caveats = (0..16).map(|i| Caveat::Arg { name: format!("a{i}").parse().expect("a name"), rule: rule.clone() });
    let token = narrowed(&caveats.collect::<Vec<_>>());
    let args = (0..16).map(|i| (format!("a{i}").parse().expect("a name"), Scalar::text("x").expect("short")));
    let ask = Ask { args: Args::try_new(args).expect("few"), ..ask() };
    allowed(verifier.decide(&token, &ask, &peer(), now(1)));
    allowed(verifier.decide(&token, &ask, &peer(), now(1)));
    assert_eq!((verifier.counters().tokens, verifier.counters().parents), (0, 1));
}
