//! Entries as bytes.

use super::*;

fn writer() -> Writer {
    "broker-a".parse().expect("a writer")
}

#[test]
fn an_entry_has_exactly_these_bytes() {
    let entry = Entry::new(&writer(), 2, TreeHash::from_bytes([7; 32]), r#"{"a":1}"#).map(|e| e.encode());
    let expected =
        [b"crumb.entry/v1\n".as_slice(), b"\x08broker-a", b"\0\0\0\0\0\0\0\x02", &[7; 32], b"\0\x07", br#"{"a":1}"#];
    assert_eq!(entry, Ok(expected.concat()));
}

#[test]
fn an_entry_reads_as_it_was_written() {
    let writer = writer();
    let entry = Entry::new(&writer, 1, TreeHash::ZERO, "{}").expect("an entry");
    let bytes = entry.encode();
    assert_eq!(Entry::read(&bytes), Ok(entry));
    assert_eq!(entry.leaf_hash(), TreeHash::of_leaf(&bytes));
    let longest = "x".repeat(Entry::BODY_LEN_MAX);
    let widest: Writer = "w".repeat(255).parse().expect("a writer");
    let bytes = Entry::new(&widest, 1, TreeHash::ZERO, &longest).expect("an entry").encode();
    assert_eq!(bytes.len(), Entry::LEN_MAX);
    assert!(Entry::read(&bytes).is_ok());
}

#[test]
fn refuses_parts_that_do_not_fit() {
    let (writer, hash) = (writer(), TreeHash::from_bytes([7; 32]));
    assert_eq!(Entry::new(&writer, 0, TreeHash::ZERO, "{}"), Err(InvalidEntry::Number));
    assert_eq!(Entry::new(&writer, 1, hash, "{}"), Err(InvalidEntry::Number));
    assert_eq!(Entry::new(&writer, 2, TreeHash::ZERO, "{}"), Err(InvalidEntry::Number));
    assert_eq!(Entry::new(&writer, 2, hash, ""), Err(InvalidEntry::Body));
    let long = "x".repeat(Entry::BODY_LEN_MAX + 1);
    assert_eq!(Entry::new(&writer, 2, hash, &long), Err(InvalidEntry::TooLong));
    for name in ["", "a b", "a\n", "\u{e4}", &"w".repeat(256)] {
        assert_eq!(name.parse::<Writer>(), Err(InvalidWriter), "{name:?}");
    }
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    let bytes = Entry::new(&writer(), 1, TreeHash::ZERO, "{}").expect("an entry").encode();
    for end in 0..bytes.len() {
        assert!(Entry::read(&bytes[..end]).is_err(), "cut at {end}");
    }
    assert_eq!(Entry::read(&[bytes.as_slice(), b" "].concat()), Err(InvalidEntry::Lengths));
    let newer = [b"crumb.entry/v2\n", &bytes[15..]].concat();
    assert_eq!(Entry::read(&newer), Err(InvalidEntry::UnknownFormat));
    assert_eq!(Entry::read(&vec![0; Entry::LEN_MAX + 1]), Err(InvalidEntry::TooLong));
    let mut broken = bytes.clone();
    *broken.last_mut().expect("a byte") = 0xff;
    assert_eq!(Entry::read(&broken), Err(InvalidEntry::Body));
    broken = bytes;
    broken[16] = b' ';
    assert_eq!(Entry::read(&broken), Err(InvalidEntry::Writer(InvalidWriter)));
}
