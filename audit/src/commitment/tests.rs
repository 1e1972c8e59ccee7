//! Commitments to personal fields.

use super::*;

const RECORD: &str = r#"{"kind":"decision", "subject":"bob\u0040acme","none":"","asked":[{"tool":"mail","resource":"a/b"},{"resource":"c"}],"x":{"a/b~c":{"intent":{"deep":[1, 2]}}},"n":1.50}"#;
const FIELDS: &[&str] = &["subject", "resource", "intent", "none"];

fn committed() -> Committed {
    let mut n = 0;
    let salt = || {
        n += 1;
        Salt::new([n; 32])
    };
    commit(RECORD, FIELDS, salt).expect("a record")
}

#[test]
fn named_fields_are_replaced_and_all_else_stays_byte_for_byte() {
    let Committed { body, disclosures } = committed();
    let places: Vec<_> = disclosures.iter().map(Disclosure::place).collect();
    assert_eq!(places, ["/subject", "/asked/0/resource", "/asked/1/resource", "/x/a~1b~0c/intent"]);
    let mut expected = RECORD.to_owned();
    for disclosure in &disclosures {
        expected = expected.replacen(disclosure.value(), &Commitment::text(&disclosure.commitment()), 1);
    }
    assert_eq!(body, expected);
    assert!(!body.contains("bob") && !body.contains("deep"));
    assert!(body.contains(r#""none":"""#), "what is empty stays");
}

#[test]
fn a_commitment_is_exactly_this_hash() {
    let disclosure = Disclosure::new("/s".to_owned(), Salt::new([9; 32]), r#""v""#.to_owned());
    let input = [b"\x02".as_slice(), &[9; 32], b"\0\0\0\x02/s", br#""v""#].concat();
    assert_eq!(disclosure.commitment(), <[u8; 32]>::from(Sha256::digest(input)));
}

#[test]
fn what_is_disclosed_comes_back_and_what_is_erased_stays_a_commitment() {
    let Committed { body, mut disclosures } = committed();
    assert_eq!(render(&body, &disclosures).as_deref(), Ok(RECORD));
    disclosures.remove(0);
    let partly = render(&body, &disclosures).expect("the others");
    assert!(partly.contains(r#""subject":{"committed":"#) && partly.contains(r#""resource":"a/b""#));
    assert_eq!(render(&body, &[]).as_deref(), Ok(body.as_str()));
}

#[test]
fn opens_with_nothing_but_its_own_salt_place_and_value() {
    let Committed { body, disclosures } = committed();
    let all = Commitment::all_in(&body).expect("a body");
    for (at, commitment) in all.iter().enumerate() {
        for (other, disclosure) in disclosures.iter().enumerate() {
            assert_eq!(commitment.opens(disclosure.salt(), disclosure.value()), at == other);
        }
        assert!(!commitment.opens(disclosures[at].salt(), "null"));
        assert!(!commitment.opens(&[0; 32], disclosures[at].value()));
    }
    let of =
        |at: usize, value: &str| Disclosure::new(all[at].place.clone(), disclosures[at].salt.clone(), value.to_owned());
    assert_eq!(render(&body, &[of(0, "1")]), Err(InvalidCommitments::Disclosure));
    let stray = Disclosure::new("/kind".to_owned(), Salt::new([1; 32]), "1".to_owned());
    assert_eq!(render(&body, &[stray]), Err(InvalidCommitments::Disclosure));
}

#[test]
fn a_value_that_is_no_json_is_not_put_into_a_record() {
    let forged = Disclosure::new("/s".to_owned(), Salt::new([9; 32]), "1,\"admin\":true".to_owned());
    let body = format!(r#"{{"s":{}}}"#, Commitment::text(&forged.commitment()));
    assert_eq!(render(&body, &[forged]), Err(InvalidCommitments::Disclosure));
}

#[test]
fn refuses_records_that_two_readers_could_read_differently() {
    let refused = |record: &str| commit(record, FIELDS, || Salt::new([0; 32])).map(|c| c.body).expect_err(record);
    for record in ["", "[]", "1", r#"{"a":1"#, r#"{"a":1}x"#, "{\"a\":\"\n\"}"] {
        assert_eq!(refused(record), InvalidCommitments::Record(InvalidRecord::Malformed));
    }
    for record in [r#"{"a":1,"a":2}"#, r#"{"b":[{"a":1,"\u0061":2}]}"#] {
        assert_eq!(refused(record), InvalidCommitments::Record(InvalidRecord::DuplicateName));
    }
    let deep = format!("{}1{}", r#"{"a":["#.repeat(20), "]}".repeat(20));
    assert_eq!(refused(&deep), InvalidCommitments::Record(InvalidRecord::TooDeep));
    for record in [r#"{"committed":1}"#, r#"{"a":[{"committed":"x"}]}"#, r#"{"subject":"s","x":{"committed":null}}"#] {
        assert_eq!(refused(record), InvalidCommitments::NotACommitment);
    }
}

#[test]
fn refuses_bodies_with_half_a_commitment() {
    let good = Commitment::text(&[7; 32]);
    assert_eq!(Commitment::all_in(&format!(r#"{{"a":{good}}}"#)).map(|all| all.len()), Ok(1));
    for bad in [
        good.replace(r#""}"#, r#"","x":1}"#),
        good.replace('=', ""),
        good.replace(":", " :"),
        good.replace("committed", r"committe\u0064"),
        r#"{"committed":null}"#.to_owned(),
        good[..good.len() - 1].to_owned() + r#","committed":"x"}"#,
    ] {
        let body = format!(r#"{{"a":{bad}}}"#);
        assert_eq!(Commitment::all_in(&body), Err(InvalidCommitments::NotACommitment), "{body}");
    }
}

#[test]
fn debug_shows_neither_salt_nor_value() {
    let shown = format!("{:?}", committed().disclosures);
    assert!(shown.starts_with("[Disclosure(/subject, 14 bytes)") || shown.contains("/subject"), "{shown}");
    assert!(!shown.contains("bob") && !shown.contains("[1,"), "{shown}");
    assert_eq!(format!("{:?}", Salt::new([5; 32])), "Salt(32 bytes)");
}
