//! `Debug` for the messages that carry a token: everything but the token itself.
//!
//! The generator is told to derive none for them, so that a message which is logged whole cannot leak.

use crate::wire::{CallTokenResponse, ExchangeResponse};
use std::fmt;

impl fmt::Debug for ExchangeResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExchangeResponse")
            .field("token", &Bytes(self.token.len()))
            .field("token_id", &self.token_id)
            .field("grants", &self.grants)
            .field("expires_at", &self.expires_at)
            .field("holder", &self.holder)
            .finish()
    }
}

impl fmt::Debug for CallTokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallTokenResponse")
            .field("token", &Bytes(self.token.len()))
            .field("expires_at", &self.expires_at)
            .finish()
    }
}

/// The length of what is not shown.
struct Bytes(usize);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_print_the_token() {
        let exchange = ExchangeResponse { token: "canary".into(), token_id: "tok_1".into(), ..Default::default() };
        let call = CallTokenResponse { token: "canary".into(), expires_at: 1 };
        for text in [format!("{exchange:?}"), format!("{call:?}")] {
            assert!(text.contains("6 bytes") && !text.contains("canary"), "{text}");
        }
    }
}
