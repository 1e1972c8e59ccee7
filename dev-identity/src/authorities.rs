//! The authorities of the trust domain over time: prepared, issuing, retired.
//!
//! A new authority is in the bundle before it issues, and an old one stays in it until its own end; so whoever follows
//! the bundle never meets a certificate it cannot check. Decisions are made in [`Line::turn`], which takes the time;
//! [`Authorities`] only publishes what changed.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crumb_token::{Now, TrustDomain};
use tokio::sync::watch;

use crate::ca::{Ca, CannotIssue};

/// How long a prepared authority is only announced. Open streams carry the bundle at once; this leaves them five hundred
/// times the millisecond that it takes.
const ANNOUNCED: Duration = Duration::from_millis(500);

/// Authorities that no longer issue but are still trusted. Rotation by age leaves one or two; only a caller in haste
/// makes more, and then the oldest goes.
const RETIRED_MAX: usize = 16;

/// What is true of the authorities at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The authority that signs now.
    pub(crate) issuing: Arc<Ca>,
    /// All trusted authorities; DER, concatenated.
    pub(crate) bundle: Vec<u8>,
    /// Grows with every change.
    pub(crate) revision: u64,
}

/// The authorities of one trust domain.
#[derive(Debug)]
pub(crate) struct Authorities {
    line: Mutex<Line>,
    latest: watch::Sender<Arc<Snapshot>>,
}

impl Authorities {
    pub(crate) fn new(domain: TrustDomain, ca_ttl: Duration, now: Now) -> Result<Self, CannotIssue> {
        let line = Line::new(domain, ca_ttl, now)?;
        let latest = watch::Sender::new(Arc::new(line.snapshot()));
        Ok(Self { line: Mutex::new(line), latest })
    }

    /// Announces a new authority, unless one is already announced.
    pub(crate) fn rotate(&self, now: Now) -> Result<(), CannotIssue> {
        self.with(|line| line.prepare(now))
    }

    /// Does what the time asks for; call it a few times a second.
    pub(crate) fn turn(&self, now: Now) -> Result<(), CannotIssue> {
        self.with(|line| line.turn(now))
    }

    /// Ends trust in all authorities that no longer issue.
    pub(crate) fn forget_retired(&self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if !line.retired.is_empty() {
            line.retired.clear();
            line.revision += 1;
            self.latest.send_replace(Arc::new(line.snapshot()));
        }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.latest.subscribe()
    }

    fn with(&self, change: impl FnOnce(&mut Line) -> Result<(), CannotIssue>) -> Result<(), CannotIssue> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let before = line.revision;
        let answer = change(&mut line);
        if line.revision != before {
            self.latest.send_replace(Arc::new(line.snapshot()));
        }
        answer
    }
}

/// Sans-I/O: the authorities and what becomes of them.
#[derive(Debug)]
struct Line {
    domain: TrustDomain,
    ca_ttl: Duration,
    issuing: Arc<Ca>,
    /// With the tick at which it was announced.
    prepared: Option<(Arc<Ca>, Duration)>,
    /// Oldest first.
    retired: VecDeque<Arc<Ca>>,
    made: u64,
    revision: u64,
}

impl Line {
    fn new(domain: TrustDomain, ca_ttl: Duration, now: Now) -> Result<Self, CannotIssue> {
        let issuing = Arc::new(Ca::new(&domain, 1, now.wall, ca_ttl)?);
        Ok(Self { domain, ca_ttl, issuing, prepared: None, retired: VecDeque::new(), made: 1, revision: 1 })
    }

    fn prepare(&mut self, now: Now) -> Result<(), CannotIssue> {
        if self.prepared.is_some() {
            return Ok(());
        }
        let ca = Ca::new(&self.domain, self.made + 1, now.wall, self.ca_ttl)?;
        self.made += 1;
        self.prepared = Some((Arc::new(ca), now.ticks));
        self.revision += 1;
        Ok(())
    }

