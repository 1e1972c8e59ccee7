//! A mapping for gRPC: methods by path, messages by their generated type.

use super::mapping::{Mapping, Unmapped};
use bytes::Bytes;
use crumb_token::Ask;
use prost::Message;
use std::{collections::BTreeMap, fmt};

type Reader = Box<dyn Fn(&Bytes) -> Result<Ask, Unmapped> + Send + Sync>;

/// Reads unary calls of the methods that were named, and no others.
#[derive(Default)]
pub struct GrpcMapping {
    methods: BTreeMap<String, Reader>,
}

impl GrpcMapping {
    /// Knows no method yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the method at `path`, such as `/crumb.sample.v1.Files/Read`, whose message is an `M`.
    #[must_use]
    pub fn unary<M, F>(mut self, path: &str, read: F) -> Self
    where
        M: Message + Default,
        F: Fn(M) -> Result<Ask, Unmapped> + Send + Sync + 'static,
    {
        let reader: Reader = Box::new(move |bytes| {
            let message = M::decode(&bytes[..]).map_err(|_| Unmapped::new("a message of the method's type"))?;
            read(message)
        });
        self.methods.insert(path.to_owned(), reader);
        self
    }
}

impl Mapping for GrpcMapping {
    fn ask(&self, head: &http::request::Parts, arguments: &Bytes) -> Result<Ask, Unmapped> {
        // Compared as it was sent: nothing is decoded, so a path has one spelling.
        let reader = self.methods.get(head.uri.path()).ok_or_else(|| Unmapped::new("a known method"))?;
        reader(arguments)
    }
}

impl fmt::Debug for GrpcMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.methods.keys()).finish()
    }
}
