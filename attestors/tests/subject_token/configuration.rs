//! Entries of the configuration: what is nonsense is not configured.

use std::{cell::RefCell, io, path::PathBuf};

use crumb_attestors::{
    jwks::InvalidJwks,
    subject_token::{InvalidIssuers, Issuer, Issuers, KeySource},
};

use crate::fixture::{CORP, good_keys, issuer};

fn refused(lines: &str) -> String {
    toml::from_str::<Issuer>(lines).expect_err(lines).to_string()
}

fn with_url(lines: &str) -> String {
    format!("{lines}\njwks_url = \"https://login.acme.example/keys\"")
}

#[test]
fn accepts_each_source_of_keys() {
    let url: Issuer = toml::from_str(&with_url(CORP)).expect("good");
    assert!(matches!(url.keys(), KeySource::Url(url) if url.as_str() == "https://login.acme.example/keys"));
    assert_eq!((url.keys_refresh().as_secs(), url.keys_age_max().as_secs()), (300, 86_400));
    let other = CORP.replace("corp", "other").replace("login.acme", "login.other");
    let file: Issuer = toml::from_str(&format!("{other}jwks_file = \"/etc/crumb/corp.jwks\"")).expect("good");
    let asked = RefCell::new(Vec::new());
    let read = |path: &std::path::Path| {
        asked.borrow_mut().push(path.to_owned());
        Ok(good_keys())
    };
    let issuers = Issuers::new(vec![file, url], read).expect("good");
    assert_eq!(*asked.borrow(), [PathBuf::from("/etc/crumb/corp.jwks")]);
    assert_eq!(issuers.len(), 2);
}

