//! The nonces of single-use tokens that were used: the one thing a verifier remembers of its decisions.
//!
//! A nonce counts within its token, so nobody can use up another token's. It is kept until the token has ended by the
//! broker's clock; when the table is full, single-use tokens are refused and nothing is forgotten early.

use crumb_token::{Timestamp, TokenId};
use std::{
    collections::{BTreeSet, HashSet},
    sync::{Mutex, PoisonError},
};

/// One nonce of one token.
pub(crate) type Nonce = (TokenId, [u8; 16]);

/// Why a nonce was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The one at this place of the list was used before.
    Used(usize),
    /// There is no room.
    Full,
}

/// The used nonces, at most `max`.
#[derive(Debug)]
pub(crate) struct Nonces {
    max: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    all: HashSet<Nonce>,
    by_end: BTreeSet<(Timestamp, Nonce)>,
}

impl Nonces {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, used: Mutex::default() }
    }

    /// Returns how many are kept.
    pub(crate) fn len(&self) -> usize {
        self.lock().all.len()
    }

    /// Takes all of `nonces` at once, or none. They are kept until `horizon` has passed `until`.
    ///
    /// # Errors
    ///
    /// [`NotTaken`]; then nothing was taken.
    pub(crate) fn take(&self, nonces: &[Nonce], until: Timestamp, horizon: Timestamp) -> Result<(), NotTaken> {
        if nonces.is_empty() {
            return Ok(());
        }
        let mut used = self.lock();
        used.forget_before(horizon);
        if let Some(place) = nonces.iter().position(|n| used.all.contains(n)) {
            return Err(NotTaken::Used(place));
        }
        if used.all.len().saturating_add(nonces.len()) > self.max {
            return Err(NotTaken::Full);
        }
        for nonce in nonces {
            used.all.insert(*nonce);
            used.by_end.insert((until, *nonce));
        }
        Ok(())
    }

    /// A panic while the table is locked cannot leave it half-written in a way that frees a nonce: both inserts only add.
    fn lock(&self) -> std::sync::MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn forget_before(&mut self, horizon: Timestamp) {
        while let Some((until, nonce)) = self.by_end.first().copied() {
            if until >= horizon {
                break;
            }
            self.by_end.pop_first();
            self.all.remove(&nonce);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn token(n: u128) -> TokenId {
        format!("tok_{n:032x}").parse().expect("a token id")
    }

    fn at(s: u64) -> Timestamp {
        Timestamp::from_unix_s(s)
    }

    #[test]
    fn takes_all_or_nothing() {
        let nonces = Nonces::new(8);
        assert_eq!(nonces.take(&[(token(1), [1; 16])], at(10), at(0)), Ok(()));
        let both = [(token(1), [2; 16]), (token(1), [1; 16])];
        assert_eq!(nonces.take(&both, at(10), at(0)), Err(NotTaken::Used(1)));
        assert_eq!(nonces.take(&both[..1], at(10), at(0)), Ok(()), "the first of the two was not taken");
    }

    #[test]
    fn one_token_cannot_use_up_the_nonce_of_another() {
        let nonces = Nonces::new(8);
        assert_eq!(nonces.take(&[(token(1), [1; 16])], at(10), at(0)), Ok(()));
        assert_eq!(nonces.take(&[(token(2), [1; 16])], at(10), at(0)), Ok(()));
    }

    #[test]
    fn a_full_table_forgets_nothing_that_is_alive() {
        let nonces = Nonces::new(1);
        assert_eq!(nonces.take(&[(token(1), [1; 16])], at(10), at(0)), Ok(()));
        assert_eq!(nonces.take(&[(token(2), [1; 16])], at(10), at(10)), Err(NotTaken::Full));
        assert_eq!(nonces.take(&[(token(2), [1; 16])], at(20), at(11)), Ok(()));
        assert_eq!(nonces.len(), 1);
    }

    #[test]
    fn of_many_at_once_one_gets_it() {
        let nonces = Arc::new(Nonces::new(8));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let nonces = Arc::clone(&nonces);
                std::thread::spawn(move || nonces.take(&[(token(1), [1; 16])], at(10), at(0)).is_ok())
            })
            .collect();
        let won = threads.into_iter().map(|t| t.join().expect("no panic")).filter(|won| *won).count();
        assert_eq!(won, 1);
    }
}
