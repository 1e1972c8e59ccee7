//! The catalogue: bundles of rights and personas, approved once, which agents are put together from.

use super::{ManifestName, Purpose, Risk};
use crumb_token::{Audience, Grants, Owner, grant::TooManyGrants};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How deep bundles may include bundles, and personas extend personas. People have to be able to follow it.
pub(super) const DEPTH_MAX: usize = 8;

/// Rights per tool server.
pub type Scopes = BTreeMap<Audience, Grants>;

/// Rights that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolBundle {
    /// The registered name.
    pub name: ManifestName,
    /// The person who answers for it.
    pub owner: Owner,
    /// What it is for.
    pub purpose: Purpose,
    /// What it gives, with what the bundles give that it includes.
    pub scopes: Scopes,
}

/// What agents of one sort have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persona {
    /// The registered name.
    pub name: ManifestName,
    /// The person who answers for it.
    pub owner: Owner,
    /// What such agents are for.
    pub purpose: Purpose,
    /// The bundles that every such agent has, with those of the personas that it extends.
    pub bundles: BTreeSet<ManifestName>,
    /// The riskiest tool that such an agent may have at all; never above that of a persona it extends.
    pub risk_ceiling: Risk,
    /// The longest life of their tokens; never above that of a persona it extends.
    pub ttl_max: Option<Duration>,
    /// The life of their tokens when a request does not say.
    pub ttl_default: Option<Duration>,
    /// How long their sessions last when a request does not say.
    pub session_default: Option<Duration>,
}

impl Persona {
    /// Takes over what the extended persona says.
    pub(super) fn extend(&mut self, base: &Self) {
        self.bundles.extend(base.bundles.iter().cloned());
        self.risk_ceiling = self.risk_ceiling.min(base.risk_ceiling);
        self.ttl_max = least(self.ttl_max, base.ttl_max);
        self.ttl_default = self.ttl_default.or(base.ttl_default);
        self.session_default = self.session_default.or(base.session_default);
    }
}

/// Returns the shorter of two that may not be there.
pub(super) fn least(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    a.into_iter().chain(b).min()
}

/// Adds the rights of a bundle. This is what an owner gives; what a request gets is still the meet of all limits.
///
/// # Errors
///
/// The audience at which there would be more rights than one set holds.
pub(super) fn unite(scopes: &mut Scopes, more: &Scopes) -> Result<(), (Audience, TooManyGrants)> {
    for (audience, grants) in more {
        let own = scopes.entry(audience.clone()).or_default();
        let both = Grants::try_new(own.iter().chain(grants.iter()).cloned());
        *own = both.map_err(|error| (audience.clone(), error))?;
    }
    Ok(())
}
