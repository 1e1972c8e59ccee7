//! People who are named in a request, and the tokens that prove them.
//!
//! Which issuers are believed is written in the configuration. Their keys are read at the start; addresses to fetch keys
//! from are not taken here.

use crumb_attestors::subject_token::{
    InvalidIssuers, Issuer, Issuers, KeySource, SubjectFacts, SubjectTokenText, verify,
};
use crumb_token::{Denial, Now, Reason};
use std::{fs, io, path::Path};

/// The longest file of keys, in bytes.
const KEYS_LEN_MAX: u64 = 64 * 1024;

/// Issuers that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableIssuers {
    /// The list, or a file of keys.
    #[error("the subject issuers cannot be used")]
    List(#[from] InvalidIssuers),
    /// Keys that would have to be fetched.
    #[error("the keys of subject issuer {0} are at an address; give them as `jwks` or `jwks_file`")]
    Fetched(String),
}

/// The issuers that the broker believes.
#[derive(Debug)]
pub struct Subjects(Issuers);

impl Subjects {
    /// Reads the keys of all issuers.
    ///
    /// # Errors
    ///
    /// [`UnusableIssuers`].
    pub fn load(issuers: Vec<Issuer>) -> Result<Self, UnusableIssuers> {
        if let Some(fetched) = issuers.iter().find(|issuer| matches!(issuer.keys(), KeySource::Url(_))) {
            return Err(UnusableIssuers::Fetched(fetched.name().to_string()));
        }
        Ok(Self(Issuers::new(issuers, read)?))
    }

    /// Checks a token.
    ///
    /// # Errors
    ///
    /// `subject_invalid`, with the rule that it breaks; nothing of the token is repeated.
    pub fn verify(&self, token: &str, now: Now) -> Result<SubjectFacts, Denial> {
        let refused = |rule: &dyn std::fmt::Display| Denial::new(Reason::SubjectInvalid).by(rule, "the subject issuers");
        let token = SubjectTokenText::from_presented(token).map_err(|why| refused(&why))?;
        verify(&token, &self.0, now).map_err(|why| refused(&why))
    }
}

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > KEYS_LEN_MAX {
        return Err(io::Error::other(format!("is longer than {KEYS_LEN_MAX} bytes")));
    }
    fs::read_to_string(path)
}
