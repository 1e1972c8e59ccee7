//! Call tokens that were broken off one task token lately, so that the same call again gets the same token.
//!
//! A call token is good for one exact call until it ends, however often it is presented; to make another one for the same
//! call would allow nothing else. They belong to the task token they came from: found only by who finds that one, and gone
//! with it.
//!
//! # Invariants
//!
//! - Found only for the very same ask and life, and only while the token is of use.
//! - Bounded in number; the bytes are wiped when they go.

use crate::narrow::{CallToken, CallTtl, TTL_MIN_S};
use crumb_token::{Ask, Timestamp};
use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The most that are kept for one task token, at about two KiB each. An agent that makes more different calls in turn gets
/// new tokens.
const KEPT_MAX: usize = 16;

struct Made {
    ask: Ask,
    ttl: CallTtl,
    token: CallToken,
}

/// The call tokens of one task token.
#[derive(Default)]
pub(crate) struct CallTokens(Mutex<Vec<Made>>);

impl CallTokens {
    /// Returns the token that was made for `ask`, while a new one with the shortest life would be no better.
    pub(crate) fn find(&self, ask: &Ask, ttl: CallTtl, now: Timestamp) -> Option<CallToken> {
        let needed = now.plus(Duration::from_secs(TTL_MIN_S.into()));
        let made = self.lock();
        let same = made.iter().find(|m| m.ttl == ttl && m.token.expires_at >= needed && m.ask == *ask);
        same.map(|made| made.token.clone())
    }

    /// Keeps a token that was made `now`, in place of the one before for the same call, and of the oldest when there are too
    /// many.
    pub(crate) fn keep(&self, ask: &Ask, ttl: CallTtl, token: &CallToken, now: Timestamp) {
        let mut made = self.lock();
        made.retain(|m| m.token.expires_at > now && (m.ttl != ttl || m.ask != *ask));
        if made.len() >= KEPT_MAX {
            made.remove(0);
        }
        made.push(Made { ask: ask.clone(), ttl, token: token.clone() });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Made>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for CallTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallTokens({})", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::at;
    use crumb_token::TokenText;

    fn ask(resource: &str) -> Ask {
        let tool = "read_file".parse().expect("a tool");
        Ask::new(tool, "read".parse().expect("an operation"), resource.parse().expect("a resource"))
    }

    fn token(name: &str, end: u64) -> CallToken {
        CallToken { token: TokenText::from_bytes(name.as_bytes()), expires_at: at(end) }
    }

    fn found(tokens: &CallTokens, ask: &Ask, now: u64) -> Option<String> {
        tokens.find(ask, CallTtl::default(), at(now)).map(|call| call.token.expose().to_owned())
    }

    #[test]
    fn the_same_call_gets_the_same_token_while_it_is_of_use() {
        let (tokens, made) = (CallTokens::default(), token("one", 15));
        tokens.keep(&ask("a"), CallTtl::default(), &made, at(0));
        assert_eq!(found(&tokens, &ask("a"), 10).as_deref(), Some(made.token.expose()));
        assert_eq!(found(&tokens, &ask("a"), 11), None, "less than the shortest life is left");
    }

    #[test]
    fn any_other_call_gets_none() {
        let tokens = CallTokens::default();
        tokens.keep(&ask("a"), CallTtl::default(), &token("one", 15), at(0));
        let mut digest = ask("a");
        digest.args_digest = Some([1; 32]);
        for other in [ask("b"), digest] {
            assert_eq!(found(&tokens, &other, 0), None, "{other:?}");
        }
        let longer = CallTtl::try_from_s(30).expect("inside the bounds");
        assert!(tokens.find(&ask("a"), longer, at(0)).is_none());
    }

    #[test]
    fn keeps_a_bounded_number_and_the_newest_of_each() {
        let tokens = CallTokens::default();
        for n in 0..KEPT_MAX + 1 {
            tokens.keep(&ask(&format!("a{n}")), CallTtl::default(), &token("one", 15), at(0));
        }
        assert_eq!(tokens.lock().len(), KEPT_MAX);
        assert_eq!(found(&tokens, &ask("a0"), 0), None);
        let newer = token("newer", 20);
        tokens.keep(&ask("a5"), CallTtl::default(), &newer, at(5));
        assert_eq!(found(&tokens, &ask("a5"), 5).as_deref(), Some(newer.token.expose()));
        assert_eq!(tokens.lock().len(), KEPT_MAX);
    }

    #[test]
    fn debug_prints_a_number() {
        let tokens = CallTokens::default();
        tokens.keep(&ask("a"), CallTtl::default(), &token("canary", 15), at(0));
        assert_eq!(format!("{tokens:?}"), "CallTokens(1)");
    }
}
