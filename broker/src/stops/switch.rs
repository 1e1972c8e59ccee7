//! The kill switch as requests see it: the stops that the store keeps, and those that are about to be kept.
//!
//! Apart from [`Stops`], which is a plain value, because what is in force changes at two moments: when somebody pulls the
//! switch, before anything is written, and when the thread that writes says what became of it.
//!
//! # Invariants
//!
//! - A stop is in force from the moment when it is pulled; only the news that it was not written takes it back.
//! - What is kept changes on the writing thread alone, in the order of commits: a lift that is told late takes back no stop
//!   that was pulled after it.
//! - A stop of which nobody knows whether it was written stays in force until it is lifted.

use super::{Scope, Stop, Stops};
use arc_swap::ArcSwap;
use crumb_token::{Denial, Reason};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Everything that is stopped now.
#[derive(Debug)]
pub struct Switch {
    /// The sum of the ledger, which requests read without a lock.
    in_force: ArcSwap<Stops>,
    ledger: Mutex<Ledger>,
}

#[derive(Debug)]
struct Ledger {
    /// What the store keeps.
    kept: Stops,
    /// What was pulled and is not kept yet, in order.
    pulled: BTreeMap<u64, Pulled>,
    /// The number of the next pull.
    next: u64,
}

#[derive(Debug)]
struct Pulled {
    scope: Scope,
    stop: Stop,
    /// Its write has ended, and nobody knows how.
    in_doubt: bool,
}

impl Switch {
    /// Begins with what the store keeps.
    pub fn new(kept: Stops) -> Self {
        let in_force = ArcSwap::from_pointee(kept.clone());
        Self { in_force, ledger: Mutex::new(Ledger { kept, pulled: BTreeMap::new(), next: 0 }) }
    }

    /// Returns everything that is stopped.
    pub fn load(&self) -> Arc<Stops> {
        self.in_force.load_full()
    }

    /// Puts a stop in force. The pull belongs into the hands of whoever hears what became of its write.
    ///
    /// # Errors
    ///
    /// `overloaded` when there are as many stops as may be.
    pub fn pull(self: &Arc<Self>, scope: &Scope, stop: &Stop) -> Result<Pull, Denial> {
        let number = self.change(|ledger| {
            let in_force = ledger.sum();
            if in_force.get(scope).is_none() && in_force.len() >= Stops::LEN_MAX {
                return None;
            }
            let number = ledger.next;
            ledger.next += 1;
            ledger.pulled.insert(number, Pulled { scope: scope.clone(), stop: stop.clone(), in_doubt: false });
            Some(number)
        });
        let number = number.ok_or_else(|| {
            let rule = format!("at most {} stops at once", Stops::LEN_MAX);
            let denial = Denial::new(Reason::Overloaded).by(rule, "the broker");
            denial.next("stop something wider: an owner, everything")
        })?;
        Ok(Pull { switch: Arc::clone(self), number })
    }

    /// Takes a stop back that the store keeps no more, and those of the same that are in doubt. Called in the order of commits.
    pub fn lifted(&self, scope: &Scope) {
        self.change(|ledger| {
            ledger.kept = ledger.kept.with(scope, None);
            ledger.pulled.retain(|_, pulled| !pulled.in_doubt || pulled.scope != *scope);
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut ledger);
        // Under the lock, so that the sums come in order.
        self.in_force.store(Arc::new(ledger.sum()));
        changed
    }
}

impl Ledger {
    fn sum(&self) -> Stops {
        self.pulled.values().fold(self.kept.clone(), |sum, pulled| sum.with(&pulled.scope, Some(pulled.stop.clone())))
    }
}

/// A stop that is in force and about to be written. Dropped, it is in doubt.
#[derive(Debug)]
#[must_use]
pub struct Pull {
    switch: Arc<Switch>,
    number: u64,
}

impl Pull {
    /// Notes that the store keeps it. Called in the order of commits.
    pub fn keep(self) {
        self.switch.change(|ledger| {
            if let Some(Pulled { scope, stop, .. }) = ledger.pulled.remove(&self.number) {
                ledger.kept = ledger.kept.with(&scope, Some(stop));
            }
        });
    }

    /// Takes it back: it was not written.
    pub fn take_back(self) {
        self.switch.change(|ledger| ledger.pulled.remove(&self.number));
    }
}

impl Drop for Pull {
    fn drop(&mut self) {
        self.switch.change(|ledger| {
            if let Some(pulled) = ledger.pulled.get_mut(&self.number) {
                pulled.in_doubt = true;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crumb_token::Timestamp;

    fn stop(why: &str) -> Stop {
        Stop { since: Timestamp::from_unix_s(1), by: "uid:0".into(), why: why.into() }
    }

    fn switch(kept: Option<&str>) -> Arc<Switch> {
        let kept = kept.map(|why| (Scope::Everything, stop(why)));
        Arc::new(Switch::new(kept.into_iter().collect()))
    }

    fn why(switch: &Switch) -> Option<String> {
        switch.load().get(&Scope::Everything).map(|stop| stop.why.clone())
    }

    #[test]
    fn a_lift_takes_back_no_stop_that_is_being_written() {
        let switch = switch(Some("first"));
        let second = switch.pull(&Scope::Everything, &stop("second")).expect("there is room");
        switch.lifted(&Scope::Everything);
        assert_eq!(why(&switch).as_deref(), Some("second"), "not even for a moment");
        second.keep();
        assert_eq!(why(&switch).as_deref(), Some("second"));
        switch.lifted(&Scope::Everything);
        assert_eq!(why(&switch), None);
    }

    #[test]
    fn a_stop_that_was_not_written_leaves_the_one_before() {
        let switch = switch(Some("first"));
        let second = switch.pull(&Scope::Everything, &stop("second")).expect("there is room");
        assert_eq!(why(&switch).as_deref(), Some("second"), "in force before it is written");
        second.take_back();
        assert_eq!(why(&switch).as_deref(), Some("first"));
    }

    #[test]
    fn a_stop_in_doubt_stays_until_it_is_lifted() {
        let switch = switch(None);
        drop(switch.pull(&Scope::Everything, &stop("lost")).expect("there is room"));
        assert_eq!(why(&switch).as_deref(), Some("lost"));
        switch.lifted(&Scope::Everything);
        assert_eq!(why(&switch), None);
    }

    #[test]
    fn refuses_one_stop_too_many_and_says_anew_why_one_is_there() {
        let agent = |n: usize| Scope::Agent(format!("bot-{n}").parse().expect("a name"));
        let kept = (0..Stops::LEN_MAX).map(|n| (agent(n), stop("flood")));
        let switch = Arc::new(Switch::new(kept.collect()));
        let refused = switch.pull(&agent(Stops::LEN_MAX), &stop("one more")).expect_err("full");
        assert_eq!(refused.reason, Reason::Overloaded);
        switch.pull(&agent(0), &stop("anew")).expect("it has its place").keep();
        assert_eq!(switch.load().get(&agent(0)).map(|stop| stop.why.as_str()), Some("anew"));
    }
}
