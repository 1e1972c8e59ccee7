//! One value is changed, whatever the way it is written, and nothing else.

use super::*;

const OPENING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn frame(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).expect("short").to_be_bytes();
    [&[len[1], len[2], len[3], kind, flags, 0, 0, 0, 1], body].concat()
}

fn text(text: &str) -> Vec<u8> {
    let len = u8::try_from(text.len()).expect("short");
    [&[len], text.as_bytes()].concat()
}

fn passed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    Inbound::new().pass(&mut bytes);
    bytes
}

/// What grpc-c 58 sends, and some ways to write the same.
fn blocks() -> Vec<Vec<u8>> {
    let path = [&[0x40], &text(":path")[..], &text("/SpiffeWorkloadAPI/FetchX509SVID")].concat();
    let rest = [&[0x83, 0x86, 0x40], &text("x")[..], &text("/a%2Fb"), &[0x3f, 0x80, 0x01], &[0x82]].concat();
    [[0x40].as_slice(), &[0x00], &[0x10]]
        .iter()
        .map(|first| [*first, &text(":authority"), &text("tmp%2Fa/b.sock")].concat())
        .chain([[0x41].as_slice(), &[0x01], &[0x11]].iter().map(|first| [*first, &text("tmp%2Fa/b.sock")].concat()))
        .map(|authority| [&path, &authority, &rest].into_iter().flatten().copied().collect())
        .collect()
}

fn expected(block: &[u8]) -> Vec<u8> {
    let (from, to) = (b"tmp%2Fa/b.sock", b"tmp.2Fa.b.sock");
    let at = block.windows(from.len()).position(|window| window == from).expect("it is there");
    [&block[..at], to, &block[at + from.len()..]].concat()
}

#[test]
fn changes_the_authority_however_it_is_written_and_nothing_else() {
    for block in blocks() {
        let wire =
            |block: &[u8]| [OPENING, &frame(4, 0, &[0; 6]), &frame(1, 4, block), &frame(0, 1, b"%/%/%")].concat();
        assert_eq!(passed(&wire(&block)), wire(&expected(&block)));
    }
}

#[test]
fn does_not_mind_where_reads_frames_and_padding_divide_it() {
    for block in blocks() {
        let fresh = expected(&block);
        for at in 1..block.len() {
            let wire = |block: &[u8]| {
                let first = [&[3][..], &[0, 0, 0, 0, 16], &block[..at], b"%/%"].concat();
                [OPENING, &frame(1, PADDED | PRIORITY, &first), &frame(9, 4, &block[at..]), &frame(6, 0, b"%/%/%/%/")]
                    .concat()
            };
            assert_eq!(passed(&wire(&block)), wire(&fresh), "divided at {at}");
        }
        let mut bytewise = [OPENING, &frame(1, 4, &block)].concat();
        let mut inbound = Inbound::new();
        bytewise.iter_mut().for_each(|byte| inbound.pass(std::slice::from_mut(byte)));
        assert_eq!(bytewise, [OPENING, &frame(1, 4, &fresh)].concat());
    }
}

#[test]
fn leaves_other_headers_and_huffman_code_alone() {
    for block in [
        [&[0x40], &text(":authoritx")[..], &text("a%2F")].concat(),
        [&[0x40], &text(":authority2")[..], &text("a%2F")].concat(),
        [&[0x40], &text(":authorit")[..], &text("a%2F")].concat(),
        [&[0x40], &text("")[..], &text("a%2F")].concat(),
        [&[0x44], &text("/a%2F")[..]].concat(),
        [&[0x7f, 0x02], &text("/a%2F")[..]].concat(),
        vec![0x41, 0x83, b'%', b'/', b'%'],
    ] {
        let wire = [OPENING, &frame(1, 4, &block)].concat();
        assert_eq!(passed(&wire), wire, "{block:02x?}");
    }
}

#[test]
fn long_values_are_followed_to_their_end() {
    let long = "/".repeat(300);
    let block = [&[0x41, 0x7f, 0xad, 0x01], long.as_bytes(), &[0x44], &text("/a%2F")].concat();
    let fresh = [&[0x41, 0x7f, 0xad, 0x01], ".".repeat(300).as_bytes(), &[0x44], &text("/a%2F")].concat();
    assert_eq!(passed(&[OPENING, &frame(1, 4, &block)].concat()), [OPENING, &frame(1, 4, &fresh)].concat());
}

#[test]
fn takes_any_bytes() {
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    for _ in 0..2000 {
        let body: Vec<u8> = (0..200).map(|_| random()).collect();
        let flags = random();
        passed(&[OPENING, &frame(1, flags, &body), &body].concat());
    }
    let endless = [&[0x41, 0x7f][..], &[0xff; 64]].concat();
    passed(&[OPENING, &frame(1, 4, &endless)].concat());
}
