//! What a request was told, as the store keeps it, so that the same request is told the same again.
//!
//! A token itself is never kept: only what it says, from which the broker can sign anew after a restart.

use crumb_token::{
    AgentName, Claims, Denial, Grant, Grants, Origin, Reason, Timestamp,
    claims::{Ancestor, IdentityProvider, Subject},
    handover::{Delegate, DelegationKey, MayAct},
    origin::{Assurance, Principal},
};
use serde::{Deserialize, Serialize};
use std::{str::FromStr, sync::Arc};

/// What a request was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Answer {
    /// A token that says this.
    Issued(Arc<ClaimsRow>),
    /// A session.
    Opened {
        /// Its number.
        session: String,
        /// Its end, Unix seconds.
        expires_at: u64,
    },
    /// No.
    Refused(DenialRow),
}

/// A denial as texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenialRow {
    reason: String,
    asked: String,
    rule: String,
    author: String,
    next: String,
}

impl From<&Denial> for DenialRow {
    fn from(denial: &Denial) -> Self {
        Self {
            reason: denial.reason.code().to_owned(),
            asked: denial.asked.clone(),
            rule: denial.rule.clone(),
            author: denial.author.clone(),
            next: denial.next.clone(),
        }
    }
}

impl From<DenialRow> for Denial {
    fn from(row: DenialRow) -> Self {
        let reason = row.reason.parse().unwrap_or(Reason::Unforeseen);
        Self { reason, asked: row.asked, rule: row.rule, author: row.author, next: row.next }
    }
}

/// The claims of a token as texts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimsRow {
    token: String,
    session: String,
    agent: String,
    version: String,
    environment: String,
    holder: String,
    subject: Option<(String, bool)>,
    actors: Vec<String>,
    #[serde(default)]
    ancestors: Vec<AncestorRow>,
    origin: (String, String, String),
    intent_digest: String,
    audience: String,
    grants: Vec<(String, String, String)>,
    issued_at: u64,
    expires_at: u64,
    #[serde(default)]
    may_act: Option<MayActRow>,
    depth_limit: u8,
    identity_provider: String,
}

impl From<&Claims> for ClaimsRow {
    fn from(c: &Claims) -> Self {
        Self {
            token: c.token.to_string(),
            session: c.session.to_string(),
            agent: c.agent.to_string(),
            version: c.version.to_string(),
            environment: c.environment.to_string(),
            holder: c.holder.to_string(),
            subject: c.subject.as_ref().map(|s| (s.name.to_string(), s.assurance == Assurance::Verified)),
            actors: c.actors.iter().map(ToString::to_string).collect(),
            ancestors: c.ancestors.iter().map(AncestorRow::from).collect(),
            origin: (c.origin.kind().to_owned(), c.origin.name(), c.origin.assurance().as_str().to_owned()),
            intent_digest: hex::encode(c.intent_digest),
            audience: c.audience.to_string(),
            grants: rows(&c.grants),
            issued_at: c.issued_at.as_unix_s(),
            expires_at: c.expires_at.as_unix_s(),
            may_act: c.may_act.as_ref().map(MayActRow::from),
            depth_limit: c.depth_limit,
            identity_provider: c.identity_provider.to_string(),
        }
    }
}

impl ClaimsRow {
    /// Reads the claims back; `None` when this version cannot.
    pub fn to_claims(&self) -> Option<Claims> {
        let mut intent_digest = [0; 32];
        hex::decode_to_slice(&self.intent_digest, &mut intent_digest).ok()?;
        let (kind, name, assurance) = &self.origin;
        Some(Claims {
            token: self.token.parse().ok()?,
            session: self.session.parse().ok()?,
            agent: AgentName::from_str(&self.agent).ok()?,
            version: self.version.parse().ok()?,
            environment: self.environment.parse().ok()?,
            holder: self.holder.parse().ok()?,
            subject: match &self.subject {
                Some(row) => Some(subject(row)?),
                None => None,
            },
            actors: self.actors.iter().map(|id| id.parse().ok()).collect::<Option<_>>()?,
            ancestors: self.ancestors.iter().map(AncestorRow::read).collect::<Option<_>>()?,
            origin: Origin::from_words(kind, name, assurance)?,
            intent_digest,
            audience: self.audience.parse().ok()?,
            grants: grants(&self.grants)?,
            issued_at: Timestamp::from_unix_s(self.issued_at),
            expires_at: Timestamp::from_unix_s(self.expires_at),
            may_act: match &self.may_act {
                Some(row) => Some(row.read()?),
                None => None,
            },
            depth_limit: self.depth_limit,
            identity_provider: IdentityProvider::from_str(&self.identity_provider).ok()?,
        })
    }

