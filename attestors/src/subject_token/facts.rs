//! What a subject token proves.

use std::{collections::BTreeSet, fmt};

use crumb_token::{SpiffeId, Timestamp, bounded_text, origin::Principal, text::is_printable};

use super::{IssuerKind, IssuerName};

bounded_text! {
    /// A group that the subject is in, by its name or id at the issuer.
    Group, 256, is_printable
}

bounded_text! {
    /// A token's own id: its `jti`.
    SubjectTokenId, 256, |c| c.is_ascii_graphic()
}

bounded_text! {
    /// The one who may act for the subject, by the issuer's name for it.
    MayAct, SpiffeId::LEN_MAX, |c| c.is_ascii_graphic()
}

/// The pod that a Kubernetes token is bound to: it ends when the pod does, for whoever asks the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pod {
    /// Its name, which another pod may have later.
    pub name: Box<str>,
    /// Its id, which no other pod ever has.
    pub uid: Box<str>,
}

/// What a valid subject token proves.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubjectFacts {
    /// On whose behalf: a person, a SPIFFE ID, or `system:serviceaccount:<namespace>:<name>`. Unique at its issuer only.
    pub principal: Principal,
    /// Which issuer says so, by its name in the configuration.
    pub issuer: IssuerName,
    /// What kind of issuer that is.
    pub kind: IssuerKind,
    /// The subject's groups; empty when the entry names no claim for them.
    pub groups: BTreeSet<Group>,
    /// From this second on the token is refused: its `exp`, and the issuer's leeway for clocks.
    pub expires_at: Timestamp,
    /// SHA-256 of header and claims as they were sent. The signature is left out: some can be written in a second way, and
    /// that is no second token.
    pub token_digest: [u8; 32],
    /// The token's own id, where it has one.
    pub jti: Option<SubjectTokenId>,
    /// The pod of a Kubernetes token; none for the other kinds.
    pub pod: Option<Pod>,
    /// Who alone may act for the subject, when the token says so; see [`Self::admits`].
    pub may_act: Option<MayAct>,
}

impl SubjectFacts {
    /// Says whether the token lets this workload act for its subject.
    ///
    /// A token that names nobody leaves that to whoever decides.
    ///
    /// Source: [RFC 8693 §4.4](https://www.rfc-editor.org/rfc/rfc8693#section-4.4).
    pub fn admits(&self, actor: &SpiffeId) -> bool {
        self.may_act.as_ref().is_none_or(|named| named.as_str() == actor.as_str())
    }
}

impl fmt::Debug for SubjectFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal, issuer, expires_at, .. } = self;
        f.debug_struct("SubjectFacts")
            .field("principal", principal)
            .field("issuer", issuer)
            .field("expires_at", expires_at)
            .finish_non_exhaustive()
    }
}
