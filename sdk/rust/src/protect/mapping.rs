//! Reading a request as a tool, an operation and a resource. The tool server's own part, since only it knows its calls.

use bytes::Bytes;
use crumb_token::Ask;

/// Reads what a request asks for.
///
/// It has to read it the way the tool will; best is a tool that takes what it needs from the [`Ask`] and parses nothing
/// again. The digest of the arguments is added by the layer.
pub trait Mapping: Send + Sync {
    /// Reads `head`, which has no token in it any more, and the argument bytes: the body, or the gRPC message without its
    /// frame.
    ///
    /// # Errors
    ///
    /// [`Unmapped`] for everything that is not exactly one known call; it is refused as `ask_malformed`.
    fn ask(&self, head: &http::request::Parts, arguments: &Bytes) -> Result<Ask, Unmapped>;
}

/// A request that is not one of the calls that the tool server knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unmapped(String);

impl Unmapped {
    /// Says what is wrong, for the caller to read: name the field, never repeat a value.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}
