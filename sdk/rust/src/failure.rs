//! Why a call to a part of Crumb gave nothing: it said no, it could not be reached, or its answer cannot be read.

use crumb_proto::{Violations, from_status};
use crumb_token::{Denial, Reason};
use std::{error::Error, fmt, time::Duration};
use tonic::{Code, Status};

/// The other end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Party {
    /// The broker.
    Broker,
    /// The sidecar on this host.
    Sidecar,
    /// A tool server.
    ToolServer,
}

impl Party {
    /// Returns the reason that stands for this party not answering.
    pub fn unreachable(self) -> Reason {
        match self {
            Self::Broker => Reason::BrokerUnreachable,
            Self::Sidecar => Reason::SidecarUnreachable,
            Self::ToolServer => Reason::ToolServerUnreachable,
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broker => "broker",
            Self::Sidecar => "sidecar",
            Self::ToolServer => "tool server",
        })
    }
}

/// A call that gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallFailed {
    /// The other end said no, and why.
    #[error("{}: {}", .0.reason, .0.reason.sentence())]
    Denied(Box<Denial>),
    /// The other end did not answer, or what answered is not it, or it refused our SVID.
    #[error("the {party} cannot be reached: {why}")]
    Unreachable {
        /// Who was called.
        party: Party,
        /// What happened, for people.
        why: String,
    },
    /// The other end answered something that cannot be read; one of the two is of another version.
    #[error("the answer of the {party} cannot be read: {why}")]
    Unreadable {
        /// Who answered.
        party: Party,
        /// Which field, and what is wrong with it.
        why: String,
    },
}

impl CallFailed {
    /// Returns the failure as the one refusal object, to hand on.
    pub fn to_denial(&self) -> Denial {
        match self {
            Self::Denied(denial) => (**denial).clone(),
            Self::Unreachable { party, why } => {
                let reason = party.unreachable();
                Denial::new(reason).next(format_args!("{}; {why}", reason.next_step()))
            }
            Self::Unreadable { party, why } => {
                let next = format_args!("run the same version on both ends: {why}");
                Denial::new(Reason::Unforeseen).by("the shape of an answer", party).next(next)
            }
        }
    }

    /// Reads what a status says: a refusal of ours, or that the other end cannot be reached.
    pub(crate) fn from_status(party: Party, status: &Status) -> Self {
        if let Some(denial) = from_status(status) {
            return Self::Denied(Box::new(denial));
        }
        let why = crumb_identity::cause_of(status).unwrap_or_else(|| foreign(status));
        Self::Unreachable { party, why }
    }

    pub(crate) fn too_slow(party: Party, limit: Duration) -> Self {
        Self::Unreachable { party, why: format!("no answer within {} ms", limit.as_millis()) }
    }

    pub(crate) fn unreadable(party: Party, violations: &Violations) -> Self {
        let fields: Vec<_> = violations.iter().map(|(field, why)| format!("{field}: {why}")).collect();
        Self::Unreadable { party, why: fields.join("; ") }
    }
}

/// The words of a status that is not ours: from a proxy in between, a version that lacks the call, or the transport.
fn foreign(status: &Status) -> String {
    match (status.source(), status.code()) {
        (Some(source), _) => chain(source),
        (None, Code::Unimplemented) => "it does not know this call".to_owned(),
        (None, code) => format!("{code}, {}", status.message()),
    }
}

/// Writes an error with its causes, each once.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        next = cause.source();
    }
    text
}

/// Says whether the same request may be sent again: it did not arrive, or the other end asks to wait.
pub(crate) fn is_passing(status: &Status) -> bool {
    // A status with a source was made on this end, when the connection failed.
    status.code() == Code::Unavailable || status.source().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_stays_one_and_a_foreign_status_becomes_unreachable() {
        let denial =
            Denial::new(Reason::OutsideManifest).asked("delete_file delete *").by("manifest", "ada@acme.example");
        let failed = CallFailed::from_status(Party::Broker, &crumb_proto::to_status(&denial));
        assert_eq!(failed, CallFailed::Denied(Box::new(denial.clone())));
        assert_eq!(failed.to_denial(), denial);

        let foreign = CallFailed::from_status(Party::Broker, &Status::internal("boom"));
        assert_eq!(foreign.to_denial().reason, Reason::BrokerUnreachable);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(is_passing(&Status::unavailable("later")));
        assert!(is_passing(&Status::from_error(Box::new(std::io::Error::other("gone")))));
        assert!(!is_passing(&Status::permission_denied("no")));
        assert!(!is_passing(&Status::internal("boom")));
    }
}
