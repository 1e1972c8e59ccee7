//! The writers' chains.

use super::*;

fn writer() -> Writer {
    "w".parse().expect("a writer")
}

/// Entries 1 to `n` of one writer, with their hashes.
fn chain(n: u64) -> Vec<(Vec<u8>, TreeHash)> {
    let (writer, mut previous) = (writer(), TreeHash::ZERO);
    let next = |number| {
        let body = format!(r#"{{"n":{number}}}"#);
        let bytes = Entry::new(&writer, number, previous, &body).expect("an entry").encode();
        previous = TreeHash::of_leaf(&bytes);
        (bytes, previous)
    };
    (1..=n).map(next).collect()
}

fn follow(chains: &mut Chains, (bytes, hash): &(Vec<u8>, TreeHash), line: u64) -> Option<Problem> {
    chains.follow(&Entry::read(bytes).expect("an entry"), *hash, line)
}

#[test]
fn a_whole_chain_has_no_problem_and_can_be_gone_on_with() {
    let entries = chain(6);
    let mut chains = Chains::default();
    assert!(entries[..3].iter().all(|entry| follow(&mut chains, entry, 1).is_none()));
    let mut resumed = Chains::resume(&chains.told(), 1).expect("heads");
    assert_eq!(resumed.unseen().collect::<Vec<_>>(), ["w"]);
    assert!(entries[3..].iter().all(|entry| follow(&mut resumed, entry, 1).is_none()));
    assert_eq!(resumed.unseen().count(), 0);
    assert_eq!(resumed.head("w").map(|head| head.number), Some(6));
}

#[test]
fn names_what_is_missing_repeated_out_of_order_or_changed() {
    let entries = chain(6);
    let mut chains = Chains::default();
    let w = || "w".to_owned();
    let mut step = |at: usize, line| follow(&mut chains, &entries[at], line);
    assert_eq!(step(1, 2), Some(Problem::Missing { writer: w(), from: 1, to: 1 }));
    assert_eq!(step(1, 3), Some(Problem::Repeated { writer: w(), number: 2, line: 2 }));
    assert_eq!(step(4, 4), Some(Problem::Missing { writer: w(), from: 3, to: 4 }));
    assert_eq!(step(2, 5), Some(Problem::OutOfOrder { writer: w(), number: 3, after: 5 }));
    assert_eq!(step(5, 6), None);

    let mut chains = Chains::default();
    assert_eq!(follow(&mut chains, &entries[0], 2), None);
    let writer = writer();
    let changed = Entry::new(&writer, 2, entries[0].1, r#"{"n":"other"}"#).expect("an entry").encode();
    let changed = (changed.clone(), TreeHash::of_leaf(&changed));
    assert_eq!(follow(&mut chains, &changed, 3), None);
    assert_eq!(follow(&mut chains, &entries[2], 4), Some(Problem::Changed { writer: w(), number: 2, line: 3 }));
}

#[test]
fn keeps_no_more_writers_than_it_may() {
    let head = |n: usize| ToldHead { writer: format!("w{n}"), number: 1, hash: TreeHash::ZERO };
    let told: Vec<_> = (0..Chains::WRITERS_MAX).map(head).collect();
    let mut chains = Chains::resume(&told, 1).expect("as many as may be");
    assert_eq!(follow(&mut chains, &chain(1)[0], 2), Some(Problem::TooManyWriters));
    let told: Vec<_> = (0..=Chains::WRITERS_MAX).map(head).collect();
    assert_eq!(Chains::resume(&told, 1).err(), Some(InvalidHeads));
    assert_eq!(Chains::resume(&[head(1), head(1)], 1).err(), Some(InvalidHeads));
    assert_eq!(Chains::resume(&[ToldHead { number: 0, ..head(1) }], 1).err(), Some(InvalidHeads));
    assert_eq!(Chains::resume(&[ToldHead { writer: String::new(), ..head(1) }], 1).err(), Some(InvalidHeads));
}
