//! The nonces of single-use tokens that were used: the one thing a verifier remembers of its decisions.
//!
//! A nonce counts within its token, so nobody can use up another token's. It is kept until the blocks up to its own have
//! ended by the broker's clock, whatever ends were appended after them: those are the presenter's to choose. When there is
//! no room, single-use tokens are refused and nothing is forgotten early; one holder has a part of the room.

use crumb_token::{SpiffeId, Timestamp, TokenId};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

/// One holder gets this part of the room.
const SHARES: usize = 4;

/// One nonce of one token.
pub(crate) type Nonce = (TokenId, [u8; 16]);

/// A nonce, and the earliest end of the blocks up to the one that it is in.
pub(crate) type Until = (Nonce, Timestamp);

/// Why a nonce was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The one at this place of the list was used before.
    Used(usize),
    /// There is no room, or not for this holder.
    Full,
    /// It would have been forgotten already, so nobody can say.
    TooLate,
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
    by_end: BTreeMap<(Timestamp, Nonce), SpiffeId>,
    counts: HashMap<SpiffeId, usize>,
    /// What ended before this is forgotten. Never goes back.
    horizon: Timestamp,
}

impl Nonces {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, used: Mutex::default() }
    }

    /// Returns how many are kept.
    pub(crate) fn len(&self) -> usize {
        self.lock().all.len()
    }

    /// Takes all of `nonces` at once, or none, in the name of `holder`. Each is kept until `horizon` has passed its end; of
    /// one that comes twice the first end counts, which is the later one.
    ///
    /// # Errors
    ///
    /// [`NotTaken`]; then nothing was taken.
    pub(crate) fn take(&self, nonces: &[Until], holder: &SpiffeId, horizon: Timestamp) -> Result<(), NotTaken> {
        if nonces.is_empty() {
            return Ok(());
        }
        let mut used = self.lock();
        used.forget_before(horizon);
        if let Some(place) = nonces.iter().position(|(nonce, _)| used.all.contains(nonce)) {
            return Err(NotTaken::Used(place));
        }
        // Whoever read the time long ago must not find that its use was forgotten meanwhile.
        if nonces.iter().any(|(_, until)| *until < used.horizon) {
            return Err(NotTaken::TooLate);
        }
        let own = used.counts.get(holder).copied().unwrap_or(0).saturating_add(nonces.len());
        if used.all.len().saturating_add(nonces.len()) > self.max || own > self.max.div_ceil(SHARES) {
            return Err(NotTaken::Full);
        }
        for (nonce, until) in nonces {
            used.keep(*nonce, *until, holder);
        }
        Ok(())
    }

    /// A panic while the table is locked cannot leave it half-written in a way that frees a nonce: all inserts only add.
    fn lock(&self) -> std::sync::MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn keep(&mut self, nonce: Nonce, until: Timestamp, holder: &SpiffeId) {
        if self.all.insert(nonce) {
            self.by_end.insert((until, nonce), holder.clone());
            *self.counts.entry(holder.clone()).or_default() += 1;
        }
    }

    fn forget_before(&mut self, horizon: Timestamp) {
        self.horizon = self.horizon.max(horizon);
        while let Some(first) = self.by_end.first_entry().filter(|first| first.key().0 < self.horizon) {
            let ((_, nonce), holder) = first.remove_entry();
            self.all.remove(&nonce);
            if let Some(count) = self.counts.get_mut(&holder) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.counts.remove(&holder);
                }
            }
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

    fn holder(n: u8) -> SpiffeId {
        format!("spiffe://td/agent/{n}").parse().expect("a SPIFFE ID")
    }

    fn take(nonces: &Nonces, all: &[(TokenId, u8)], until: u64, horizon: u64) -> Result<(), NotTaken> {
        let all: Vec<_> = all.iter().map(|(token, n)| ((*token, [*n; 16]), at(until))).collect();
        nonces.take(&all, &holder(1), at(horizon))
    }

    #[test]
    fn takes_all_or_nothing() {
        let nonces = Nonces::new(32);
        assert_eq!(take(&nonces, &[(token(1), 1)], 10, 0), Ok(()));
        assert_eq!(take(&nonces, &[(token(1), 2), (token(1), 1)], 10, 0), Err(NotTaken::Used(1)));
        assert_eq!(take(&nonces, &[(token(1), 2)], 10, 0), Ok(()), "the first of the two was not taken");
    }

    #[test]
    fn one_token_cannot_use_up_the_nonce_of_another() {
        let nonces = Nonces::new(32);
        assert_eq!(take(&nonces, &[(token(1), 1)], 10, 0), Ok(()));
        assert_eq!(take(&nonces, &[(token(2), 1)], 10, 0), Ok(()));
    }

    #[test]
    fn a_full_table_forgets_nothing_that_is_alive() {
        let nonces = Nonces::new(1);
        assert_eq!(take(&nonces, &[(token(1), 1)], 10, 0), Ok(()));
        assert_eq!(take(&nonces, &[(token(2), 1)], 10, 10), Err(NotTaken::Full));
        assert_eq!(take(&nonces, &[(token(2), 1)], 20, 11), Ok(()));
        assert_eq!((nonces.len(), nonces.lock().counts.len()), (1, 1));
    }

    #[test]
    fn one_holder_leaves_room_for_others() {
        let nonces = Nonces::new(16);
        for n in 0..4 {
            assert_eq!(take(&nonces, &[(token(1), n)], 10, 0), Ok(()));
        }
        assert_eq!(take(&nonces, &[(token(1), 4)], 10, 0), Err(NotTaken::Full));
        assert_eq!(nonces.take(&[((token(2), [1; 16]), at(10))], &holder(2), at(0)), Ok(()));
    }

    #[test]
    fn a_nonce_that_would_be_forgotten_already_is_refused() {
        let nonces = Nonces::new(32);
        assert_eq!(take(&nonces, &[(token(1), 1)], 10, 0), Ok(()));
        assert_eq!(take(&nonces, &[(token(2), 1)], 30, 11), Ok(()));
        assert_eq!(take(&nonces, &[(token(1), 1)], 10, 5), Err(NotTaken::TooLate));
    }

    #[test]
    fn a_nonce_that_comes_twice_is_kept_for_the_longer_time() {
        let nonces = Nonces::new(32);
        let twice = [((token(1), [1; 16]), at(900)), ((token(1), [1; 16]), at(5))];
        assert_eq!(nonces.take(&twice, &holder(1), at(0)), Ok(()));
        assert_eq!(take(&nonces, &[(token(1), 1)], 900, 100), Err(NotTaken::Used(0)));
    }

    #[test]
    fn of_many_at_once_one_gets_it() {
        let nonces = Arc::new(Nonces::new(32));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let nonces = Arc::clone(&nonces);
                std::thread::spawn(move || take(&nonces, &[(token(1), 1)], 10, 0).is_ok())
            })
            .collect();
        let won = threads.into_iter().map(|t| t.join().expect("no panic")).filter(|won| *won).count();
        assert_eq!(won, 1);
    }
}
