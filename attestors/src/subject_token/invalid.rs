//! Why a subject token is refused: one variant per rule, each with a stable code for logs, metrics and tests.
//!
//! No variant carries a claim, and no sentence repeats one: a refusal may be shown to whoever presented the token, who is
//! not always whom it is about.

use super::IssuerName;

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $sentence:literal;)*) => {
        /// The rule that a subject token breaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        #[non_exhaustive]
        pub enum InvalidSubjectToken {
            $($(#[$doc])* #[error($sentence)] $name,)*
        }

        impl InvalidSubjectToken {
            /// Every rule, in about the order in which they are checked.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the code, such as `unknown_key`. Codes are never renamed or reused.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

rules! {
    // --- the form
    /// No text at all.
    Missing, "missing", "no token was sent";
    /// More than [`super::SubjectTokenText::LEN_MAX`] bytes.
    TooLarge, "too_large", "the token has more than 8 KiB";
    /// Not three parts of canonical base64url without padding. An encrypted token has five.
    NotCompact, "not_compact", "the token is not a signed JWT in compact form";
    /// Header or claims are not one JSON object.
    NotJson, "not_json", "the header or the claims are not a JSON object";
    /// An object with two members of one name.
    DuplicateName, "duplicate_name", "the header or the claims have two members of one name";
    /// Nested deeper than eight levels.
    TooDeep, "too_deep", "the header or the claims are nested too deep";

    // --- the header
    /// A header member of the wrong type, or without `alg`.
    MalformedHeader, "malformed_header", "a member of the header is missing or of the wrong type";
    /// `none`, an algorithm over a shared secret, or one that nobody here knows.
    AlgorithmRefused, "algorithm_refused", "the algorithm is not accepted";
    /// `crit`: an extension that has to be understood, and none is.
    CriticalHeader, "critical_header", "the header asks for extensions";
    /// `jku`, `jwk`, `x5u` or `x5c`: a token that brings its own key.
    KeyInHeader, "key_in_header", "the header says where its key is, and only the configuration does";
    /// Any other member that the kind of token does not have.
    UnknownHeader, "unknown_header", "the header has a member that is not accepted";
    /// `typ` is of another kind of token.
    WrongType, "wrong_type", "the token is of another type";

    // --- issuer and key
    /// No entry for this `iss`, or for the trust domain of this `sub`.
    UnknownIssuer, "unknown_issuer", "the issuer is not on the list";
    /// The issuer's keys were not fetched yet.
    KeysMissing, "keys_missing", "the issuer's keys are not there yet";
    /// The issuer's keys were fetched so long ago that they no longer count.
    KeysTooOld, "keys_too_old", "the issuer's keys are too old";
    /// No `kid`, and more than one key.
    KeyIdMissing, "key_id_missing", "the token does not say which of the issuer's keys it is signed with";
    /// No key of this `kid`.
    UnknownKey, "unknown_key", "the issuer has no such key";
    /// The key is of another kind than the header's `alg`, or the key set keeps it for another algorithm.
    AlgorithmDoesNotFitKey, "algorithm_does_not_fit_key", "the algorithm is not the key's";
    /// The signature is not the key's.
    BadSignature, "bad_signature", "the signature is wrong";

    // --- what every token says
    /// A claim of the wrong type.
    MalformedClaim, "malformed_claim", "a claim is not of the type that it has to be";
    /// `events`: a logout token or a security event, which names a subject without speaking for it.
    AnotherPurpose, "another_purpose", "the token is a message about its subject, not a credential";
    /// `cnf`: the token is bound to a key, and nobody has proved to hold it.
    BoundToKey, "bound_to_key", "the token is bound to a key that was not shown";
    /// `act`: an actor has the token from the subject already, and that chain would be lost.
    AlreadyDelegated, "already_delegated", "the token was made for another actor";
    /// `may_act` cannot be read.
    MayAct, "may_act", "the token limits who may act, in a way that is not understood";
    /// No `exp`.
    ExpiryMissing, "expiry_missing", "the token does not expire";
    /// Past `exp`.
    Expired, "expired", "the token has expired";
    /// Before `nbf`.
    NotYetValid, "not_yet_valid", "the token is not yet valid";
    /// No `iat`, where the kind has it.
    IssuedAtMissing, "issued_at_missing", "the token does not say when it was made";
    /// `iat` is in the future.
    IssuedInFuture, "issued_in_future", "the token was made in the future";
    /// `exp` is not after `iat` or `nbf`.
    LifetimeReversed, "lifetime_reversed", "the token ends before it begins";
    /// More between beginning and end than the issuer's entry allows.
    LifetimeTooLong, "lifetime_too_long", "the token lives longer than its issuer may let it";
    /// No `aud`.
    AudienceMissing, "audience_missing", "the token does not say for whom it is";
    /// We are not in `aud`.
    WrongAudience, "wrong_audience", "the token is for somebody else";
    /// Somebody else is in `aud`, where the kind allows us alone.
    SharedAudience, "shared_audience", "the token is for somebody else as well";
    /// `jti` is missing where the kind has it, too long, or has a character that it should not.
    TokenId, "token_id", "the token's own id is missing or malformed";

    // --- who it is about
    /// No `sub`.
    SubjectMissing, "subject_missing", "the token has no subject";
    /// `sub` is too long, or has a character that it should not.
    SubjectMalformed, "subject_malformed", "the subject is malformed";
    /// The claim that names the person is not there.
    PrincipalMissing, "principal_missing", "the claim that names the person is missing";
    /// The name is too long, or has a character that a principal does not have.
    PrincipalMalformed, "principal_malformed", "the subject's name cannot be a principal";
    /// The name of a person that looks like a workload's.
    PrincipalReserved, "principal_reserved", "the person's name is written as a workload's";
    /// `email_verified` is not true.
    EmailNotVerified, "email_not_verified", "the issuer has not verified the person's address";
    /// Too many groups, one that is malformed, or groups that are kept elsewhere.
    Groups, "groups", "the groups are too many, malformed, or not in the token";
    /// No `client_id` in an access token.
    ClientMissing, "client_missing", "the access token does not say which client it was made for";

    // --- JWT-SVIDs
    /// `iss` is not the one that the entry names.
    WrongIssuer, "wrong_issuer", "the issuer is not the one of this trust domain";

    // --- Kubernetes
    /// The claims of a bound service account token are not there.
    KubernetesClaims, "kubernetes_claims", "the claims of a bound service account token are missing or malformed";
    /// Bound to no pod.
    NotBoundToPod, "not_bound_to_pod", "the token is not bound to a pod";
    /// `sub` and the service account differ.
    KubernetesSubject, "kubernetes_subject", "the subject is not the service account";
}

/// A refusal: the rule, and whose entry it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subject token is refused")]
#[non_exhaustive]
pub struct SubjectRefused {
    /// The rule.
    #[source]
    pub why: InvalidSubjectToken,
    /// The issuer, by its name in the configuration; none while it was not known.
    pub issuer: Option<IssuerName>,
}

impl From<InvalidSubjectToken> for SubjectRefused {
    /// Refuses before the issuer is known.
    fn from(why: InvalidSubjectToken) -> Self {
        Self { why, issuer: None }
    }
}

impl SubjectRefused {
    pub(super) fn by(issuer: &IssuerName, why: InvalidSubjectToken) -> Self {
        Self { why, issuer: Some(issuer.clone()) }
    }

    /// Says whether newer keys might change the answer: then, and only then, is it worth fetching them.
    pub fn may_be_new_key(&self) -> bool {
        use InvalidSubjectToken::{KeysMissing, KeysTooOld, UnknownKey};
        matches!(self.why, UnknownKey | KeysMissing | KeysTooOld)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::InvalidSubjectToken;

    #[test]
    fn codes_and_sentences_are_unique() {
        let codes: HashSet<_> = InvalidSubjectToken::ALL.iter().map(|rule| rule.code()).collect();
        let sentences: HashSet<_> = InvalidSubjectToken::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(codes.len(), InvalidSubjectToken::ALL.len());
        assert_eq!(sentences.len(), InvalidSubjectToken::ALL.len());
    }
}
