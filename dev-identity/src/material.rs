//! What a caller is to be sent, and when: decided here, without I/O.
//!
//! A [`Material`] remembers what it last said and says something new when that is no longer true. The process behind it
//! is looked at by the caller of [`Material::next`], between "something is due" and "here it is".

use std::{sync::Arc, time::Duration};

use crumb_attestors::unix_process::ProcessFacts;
use crumb_token::{SpiffeId, Timestamp, TrustDomain};

use crate::{
    authorities::Snapshot,
    ca::CannotIssue,
    entries::{Entry, matching},
    wire::{X509BundlesResponse, X509svid, X509svidResponse},
};

/// Everything a decision depends on, at one moment.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) facts: &'a ProcessFacts,
    pub(crate) entries: &'a [Entry],
    pub(crate) authorities: &'a Arc<Snapshot>,
    pub(crate) now: Timestamp,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A message.
    Message,
    /// Nothing.
    Nothing,
    /// The caller has no identity, or no longer: the stream ends.
    NotEntitled,
}

/// A kind of message stream.
pub(crate) trait Material: Send + Sync + 'static {
    type Message: Send + 'static;

    /// Says whether what was last sent is still right.
    fn due(&self, view: &View<'_>) -> Due;

    /// Makes the next message.
    fn next(&mut self, view: &View<'_>) -> Result<Self::Message, CannotIssue>;
}

/// What the last message of SVIDs stood on.
#[derive(Debug)]
struct Sent {
    identities: Vec<Identity>,
    revision: u64,
    at: Timestamp,
}

type Identity = (SpiffeId, Option<String>);

fn identities(view: &View<'_>) -> Vec<Identity> {
    matching(view.entries, view.facts).into_iter().map(|e| (e.spiffe_id.clone(), e.hint.clone())).collect()
}

/// SVIDs, for `FetchX509SVID`. Keys are made for each message and not kept.
#[derive(Debug)]
pub(crate) struct Svids {
    ttl: Duration,
    sent: Option<Sent>,
}

impl Svids {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, sent: None }
    }
}

impl Material for Svids {
    type Message = X509svidResponse;

    fn due(&self, view: &View<'_>) -> Due {
        let identities = identities(view);
        if identities.is_empty() {
            return Due::NotEntitled;
        }
        // A clock that was set back makes `since` zero, and the SVID would outlive its half life: send a new one.
        let fresh = |sent: &Sent| view.now >= sent.at && view.now.since(sent.at) < self.ttl / 2;
        let right = |sent: &Sent| sent.revision == view.authorities.revision && sent.identities == identities;
        if self.sent.as_ref().is_some_and(|sent| fresh(sent) && right(sent)) { Due::Nothing } else { Due::Message }
    }

    fn next(&mut self, view: &View<'_>) -> Result<X509svidResponse, CannotIssue> {
        let identities = identities(view);
        let mut response = X509svidResponse::default();
        for (id, hint) in &identities {
            let svid = view.authorities.issuing.issue(id, view.now, self.ttl)?;
            tracing::info!(spiffe_id = %id, pid = view.facts.pid, uid = view.facts.uid, "issued a development SVID");
            response.svids.push(X509svid {
                spiffe_id: id.to_string(),
                x509_svid: svid.chain,
                x509_svid_key: svid.key.to_vec(),
                bundle: view.authorities.bundle.clone(),
                hint: hint.clone().unwrap_or_default(),
            });
        }
        self.sent = Some(Sent { identities, revision: view.authorities.revision, at: view.now });
        Ok(response)
    }
}

/// The bundle, for `FetchX509Bundles`. Only for callers with an identity, as with SPIRE.
#[derive(Debug)]
pub(crate) struct Bundles {
    domain: TrustDomain,
    sent: Option<u64>,
}

impl Bundles {
    pub(crate) fn new(domain: TrustDomain) -> Self {
        Self { domain, sent: None }
    }
}

impl Material for Bundles {
    type Message = X509BundlesResponse;

    fn due(&self, view: &View<'_>) -> Due {
        if matching(view.entries, view.facts).is_empty() {
            return Due::NotEntitled;
        }
        if self.sent == Some(view.authorities.revision) { Due::Nothing } else { Due::Message }
    }

    fn next(&mut self, view: &View<'_>) -> Result<X509BundlesResponse, CannotIssue> {
        self.sent = Some(view.authorities.revision);
        let bundles = [(self.domain.to_id_text(), view.authorities.bundle.clone())].into();
        Ok(X509BundlesResponse { crl: Vec::new(), bundles })
    }
}

