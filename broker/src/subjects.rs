//! People who are named in a request, and the tokens that prove them.
//!
//! Which issuers are believed is written in the configuration, in two lists: those who say on whose behalf an agent acts, and
//! those who say who approves. A token of the first kind is in an agent's hands, so it must be no good for the second. Keys
//! of files are read at the start; keys at an address are fetched, and fetched again, by [`Subjects::keep_keys`].

mod fetching;

use crate::outbound::UnusableAuthorities;
use crumb_attestors::subject_token::{
    InvalidIssuers, Issuer, IssuerName, Issuers, SubjectFacts, SubjectRefused, SubjectTokenText, verify,
};
use crumb_token::{Clock, Denial, Reason};
use fetching::KeyServer;
use std::{collections::BTreeMap, fmt, fs, io, path::Path, time::Duration};

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
    /// The authorities for the server of an issuer's keys.
    #[error("nobody can vouch for the server with the keys of {name}, one of the {purpose}")]
    Authorities {
        /// Which list.
        purpose: Purpose,
        /// Which issuer.
        name: IssuerName,
        /// Why.
        source: UnusableAuthorities,
    },
    /// An address of keys that nobody can connect to.
    #[error("the keys of {name}, one of the {purpose}, are at an address that nobody can connect to")]
    Address {
        /// Which list.
        purpose: Purpose,
        /// Which issuer.
        name: IssuerName,
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
    /// Where the keys are of those that have them at an address.
    servers: BTreeMap<IssuerName, KeyServer>,
}

/// The keys of an issuer that has them at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysState {
    /// Which issuer.
    pub issuer: IssuerName,
    /// Whether there are keys that count; `None` before the first fetch has ended.
    pub are_held: Option<bool>,
    /// How many fetches have failed since the last that did not.
    pub failures: u32,
}

impl Subjects {
    /// Reads the keys of all issuers that have them in a file. Keys at an address are fetched later, so that a start does not
    /// wait for anybody.
    ///
    /// # Errors
    ///
    /// [`UnusableIssuers`].
    pub fn load(purpose: Purpose, issuers: Vec<Issuer>) -> Result<Self, UnusableIssuers> {
        let issuers = Issuers::new(issuers, read).map_err(|source| UnusableIssuers::List { purpose, source })?;
        let mut servers = BTreeMap::new();
        for (issuer, _) in issuers.held() {
            if let Some(server) = KeyServer::of(purpose, issuer)? {
                servers.insert(issuer.name().clone(), server);
            }
        }
        Ok(Self { purpose, issuers, servers })
    }

    /// Checks a token. When it names a key that nobody has yet, it waits a little for newer ones.
    ///
    /// # Errors
    ///
    /// `subject_invalid`, with the rule that it breaks; nothing of the token is repeated.
    pub async fn verify(&self, token: &str, clock: &dyn Clock) -> Result<SubjectFacts, Denial> {
        self.check(token, clock).await.map_err(|why| self.denial(&why))
    }

    /// Says whether a token is good here.
    ///
    /// # Errors
    ///
    /// `subject_invalid` when that is not known for want of the issuer's keys.
    pub async fn takes(&self, token: &str, clock: &dyn Clock) -> Result<bool, Denial> {
        match self.check(token, clock).await {
            Ok(_) => Ok(true),
            Err(why) if self.may_change(&why) => Err(self.denial(&why)),
            Err(_) => Ok(false),
        }
    }

    async fn check(&self, token: &str, clock: &dyn Clock) -> Result<SubjectFacts, SubjectRefused> {
        let token = SubjectTokenText::from_presented(token)?;
        match verify(&token, &self.issuers, clock.now()) {
            Err(why) if self.has_newer_keys(&why, clock).await => verify(&token, &self.issuers, clock.now()),
            known => known,
        }
    }

    fn denial(&self, why: &SubjectRefused) -> Denial {
        let denial = Denial::new(Reason::SubjectInvalid).by(why.why, format!("the {}", self.purpose));
        if self.may_change(why) {
            return denial.next("ask again in a few seconds: the issuer's keys are fetched");
        }
        denial
    }

    /// Says whether newer keys may change the answer, and there may be newer ones.
    fn may_change(&self, why: &SubjectRefused) -> bool {
        why.may_be_new_key() && why.issuer.as_ref().is_some_and(|name| self.servers.contains_key(name))
    }

    /// Says how it is with the keys that are fetched.
    pub fn keys(&self, clock: &dyn Clock) -> Vec<KeysState> {
        let now = clock.now().ticks;
        let fetched = self.issuers.held().filter(|(issuer, _)| self.servers.contains_key(issuer.name()));
        let state = fetched.map(|(issuer, held)| {
            let (are_held, failures) = (held.are_held(now), held.failures());
            let are_held = (are_held || failures > 0).then_some(are_held);
            KeysState { issuer: issuer.name().clone(), are_held, failures }
        });
        state.collect()
    }

    /// Fetches keys when they are due or wanted, for as long as it is polled.
    pub async fn keep_keys(&self, clock: &dyn Clock) {
        let fetched = self.issuers.held().filter_map(|(issuer, held)| {
            let server = self.servers.get(issuer.name())?;
            Some(server.keep(self.purpose, issuer, held, clock))
        });
        futures::future::join_all(fetched).await;
    }

    /// Has the keys of an issuer fetched for a token that they do not prove, and waits a little. Says whether a fetch has
    /// ended meanwhile.
    async fn has_newer_keys(&self, why: &SubjectRefused, clock: &dyn Clock) -> bool {
        let Some(name) = why.issuer.as_ref().filter(|_| self.may_change(why)) else { return false };
        let (Some(server), Some(held)) = (self.servers.get(name), self.issuers.held_for(name)) else { return false };
        server.ask(held, clock, WAIT_MAX).await
    }
}

/// How long a request waits for a fetch: most take less, and the rest of the time that a request has is for the store.
const WAIT_MAX: Duration = Duration::from_millis(400);

fn read(path: &Path) -> io::Result<String> {
    if fs::metadata(path)?.len() > KEYS_LEN_MAX {
        return Err(io::Error::other(format!("is longer than {KEYS_LEN_MAX} bytes")));
    }
    fs::read_to_string(path)
}
