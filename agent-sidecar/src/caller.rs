//! Who is calling: the process behind a connection, attested when it connects and again before every request.
//!
//! A connection that may not be served is still answered, so that its process learns why: [`Caller`] then holds the
//! refusal. Which agents the process may act as is the broker's to judge; the only rule kept here is the list of users.

use crumb_attestors::unix_process::{LocalIdentity, Process, Unattested};
use crumb_sdk::broker::LocalProcess;
use crumb_token::{Denial, Reason};
use std::{collections::BTreeSet, os::fd::OwnedFd, sync::Arc, time::Duration};
use tokio::{task::spawn_blocking, time::timeout};

/// How long reading about a process may take. A cold executable of 256 MiB is hashed in well under a second; what takes
/// longer is a file system that does not answer.
const ATTEST_MAX: Duration = Duration::from_secs(5);

/// The users whose processes are served.
#[derive(Clone, Debug)]
pub(crate) struct AllowedUids(Arc<BTreeSet<u32>>);

impl AllowedUids {
    /// Takes the configured users; nobody configured means our own user.
    pub(crate) fn new(configured: &BTreeSet<u32>) -> Self {
        if configured.is_empty() {
            return Self(Arc::new(BTreeSet::from([nix::unistd::geteuid().as_raw()])));
        }
        Self(Arc::new(configured.clone()))
    }

    /// Says whether processes of `uid` are served.
    pub(crate) fn has(&self, uid: u32) -> bool {
        self.0.contains(&uid)
    }
}

/// The peer of one connection. Cheap to clone; every request of the connection carries one.
#[derive(Clone, Debug)]
pub(crate) struct Caller(Arc<Peer>);

#[derive(Debug)]
enum Peer {
    Attested { process: Arc<Process>, known: Attested },
    Refused(Denial),
}

/// A caller that was what it seemed a moment ago.
#[derive(Clone, Debug)]
pub(crate) struct Attested {
    /// Who it is, without its process id: what sessions and tokens are kept by.
    pub(crate) identity: Arc<LocalIdentity>,
    /// The facts that go to the broker.
    pub(crate) process: LocalProcess,
}

impl Caller {
    /// Finds out who connected the Unix stream `socket`, whose user the kernel gave as `uid`.
    ///
    /// `hold` is kept until the look-up has really ended, even when it is given up on: what it stands for stays in use.
    pub(crate) async fn admit(socket: OwnedFd, uid: u32, allowed: &AllowedUids, hold: impl Send + 'static) -> Self {
        if !allowed.has(uid) {
            return Self(Arc::new(Peer::Refused(refused(uid))));
        }
        let attest = move || {
            let _hold = hold;
            Process::attest(&socket)
        };
        let peer = match off_thread(attest).await {
            Ok(process) => {
                let known = Attested::from_process(&process);
                Peer::Attested { process: Arc::new(process), known }
            }
            Err(denial) => Peer::Refused(denial),
        };
        Self(Arc::new(peer))
    }

    /// Makes sure that the process is still the one that connected. Comes before every request is looked at.
    ///
    /// # Errors
    ///
    /// [`Reason::CallerRefused`] for users that are not served, [`Reason::CallerChanged`] after an exit or `exec()`, and
    /// [`Reason::CallerUnattested`] when the kernel does not tell.
    pub(crate) async fn check(&self, hold: impl Send + 'static) -> Result<Attested, Denial> {
        match &*self.0 {
            Peer::Refused(denial) => Err(denial.clone()),
            Peer::Attested { process, known } => {
                if let Some(seen) = process.recheck_at_once() {
                    return seen.map(|()| known.clone()).map_err(|why| unattested(&why));
                }
                let process = Arc::clone(process);
                let recheck = move || {
                    let _hold = hold;
                    process.recheck()
                };
                off_thread(recheck).await.map(|()| known.clone())
            }
        }
    }

    /// Returns the identity as of the connection, unchecked: good for counting, never for giving.
    pub(crate) fn unchecked_identity(&self) -> Result<&Arc<LocalIdentity>, Denial> {
        match &*self.0 {
            Peer::Attested { known, .. } => Ok(&known.identity),
            Peer::Refused(denial) => Err(denial.clone()),
        }
    }
}

