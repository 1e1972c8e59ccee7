//! One case of the matrix: a chain, and what becomes of it.

use super::{
    issue::{Chain, leaf_params},
    world::{ID, World},
};
use rcgen::CertificateParams;

/// What becomes of a chain: accepted, or refused by the rule with this code.
pub type Verdict = Result<(), &'static str>;

/// A chain, and what becomes of it when a client or a server shows it.
#[derive(Debug)]
pub struct Case {
    /// What it says about the rule.
    pub name: &'static str,
    /// What is shown.
    pub chain: Chain,
    /// When a client shows it.
    pub as_client: Verdict,
    /// When a server shows it.
    pub as_server: Verdict,
}

impl Case {
    /// A case that is the same for both ends.
    pub fn new(name: &'static str, chain: Chain, verdict: Verdict) -> Self {
        Self { name, chain, as_client: verdict, as_server: verdict }
    }

    /// A leaf of the live root that differs from a good one in what `change` does.
    pub fn leaf(
        world: &World,
        name: &'static str,
        verdict: Verdict,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = leaf_params(ID);
        change(&mut params);
        Self::new(name, world.root.leaf(&params), verdict)
    }

    /// The same, with another verdict when a server shows it.
    #[must_use]
    pub fn but_as_server(mut self, verdict: Verdict) -> Self {
        self.as_server = verdict;
        self
    }
}
