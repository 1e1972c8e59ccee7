//! Chains that were found good, so that a request costs a look-up and not a signature.
//!
//! Only good verdicts are kept, each for one revision of the bundles: a new revision forgets them all. A verdict is used
//! while the path it found is valid; after that the chain is looked at again, since another path may be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crumb_attestors::x509_svid::SvidFacts;
use crumb_token::Timestamp;

/// The most verdicts that are kept: a few for each connection that a listener holds. When full, all are dropped; the
/// next requests verify again.
const VERDICTS_MAX: usize = 16_384;

#[derive(Default)]
pub(super) struct Verdicts(Mutex<Table>);

#[derive(Default)]
struct Table {
    revision: u64,
    good: HashMap<[u8; 32], Arc<SvidFacts>>,
}

impl Verdicts {
    pub(super) fn find(&self, digest: &[u8; 32], revision: u64, now: Timestamp) -> Option<Arc<SvidFacts>> {
        let table = self.lock();
        let facts = table.good.get(digest).filter(|facts| table.revision == revision && facts.holds_at(now))?;
        Some(Arc::clone(facts))
    }

    pub(super) fn keep(&self, digest: [u8; 32], revision: u64, facts: &Arc<SvidFacts>) {
        let mut table = self.lock();
        if table.revision > revision {
            return; // Judged against bundles that have been replaced meanwhile.
        }
        if table.revision < revision || table.good.len() >= VERDICTS_MAX {
            table.good.clear();
            table.revision = revision;
        }
        table.good.insert(digest, Arc::clone(facts));
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // A panic while it was held leaves a whole table behind: entries are inserted in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
