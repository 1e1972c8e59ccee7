//! Why something was refused: the one object that gRPC, HTTP, CLI and audit all carry.
//!
//! A denial never contains a token, a key or evidence bytes.

use std::{fmt, str::FromStr};

/// What kind of refusal a [`Reason`] is; the wire maps this to a status, in one place (`crumb_proto::status`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Nobody knows who is asking.
    Unauthenticated,
    /// Known, and not allowed.
    Denied,
    /// The request itself is wrong.
    Invalid,
    /// There is no such thing.
    NotFound,
    /// The same request id was used for something else.
    Conflict,
    /// A limit was reached; later may work.
    Exhausted,
    /// A part that is needed does not answer; later may work.
    Unavailable,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $class:ident, $sentence:literal, $next:literal;)*) => {
        /// A stable reason code. Codes are never renamed or reused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the code, such as `holder_mismatch`.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Returns what kind of refusal it is.
            pub fn class(self) -> Class {
                match self { $(Self::$name => Class::$class,)* }
            }

            /// Returns one sentence for people.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }

            /// Returns what to do next.
            pub fn next_step(self) -> &'static str {
                match self { $(Self::$name => $next,)* }
            }
        }

        impl FromStr for Reason {
            type Err = UnknownReason;

            fn from_str(s: &str) -> Result<Self, UnknownReason> {
                match s { $($code => Ok(Self::$name),)* _ => Err(UnknownReason) }
            }
        }
    };
}

/// A code that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown reason code")]
pub struct UnknownReason;

