//! What HTTP and gRPC do differently: where the arguments are, and how the outcome shows.

use super::{
    answer::{self, AnswerBody},
    mapping::Unmapped,
};
use bytes::{Buf as _, Bytes};
use crumb_token::{Audience, Denial};
use http::{Method, Response, header, request::Parts};

/// The bytes before a gRPC message: a flag for compression, and the length.
const FRAME_LEN: usize = 5;

/// What a protected server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// HTTP: the body is the arguments, and a refusal is a status with a JSON body.
    Http,
    /// gRPC: the message is the arguments, and a refusal is a status in a trailers-only answer. Unary calls only.
    Grpc,
}

impl Dialect {
    /// Returns the argument bytes of a body.
    pub(super) fn arguments(self, head: &Parts, received: &Bytes) -> Result<Bytes, Unmapped> {
        // A query is a second place for arguments, which no digest and no caveat covers.
        if head.uri.query().is_some() {
            return Err(Unmapped::new("no query"));
        }
        match self {
            Self::Http if head.headers.contains_key(header::CONTENT_ENCODING) => {
                Err(Unmapped::new("no content-encoding"))
            }
            Self::Http => Ok(received.clone()),
            Self::Grpc => grpc_message(head, received.clone()),
        }
    }

    /// Says whether this is the one request that needs no token: a probe that tells nothing but that we are alive.
    pub(super) fn is_health(self, head: &Parts) -> bool {
        let plain = head.uri.path() == "/health" && head.uri.query().is_none();
        self == Self::Http && head.method == Method::GET && plain
    }

    /// Writes a refusal.
    pub(super) fn refusal(self, denial: &Denial, audience: &Audience) -> Response<AnswerBody> {
        match self {
            Self::Http => answer::http(denial, audience),
            Self::Grpc => crumb_proto::to_status(denial).into_http::<http_body_util::Full<Bytes>>().map(answer::body),
        }
    }

    /// Returns the HTTP status that says what came of a call. gRPC always answers 200, so its own status is read.
    pub(super) fn outcome<A>(self, answer: &Response<A>) -> u16 {
        match (self, answer.headers().get("grpc-status")) {
            (Self::Grpc, Some(code)) => http_status(tonic::Code::from_bytes(code.as_bytes())),
            _ => answer.status().as_u16(),
        }
    }
}

/// What was asked, when it cannot be read: the method and the path. Without the query, which may hold anything.
pub(super) fn asked(head: &Parts) -> String {
    /// As long as a path with the name of a tool is.
    const LEN_MAX: usize = 256;
    let text = format!("{} {}", head.method, head.uri.path());
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(LEN_MAX).collect()
}

/// Takes the one message out of its frame.
fn grpc_message(head: &Parts, mut received: Bytes) -> Result<Bytes, Unmapped> {
    let media = head.headers.get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    if head.method != Method::POST || !matches!(media, Some(b"application/grpc" | b"application/grpc+proto")) {
        return Err(Unmapped::new("a gRPC call with protobuf"));
    }
    if received.len() < FRAME_LEN {
        return Err(Unmapped::new("exactly one gRPC message"));
    }
    let compressed = received.get_u8() != 0;
    if compressed {
        // The digest is over what the tool reads, and a small body could hold a large message.
        return Err(Unmapped::new("no compression"));
    }
    let len = received.get_u32();
    if u32::try_from(received.len()) != Ok(len) {
        return Err(Unmapped::new("exactly one gRPC message"));
    }
    Ok(received)
}

/// The HTTP status that stands for a gRPC code, as google.rpc.Code lists them.
fn http_status(code: tonic::Code) -> u16 {
    use tonic::Code;
    match code {
        Code::Ok => 200,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => 400,
        Code::Unauthenticated => 401,
        Code::PermissionDenied => 403,
        Code::NotFound => 404,
        Code::Aborted | Code::AlreadyExists => 409,
        Code::ResourceExhausted => 429,
        Code::Cancelled => 499,
        Code::Unknown | Code::Internal | Code::DataLoss => 500,
        Code::Unimplemented => 501,
        Code::Unavailable => 503,
        Code::DeadlineExceeded => 504,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(media: &str) -> Parts {
        let request = http::Request::post("/p.S/M").header(header::CONTENT_TYPE, media).body(()).expect("a request");
        request.into_parts().0
    }

    fn read(body: &'static [u8]) -> Option<Bytes> {
        Dialect::Grpc.arguments(&head("application/grpc"), &Bytes::from_static(body)).ok()
    }

    #[test]
    fn takes_exactly_one_uncompressed_message() {
        assert_eq!(read(b"\0\0\0\0\x02ab"), Some(Bytes::from_static(b"ab")));
        assert_eq!(read(b"\0\0\0\0\0"), Some(Bytes::new()));
        for bad in [
            &b""[..],
            b"\0\0\0\0",
            b"\x01\0\0\0\x02ab",
            b"\x02\0\0\0\x02ab",
            b"\0\0\0\0\x01ab",
            b"\0\0\0\0\x03ab",
            b"\0\0\0\0\x01a\0\0\0\0\x01b",
            b"\0\xff\xff\xff\xff",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn refuses_other_media_types_and_queries() {
        let body = Bytes::from_static(b"\0\0\0\0\0");
        for media in ["application/json", "application/grpc-web", "application/grpc+json"] {
            assert!(Dialect::Grpc.arguments(&head(media), &body).is_err(), "{media}");
        }
        let mut with_query = head("application/grpc");
        with_query.uri = "/p.S/M?x=1".parse().expect("a uri");
        assert!(Dialect::Grpc.arguments(&with_query, &body).is_err());
        assert!(Dialect::Http.arguments(&with_query, &body).is_err());
    }

    #[test]
    fn health_is_one_spelling_of_one_path() {
        let head = |method: &str, uri: &str| {
            http::Request::builder().method(method).uri(uri).body(()).expect("a request").into_parts().0
        };
        assert!(Dialect::Http.is_health(&head("GET", "/health")));
        for (method, uri) in [("POST", "/health"), ("GET", "/health/"), ("GET", "/health?x"), ("GET", "/%68ealth")] {
            assert!(!Dialect::Http.is_health(&head(method, uri)), "{method} {uri}");
        }
        assert!(!Dialect::Grpc.is_health(&head("GET", "/health")));
    }
}
