//! Which part of the way to a decision said no: one word for each reason.
//!
//! Apart from the reasons themselves because a layer is how refusals are told, not how they are decided: two reasons of one
//! layer are answered by the same person. Nothing is decided on a layer.

use crumb_token::Reason;
use std::fmt;

/// A part of the way. The order is that of an exchange first, and then that of a call at a tool server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// The shape of the request.
    Request,
    /// The caller's SVID, or the kernel's word on a local process.
    Identity,
    /// The session: whose it is, and whether it is open.
    Session,
    /// Whether agent and tool server are registered, and in good standing.
    Registry,
    /// What drift holds against the session.
    Drift,
    /// What the session declared.
    Envelope,
    /// What the agent's owner gave.
    Manifest,
    /// What those above may pass on.
    Delegation,
    /// How long things live.
    Lifetime,
    /// What operators have stopped, and deployments that are gone.
    KillSwitch,
    /// The issuance policy.
    Policy,
    /// How often, and how much in a session.
    Pace,
    /// Whether people agreed.
    Approval,
    /// Whether the tool server has heard from the broker.
    Feed,
    /// Form, profile and signatures of the token.
    Token,
    /// The end of the token.
    Expiry,
    /// Revocations.
    Revocation,
    /// Where the agent is at home.
    Environment,
    /// Who may present the token.
    Holder,
    /// For which tool server it is.
    Audience,
    /// The rights in the token.
    Grant,
    /// Conditions on the arguments, and single use.
    Condition,
    /// The limits of evaluating.
    Evaluation,
    /// The record that has to be there before an answer.
    Record,
    /// A part that does not answer, or has too much to do.
    Service,
}

impl Layer {
    /// Returns the layer of a reason.
    pub fn of(reason: Reason) -> Self {
        use Reason as R;
        match reason {
            R::RequestInvalid | R::RequestConflict | R::AskMalformed | R::TooManyGrants | R::ManifestInvalid => {
                Self::Request
            }
            R::SvidInvalid
            | R::SvidExpired
            | R::NoIdentity
            | R::CallerUnattested
            | R::CallerChanged
            | R::CallerRefused
            | R::SubjectInvalid
            | R::NotAnOperator
            | R::NotAToolServer => Self::Identity,
            R::SessionUnknown | R::SessionClosed | R::TooManySessions => Self::Session,
            R::AgentUnknown
            | R::AgentNotSpokenFor
            | R::AgentProcessMismatch
            | R::AgentExpired
            | R::AgentOrphaned
            | R::AgentNotOperating
            | R::AgentQuarantined
            | R::AgentRetired
            | R::ReviewOverdue
            | R::ToolServerUnknown
            | R::ToolUnknown
            | R::RegistryConflict => Self::Registry,
            R::SessionHalted => Self::Drift,
            R::OutsideEnvelope => Self::Envelope,
            R::OutsideManifest | R::NothingGranted => Self::Manifest,
            R::DelegationRefused => Self::Delegation,
            R::LifetimeTooShort => Self::Lifetime,
            R::Stopped | R::LeaseEnded => Self::KillSwitch,
            R::PolicyDenied => Self::Policy,
            R::RateLimited | R::BudgetSpent => Self::Pace,
            R::ApprovalNeeded
            | R::ApprovalDenied
            | R::ApprovalExpired
            | R::ApprovalUnknown
            | R::ApprovalUsed
            | R::NotAnApprover => Self::Approval,
            R::FeedStale => Self::Feed,
            R::TokenExpired | R::TokenNotYetValid => Self::Expiry,
            R::TokenRevoked => Self::Revocation,
            R::EnvironmentMismatch => Self::Environment,
            R::HolderMismatch => Self::Holder,
            R::AudienceMismatch => Self::Audience,
            R::ToolNotGranted | R::OperationNotGranted | R::ResourceNotGranted => Self::Grant,
            R::ArgumentRefused | R::NonceReplayed | R::NonceTableFull => Self::Condition,
            R::Indeterminate => Self::Evaluation,
            R::StoreUnavailable | R::AuditUnavailable => Self::Record,
            R::TokenMissing
            | R::TokenMalformed
            | R::TokenTooLarge
            | R::TokenTooDeep
            | R::TokenVersion
            | R::TokenOutOfProfile
            | R::TokenNotCanonical
            | R::KeyUnknown
            | R::SignatureInvalid => Self::Token,
            _ => Self::Service,
        }
    }

    /// Returns the word of the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Identity => "identity",
            Self::Session => "session",
            Self::Registry => "registry",
            Self::Drift => "drift",
            Self::Envelope => "envelope",
            Self::Manifest => "manifest",
            Self::Delegation => "delegation",
            Self::Lifetime => "lifetime",
            Self::KillSwitch => "kill switch",
            Self::Policy => "policy",
            Self::Pace => "pace",
            Self::Approval => "approval",
            Self::Feed => "feed",
            Self::Token => "token",
            Self::Expiry => "expiry",
            Self::Revocation => "revocation",
            Self::Environment => "environment",
            Self::Holder => "holder",
            Self::Audience => "audience",
            Self::Grant => "grant",
            Self::Condition => "condition",
            Self::Evaluation => "evaluation",
            Self::Record => "record",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reasons that say nothing but that a part does not answer.
    const SERVICE: &[&str] =
        &["broker_unreachable", "sidecar_unreachable", "tool_server_unreachable", "overloaded", "unforeseen"];

    #[test]
    fn every_reason_has_a_layer_of_its_own_choice() {
        for reason in Reason::ALL {
            let is_service = SERVICE.contains(&reason.code());
            assert_eq!(Layer::of(*reason) == Layer::Service, is_service, "{reason} has no layer");
        }
    }
}
