//! What entries let in, and in which order they are found.

use super::*;
use crate::{DEV_TRUST_DOMAIN, selector::tests::shell};

fn entries() -> Entries {
    Entries::new(DEV_TRUST_DOMAIN.parse().expect("canonical"))
}

fn entry(path: &str, selectors: &[&str], hint: Option<&str>) -> Entry {
    Entry {
        spiffe_id: format!("spiffe://{DEV_TRUST_DOMAIN}/{path}").parse().expect("canonical"),
        selectors: selectors.iter().map(|text| text.parse().expect("a selector")).collect(),
        hint: hint.map(str::to_owned),
    }
}

fn found(entries: &Entries) -> Vec<String> {
    matching(&entries.all(), &shell()).iter().map(|entry| entry.spiffe_id.path().to_owned()).collect()
}

#[test]
fn all_selectors_must_match() {
    let all = entries();
    all.add(entry("both", &["unix:uid:1000", "unix:gid:100"], None)).expect("usable");
    all.add(entry("one", &["unix:uid:1000", "unix:gid:0"], None)).expect("usable");
    assert_eq!(found(&all), ["/both"]);
}

#[test]
fn the_most_particular_entry_is_first() {
    let all = entries();
    for (path, selectors) in [
        ("a", &["unix:uid:1000"][..]),
        ("b", &["unix:gid:100"]),
        ("c", &["unix:uid:1000", "unix:pid:77"]),
        ("d", &["unix:uid:1"]),
    ] {
        all.add(entry(path, selectors, None)).expect("usable");
    }
    assert_eq!(found(&all), ["/c", "/a", "/b"]);
}

#[test]
fn an_identity_and_a_hint_are_there_once() {
    let all = entries();
    all.add(entry("a", &["unix:uid:1000"], Some("x"))).expect("usable");
    all.add(entry("a", &["unix:gid:100"], Some("y"))).expect("usable");
    all.add(entry("b", &["unix:gid:100"], Some("x"))).expect("usable");
    all.add(entry("c", &["unix:gid:100"], None)).expect("usable");
    all.add(entry("d", &["unix:gid:100"], None)).expect("usable");
    assert_eq!(found(&all), ["/a", "/c", "/d"]);
}

#[test]
fn refuses_entries_of_no_use() {
    let all = entries();
    let good = entry("a", &["unix:uid:1"], None);
    let foreign = Entry { spiffe_id: "spiffe://acme.example/a".parse().expect("canonical"), ..good.clone() };
    assert!(matches!(all.add(foreign), Err(InvalidEntry::TrustDomain(_))));
    assert!(matches!(all.add(Entry { selectors: vec![], ..good.clone() }), Err(InvalidEntry::NoSelector(_))));
    let many = vec![Selector::Uid(1); SELECTORS_MAX + 1];
    assert!(matches!(all.add(Entry { selectors: many, ..good.clone() }), Err(InvalidEntry::TooManySelectors(_))));
    let relative = vec![Selector::Path("sh".into())];
    assert!(matches!(all.add(Entry { selectors: relative, ..good.clone() }), Err(InvalidEntry::Selector { .. })));
    for hint in [String::new(), "h".repeat(HINT_LEN_MAX + 1)] {
        assert!(matches!(all.add(Entry { hint: Some(hint), ..good.clone() }), Err(InvalidEntry::Hint(_))));
    }
    assert!(all.all().is_empty());
    all.replace(vec![good.clone(); ENTRIES_MAX]).expect("as many as there may be");
    assert_eq!(all.add(good.clone()), Err(InvalidEntry::TooMany));
    assert_eq!(all.all().len(), ENTRIES_MAX);
    assert!(all.remove(&good.spiffe_id));
    assert!(!all.remove(&good.spiffe_id));
}

#[test]
fn a_change_that_changes_nothing_wakes_nobody() {
    let all = entries();
    all.add(entry("a", &["unix:uid:1"], None)).expect("usable");
    let watch = all.watch();
    assert!(!all.remove(&"spiffe://dev.crumb.invalid/b".parse().expect("canonical")));
    assert!(!watch.has_changed().expect("the list lives"));
}
