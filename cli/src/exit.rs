//! Exit codes, and the one error type that the commands return.

use crumb_token::{Denial, Reason, denial::Class};
use std::{fmt, process::ExitCode};

/// What a command ends with. The numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Unexpected = 1,
    Usage = 2,
    Denied = 3,
    ApprovalPending = 4,
    NoIdentity = 5,
    Unreachable = 6,
    CheckFailed = 7,
    Conflict = 8,
}

/// Why a command failed: its exit code, one sentence, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) what: String,
    pub(crate) next: String,
    pub(crate) denial: Option<Box<Denial>>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl fmt::Display, next: impl fmt::Display) -> Self {
        Self { exit, what: what.to_string(), next: next.to_string(), denial: None }
    }

    pub(crate) fn usage(what: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, what, "see --help")
    }
}

impl From<Denial> for Failure {
    fn from(denial: Denial) -> Self {
        let exit = match (denial.reason, denial.reason.class()) {
            (Reason::NoIdentity | Reason::SvidInvalid | Reason::SvidExpired, _) => Exit::NoIdentity,
            (Reason::RegistryConflict, _) => Exit::Conflict,
            (Reason::ApprovalNeeded, _) => Exit::ApprovalPending,
            (_, Class::Unavailable) => Exit::Unreachable,
            (_, Class::Invalid) => Exit::Usage,
            _ => Exit::Denied,
        };
        let what = format!("{}: {}", denial.reason.code(), denial.reason.sentence());
        let next = match denial.reason {
            Reason::SidecarUnreachable => "start `crumb dev`, or name the sidecar's socket with --sidecar".to_owned(),
            _ => denial.next.clone(),
        };
        Self { exit, what, next, denial: Some(Box::new(denial)) }
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Unexpected, format!("{error:#}"), "run it again with CRUMB_LOG=debug")
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_refusal_has_its_exit_code() {
        let exit = |reason: Reason| Failure::from(Denial::new(reason)).exit;
        assert_eq!(exit(Reason::OutsideEnvelope), Exit::Denied);
        assert_eq!(exit(Reason::TokenExpired), Exit::Denied);
        assert_eq!(exit(Reason::ApprovalNeeded), Exit::ApprovalPending);
        assert_eq!(exit(Reason::ApprovalDenied), Exit::Denied);
        assert_eq!(exit(Reason::NoIdentity), Exit::NoIdentity);
        assert_eq!(exit(Reason::BrokerUnreachable), Exit::Unreachable);
        assert_eq!(exit(Reason::RequestInvalid), Exit::Usage);
    }
}
