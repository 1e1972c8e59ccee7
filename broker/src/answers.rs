//! Tokens that were handed out lately, so that a repeated request gets the very same bytes.
//!
//! Only a short cut, and the only place where the broker keeps a token: after ten minutes, or a restart, the same request
//! gets a token that says the same, signed anew from the store's record.

use crate::store::RequestKey;
use crumb_token::TokenText;
use std::{fmt, time::Duration};

/// How long a token is kept: a client that tries again does so within seconds.
const KEPT: Duration = Duration::from_secs(10 * 60);

/// How many tokens are kept; at 4 KiB each, 80 MiB at the very most, and usually a quarter of that.
const LEN_MAX: u64 = 20_000;

/// Tokens by the request that got them.
pub struct Answers(moka::sync::Cache<RequestKey, TokenText>);

impl Answers {
    /// Begins with none.
    pub fn new() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(LEN_MAX).time_to_live(KEPT).build())
    }

    /// Returns the token that a request got.
    pub fn get(&self, request: &RequestKey) -> Option<TokenText> {
        self.0.get(request)
    }

    /// Keeps the token that a request gets.
    pub fn insert(&self, request: RequestKey, token: TokenText) {
        self.0.insert(request, token);
    }
}

impl Default for Answers {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answers({})", self.0.entry_count())
    }
}
