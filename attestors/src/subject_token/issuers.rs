//! The list of issuers, each with the keys that are held for it.

use std::{io, path::Path};

use super::{HeldKeys, InvalidSubjectToken, Issuer, IssuerName, KeySource, issuer::Kind, svid};
use crate::{
    jwks::{InvalidJwks, Jwks},
    strict_json::Object,
};

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidIssuers {
    /// More than [`Issuers::MAX`].
    #[error("there are more than 32 issuers")]
    TooMany,
    /// Two entries have the same name.
    #[error("two issuers are called {name}")]
    DuplicateName {
        /// Which.
        name: IssuerName,
    },
    /// Two entries take the same tokens: one `iss`, or one trust domain.
    #[error("{name} takes the tokens of an issuer before it")]
    Overlap {
        /// The later one.
        name: IssuerName,
    },
    /// A file of keys cannot be read.
    #[error("the key set of {name} cannot be read")]
    Unreadable {
        /// Whose.
        name: IssuerName,
        /// Why.
        source: io::Error,
    },
    /// A key set, inline or in a file, is refused.
    #[error("the key set of {name} is refused")]
    Keys {
        /// Whose.
        name: IssuerName,
        /// Why.
        source: InvalidJwks,
    },
}

/// The issuers whose tokens are taken.
#[derive(Debug)]
pub struct Issuers(Vec<(Issuer, HeldKeys)>);

impl Issuers {
    /// The most issuers. An organisation has one or two providers, and a cluster or trust domain per environment.
    pub const MAX: usize = 32;

    /// Makes the list. `read` is asked for the text of each file of keys; keys that come from an address are missing until
    /// they are fetched, see [`Self::held`].
    ///
    /// # Errors
    ///
    /// [`InvalidIssuers`], by the first entry that cannot be used.
    pub fn new(
        issuers: Vec<Issuer>,
        mut read: impl FnMut(&Path) -> io::Result<String>,
    ) -> Result<Self, InvalidIssuers> {
        if issuers.len() > Self::MAX {
            return Err(InvalidIssuers::TooMany);
        }
        let mut list = Self(Vec::with_capacity(issuers.len()));
        for issuer in issuers {
            list.refuse_overlap(&issuer)?;
            let held = held(&issuer, &mut read)?;
            list.0.push((issuer, held));
        }
        Ok(list)
    }

    fn refuse_overlap(&self, issuer: &Issuer) -> Result<(), InvalidIssuers> {
        let name = issuer.name().clone();
        for (before, _) in &self.0 {
            if *before.name() == name {
                return Err(InvalidIssuers::DuplicateName { name });
            }
            let same_iss = before.iss().is_some() && before.iss() == issuer.iss();
            if same_iss || (domain(before).is_some() && domain(before) == domain(issuer)) {
                return Err(InvalidIssuers::Overlap { name });
            }
        }
        Ok(())
    }

    /// Yields every issuer with its keys, for whoever fetches those.
    pub fn held(&self) -> impl Iterator<Item = (&Issuer, &HeldKeys)> {
        self.0.iter().map(|(issuer, keys)| (issuer, keys))
    }

    /// Returns the keys of the issuer of this name: for one fetch after a refusal that named it.
    pub fn held_for(&self, name: &IssuerName) -> Option<&HeldKeys> {
        self.0.iter().find(|(issuer, _)| issuer.name() == name).map(|(_, keys)| keys)
    }

    /// Says whether no issuer is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many issuers are listed.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Finds the entry for a token: by its `iss`, to the byte, or for a JWT-SVID by the trust domain of its subject. What
    /// the claims say is not believed here; it only says whose keys have to prove it.
    pub(super) fn of(&self, claims: &Object) -> Result<(&Issuer, &HeldKeys), InvalidSubjectToken> {
        let iss = claims.text("iss")?;
        let by_iss = |issuer: &Issuer| domain(issuer).is_none() && iss.is_some() && issuer.iss() == iss;
        let claimed = svid::claimed_domain(claims);
        let by_domain = |issuer: &Issuer| claimed.is_some() && domain(issuer) == claimed.as_ref();
        let found = self.held().find(|(issuer, _)| by_iss(issuer));
        found.or_else(|| self.held().find(|(issuer, _)| by_domain(issuer))).ok_or(InvalidSubjectToken::UnknownIssuer)
    }
}

fn domain(issuer: &Issuer) -> Option<&crumb_token::TrustDomain> {
    if let Kind::Workload { trust_domain } = issuer.kind() { Some(trust_domain) } else { None }
}

fn held(issuer: &Issuer, read: &mut impl FnMut(&Path) -> io::Result<String>) -> Result<HeldKeys, InvalidIssuers> {
    let name = || issuer.name().clone();
    let key_use = issuer.kind().key_use();
    let text = match issuer.keys() {
        KeySource::Url(url) => {
            return Ok(HeldKeys::fetched(url.clone(), key_use, issuer.keys_refresh(), issuer.keys_age_max()));
        }
        KeySource::Inline(text) => text.to_string(),
        KeySource::File(path) => read(path).map_err(|source| InvalidIssuers::Unreadable { name: name(), source })?,
    };
    let keys = Jwks::parse(&text, key_use).map_err(|source| InvalidIssuers::Keys { name: name(), source })?;
    Ok(HeldKeys::fixed(keys))
}