#[cfg(test)]
mod tests {
    use crumb_token::Now;

    use super::*;
    use crate::{DEV_TRUST_DOMAIN, authorities::Authorities, selector::tests::shell};

    const TTL: Duration = Duration::from_secs(60);

    fn entry(path: &str) -> Entry {
        Entry {
            spiffe_id: format!("spiffe://{DEV_TRUST_DOMAIN}{path}").parse().expect("canonical"),
            selectors: vec!["unix:uid:1000".parse().expect("a selector")],
            hint: None,
        }
    }

    fn at(seconds: u64) -> Now {
        Now { wall: Timestamp::from_unix_s(1_700_000_000 + seconds), ticks: Duration::from_secs(seconds) }
    }

    struct World {
        facts: ProcessFacts,
        entries: Vec<Entry>,
        authorities: Authorities,
    }

    impl World {
        fn new() -> Self {
            let domain = DEV_TRUST_DOMAIN.parse().expect("canonical");
            let authorities = Authorities::new(domain, Duration::from_secs(3600), at(0)).expect("keys can be made");
            Self { facts: shell(), entries: vec![entry("/a")], authorities }
        }

        fn due(&self, material: &impl Material, seconds: u64) -> Due {
            self.view(seconds, |view| material.due(view))
        }

        fn next<M: Material>(&self, material: &mut M, seconds: u64) -> M::Message {
            self.view(seconds, |view| material.next(view)).expect("keys can be made")
        }

        fn view<T>(&self, seconds: u64, with: impl FnOnce(&View<'_>) -> T) -> T {
            let authorities = &self.authorities.watch().borrow().clone();
            with(&View { facts: &self.facts, entries: &self.entries, authorities, now: at(seconds).wall })
        }
    }

    #[test]
    fn svids_are_due_at_once_and_then_at_half_life() {
        let world = World::new();
        let mut svids = Svids::new(TTL);
        assert_eq!(world.due(&svids, 0), Due::Message);
        let first = world.next(&mut svids, 0);
        assert_eq!(world.due(&svids, 29), Due::Nothing);
        assert_eq!(world.due(&svids, 30), Due::Message);
        let second = world.next(&mut svids, 30);
        assert_ne!(first.svids[0].x509_svid, second.svids[0].x509_svid);
        assert_ne!(first.svids[0].x509_svid_key, second.svids[0].x509_svid_key);
    }

    #[test]
    fn svids_are_due_when_the_clock_was_set_back() {
        let world = World::new();
        let mut svids = Svids::new(TTL);
        world.next(&mut svids, 100);
        assert_eq!(world.due(&svids, 99), Due::Message);
    }

    #[test]
    fn svids_are_due_when_the_identities_change_and_end_when_none_is_left() {
        let mut world = World::new();
        let mut svids = Svids::new(TTL);
        world.next(&mut svids, 0);
        world.entries.push(entry("/b"));
        assert_eq!(world.due(&svids, 0), Due::Message);
        assert_eq!(world.next(&mut svids, 0).svids.len(), 2);
        world.entries.clear();
        assert_eq!(world.due(&svids, 0), Due::NotEntitled);
    }

    #[test]
    fn both_are_due_when_the_authorities_change() {
        let world = World::new();
        let (mut svids, mut bundles) = (Svids::new(TTL), Bundles::new(DEV_TRUST_DOMAIN.parse().expect("canonical")));
        world.next(&mut svids, 0);
        world.next(&mut bundles, 0);
        assert_eq!(world.due(&bundles, 0), Due::Nothing);
        world.authorities.rotate(at(0)).expect("keys can be made");
        assert_eq!((world.due(&svids, 0), world.due(&bundles, 0)), (Due::Message, Due::Message));
        let message = world.next(&mut bundles, 0);
        assert_eq!(message.bundles.keys().collect::<Vec<_>>(), ["spiffe://dev.crumb.invalid"]);
    }

    #[test]
    fn another_uid_gets_neither() {
        let mut world = World::new();
        world.facts.uid = 0;
        assert_eq!(world.due(&Svids::new(TTL), 0), Due::NotEntitled);
        assert_eq!(world.due(&Bundles::new(DEV_TRUST_DOMAIN.parse().expect("canonical")), 0), Due::NotEntitled);
    }
}