impl Attested {
    fn from_process(process: &Process) -> Self {
        let facts = process.facts();
        Self {
            identity: Arc::new(facts.identity()),
            process: LocalProcess {
                pid: facts.pid,
                uid: facts.uid,
                gid: facts.gid,
                exe: facts.exe.to_string_lossy().into_owned(),
                exe_sha256: facts.exe_sha256,
            },
        }
    }
}

/// Runs a blocking look at a process, for a bounded time.
async fn off_thread<T: Send + 'static>(
    look: impl FnOnce() -> Result<T, Unattested> + Send + 'static,
) -> Result<T, Denial> {
    match timeout(ATTEST_MAX, spawn_blocking(look)).await {
        Ok(Ok(seen)) => seen.map_err(|why| unattested(&why)),
        Ok(Err(_)) => Err(Denial::new(Reason::Unforeseen).by("attestation of the caller", "the sidecar")),
        Err(_) => Err(Denial::new(Reason::CallerUnattested)
            .by("attestation of the caller", "the sidecar")
            .next("the caller's executable could not be read in time; run it from a local file system")),
    }
}

fn refused(uid: u32) -> Denial {
    Denial::new(Reason::CallerRefused).asked(format!("uid {uid}")).by("allow_uids", "the sidecar's configuration")
}

fn unattested(why: &Unattested) -> Denial {
    let reason = match why {
        Unattested::Gone | Unattested::Changed(_) => Reason::CallerChanged,
        _ => Reason::CallerUnattested,
    };
    let denial = Denial::new(reason).by(format!("attestation of the caller: {why}"), "the kernel");
    match why {
        Unattested::NoPidfd => denial.next("run the sidecar on Linux 6.5 or newer"),
        Unattested::OtherPidNamespace => denial.next("share the process namespace between agent and sidecar"),
        Unattested::Unreadable { .. } => denial.next(
            "give the sidecar CAP_SYS_PTRACE (AmbientCapabilities in its systemd unit) when it serves other users, \
             and do not make the agent's process undumpable",
        ),
        Unattested::ExeTooLarge => denial.next("run the agent from an executable of at most 256 MiB"),
        _ => denial,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    async fn caller(allowed: &AllowedUids, uid: u32) -> (Caller, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        (Caller::admit(ours.into(), uid, allowed, ()).await, theirs)
    }

    #[test]
    fn nobody_configured_means_our_own_user() {
        let own = nix::unistd::geteuid().as_raw();
        let allowed = AllowedUids::new(&BTreeSet::new());
        assert!(allowed.has(own) && !allowed.has(own + 1));
        assert!(!AllowedUids::new(&BTreeSet::from([own + 1])).has(own));
    }

    #[tokio::test]
    async fn a_user_that_is_not_listed_is_refused_at_every_request() {
        let allowed = AllowedUids::new(&BTreeSet::from([4242]));
        let (caller, _theirs) = caller(&allowed, 4243).await;
        let denial = caller.check(()).await.expect_err("not listed");
        assert_eq!(denial.reason, Reason::CallerRefused);
        assert!(caller.unchecked_identity().is_err());
    }

    #[tokio::test]
    async fn facts_are_those_of_the_process_that_connected() {
        let own = nix::unistd::geteuid().as_raw();
        let (caller, _theirs) = caller(&AllowedUids::new(&BTreeSet::new()), own).await;
        let attested = caller.check(()).await.expect("ourselves");
        assert_eq!(attested.process.pid, i32::try_from(std::process::id()).expect("a pid"));
        assert_eq!(attested.identity.uid, own);
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let denial = unattested(&Unattested::Unreadable { what: "executable", source });
        assert_eq!(denial.reason, Reason::CallerUnattested);
        assert!(denial.next.contains("CAP_SYS_PTRACE"));
        assert_eq!(unattested(&Unattested::Gone).reason, Reason::CallerChanged);
    }
}