#[test]
fn refuses_entries_that_make_no_sense() {
    let cases = [
        (r#"audiences = ["crumb"]"#, "audiences = []", "1 to 8 audiences"),
        (r#"audiences = ["crumb"]"#, r#"audiences = ["*"]"#, "1 to 8 audiences"),
        (r#"audiences = ["crumb"]"#, r#"audiences = [""]"#, "1 to 8 audiences"),
        (r#"audiences = ["crumb"]"#, r#"audiences = ["crumb", "https://*.acme.example"]"#, "1 to 8 audiences"),
        (r#"audiences = ["crumb"]"#, r#"audiences = ["a","b","c","d","e","f","g","h","i"]"#, "1 to 8 audiences"),
        (r#"audiences = ["crumb"]"#, "", "missing field `audiences`"),
        ("https://login.acme.example", "http://login.acme.example", "`iss` is a plain https address"),
        ("https://login.acme.example", "https://*.acme.example", "`iss` is a plain https address"),
        ("https://login.acme.example", "*", "`iss` is a plain https address"),
        ("https://login.acme.example", "login.acme.example", "`iss` is a plain https address"),
        (r#"iss = "https://login.acme.example""#, "", "no `iss`"),
        (r#"principal = "email""#, "", "needs `principal`"),
        (r#"principal = "email""#, r#"principal = "name""#, "unknown variant"),
        (r#"principal = "email""#, "principal = \"sub\"\nemail_verified = true", "no `email_verified`"),
        (r#"name = "corp""#, r#"name = "Corp""#, "name has 1 to 64"),
        (r#"name = "corp""#, r#"name = """#, "name has 1 to 64"),
        (r#"kind = "oidc""#, r#"kind = "saml""#, "unknown variant"),
        (r#"kind = "oidc""#, r#"kind = "kubernetes""#, "no `principal`"),
        (r#"kind = "oidc""#, "kind = \"oidc\"\ntrust_domain = \"acme.example\"", "no `trust_domain`"),
        (r#"kind = "oidc""#, "kind = \"oidc\"\nalgorithms = [\"none\"]", "unknown field `algorithms`"),
        (r#"kind = "oidc""#, "kind = \"oidc\"\nclock_skew_s = 61", "clock_skew_s is from 0 to 60"),
        (r#"kind = "oidc""#, "kind = \"oidc\"\nlifetime_max_s = 0", "lifetime_max_s is from 1 to 86400"),
        (r#"kind = "oidc""#, "kind = \"oidc\"\nlifetime_max_s = 86401", "lifetime_max_s is from 1 to 86400"),
        (r#"kind = "oidc""#, "kind = \"oidc\"\njwks_refresh_s = 1", "jwks_refresh_s is from 60"),
        (r#"kind = "oidc""#, "kind = \"oidc\"\njwks_age_max_s = 100", "jwks_age_max_s is from 300"),
        (r#"groups = "groups""#, r#"groups = "sub""#, "`groups` cannot be"),
        (r#"groups = "groups""#, r#"groups = """#, "`groups` cannot be"),
    ];
    for (from, to, why) in cases {
        assert!(CORP.contains(from), "{from}");
        let said = refused(&with_url(&CORP.replacen(from, to, 1)));
        assert!(said.contains(why), "{to}: {said}");
    }
}

#[test]
fn refuses_keys_from_nowhere_from_two_places_or_without_tls() {
    for (keys, why) in [
        ("", "exactly one of"),
        ("jwks = '{}'\njwks_file = \"/k\"", "exactly one of"),
        ("jwks_file = \"/k\"\njwks_url = \"https://a.example/k\"", "exactly one of"),
        ("jwks_file = \"keys.json\"", "absolute path"),
        ("jwks_url = \"http://a.example/k\"", "`jwks_url` is a plain https address"),
        ("jwks_url = \"file:///etc/keys\"", "`jwks_url` is a plain https address"),
        ("jwks_file = \"/k\"\njwks_refresh_s = 600", "no `jwks_refresh_s`"),
        ("jwks_file = \"/k\"\njwks_ca_file = \"/ca\"", "no `jwks_ca_file`"),
        ("jwks_url = \"https://a.example/k\"\njwks_ca_file = \"ca.pem\"", "absolute path"),
    ] {
        let said = refused(&format!("{CORP}{keys}"));
        assert!(said.contains(why), "{keys}: {said}");
    }
}

#[test]
fn a_trust_domain_is_needed_and_has_to_be_one() {
    let lines = "name = \"acme\"\nkind = \"jwt-svid\"\naudiences = [\"crumb\"]\n";
    assert!(refused(&with_url(lines)).contains("needs `trust_domain`"));
    for domain in ["", "*", "spiffe://acme.example", "ACME.example", "*.acme.example"] {
        let said = refused(&with_url(&format!("{lines}trust_domain = \"{domain}\"\n")));
        assert!(said.contains("is not a trust domain"), "{domain}: {said}");
    }
    assert!(
        refused(&with_url(&format!("{lines}trust_domain = \"a\"\niss = \"*\"\n"))).contains("`iss` is written out")
    );
}

#[test]
fn refuses_lists_in_which_a_token_could_have_two_entries() {
    let none = |_: &std::path::Path| Err(io::ErrorKind::NotFound.into());
    let corp = || issuer(CORP, &good_keys());
    let named = Issuers::new(vec![corp(), corp()], none).expect_err("one name");
    assert!(matches!(named, InvalidIssuers::DuplicateName { .. }));
    let other = issuer(&CORP.replace("\"corp\"", "\"other\""), &good_keys());
    let overlapping = Issuers::new(vec![corp(), other], none).expect_err("one iss");
    assert!(matches!(overlapping, InvalidIssuers::Overlap { name } if name.as_str() == "other"));
    let domain = |name: &str| {
        let lines = format!("name = \"{name}\"\nkind = \"jwt-svid\"\naudiences = [\"crumb\"]\ntrust_domain = \"a\"");
        issuer(&lines, r#"{"keys":[]}"#)
    };
    let overlapping = Issuers::new(vec![domain("one"), domain("two")], none).expect_err("one trust domain");
    assert!(matches!(overlapping, InvalidIssuers::Overlap { .. }));
    let many = (0..33).map(|n| {
        issuer(&CORP.replace("corp", &format!("c{n}")).replace("login.acme", &format!("login{n}.acme")), &good_keys())
    });
    assert!(matches!(Issuers::new(many.collect(), none), Err(InvalidIssuers::TooMany)));
}

#[test]
fn refuses_files_that_cannot_be_read_and_sets_that_are_refused() {
    let file = || toml::from_str::<Issuer>(&format!("{CORP}jwks_file = \"/k\"")).expect("good");
    let unreadable = Issuers::new(vec![file()], |_| Err(io::ErrorKind::PermissionDenied.into()));
    assert!(matches!(unreadable, Err(InvalidIssuers::Unreadable { .. })));
    let refused = Issuers::new(vec![file()], |_| Ok("{}".to_owned()));
    assert!(matches!(refused, Err(InvalidIssuers::Keys { source: InvalidJwks::Malformed, .. })));
}