    fn turn(&mut self, now: Now) -> Result<(), CannotIssue> {
        if let Some((ca, _)) = self.prepared.take_if(|(_, since)| now.ticks.saturating_sub(*since) >= ANNOUNCED) {
            self.retired.push_back(std::mem::replace(&mut self.issuing, ca));
            if self.retired.len() > RETIRED_MAX {
                self.retired.pop_front();
            }
            self.revision += 1;
        }
        let trusted = self.retired.len();
        self.retired.retain(|ca| now.wall < ca.not_after);
        if self.retired.len() != trusted {
            self.revision += 1;
        }
        // Half life, as SPIRE does: the other half covers every SVID signed until now.
        if now.wall.since(self.issuing.made_at) >= self.ca_ttl / 2 {
            self.prepare(now)?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        let prepared = self.prepared.iter().map(|(ca, _)| ca);
        let trusted = std::iter::once(&self.issuing).chain(prepared).chain(&self.retired);
        let bundle = trusted.flat_map(|ca| ca.der().iter().copied()).collect();
        Snapshot { issuing: self.issuing.clone(), bundle, revision: self.revision }
    }
}

#[cfg(test)]
mod tests {
    use crumb_token::Timestamp;

    use super::*;

    const TTL: Duration = Duration::from_secs(100);

    fn at(seconds: u64) -> Now {
        Now { wall: Timestamp::from_unix_s(1_700_000_000 + seconds), ticks: Duration::from_secs(seconds) }
    }

    fn line() -> Line {
        Line::new(crate::DEV_TRUST_DOMAIN.parse().expect("canonical"), TTL, at(0)).expect("keys can be made")
    }

    fn trusts(line: &Line, ca: &Ca) -> bool {
        line.snapshot().bundle.windows(ca.der().len()).any(|window| window == ca.der())
    }

    #[test]
    fn a_new_authority_is_announced_before_it_issues() {
        let mut line = line();
        let old = line.issuing.clone();
        line.prepare(at(1)).expect("keys can be made");
        line.turn(at(1)).expect("keys can be made");
        assert!(Arc::ptr_eq(&old, &line.issuing));
        let (next, _) = line.prepared.clone().expect("announced");
        assert!(trusts(&line, &next) && trusts(&line, &old));
        line.turn(at(2)).expect("keys can be made");
        assert!(Arc::ptr_eq(&next, &line.issuing));
        assert!(trusts(&line, &old));
    }

    #[test]
    fn an_old_authority_is_trusted_until_its_own_end() {
        let mut line = line();
        let old = line.issuing.clone();
        line.prepare(at(40)).expect("keys can be made");
        line.turn(at(41)).expect("keys can be made");
        line.turn(at(99)).expect("keys can be made");
        assert!(trusts(&line, &old));
        let before = line.revision;
        line.turn(at(100)).expect("keys can be made");
        assert!(!trusts(&line, &old));
        assert!(line.revision > before);
    }

    #[test]
    fn an_authority_is_replaced_at_half_life() {
        let mut line = line();
        line.turn(at(49)).expect("keys can be made");
        assert!(line.prepared.is_none());
        line.turn(at(50)).expect("keys can be made");
        assert!(line.prepared.is_some());
    }

    #[test]
    fn two_rotations_at_once_are_one() {
        let mut line = line();
        line.prepare(at(1)).expect("keys can be made");
        line.prepare(at(1)).expect("keys can be made");
        assert_eq!(line.made, 2);
    }

    #[test]
    fn retired_authorities_are_bounded() {
        let mut line = line();
        for second in 0..40 {
            line.prepare(at(second)).expect("keys can be made");
            line.turn(at(second + 1)).expect("keys can be made");
        }
        assert_eq!(line.retired.len(), RETIRED_MAX);
    }

    #[test]
    fn nothing_is_published_when_nothing_changed() {
        let domain = crate::DEV_TRUST_DOMAIN.parse().expect("canonical");
        let authorities = Authorities::new(domain, TTL, at(0)).expect("keys can be made");
        let watch = authorities.watch();
        authorities.turn(at(1)).expect("keys can be made");
        authorities.forget_retired();
        assert!(!watch.has_changed().expect("alive"));
        authorities.rotate(at(1)).expect("keys can be made");
        assert!(watch.has_changed().expect("alive"));
    }
}
