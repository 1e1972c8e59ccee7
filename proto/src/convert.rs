//! Wire to vocabulary and back, for what several messages share: grants, scopes, origins, denials.

use crate::{Layer, Violations, wire};
use crumb_token::{
    Audience, Denial, Grant, Grants, Origin, Reason,
    origin::{Assurance, Principal},
};

/// The most scopes in one envelope: as many tool servers as one session can reach.
pub const SCOPES_MAX: usize = 16;

/// Reads a right; what is wrong is noted under `field`.
pub fn grant(v: &mut Violations, field: &str, grant: &wire::Grant) -> Option<Grant> {
    let tool = v.parse(format!("{field}.tool"), &grant.tool);
    let operation = v.parse(format!("{field}.operation"), &grant.operation);
    let resource = v.parse(format!("{field}.resource"), &grant.resource);
    Some(Grant { tool: tool?, operation: operation?, resource: resource? })
}

/// Reads a set of rights. Empty is an error: asking for nothing is a mistake, and must not read as asking for all.
pub fn grants(v: &mut Violations, field: &str, grants: &[wire::Grant]) -> Option<Grants> {
    if grants.is_empty() || grants.len() > Grants::LEN_MAX {
        v.add(field, format!("has 1 to {} grants", Grants::LEN_MAX));
        return None;
    }
    let read: Vec<_> = grants.iter().enumerate().map(|(i, g)| grant(v, &format!("{field}[{i}]"), g)).collect();
    let read = read.into_iter().collect::<Option<Vec<_>>>()?;
    v.keep(field, Grants::try_new(read))
}

/// Reads a scope.
pub fn scope(v: &mut Violations, field: &str, scope: Option<&wire::Scope>) -> Option<(Audience, Grants)> {
    let Some(scope) = scope else {
        v.add(field, "is missing");
        return None;
    };
    let audience = v.parse(format!("{field}.audience"), &scope.audience);
    let grants = grants(v, &format!("{field}.grants"), &scope.grants);
    Some((audience?, grants?))
}

/// Reads an envelope: one scope per audience.
pub fn envelope(v: &mut Violations, field: &str, scopes: &[wire::Scope]) -> Option<Vec<(Audience, Grants)>> {
    if scopes.is_empty() || scopes.len() > SCOPES_MAX {
        v.add(field, format!("has 1 to {SCOPES_MAX} scopes"));
        return None;
    }
    let read: Vec<_> = scopes.iter().enumerate().map(|(i, s)| scope(v, &format!("{field}[{i}]"), Some(s))).collect();
    let read = read.into_iter().collect::<Option<Vec<_>>>()?;
    let twice = read.iter().enumerate().any(|(i, (a, _))| read[..i].iter().any(|(b, _)| a == b));
    if twice {
        v.add(field, "names an audience twice");
        return None;
    }
    Some(read)
}

/// Reads an origin as the agent asserts it.
pub fn origin(v: &mut Violations, field: &str, origin: Option<&wire::Origin>) -> Option<Origin> {
    use wire::origin::Kind;
    match origin.and_then(|o| o.kind.as_ref()) {
        Some(Kind::User(name)) => {
            let name: Principal = v.parse(format!("{field}.user"), name)?;
            // Whatever is stopped, revoked or forbidden by this name must not be got around by another spelling.
            Some(Origin::User { name: name.in_one_spelling(), assurance: Assurance::Asserted })
        }
        Some(Kind::Schedule(name)) => Some(Origin::Schedule { name: v.parse(format!("{field}.schedule"), name)? }),
        Some(Kind::ParentSession(id)) => {
            Some(Origin::Agent { session: v.parse(format!("{field}.parent_session"), id)? })
        }
        None => {
            v.add(field, "is missing: say who or what set the session off");
            None
        }
    }
}

/// Writes an origin. How far it can be believed is the broker's to say, so that does not travel.
pub fn to_origin(origin: &Origin) -> wire::Origin {
    use wire::origin::Kind;
    let kind = match origin {
        Origin::User { name, .. } => Kind::User(name.to_string()),
        Origin::Schedule { name } => Kind::Schedule(name.to_string()),
        Origin::Agent { session } => Kind::ParentSession(session.to_string()),
    };
    wire::Origin { kind: Some(kind) }
}

/// Writes a right.
pub fn to_grant(grant: &Grant) -> wire::Grant {
    wire::Grant {
        tool: grant.tool.to_string(),
        operation: grant.operation.to_string(),
        resource: grant.resource.to_string(),
    }
}

/// Writes a set of rights.
pub fn to_grants(grants: &Grants) -> Vec<wire::Grant> {
    grants.iter().map(to_grant).collect()
}

/// Writes a scope.
pub fn to_scope(audience: &Audience, grants: &Grants) -> wire::Scope {
    wire::Scope { audience: audience.to_string(), grants: to_grants(grants) }
}

/// Writes a denial.
pub fn to_denial(denial: &Denial) -> wire::Denial {
    wire::Denial {
        reason: denial.reason.code().to_owned(),
        asked: denial.asked.clone(),
        rule: denial.rule.clone(),
        author: denial.author.clone(),
        next: denial.next.clone(),
        layer: Layer::of(denial.reason).as_str().to_owned(),
    }
}

/// Reads a denial. A code that this version does not know reads as [`Reason::Unforeseen`], and keeps its words.
pub fn denial(denial: &wire::Denial) -> Denial {
    let reason = denial.reason.parse().unwrap_or(Reason::Unforeseen);
    Denial {
        reason,
        asked: denial.asked.clone(),
        rule: denial.rule.clone(),
        author: denial.author.clone(),
        next: denial.next.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire_grant(resource: &str) -> wire::Grant {
        wire::Grant { tool: "read_file".into(), operation: "read".into(), resource: resource.into() }
    }

    #[test]
    fn names_the_one_field_that_is_wrong() {
        let mut v = Violations::default();
        let scope =
            wire::Scope { audience: "spiffe://td/tool".into(), grants: vec![wire_grant("a/*"), wire_grant("a/../b")] };
        assert_eq!(super::scope(&mut v, "scope", Some(&scope)), None);
        assert_eq!(v.iter().map(|(f, _)| f).collect::<Vec<_>>(), ["scope.grants[1].resource"]);
    }

    #[test]
    fn refuses_an_empty_scope_and_an_audience_twice() {
        let mut v = Violations::default();
        assert_eq!(grants(&mut v, "grants", &[]), None);
        let scope = wire::Scope { audience: "spiffe://td/tool".into(), grants: vec![wire_grant("a")] };
        assert_eq!(envelope(&mut v, "envelope", &[scope.clone(), scope]), None);
        assert_eq!(v.iter().count(), 2);
    }

    #[test]
    fn refuses_a_session_without_origin() {
        let mut v = Violations::default();
        assert_eq!(origin(&mut v, "origin", None), None);
        assert!(!v.is_empty());
    }
}