reasons! {
    // --- the token itself
    /// No token came with the call.
    TokenMissing, "token_missing", Unauthenticated, "no token came with the call", "call through the sidecar, or send the call token as a bearer token";
    /// Not a token at all.
    TokenMalformed, "token_malformed", Unauthenticated, "the token cannot be read", "ask the sidecar for a new call token";
    /// Larger than the profile accepts.
    TokenTooLarge, "token_too_large", Unauthenticated, "the token is larger than 8 KiB", "ask for fewer grants, or append fewer blocks";
    /// More blocks than allowed.
    TokenTooDeep, "token_too_deep", Unauthenticated, "the token has more blocks than it allows", "append fewer blocks";
    /// A profile or block version that is not known here.
    TokenVersion, "token_version", Unauthenticated, "the token has a version that is not accepted here", "mint it with a broker of the same profile version";
    /// Readable, but outside the closed profile.
    TokenOutOfProfile, "token_out_of_profile", Unauthenticated, "the token holds something that the profile does not list", "append only the caveats of docs/token-profile.md";
    /// One of the endless other encodings of the same content.
    TokenNotCanonical, "token_not_canonical", Unauthenticated, "the token is not in its one canonical encoding", "send the token exactly as it was handed out";
    /// Signed with a key that is not known, not yet or no longer.
    KeyUnknown, "key_unknown", Unauthenticated, "the token names a signing key that is not in force here", "ask the sidecar for a new call token";
    /// A signature does not verify.
    SignatureInvalid, "signature_invalid", Unauthenticated, "a signature of the token does not verify", "ask the sidecar for a new call token";
    /// The clock is past the end.
    TokenExpired, "token_expired", Unauthenticated, "the token has expired", "ask the sidecar for a new call token";
    /// The clock is before the beginning.
    TokenNotYetValid, "token_not_yet_valid", Unauthenticated, "the token was issued in the future", "check the clocks of broker and tool server";
    /// Revoked by itself, or with its session, agent or key.
    TokenRevoked, "token_revoked", Unauthenticated, "the token has been revoked", "open a new session";
    /// The verifier has not heard from the broker.
    FeedStale, "feed_stale", Unavailable, "this tool server has not heard from the broker lately, so it refuses everything", "check the tool server's connection to the broker";
    /// Presented by somebody else.
    HolderMismatch, "holder_mismatch", Denied, "the token belongs to another workload", "use a token that was issued to this workload";
    /// Presented somewhere else.
    AudienceMismatch, "audience_mismatch", Denied, "the token is for another tool server", "ask for a token with this tool server as audience";
    /// The tool is not in the token.
    ToolNotGranted, "tool_not_granted", Denied, "the token does not allow this tool", "ask for the tool inside the session's envelope, or open a session whose intent needs it";
    /// The operation is not in the token.
    OperationNotGranted, "operation_not_granted", Denied, "the token does not allow this operation of the tool", "ask for the operation inside the session's envelope";
    /// The resource is not in the token.
    ResourceNotGranted, "resource_not_granted", Denied, "the token does not allow this resource", "ask for the resource inside the session's envelope";
    /// An argument breaks a caveat.
    ArgumentRefused, "argument_refused", Denied, "an argument breaks a condition of the token", "call with the arguments the token was narrowed to";
    /// A single-use token came again.
    NonceReplayed, "nonce_replayed", Denied, "the single-use token was used before", "ask the sidecar for a new call token";
    /// The table of used nonces is full.
    NonceTableFull, "nonce_table_full", Exhausted, "this tool server cannot remember more single-use tokens", "try again in a few seconds";
    /// The call cannot be read as tool, operation and resource.
    AskMalformed, "ask_malformed", Invalid, "the call cannot be read as a tool, an operation and a resource", "send the call as the tool server documents it";
    /// A decision could not be recorded.
    AuditUnavailable, "audit_unavailable", Unavailable, "the call cannot be recorded, so it is refused", "try again; if it stays, check the tool server's connection to the broker";

    // --- who is asking
    /// No client certificate, or none that verifies now.
    SvidInvalid, "svid_invalid", Unauthenticated, "the caller's X.509-SVID does not verify now", "check that the caller's SPIRE agent has renewed its SVID";
    /// The SVID ran out while the connection lived.
    SvidExpired, "svid_expired", Unauthenticated, "the caller's X.509-SVID has expired", "connect again with a renewed SVID";
    /// The caller has no identity from its Workload API.
    NoIdentity, "no_identity", Unavailable, "no SVID has been issued to this workload", "create a registration entry for it at the SPIRE server";
    /// The local caller could not be identified.
    CallerUnattested, "caller_unattested", Unauthenticated, "the kernel could not say which process is calling", "call from a process on this host, in this process namespace";
    /// The local caller is not the process it was.
    CallerChanged, "caller_changed", Unauthenticated, "the calling process ended or became another program", "connect again";
    /// Not a process that may use this socket.
    CallerRefused, "caller_refused", Denied, "this process may not use the sidecar", "run the agent as the user that the sidecar serves";

    // --- issuance
    /// No such agent.
    AgentUnknown, "agent_unknown", Denied, "no agent is registered by this name", "register it: an Agent manifest in the broker's registry";
    /// The caller may not speak for the agent.
    AgentNotSpokenFor, "agent_not_spoken_for", Denied, "the caller may not speak for this agent", "list the caller's SPIFFE ID in the agent's manifest";
    /// The local process is not the one that the manifest describes.
    AgentProcessMismatch, "agent_process_mismatch", Denied, "the calling process is not the one that the agent's manifest describes", "run the agent as its manifest says, or correct the manifest";
    /// The manifest's validity has ended.
    AgentExpired, "agent_expired", Denied, "the agent's registration has ended", "have its owner review and extend it";
    /// The person who answers for it has left.
    AgentOrphaned, "agent_orphaned", Denied, "nobody answers for this agent any more", "name another owner in its manifest, a person who can be asked";
    /// Its lifecycle state gives it no tokens, or none here.
    AgentNotOperating, "agent_not_operating", Denied, "the agent is not in a state in which it gets tokens here", "have its owner move it on: built, tested, promoted, operating";
    /// It was set aside for review.
    AgentQuarantined, "agent_quarantined", Denied, "the agent is in quarantine", "have its owner review it, and end the quarantine in its manifest";
    /// It was retired for good.
    AgentRetired, "agent_retired", Denied, "the agent has been retired", "register a new agent: a retired one never comes back";
    /// Its deployment stopped renewing its lease.
    LeaseEnded, "lease_ended", Denied, "the agent's deployment has stopped renewing its lease", "deploy it again, and renew the lease while it runs";
    /// Its owner has not reviewed it in time.
    ReviewOverdue, "review_overdue", Denied, "the agent's review is overdue", "have somebody other than its owner review it: `crumb review`";
    /// A token of one environment, asked for or shown in another.
    EnvironmentMismatch, "environment_mismatch", Denied, "the agent is registered for another environment than this", "use the broker and the tool servers of the agent's own environment";
    /// No such tool server.
    ToolServerUnknown, "tool_server_unknown", Denied, "no tool server is registered with this audience", "register it: a ToolServer manifest in the broker's registry";
    /// The tool server has no such tool or operation.
    ToolUnknown, "tool_unknown", Denied, "the tool server is not registered with this tool and operation", "correct the request, or the ToolServer manifest";
    /// No such session, or not the caller's.
    SessionUnknown, "session_unknown", Denied, "the caller has no open session by this id", "open a session";
    /// Closed or past its end.
    SessionClosed, "session_closed", Denied, "the session is closed", "open a session";
    /// More than the manifest allows.
    OutsideManifest, "outside_manifest", Denied, "the agent's manifest does not allow this", "ask for less, or have the agent's owner widen its manifest";
    /// More than the session declared.
    OutsideEnvelope, "outside_envelope", Denied, "the session's envelope does not allow this", "ask for less, or open a session whose intent needs it";
    /// A token with no right in it.
    NothingGranted, "nothing_granted", Denied, "nothing would be left to grant", "ask for rights that manifest and envelope both give";
    /// The rights do not fit into a token.
    TooManyGrants, "too_many_grants", Invalid, "the rights do not fit into one token", "ask for fewer, or wider, rights";
    /// The request breaks the shape of its message.
    RequestInvalid, "request_invalid", Invalid, "the request is not well-formed", "correct the fields named in the details";
    /// The same request id for another request.
    RequestConflict, "request_conflict", Conflict, "the request id was used for another request", "make a new request id";
    /// The token would be dead on arrival.
    LifetimeTooShort, "lifetime_too_short", Denied, "session or SVID end too soon for a token to be of use", "renew the SVID, or open a new session";
    /// Too many open sessions.
    TooManySessions, "too_many_sessions", Exhausted, "the agent has too many open sessions", "close sessions that are done";
    /// Only operators may do this.
    NotAnOperator, "not_an_operator", Denied, "the caller is not an operator of this broker", "use the broker's admin socket as the broker's user";
    /// The kill switch is on.
    Stopped, "stopped", Denied, "an operator has stopped this", "have an operator lift it: `crumb kill-switch --lift`";
    /// The policy says no.
    PolicyDenied, "policy_denied", Denied, "the issuance policy does not allow this", "ask for less, or see `crumb policy explain` for the rule that said no";
    /// Somebody has to approve it first.
    ApprovalNeeded, "approval_needed", Denied, "this needs an approval", "wait for the approval and ask again, or ask for less";
    /// An approver said no.
    ApprovalDenied, "approval_denied", Denied, "the approval was refused", "ask for less, or appeal: `crumb appeal`";
    /// It was not approved in time.
    ApprovalExpired, "approval_expired", Denied, "nobody approved it in time, or the approval has ended", "ask again";
    /// No such approval request, or not one that the caller may see.
    ApprovalUnknown, "approval_unknown", NotFound, "there is no such approval request", "list them: `crumb requests`";
    /// Somebody who may not approve this.
    NotAnApprover, "not_an_approver", Denied, "the caller may not approve this", "have somebody of the named group approve it, who did not ask for it";
    /// It was decided, or redeemed, before.
    ApprovalUsed, "approval_used", Conflict, "the approval was used or decided before", "ask again";
    /// More often than policy allows.
    RateLimited, "rate_limited", Exhausted, "the agent asks more often than its policy allows", "ask less often, or hold on to the task token";
    /// More in one session than policy allows.
    BudgetSpent, "budget_spent", Denied, "the session has used what its policy gives it", "open a session whose intent needs more";
    /// The session behaves unlike its kind, and waits for review.
    SessionHalted, "session_halted", Denied, "the session is halted for review", "have the agent's owner look at it: `crumb session resume`";
    /// The subject token does not verify.
    SubjectInvalid, "subject_invalid", Unauthenticated, "the subject token does not verify", "get a new one from the identity provider, with this broker as audience";
    /// A delegation that this token, or its policy, does not allow.
    DelegationRefused, "delegation_refused", Denied, "this may not be delegated", "delegate less, or through the broker";
    /// Somebody changed the manifest meanwhile.
    RegistryConflict, "registry_conflict", Conflict, "the manifest was changed by somebody else meanwhile", "fetch it again, and apply the change to what is there now";
    /// Manifests that cannot be used.
    ManifestInvalid, "manifest_invalid", Invalid, "the manifests have defects, so none was applied", "correct the lines named in the details";
    /// Only registered tool servers may do this.
    NotAToolServer, "not_a_tool_server", Denied, "the caller is not a registered tool server", "register it: a ToolServer manifest in the broker's registry";

    // --- parts that do not answer
    /// No durable record, no token.
    StoreUnavailable, "store_unavailable", Unavailable, "the request cannot be recorded, so nothing is issued", "try again; if it stays, look at the broker's disk";
    /// The broker does not answer the sidecar.
    BrokerUnreachable, "broker_unreachable", Unavailable, "the broker does not answer, or refused our SVID", "check the broker's address and its log";
    /// The sidecar does not answer the agent.
    SidecarUnreachable, "sidecar_unreachable", Unavailable, "the sidecar does not answer", "check that the sidecar runs, and that CRUMB_SOCKET names its socket";
    /// The tool server does not answer the sidecar.
    ToolServerUnreachable, "tool_server_unreachable", Unavailable, "the tool server does not answer", "check the tool server's address and its log";
    /// More requests than the part takes at once.
    Overloaded, "overloaded", Exhausted, "too many requests at once", "try again with back-off";
    /// A limit of evaluation was hit: neither yes nor no.
    Indeterminate, "indeterminate", Unavailable, "the decision could not be reached within its limits", "try again; if it stays, report it";
    /// Something unforeseen.
    Unforeseen, "unforeseen", Unavailable, "something unforeseen happened, so the answer is no", "report it with the request id";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A refusal, complete enough to act on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {}", reason.sentence())]
pub struct Denial {
    /// The stable code.
    pub reason: Reason,
    /// What was asked, such as `read_file read file:///etc/passwd`. Empty when it could not be read.
    pub asked: String,
    /// Which rule or block said no, such as `authority block, grant` or `manifest research-bot`.
    pub rule: String,
    /// Who wrote that rule: the broker, a holder, a manifest's owner.
    pub author: String,
    /// What to do next.
    pub next: String,
}

impl Denial {
    /// Refuses for `reason`, with its usual advice.
    pub fn new(reason: Reason) -> Self {
        Self {
            reason,
            asked: String::new(),
            rule: String::new(),
            author: String::new(),
            next: reason.next_step().to_owned(),
        }
    }

    /// Adds what was asked.
    #[must_use]
    pub fn asked(mut self, asked: impl fmt::Display) -> Self {
        self.asked = asked.to_string();
        self
    }

    /// Adds which rule said no, and who wrote it.
    #[must_use]
    pub fn by(mut self, rule: impl fmt::Display, author: impl fmt::Display) -> Self {
        self.rule = rule.to_string();
        self.author = author.to_string();
        self
    }

    /// Replaces the advice by a more exact one.
    #[must_use]
    pub fn next(mut self, next: impl fmt::Display) -> Self {
        self.next = next.to_string();
        self
    }
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_different_and_read_back() {
        let codes: BTreeSet<_> = Reason::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(reason.code().parse(), Ok(*reason));
            assert!(!reason.next_step().is_empty());
        }
        assert_eq!("no_such_code".parse::<Reason>(), Err(UnknownReason));
    }
}
