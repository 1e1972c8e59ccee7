//! The keys that are held for one issuer, and when they may be fetched anew.
//!
//! Apart because fetching is I/O and this is not: it says when, counts, and judges what came. The bytes are moved by a
//! function that the caller brings.
//!
//! # Invariants
//!
//! - One fetch at a time. Whoever asks meanwhile is told no, and goes on with the keys that are held.
//! - Tokens cannot make us fetch at will: fetches are [`INTERVAL_MIN`] apart, and twice as far after each failure, up to
//!   [`INTERVAL_MAX`].
//! - A fetch that fails takes nothing away; keys past their age do not count, whatever the reason.
//! - No lock is held while a fetch is under way.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crumb_token::Clock;

use super::{HttpsUrl, InvalidSubjectToken};
use crate::jwks::{InvalidJwks, Jwks, KeyUse};

/// How long a fetch may take: a key set is one small document.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The least time between the beginnings of two fetches. A key that was just introduced is found after this long.
const INTERVAL_MIN: Duration = Duration::from_secs(10);

// This is what makes fetches follow one another: when the next may begin, the answer of the last no longer counts.
const _: () = assert!(INTERVAL_MIN.as_secs() > FETCH_TIMEOUT.as_secs());

/// The most time between two fetches that failed, while somebody asks for one.
const INTERVAL_MAX: Duration = Duration::from_secs(5 * 60);

/// Why keys are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// It is time: nothing is held, or what is held is due for a look.
    Due,
    /// A token was refused, and newer keys might have accepted it.
    Refused,
}

/// The document could not be had. What went wrong is the fetching function's to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key set could not be fetched")]
pub struct FetchFailed;

