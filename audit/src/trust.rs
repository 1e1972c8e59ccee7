//! Whose word is taken: the keys of one log, and the witnesses that have to agree.
//!
//! Trust comes from whoever checks, never from what is checked: an export names keys too, and that proves nothing. Only here
//! does a checkpoint become a verified one.

use crate::{
    Checkpoint, SignedCheckpoint,
    note::NotSigned,
    note_key::{KeyKind, KeyName, VerifierKey},
};

/// The keys of one log, all of one name, and its witnesses.
#[derive(Debug, Clone)]
pub struct Trust {
    origin: KeyName,
    keys: Vec<VerifierKey>,
    quorum: usize,
}

/// Keys are not those of one log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidTrust {
    /// There is none, or only witnesses.
    #[error("no key of a log is given")]
    NoLogKey,
    /// They are of two logs.
    #[error("the keys are of two logs, {0} and {1}")]
    TwoLogs(KeyName, KeyName),
    /// More witnesses are wanted than there are.
    #[error("{wanted} witnesses are wanted and {known} are known")]
    TooFewWitnesses {
        /// How many have to sign.
        wanted: usize,
        /// How many keys there are.
        known: usize,
    },
    /// One key is given twice, and would count twice.
    #[error("the key of {0} is given twice")]
    SameKeyTwice(KeyName),
    /// More keys than [`Trust::KEYS_MAX`].
    #[error("too many keys")]
    TooManyKeys,
}

/// A checkpoint is not one of this log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Untrusted {
    /// It is of another log.
    #[error("it is of the log {found}, not {expected}")]
    OtherOrigin {
        /// Whose it is.
        found: KeyName,
        /// Whose it should be.
        expected: KeyName,
    },
    /// Its signatures do not hold.
    #[error("its signatures do not hold")]
    NotSigned(#[from] NotSigned),
    /// Only witnesses signed.
    #[error("no key of the log signed it")]
    NotByTheLog,
    /// Too few witnesses signed.
    #[error("{found} of {wanted} witnesses signed it")]
    TooFewWitnesses {
        /// Known witnesses that signed.
        found: usize,
        /// How many have to.
        wanted: usize,
    },
}

/// A checkpoint that a known key of its log signed, and as many witnesses as were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCheckpoint(Checkpoint);

impl VerifiedCheckpoint {
    /// Returns what was signed.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.0
    }
}

impl Trust {
    /// The most keys, old ones and witnesses included.
    pub const KEYS_MAX: usize = 256;

    /// Trusts a log by its keys and witnesses by theirs. At least `quorum` of the witnesses have to sign a checkpoint.
    ///
    /// # Errors
    ///
    /// [`InvalidTrust`] when there is no key of a log, when there are keys of two, one twice, fewer witnesses than are
    /// wanted, or too many keys.
    pub fn new(keys: Vec<VerifierKey>, quorum: usize) -> Result<Self, InvalidTrust> {
        if keys.len() > Self::KEYS_MAX {
            return Err(InvalidTrust::TooManyKeys);
        }
        let is_twice = |(at, key): &(usize, &VerifierKey)| keys[..*at].iter().any(|other| other.is_same_key(key));
        if let Some((_, key)) = keys.iter().enumerate().find(is_twice) {
            return Err(InvalidTrust::SameKeyTwice(key.name().clone()));
        }
        let mut names = keys.iter().filter(|key| key.kind() == KeyKind::Log).map(VerifierKey::name);
        let origin = names.next().ok_or(InvalidTrust::NoLogKey)?;
        if let Some(other) = names.find(|name| *name != origin) {
            return Err(InvalidTrust::TwoLogs(origin.clone(), other.clone()));
        }
        let known = keys.iter().filter(|key| key.kind() == KeyKind::Witness).count();
        if quorum > known {
            return Err(InvalidTrust::TooFewWitnesses { wanted: quorum, known });
        }
        Ok(Self { origin: origin.clone(), keys, quorum })
    }

    /// Returns which log it is.
    pub fn origin(&self) -> &KeyName {
        &self.origin
    }

    /// Says whether a key is among those that are trusted.
    pub fn knows(&self, key: &VerifierKey) -> bool {
        self.keys.contains(key)
    }

    /// Checks who signed a checkpoint.
    ///
    /// # Errors
    ///
    /// [`Untrusted`]: another log, a wrong signature, none of the log's, or too few witnesses.
    pub fn verify(&self, signed: &SignedCheckpoint) -> Result<VerifiedCheckpoint, Untrusted> {
        let checkpoint = signed.unverified();
        if checkpoint.origin != self.origin {
            return Err(Untrusted::OtherOrigin { found: checkpoint.origin.clone(), expected: self.origin.clone() });
        }
        let by = signed.note().verify(&self.keys)?;
        if !by.iter().any(|key| key.kind() == KeyKind::Log) {
            return Err(Untrusted::NotByTheLog);
        }
        let found = by.iter().filter(|key| key.kind() == KeyKind::Witness).count();
        if found < self.quorum {
            return Err(Untrusted::TooFewWitnesses { found, wanted: self.quorum });
        }
        Ok(VerifiedCheckpoint(checkpoint.clone()))
    }
}
