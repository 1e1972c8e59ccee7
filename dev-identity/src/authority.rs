//! Makes the `:authority` of clients on a Unix socket one that our HTTP/2 library takes.
//!
//! gRPC's C core (Python, C++, Ruby) and Java name the socket's path there, as `tmp%2Fapi.sock` or `/tmp/api.sock`. That is no
//! authority by RFC 3986, `h2` refuses the request with `PROTOCOL_ERROR`, and the client learns nothing. SPIRE takes it;
//! a development Workload API that does not would not be the same client path. Known upstream: hyperium/h2#487.
//!
//! So bytes pass through here on their way in: an [`Inbound`] follows frames and header blocks (RFC 9113 §4, RFC 7541 §6)
//! and puts a dot in the place of each `%` and `/` of that one value. Nothing is moved or lengthened, so the other end's
//! compression state stays true, and nobody reads the value.
//!
//! Invariants: bounded state, no allocation, any bytes are passed on; whether they are HTTP/2 is for `h2` to say. A value
//! in Huffman code is not touched; the clients above do not send one.

const PREFACE_LEN: u8 = 24;
const HEAD_LEN: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const PRIORITY_LEN: u8 = 5;
const AUTHORITY: &[u8] = b":authority";
/// `:authority` in HPACK's static table.
const AUTHORITY_INDEX: u8 = 1;
const HUFFMAN: u8 = 0x80;

/// One direction of an HTTP/2 connection, as it is read.
#[derive(Debug)]
pub(crate) struct Inbound {
    at: At,
    block: Block,
}

#[derive(Debug)]
enum At {
    Preface { left: u8 },
    Head { bytes: [u8; HEAD_LEN], len: usize },
    Body(Body),
}

const HEAD: At = At::Head { bytes: [0; HEAD_LEN], len: 0 };

/// What is left of a frame after its head, from front to back.
#[derive(Debug)]
struct Body {
    is_block: bool,
    /// One byte that says how long the padding is.
    pad_field: bool,
    priority_left: u8,
    /// All bytes to the end of the frame.
    left: u32,
    padding: u8,
}

impl Inbound {
    pub(crate) fn new() -> Self {
        Self { at: At::Preface { left: PREFACE_LEN }, block: Block::default() }
    }

    /// Passes on bytes that were read, in order.
    pub(crate) fn pass(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.step(byte);
        }
    }

    fn step(&mut self, byte: &mut u8) {
        match &mut self.at {
            At::Preface { left } => {
                *left -= 1;
                if *left == 0 {
                    self.at = HEAD;
                }
            }
            At::Head { bytes, len } => {
                bytes[*len] = *byte;
                *len += 1;
                if *len == HEAD_LEN {
                    let body = Body::after(bytes);
                    if bytes[3] == HEADERS {
                        self.block = Block::default();
                    }
                    self.at = if body.left == 0 { HEAD } else { At::Body(body) };
                }
            }
            At::Body(body) => {
                body.left -= 1;
                if body.pad_field {
                    (body.pad_field, body.padding) = (false, *byte);
                } else if body.priority_left > 0 {
                    body.priority_left -= 1;
                } else if body.is_block && body.left >= u32::from(body.padding) {
                    self.block.step(byte);
                }
                if body.left == 0 {
                    self.at = HEAD;
                }
            }
        }
    }
}

impl Body {
    fn after(head: &[u8; HEAD_LEN]) -> Self {
        let (kind, flags) = (head[3], head[4]);
        let is = |flag| kind == HEADERS && flags & flag != 0;
        Self {
            is_block: matches!(kind, HEADERS | CONTINUATION),
            pad_field: is(PADDED),
            priority_left: if is(PRIORITY) { PRIORITY_LEN } else { 0 },
            left: u32::from_be_bytes([0, head[0], head[1], head[2]]),
            padding: 0,
        }
    }
}

/// A header block, which may go on in the next frame.
#[derive(Debug, Default)]
struct Block {
    at: Field,
    is_authority: bool,
}

#[derive(Debug, Default, Clone, Copy)]
enum Field {
    /// Before a representation.
    #[default]
    Start,
    /// In an integer that goes on; a value follows when the representation is a literal.
    Index { literal: bool },
    /// Before the length of a name or a value.
    Len(Part),
    /// In a length that goes on.
    LenMore { part: Part, len: u32, shift: u32 },
    /// In a name or a value.
    Text { part: Part, left: u32, seen: usize },
}

#[derive(Debug, Clone, Copy)]
struct Part {
    is_name: bool,
    huffman: bool,
}

const NAME: Field = Field::Len(Part { is_name: true, huffman: false });
const VALUE: Field = Field::Len(Part { is_name: false, huffman: false });

impl Block {
    fn step(&mut self, byte: &mut u8) {
        self.at = match self.at {
            Field::Start => self.start(*byte),
            Field::Index { literal } if *byte & 0x80 != 0 => Field::Index { literal },
            Field::Index { literal: true } => VALUE,
            Field::Index { literal: false } => Field::Start,
            Field::Len(part) => {
                let part = Part { huffman: *byte & HUFFMAN != 0, ..part };
                match *byte & 0x7f {
                    0x7f => Field::LenMore { part, len: 0x7f, shift: 0 },
                    len => self.text(part, u32::from(len), 0),
                }
            }
            Field::LenMore { part, len, shift } => {
                // A length past 2^28 is refused by whoever reads on; here it only must not overflow.
                let len = len.saturating_add(u32::from(*byte & 0x7f) << shift.min(21));
                if *byte & 0x80 != 0 { Field::LenMore { part, len, shift: shift + 7 } } else { self.text(part, len, 0) }
            }
            Field::Text { part, left, seen } => {
                if part.is_name {
                    self.is_authority &= !part.huffman && AUTHORITY.get(seen) == Some(&*byte);
                } else if self.is_authority && !part.huffman && matches!(*byte, b'%' | b'/') {
                    *byte = b'.';
                }
                self.text(part, left - 1, seen.saturating_add(1))
            }
        };
    }

    /// RFC 7541 §6: the first bits say what follows.
    fn start(&mut self, byte: u8) -> Field {
        let (mask, literal) = match byte.leading_zeros() {
            0 => (0x7f, false),
            1 => (0x3f, true),
            2 => (0x1f, false),
            _ => (0x0f, true),
        };
        let index = byte & mask;
        self.is_authority = matches!(index, 0 | AUTHORITY_INDEX);
        match (literal, index) {
            (literal, index) if index == mask => {
                self.is_authority = false;
                Field::Index { literal }
            }
            (false, _) => Field::Start,
            (true, 0) => NAME,
            (true, _) => VALUE,
        }
    }

    /// Goes on in a text, or past its end.
    fn text(&mut self, part: Part, left: u32, seen: usize) -> Field {
        if left > 0 {
            return Field::Text { part, left, seen };
        }
        if part.is_name {
            self.is_authority &= seen == AUTHORITY.len();
            return VALUE;
        }
        Field::Start
    }
}

#[cfg(test)]
mod tests;