/// A fetch changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefreshFailed {
    /// No document came.
    #[error(transparent)]
    Fetch(#[from] FetchFailed),
    /// A document came after its time, when another fetch may have begun.
    #[error("the key set came too late")]
    TooLate,
    /// A document came and is refused.
    #[error("the key set that was fetched is refused")]
    Keys(#[from] InvalidJwks),
}

/// The keys of one issuer.
pub struct HeldKeys {
    source: Option<Source>,
    state: Mutex<State>,
}

struct Source {
    url: HttpsUrl,
    key_use: KeyUse,
    refresh: Duration,
    age_max: Duration,
}

/// Times are ticks: a wall clock that is stepped makes no key older or younger.
#[derive(Default)]
struct State {
    keys: Option<Arc<Jwks>>,
    /// When the fetch that brought `keys` began: the document is at least as new as that.
    as_of: Duration,
    begun: Option<Duration>,
    /// The fetch that was begun last has neither ended nor been given up.
    under_way: bool,
    failures: u32,
}

impl HeldKeys {
    pub(super) fn fixed(keys: Jwks) -> Self {
        Self { source: None, state: Mutex::new(State { keys: Some(Arc::new(keys)), ..State::default() }) }
    }

    pub(super) fn fetched(url: HttpsUrl, key_use: KeyUse, refresh: Duration, age_max: Duration) -> Self {
        Self { source: Some(Source { url, key_use, refresh, age_max }), state: Mutex::default() }
    }

    /// Returns the keys.
    pub(super) fn at(&self, ticks: Duration) -> Result<Arc<Jwks>, InvalidSubjectToken> {
        let state = self.state();
        let keys = state.keys.clone().ok_or(InvalidSubjectToken::KeysMissing)?;
        let fresh = match &self.source {
            None => true,
            Some(source) => ticks.saturating_sub(state.as_of) < source.age_max,
        };
        if fresh { Ok(keys) } else { Err(InvalidSubjectToken::KeysTooOld) }
    }

    /// Says whether there are keys that count.
    pub fn are_held(&self, ticks: Duration) -> bool {
        self.at(ticks).is_ok()
    }

    /// Returns how many fetches have failed since the last that did not.
    pub fn failures(&self) -> u32 {
        self.state().failures
    }

    /// Returns how long it is until a fetch is due and may begin; `None` for keys that are never fetched.
    pub fn until_due(&self, ticks: Duration) -> Option<Duration> {
        let source = self.source.as_ref()?;
        let state = self.state();
        let due = if state.keys.is_some() { state.as_of.saturating_add(source.refresh) } else { Duration::ZERO };
        let may = state.begun.map_or(Duration::ZERO, |begun| begun.saturating_add(state.pause()));
        Some(due.max(may).saturating_sub(ticks))
    }

    /// Says whether a refusal for want of a key may be another answer in a moment: a fetch is under way, or may begin.
    pub fn may_change(&self, ticks: Duration) -> bool {
        let state = self.state();
        let in_time = state.begun.is_some_and(|begun| ticks.saturating_sub(begun) < FETCH_TIMEOUT);
        self.source.is_some() && ((state.under_way && in_time) || state.may_begin(ticks))
    }

    /// Begins a fetch at `ticks`, if one is wanted, may begin, and none is under way.
    pub fn begin(&self, why: Why, ticks: Duration) -> Option<Fetch<'_>> {
        let source = self.source.as_ref()?;
        let mut state = self.state();
        let due = state.keys.is_none() || ticks.saturating_sub(state.as_of) >= source.refresh;
        if (why == Why::Due && !due) || !state.may_begin(ticks) {
            return None;
        }
        (state.begun, state.under_way) = (Some(ticks), true);
        Some(Fetch { held: self, source, begun: ticks, ended: false })
    }

    /// Fetches with a function of the caller's, if a fetch may begin now. Says whether one was made.
    ///
    /// `fetch` is given the address and how long it may take, and has to keep to that; it follows no redirects, and takes
    /// at most [`Jwks::LEN_MAX`] bytes. When the caller goes away, the fetch counts as failed.
    ///
    /// # Errors
    ///
    /// [`RefreshFailed`]. The keys that were held go on until they are too old.
    pub async fn refresh<F, A>(&self, why: Why, clock: &dyn Clock, fetch: F) -> Result<bool, RefreshFailed>
    where
        F: FnOnce(HttpsUrl, Duration) -> A,
        A: Future<Output = Result<String, FetchFailed>>,
    {
        let Some(begun) = self.begin(why, clock.now().ticks) else { return Ok(false) };
        let answer = fetch(begun.url().clone(), begun.timeout()).await;
        begun.end(answer.as_deref().map_err(|failed| *failed), clock.now().ticks).map(|()| true)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic halfway, so what a poisoned lock guards is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn may_begin(&self, ticks: Duration) -> bool {
        let Some(begun) = self.begun else { return true };
        ticks.saturating_sub(begun) >= self.pause()
    }

    fn pause(&self) -> Duration {
        INTERVAL_MIN.saturating_mul(1 << self.failures.min(16)).min(INTERVAL_MAX)
    }

    /// Notes that the fetch that began then is over. A later one may be under way.
    fn over(&mut self, begun: Duration) {
        self.under_way &= self.begun != Some(begun);
    }
}

impl fmt::Debug for HeldKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.source.as_ref().map(|source| &source.url);
        f.debug_struct("HeldKeys").field("url", &url).field("keys", &self.state().keys).finish_non_exhaustive()
    }
}

/// A fetch that is under way. Dropped without an answer, it has failed.
#[must_use = "nobody else may fetch until it ends"]
pub struct Fetch<'a> {
    held: &'a HeldKeys,
    source: &'a Source,
    begun: Duration,
    ended: bool,
}

impl Fetch<'_> {
    /// Returns the address.
    pub fn url(&self) -> &HttpsUrl {
        &self.source.url
    }

    /// Returns how long it may take.
    pub fn timeout(&self) -> Duration {
        FETCH_TIMEOUT
    }

    /// Takes the answer.
    ///
    /// # Errors
    ///
    /// [`RefreshFailed`]; the keys that were held stay.
    pub fn end(mut self, answer: Result<&str, FetchFailed>, ticks: Duration) -> Result<(), RefreshFailed> {
        if ticks.saturating_sub(self.begun) >= FETCH_TIMEOUT {
            return Err(RefreshFailed::TooLate);
        }
        let keys = Jwks::parse(answer?, self.source.key_use)?;
        let mut state = self.held.state();
        state.keys = Some(Arc::new(keys));
        state.as_of = self.begun;
        state.failures = 0;
        state.over(self.begun);
        self.ended = true;
        Ok(())
    }
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut state = self.held.state();
        state.failures = state.failures.saturating_add(1);
        state.over(self.begun);
    }
}

impl fmt::Debug for Fetch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetch({})", self.source.url)
    }
}
