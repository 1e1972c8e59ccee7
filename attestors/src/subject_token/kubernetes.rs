//! A pod's service account, as its cluster names it.
//!
//! Only bound tokens: with an end, an audience, and a pod. The older ones, which live in a Secret for ever, have none.
//!
//! Source: [KEP-1205](https://github.com/kubernetes/enhancements/tree/master/keps/sig-auth/1205-bound-service-account-tokens).

use crumb_token::origin::Principal;

use super::{InvalidSubjectToken, claims, facts::Pod};
use crate::strict_json::Object;

/// The longest name of an object, in bytes: that of a DNS subdomain.
const NAME_LEN_MAX: usize = 253;

/// The principal: `system:serviceaccount:<namespace>:<name>`, as the cluster itself calls it.
pub(super) fn principal(claims: &Object) -> Result<Principal, InvalidSubjectToken> {
    let bound = bound(claims)?;
    let account = bound.object("serviceaccount")?.ok_or(InvalidSubjectToken::KubernetesClaims)?;
    name(account, "uid")?;
    let written = format!("system:serviceaccount:{}:{}", name(bound, "namespace")?, name(account, "name")?);
    if claims::subject(claims)? != written {
        return Err(InvalidSubjectToken::KubernetesSubject);
    }
    written.parse().map_err(|_| InvalidSubjectToken::PrincipalMalformed)
}

/// The pod that the token is bound to.
pub(super) fn pod(claims: &Object) -> Result<Pod, InvalidSubjectToken> {
    let pod = bound(claims)?.object("pod")?.ok_or(InvalidSubjectToken::NotBoundToPod)?;
    Ok(Pod { name: name(pod, "name")?.into(), uid: name(pod, "uid")?.into() })
}

fn bound(claims: &Object) -> Result<&Object, InvalidSubjectToken> {
    claims.object("kubernetes.io")?.ok_or(InvalidSubjectToken::KubernetesClaims)
}

/// Reads a name or id of the cluster's. Without a colon, so that four of them in a row cannot be read in two ways.
fn name<'a>(object: &'a Object, member: &str) -> Result<&'a str, InvalidSubjectToken> {
    let text = object.text(member)?.ok_or(InvalidSubjectToken::KubernetesClaims)?;
    let good = (1..=NAME_LEN_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'));
    if good { Ok(text) } else { Err(InvalidSubjectToken::KubernetesClaims) }
}