    /// Returns the end of the token.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_unix_s(self.expires_at)
    }
}

/// A session above, as texts: its number, agent and version, and the digest of its intent in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AncestorRow(String, String, String, String);

impl From<&Ancestor> for AncestorRow {
    fn from(above: &Ancestor) -> Self {
        let intent = hex::encode(above.intent_digest);
        Self(above.session.to_string(), above.agent.to_string(), above.version.to_string(), intent)
    }
}

impl AncestorRow {
    /// Reads it back.
    pub(super) fn read(&self) -> Option<Ancestor> {
        let mut intent_digest = [0; 32];
        let Self(session, agent, version, intent) = self;
        hex::decode_to_slice(intent, &mut intent_digest).ok()?;
        Some(Ancestor {
            session: session.parse().ok()?,
            agent: agent.parse().ok()?,
            version: version.parse().ok()?,
            intent_digest,
        })
    }
}

/// To whom a token may be handed on, as texts: the key in hexadecimal, and holder, agent and version of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct MayActRow(String, Vec<(String, String, String)>);

impl From<&MayAct> for MayActRow {
    fn from(may_act: &MayAct) -> Self {
        let row = |d: &Delegate| (d.holder.to_string(), d.agent.to_string(), d.version.to_string());
        Self(hex::encode(may_act.key.as_bytes()), may_act.delegates.iter().map(row).collect())
    }
}

impl MayActRow {
    fn read(&self) -> Option<MayAct> {
        let delegate = |(holder, agent, version): &(String, String, String)| {
            Some(Delegate { holder: holder.parse().ok()?, agent: agent.parse().ok()?, version: version.parse().ok()? })
        };
        let key = DelegationKey::try_from(&hex::decode(&self.0).ok()?[..]).ok()?;
        Some(MayAct { key, delegates: self.1.iter().map(delegate).collect::<Option<_>>()? })
    }
}

fn subject((name, verified): &(String, bool)) -> Option<Subject> {
    let assurance = if *verified { Assurance::Verified } else { Assurance::Asserted };
    Some(Subject { name: Principal::from_str(name).ok()?, assurance })
}

/// Writes rights as rows.
pub(super) fn rows(grants: &Grants) -> Vec<(String, String, String)> {
    grants.iter().map(|g| (g.tool.to_string(), g.operation.to_string(), g.resource.to_string())).collect()
}

/// Reads rights back.
pub(super) fn grants(rows: &[(String, String, String)]) -> Option<Grants> {
    let read = |(tool, operation, resource): &(String, String, String)| {
        Some(Grant { tool: tool.parse().ok()?, operation: operation.parse().ok()?, resource: resource.parse().ok()? })
    };
    Grants::try_new(rows.iter().map(read).collect::<Option<Vec<_>>>()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn claims_come_back_as_they_went() {
        let claims = Claims {
            token: crumb_token::TokenId::from_uuid(Uuid::from_u128(1)),
            session: crumb_token::SessionId::from_uuid(Uuid::from_u128(2)),
            agent: "bot".parse().expect("name"),
            version: "1.0".parse().expect("version"),
            environment: "test".parse().expect("environment"),
            holder: "spiffe://td/agent".parse().expect("id"),
            subject: Some(Subject { name: "bob@a.example".parse().expect("name"), assurance: Assurance::Asserted }),
            actors: vec!["spiffe://td/other".parse().expect("id")],
            ancestors: vec![Ancestor {
                session: crumb_token::SessionId::from_uuid(Uuid::from_u128(3)),
                agent: "planner".parse().expect("name"),
                version: "2".parse().expect("version"),
                intent_digest: [8; 32],
            }],
            origin: Origin::Schedule { name: "nightly".parse().expect("name") },
            intent_digest: [7; 32],
            audience: "spiffe://td/tool".parse().expect("audience"),
            grants: grants(&[("read".into(), "read".into(), "a/*".into())]).expect("grants"),
            issued_at: Timestamp::from_unix_s(10),
            expires_at: Timestamp::from_unix_s(20),
            may_act: Some(MayAct {
                key: DelegationKey::try_from(&[0x66; 32][..]).expect("a key"),
                delegates: vec![Delegate {
                    holder: "spiffe://td/next".parse().expect("id"),
                    agent: "next".parse().expect("name"),
                    version: "3".parse().expect("version"),
                }],
            }),
            depth_limit: 8,
            identity_provider: "spire".parse().expect("provider"),
        };
        let text = serde_json::to_string(&Answer::Issued(Arc::new(ClaimsRow::from(&claims)))).expect("json");
        let Ok(Answer::Issued(row)) = serde_json::from_str(&text) else { panic!("not the answer that was written") };
        assert_eq!(row.to_claims(), Some(claims));
    }
}
