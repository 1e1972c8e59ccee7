//! People who are named in a request, and the tokens that prove them.
//!
//! Which issuers are believed is written in the configuration, in two lists: those who say on whose behalf an agent acts, and
//! those who say who approves. A token of the first kind is in an agent's hands, so it must be no good for the second. The
//! keys of both are read at the start; addresses to fetch keys from are not taken here.

use crumb_attestors::subject_token::{
    InvalidIssuers, Issuer, Issuers, KeySource, SubjectFacts, SubjectTokenText, verify,
};
use crumb_token::{Denial, Now, Reason};
use std::{fmt, fs, io, path::Path};

/// The longest file of keys, in bytes.
const KEYS_LEN_MAX: u64 = 64 * 1024;

/// Issuers that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnusableIssuers {
    /// The list, or a file of keys.
    #[error("the {purpose} cannot be used")]
    List {
        /// Which list.
        purpose: Purpose,
        /// Why.
        source: InvalidIssuers,
    },
    /// Keys that would have to be fetched.
    #[error("the keys of {name}, one of the {purpose}, are at an address; give them as `jwks` or `jwks_file`")]
    Fetched {
        /// Which list.
        purpose: Purpose,
        /// Which issuer.
        name: String,
    },
}

/// What the tokens of a list are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Saying on whose behalf an agent acts.
    Subjects,
    /// Saying who approves.
    Approvers,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subjects => "subject issuers",
            Self::Approvers => "approver issuers",
        })
    }
}

/// The issuers that the broker believes for one purpose.
#[derive(Debug)]
pub struct Subjects {
    purpose: Purpose,
    issuers: Issuers,
}

impl Subjects {
    /// Reads the keys of all issuers.
    ///
    /// # Errors
    ///
    /// [`UnusableIssuers`].
    pub fn load(purpose: Purpose, issuers: Vec<Issuer>) -> Result<Self, UnusableIssuers> {
        if let Some(fetched) = issuers.iter().find(|issuer| matches!(issuer.keys(), KeySource::Url(_))) {
            return Err(UnusableIssuers::Fetched { purpose, name: fetched.name().to_string() });
        }
        let issuers = Issuers::new(issuers, read).map_err(|source| UnusableIssuers::List { purpose, source })?;
        Ok(Self { purpose, issuers })
    }

    /// Checks a token.
    ///
    /// # Errors
    ///
    /// `subject_invalid`, with the rule that it breaks; nothing of the token is repeated.
    pub fn verify(&self, token: &str, now: Now) -> Result<SubjectFacts, Denial> {
        let refused =
            |rule: &dyn fmt::Display| Denial::new(Reason::SubjectInvalid).by(rule, format!("the {}", self.purpose));
        let token = SubjectTokenText::from_presented(token).map_err(|why| refused(&why))?;
        verify(&token, &self.issuers, now).map_err(|why| refused(&why))
    }
}

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > KEYS_LEN_MAX {
        return Err(io::Error::other(format!("is longer than {KEYS_LEN_MAX} bytes")));
    }
    fs::read_to_string(path)
}
