//! Workloads: JWT-SVIDs and Kubernetes service accounts.

use crumb_attestors::subject_token::{InvalidSubjectToken as Rule, IssuerKind, Issuers, SubjectFacts};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::fixture::{
    CORP, changed, check, good_keys, issuer, jwk, key_set, list, private, signed, signed_raw, signed_with,
};

const DOMAIN: &str = r#"
name = "acme"
kind = "jwt-svid"
trust_domain = "acme.example"
audiences = ["crumb"]
"#;

const CLUSTER: &str = r#"
name = "prod"
kind = "kubernetes"
iss = "https://kubernetes.default.svc.cluster.local"
audiences = ["crumb"]
"#;

/// The keys as the bundle of a trust domain has them.
fn bundle() -> String {
    let keys = ["rsa", "p256", "p384", "ed25519"].map(|name| changed(jwk(name), &json!({ "use": "jwt-svid" })));
    key_set(&keys)
}

/// A list of every kind, so that each token could be taken for another's.
fn every_kind() -> Issuers {
    list(vec![issuer(CORP, &good_keys()), issuer(DOMAIN, &bundle()), issuer(CLUSTER, &good_keys())])
}

fn svid(change: &Value) -> Value {
    let claims = json!({
        "sub": "spiffe://acme.example/ns/research/sa/bot", "aud": ["crumb"], "exp": 1_800_000_300_u64,
        "iat": 1_800_000_000_u64,
    });
    changed(claims, change)
}

fn check_svid(header: &Value, claims: &Value) -> Result<SubjectFacts, Rule> {
    let token = signed_raw(&header.to_string(), &claims.to_string(), Algorithm::ES256, &private("p256"));
    check(&token, &every_kind())
}

fn plain() -> Value {
    json!({ "alg": "ES256", "kid": "p256", "typ": "JWT" })
}

#[test]
fn a_jwt_svid_names_its_workload() {
    let facts = check_svid(&plain(), &svid(&json!({}))).expect("good");
    assert_eq!(facts.principal.as_str(), "spiffe://acme.example/ns/research/sa/bot");
    assert_eq!((facts.issuer.as_str(), facts.kind), ("acme", IssuerKind::JwtSvid));
    for header in [json!({ "alg": "ES256", "kid": "p256" }), json!({ "alg": "ES256", "kid": "p256", "typ": "JOSE" })] {
        assert!(check_svid(&header, &svid(&json!({ "iat": null, "aud": "crumb" }))).is_ok(), "{header}");
    }
}

#[test]
fn a_jwt_svid_is_for_one_audience() {
    let cases = [
        (json!(["crumb", "other"]), Rule::SharedAudience),
        (json!(["crumb", "crumb"]), Rule::SharedAudience),
        (json!(["other"]), Rule::WrongAudience),
        (json!([]), Rule::AudienceMissing),
    ];
    for (aud, why) in cases {
        assert_eq!(check_svid(&plain(), &svid(&json!({ "aud": aud }))).err(), Some(why));
    }
}

#[test]
fn a_jwt_svid_keeps_the_profile() {
    for (change, why) in
        [(json!({ "typ": "at+jwt" }), Rule::WrongType), (json!({ "x5t": "AAAA" }), Rule::UnknownHeader)]
    {
        assert_eq!(check_svid(&changed(plain(), &change), &svid(&json!({}))).err(), Some(why));
    }
    let header = json!({ "alg": "EdDSA", "kid": "ed25519" });
    assert_eq!(check(&signed_with(&header, &svid(&json!({}))), &every_kind()).err(), Some(Rule::AlgorithmRefused));
    assert_eq!(check_svid(&plain(), &svid(&json!({ "exp": null }))).err(), Some(Rule::ExpiryMissing));
    assert_eq!(check_svid(&plain(), &svid(&json!({ "exp": 1_800_000_000_u64 }))).err(), Some(Rule::Expired));
    let eternal = json!({ "iat": null, "exp": 1_900_000_000_u64 });
    assert_eq!(check_svid(&plain(), &svid(&eternal)).err(), Some(Rule::LifetimeTooLong));
}

#[test]
fn a_subject_outside_the_listed_trust_domains_has_no_keys() {
    for sub in [
        json!("spiffe://evil.example/ns/research/sa/bot"),
        json!("spiffe://acme.example.evil.example/a"),
        json!("spiffe://ACME.example/a"),
        json!("spiffe://acme.example"),
        json!("spiffe://acme.example/a/"),
        json!("spiffe://acme.example/a\n"),
        json!("https://acme.example/a"),
        json!(["spiffe://acme.example/a"]),
        Value::Null,
    ] {
        let claims = svid(&json!({ "sub": sub }));
        assert_eq!(check_svid(&plain(), &claims).err(), Some(Rule::UnknownIssuer), "{claims}");
    }
    let long = format!("spiffe://acme.example/{}", "a".repeat(300));
    assert_eq!(check_svid(&plain(), &svid(&json!({ "sub": long }))).err(), Some(Rule::PrincipalMalformed));
}

