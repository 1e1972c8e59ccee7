//! A Workload API client of bytes: it can be carried across `exec()`, for it has no state but the socket.
//!
//! HTTP/2 frames are read one at a time and exactly, so nothing is left in a buffer that dies with the program.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

/// A message with an identity in it.
pub(crate) const MATERIAL: &str = "material";
/// The stream or the connection is over.
pub(crate) const ENDED: &str = "ended";

/// The authority is what gRPC's C core writes there: the path of the socket.
const HEADERS: &[(&str, &str)] = &[
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/SpiffeWorkloadAPI/FetchX509SVID"),
    (":authority", "tmp%2Fapi.sock"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("workload.spiffe.io", "true"),
];

const DATA: u8 = 0;
const HEADERS_FRAME: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

/// Asks for X.509-SVIDs.
pub(crate) fn ask(stream: &mut UnixStream) -> anyhow::Result<()> {
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")?;
    write_frame(stream, SETTINGS, 0, 0, &[])?;
    let mut block = Vec::new();
    for (name, value) in HEADERS {
        // HPACK: a literal that is not indexed, with a new name, without Huffman coding.
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len())?);
            block.extend(text.bytes());
        }
    }
    write_frame(stream, HEADERS_FRAME, END_HEADERS, 1, &block)?;
    // One message of no bytes.
    write_frame(stream, DATA, END_STREAM, 1, &[0; 5])
}

/// Waits for the next thing worth saying.
pub(crate) fn next(stream: &mut UnixStream) -> anyhow::Result<&'static str> {
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).is_err() {
            return Ok(ENDED);
        }
        let mut body = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if stream.read_exact(&mut body).is_err() {
            return Ok(ENDED);
        }
        let (kind, flags) = (head[3], head[4]);
        match kind {
            DATA if body.windows(9).any(|window| window == b"spiffe://") => return Ok(MATERIAL),
            SETTINGS if flags & ACK == 0 => write_frame(stream, SETTINGS, ACK, 0, &[])?,
            DATA | HEADERS_FRAME if flags & END_STREAM != 0 => return Ok(ENDED),
            GOAWAY => return Ok(ENDED),
            _ => {}
        }
    }
}

fn write_frame(stream: &mut UnixStream, kind: u8, flags: u8, id: u32, body: &[u8]) -> anyhow::Result<()> {
    let len = u32::try_from(body.len())?.to_be_bytes();
    let mut frame = vec![len[1], len[2], len[3], kind, flags];
    frame.extend(id.to_be_bytes());
    frame.extend(body);
    Ok(stream.write_all(&frame)?)
}
