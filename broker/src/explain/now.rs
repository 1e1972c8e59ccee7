//! What holds now of a token or a session that was given once, and if it does not, why.

use crate::{
    audit::{Kind, Record},
    broker::Broker,
    session::Session,
    store::{Clue, Revocation},
};
use crumb_token::{
    Claims, Denial, Grants, Reason, SessionId, Timestamp, TokenId,
    revocation::{self, Target},
};

/// How many records of a session are looked through for what ended its tokens.
const ACTS_MAX: u32 = 16;
/// How many revocations by operators are looked through for the one that reached something.
const REVOCATIONS_MAX: u32 = 500;

impl Broker {
    /// Says whether a token still holds, and if not, why.
    pub(super) async fn token_now(
        &self,
        id: TokenId,
        record: &Record,
        now: Timestamp,
    ) -> Result<(&'static str, Option<Denial>), Denial> {
        let session: Option<SessionId> = record.session_id.parse().ok();
        let session = match session {
            Some(id) => self.store.sessions(vec![id]).await?.into_iter().next(),
            None => None,
        };
        let claims = session.as_ref().and_then(|session| claims_of(id, record, session));
        let targets = match &claims {
            Some(claims) => revocation::targets(claims).collect(),
            None => vec![Target::Token(id)],
        };
        let issued_at = Timestamp::from_unix_s(record.at_unix_ms / 1000);
        let reaching = self.store.reaching(targets, issued_at).await?;
        if let Some(revocation) = reaching.first() {
            return Ok(("revoked", Some(self.revoked(revocation).await?)));
        }
        if now.as_unix_s() >= record.expires_at {
            let denial = Denial::new(Reason::TokenExpired).by("authority block, expiry", "the broker");
            return Ok(("expired", Some(denial)));
        }
        Ok(("in force", None))
    }

    /// Says by whom something was revoked, as far as the trail tells.
    pub(super) async fn revoked(&self, revocation: &Revocation) -> Result<Denial, Denial> {
        let (target, sequence) = (&revocation.target, revocation.sequence);
        let ending = match target {
            Target::Session(id) => {
                let acts = self.store.evidence(Clue::Session(*id), ACTS_MAX).await?;
                acts.into_iter().find(|(_, record)| ends_tokens(record)).map(|(_, record)| record)
            }
            _ => None,
        };
        let ending = match ending {
            Some(record) => Some(record),
            None => {
                let acts = self.store.evidence(Clue::Revocations, REVOCATIONS_MAX).await?;
                acts.into_iter().find(|(_, record)| names(&record.detail, target)).map(|(_, record)| record)
            }
        };
        let denial = Denial::new(Reason::TokenRevoked);
        Ok(match ending {
            Some(record) => {
                let what = if record.detail.is_empty() { record.kind.as_str() } else { &record.detail };
                let by = if record.peer.is_empty() { "the broker" } else { &record.peer };
                denial.by(format!("revocation {sequence} of {target}: {what}"), by)
            }
            None => denial.by(format!("revocation {sequence} of {target}"), "an operator"),
        })
    }

    /// Says whether tokens can be asked for in a session, and if not, why.
    pub(super) fn session_now(&self, session: &Session, acts: &[(u64, Record)]) -> (&'static str, Option<Denial>) {
        let now = self.clock.now().wall;
        if session.closed_at.is_some() {
            let ending = acts.iter().rev().find(|(_, record)| record.kind == Kind::SessionClose && record.allowed);
            let denial = Denial::new(Reason::SessionClosed).asked(session.id);
            let by = ending.map_or("an operator, or with the session around it", |(_, record)| record.peer.as_str());
            return ("closed", Some(denial.by("the session was closed", by)));
        }
        if !session.is_open(now) {
            let rule = format!("it was open until {}", crate::review::moment(session.expires_at.as_unix_s() * 1000));
            return ("over", Some(Denial::new(Reason::SessionClosed).asked(session.id).by(rule, &session.agent)));
        }
        if let Err(denial) = session.review.check_halt() {
            return ("halted", Some(denial));
        }
        let registry = self.registry();
        if let Err(denial) = self.check_stops(&registry, session, None, now) {
            return ("stopped", Some(denial));
        }
        let standing = registry.agent(&session.agent).map(|agent| (agent, registry.standing(agent, now)));
        match standing {
            None => {
                let denial = Denial::new(Reason::AgentUnknown).asked(&session.agent);
                ("open", Some(denial.by("registry", "the registry's owner")))
            }
            Some((agent, Err(reason))) => {
                let denial = Denial::new(reason).asked(format!("agent {}", agent.name));
                ("open", Some(denial.by(agent.manifest(), &agent.owner)))
            }
            Some((_, Ok(()))) if session.review.contraction.is_some() => ("contracted", None),
            Some((_, Ok(()))) => ("open", None),
        }
    }
}

/// Puts a token's claims together again, as far as revocations are about them: where it counts, what it allows and who
/// vouched for its holder are not looked at.
fn claims_of(token: TokenId, record: &Record, session: &Session) -> Option<Claims> {
    Some(Claims {
        token,
        session: session.id,
        agent: session.agent.clone(),
        version: session.version.clone(),
        environment: "any".parse().ok()?,
        holder: record.holder.parse().ok()?,
        subject: session.lineage.subject(),
        actors: session.lineage.actors.clone(),
        ancestors: session.lineage.ancestors.clone(),
        origin: session.lineage.root.clone(),
        intent_digest: session.intent.digest(),
        audience: record.audience.parse().ok()?,
        grants: Grants::default(),
        issued_at: Timestamp::from_unix_s(record.at_unix_ms / 1000),
        expires_at: Timestamp::from_unix_s(record.expires_at),
        may_act: None,
        depth_limit: 0,
        identity_provider: "any".parse().ok()?,
    })
}

/// Says whether a record of a session is of something that revokes its tokens.
fn ends_tokens(record: &Record) -> bool {
    record.allowed && matches!(record.kind, Kind::SessionClose | Kind::SessionHalt | Kind::SessionContract)
}

/// Says whether the detail of a revocation names a target, and not one that only begins like it.
fn names(detail: &str, target: &Target) -> bool {
    let wanted = target.to_string();
    detail.match_indices(&wanted).any(|(at, _)| {
        let before = detail[..at].chars().next_back();
        let after = detail[at + wanted.len()..].chars().next();
        matches!(before, None | Some(' ' | ',')) && matches!(after, None | Some(' ' | ',' | ':'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_is_found_by_its_whole_target() {
        let target = Target::from_words("agent", "bot").expect("a target");
        assert!(names("revoke agent:bot: it went astray", &target));
        assert!(names("revoke and stop agent:other, agent:bot: both", &target));
        assert!(!names("revoke agent:bot-2: another one", &target));
        assert!(!names("revoke tool_server:https://a/agent:bot", &target));
        assert!(!names("", &target));
    }
}