#[test]
fn the_issuer_claim_of_a_jwt_svid_chooses_no_keys_but_has_to_be_the_entry_s() {
    let named = issuer(&format!("{DOMAIN}iss = \"https://oidc.acme.example\""), &bundle());
    let issuers = list(vec![named]);
    let token = |iss: &Value| {
        let claims = svid(&json!({ "iss": iss }));
        signed_raw(&plain().to_string(), &claims.to_string(), Algorithm::ES256, &private("p256"))
    };
    assert!(check(&token(&json!("https://oidc.acme.example")), &issuers).is_ok());
    for iss in [json!("https://oidc.acme.example/"), Value::Null] {
        assert_eq!(check(&token(&iss), &issuers).err(), Some(Rule::WrongIssuer));
    }
    // An entry that names no `iss` asks for none.
    assert!(check(&token(&json!("anything")), &every_kind()).is_ok());
    // The `iss` of another entry leads to that entry as little as its keys would.
    let other = DOMAIN.replace("acme", "other") + "iss = \"https://oidc.acme.example\"";
    let two = list(vec![issuer(&other, r#"{"keys":[]}"#), issuer(DOMAIN, &bundle())]);
    let facts = check(&token(&json!("https://oidc.acme.example")), &two).expect("by its trust domain");
    assert_eq!(facts.issuer.as_str(), "acme");
}

#[test]
fn a_provider_cannot_speak_for_a_trust_domain() {
    // Signed by a key of both, with the provider's `iss`: it is the provider's token, and names a person.
    let claims = svid(&json!({
        "iss": "https://login.acme.example", "aud": "crumb", "email": "ada@acme.example", "email_verified": true,
    }));
    let facts = check(&signed(&claims), &every_kind()).expect("a person's token");
    assert_eq!((facts.kind, facts.principal.as_str()), (IssuerKind::Oidc, "ada@acme.example"));
}

fn pod_token(change: &Value) -> Value {
    let claims = json!({
        "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["crumb", "vault"],
        "sub": "system:serviceaccount:research:bot", "iat": 1_800_000_000_u64, "nbf": 1_800_000_000_u64,
        "exp": 1_800_000_600_u64, "jti": "0c8a39b8-9c63-4a34-9d0e-1f6f3c2f6d5c",
        "kubernetes.io": {
            "namespace": "research", "node": { "name": "n1", "uid": "22aa" },
            "pod": { "name": "bot-6d4cf56db6-x2v9q", "uid": "5e0f" }, "serviceaccount": { "name": "bot", "uid": "77bb" },
            "warnafter": 1_800_000_500_u64,
        },
    });
    changed(claims, change)
}

fn check_pod(claims: &Value) -> Result<SubjectFacts, Rule> {
    check(&signed_with(&json!({ "alg": "EdDSA", "kid": "ed25519" }), claims), &every_kind())
}

#[test]
fn a_bound_service_account_token_names_account_and_pod() {
    let facts = check_pod(&pod_token(&json!({}))).expect("good");
    assert_eq!(facts.principal.as_str(), "system:serviceaccount:research:bot");
    assert_eq!((facts.issuer.as_str(), facts.kind), ("prod", IssuerKind::Kubernetes));
    let pod = facts.pod.expect("bound to a pod");
    assert_eq!((&*pod.name, &*pod.uid), ("bot-6d4cf56db6-x2v9q", "5e0f"));
}

#[test]
fn refuses_service_account_tokens_that_are_not_bound() {
    let legacy = json!({
        "kubernetes.io": null, "kubernetes.io/serviceaccount/namespace": "research",
        "kubernetes.io/serviceaccount/service-account.name": "bot",
    });
    assert_eq!(check_pod(&pod_token(&legacy)).err(), Some(Rule::KubernetesClaims));
    assert_eq!(check_pod(&pod_token(&json!({ "exp": null }))).err(), Some(Rule::ExpiryMissing));
    let mut unbound = pod_token(&json!({}));
    unbound["kubernetes.io"].as_object_mut().expect("an object").remove("pod");
    assert_eq!(check_pod(&unbound).err(), Some(Rule::NotBoundToPod));
}

#[test]
fn refuses_service_account_tokens_whose_names_differ_or_could_be_read_in_two_ways() {
    let with = |place: &str, value: Value| {
        let mut claims = pod_token(&json!({}));
        *claims.pointer_mut(place).expect("the place") = value;
        check_pod(&claims).err()
    };
    assert_eq!(with("/sub", json!("system:serviceaccount:prod:bot")), Some(Rule::KubernetesSubject));
    assert_eq!(with("/sub", json!("system:serviceaccount:research:bot ")), Some(Rule::KubernetesSubject));
    assert_eq!(with("/sub", json!("bot\n")), Some(Rule::SubjectMalformed));
    for name in ["research:bot", "", "Research", "a/b", "a\n"] {
        assert_eq!(with("/kubernetes.io/namespace", json!(name)), Some(Rule::KubernetesClaims), "{name:?}");
        assert_eq!(with("/kubernetes.io/serviceaccount/name", json!(name)), Some(Rule::KubernetesClaims), "{name:?}");
        assert_eq!(with("/kubernetes.io/pod/uid", json!(name)), Some(Rule::KubernetesClaims), "{name:?}");
    }
    assert_eq!(with("/kubernetes.io", json!("research")), Some(Rule::MalformedClaim));
    assert_eq!(with("/kubernetes.io/pod", json!(null)), Some(Rule::MalformedClaim));
}
