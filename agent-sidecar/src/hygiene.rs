//! Keeping the secrets of the process inside the process: no debugger, no core dump, no swap, no panic payload.
//!
//! What is done here holds for the whole process (`protect_process` in the configuration).
//!
//! A process that is not dumpable can be attested by root alone: the kernel refuses everybody else its `/proc/PID/exe`.
//! SPIRE's agent is root, or asks only for what stays readable. The embedded development Workload API runs as the user
//! who develops, and looks again at each rotation; so with that identity, and only then, an ordinary user's sidecar stays
//! dumpable unless it is told otherwise.

use nix::{
    errno::Errno,
    sys::{
        prctl,
        resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit},
    },
    unistd::geteuid,
};
use rustix::{
    mm::{MlockAllFlags, mlockall},
    thread::{CapabilitySet, capabilities},
};

/// Says whether to close the process: as told, or by the rule above.
pub fn is_wanted(told: Option<bool>, identity_provider: &str) -> bool {
    told.unwrap_or_else(|| {
        let closed_to_provider = identity_provider == "embedded-dev" && !geteuid().is_root();
        if closed_to_provider {
            tracing::warn!("development identity: this process can be read by others of its user");
        }
        !closed_to_provider
    })
}

/// The process could not be closed, so it must not hold tokens.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotClosed {
    /// `RLIMIT_CORE` could not be set to zero.
    #[error("core dumps cannot be turned off")]
    CoreDumps(#[source] Errno),
    /// `PR_SET_DUMPABLE` could not be cleared.
    #[error("the process cannot be made undumpable")]
    Dumpable(#[source] Errno),
}

/// Makes the process unreadable to others of its user, and ends core dumps.
///
/// # Errors
///
/// [`NotClosed`], which no Linux that Crumb runs on gives.
pub fn close() -> Result<(), NotClosed> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).map_err(NotClosed::CoreDumps)?;
    prctl::set_dumpable(false).map_err(NotClosed::Dumpable)
}

/// Keeps the process out of swap, where the system allows it; returns whether it did.
///
/// Without an unlimited `RLIMIT_MEMLOCK` or `CAP_IPC_LOCK` a lock would make later allocations fail, so then there is none,
/// and one warning.
pub fn lock_memory() -> bool {
    if !may_lock_all() {
        tracing::warn!(
            "memory is not locked, so tokens may be swapped out: set LimitMEMLOCK=infinity in the systemd unit, \
             or give the process CAP_IPC_LOCK"
        );
        return false;
    }
    // ONFAULT: without it every thread's whole stack would be made resident at once.
    match mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, "memory is not locked, so tokens may be swapped out: set LimitMEMLOCK=infinity");
            false
        }
    }
}

fn may_lock_all() -> bool {
    let unlimited = getrlimit(Resource::RLIMIT_MEMLOCK).is_ok_and(|(soft, _)| soft == RLIM_INFINITY);
    unlimited || capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::IPC_LOCK))
}

/// Makes panics say where they happened, and nothing of what was in hand.
pub fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let (file, line) = panic.location().map_or(("?", 0), |at| (at.file(), at.line()));
        tracing::error!(file, line, "a panic; its message is withheld, for it could hold a secret");
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closes_by_default_with_every_real_identity() {
        assert!(is_wanted(None, "spire"));
        assert!(is_wanted(Some(true), "embedded-dev"));
        assert!(!is_wanted(Some(false), "spire"));
        assert_eq!(is_wanted(None, "embedded-dev"), geteuid().is_root());
    }
}
