//! The decision on an exchange: inputs in, claims or a denial out.
//!
//! Apart from the flow around it because everything that can be wrong with an issuance is decided here, in plain code
//! without a clock, a store or a key. The order of the checks is the order of the answers: nobody learns about an agent or
//! a tool server through a session that is not theirs.

use crate::{
    caller::Caller,
    clamp::{self, TokenEnds},
    drift,
    handover::{self, Handing},
    process::LocalProcess,
    registry::{Agent, Registry},
    rights,
    session::{self, Session},
};
use crumb_token::{
    Audience, Claims, Denial, Grants, Intent, Reason, SessionId, SpiffeId, Timestamp, TokenId,
    claims::IdentityProvider, profile,
};
use std::time::Duration;

/// A request for a task token, well-formed.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The session it is for.
    pub session: SessionId,
    /// The tool server it is for.
    pub audience: Audience,
    /// The rights wanted there.
    pub grants: Grants,
    /// How long; zero for the default.
    pub ttl: Duration,
    /// Who will present the token, when not the caller.
    pub holder: Option<SpiffeId>,
    /// To whom it may be handed on, offline.
    pub handing: Option<Handing>,
    /// Which step of the session it is.
    pub task: Option<Intent>,
    /// The local process, when a sidecar speaks for the agent.
    pub process: Option<LocalProcess>,
}

/// Everything that the decision is made from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// What is asked.
    pub exchange: &'a Exchange,
    /// Who asks; proven for this request.
    pub caller: &'a Caller,
    /// The registry as it is now.
    pub registry: &'a Registry,
    /// The session that the request names, when the store has it.
    pub session: Option<&'a Session>,
    /// Who vouched for the caller.
    pub provider: &'a IdentityProvider,
    /// The number that the token will have.
    pub token: TokenId,
    /// Now.
    pub now: Timestamp,
}

/// Decides, and says what the token will say.
///
/// # Errors
///
/// The [`Denial`], complete: the first rule that the request breaks.
pub fn decide(inputs: &Inputs<'_>) -> Result<Claims, Denial> {
    let Inputs { exchange, caller, registry, now, .. } = *inputs;
    let session = own_session(inputs)?;
    let agent = session::speaking_for(&session.agent, exchange.process.as_ref(), caller, registry, now)?;
    let audience = &exchange.audience;
    let server = registry
        .tool_server(audience)
        .ok_or_else(|| Denial::new(Reason::ToolServerUnknown).asked(audience).by("registry", "the registry's owner"))?;
    rights::known_to(&exchange.grants, server)?;
    if !session.is_open(now) {
        return Err(Denial::new(Reason::SessionClosed).asked(session.id).by("session", &session.agent));
    }
    session.review.check_halt()?;
    session.review.check_moment(now)?;
    rights::inside_envelope(&exchange.grants, session, audience)?;
    drift::inside_contraction(&exchange.grants, server, session.review.contraction.as_ref())?;
    rights::inside_manifest(&exchange.grants, agent, audience)?;
    rights::inside_those_above(&exchange.grants, session, audience, registry, now)?;
    let holder = holder(exchange, caller, agent)?;
    let expires_at = end(inputs, session, agent)?;
    let claims = Claims {
        token: inputs.token,
        session: session.id,
        agent: agent.name.clone(),
        version: session.version.clone(),
        environment: agent.environment.clone(),
        holder,
        subject: session.lineage.subject(),
        actors: session.lineage.actors.clone(),
        ancestors: session.lineage.ancestors.clone(),
        origin: session.lineage.root.clone(),
        intent_digest: session.intent.digest(),
        audience: audience.clone(),
        grants: exchange.grants.clone(),
        issued_at: now,
        expires_at,
        may_act: None,
        depth_limit: profile::DEPTH_MAX,
        identity_provider: inputs.provider.clone(),
    };
    let handing = exchange.handing.as_ref();
    let may_act = handing.map(|handing| handover::decide(handing, &claims, session, registry)).transpose()?;
    Ok(Claims { may_act, ..claims })
}

fn own_session<'a>(inputs: &Inputs<'a>) -> Result<&'a Session, Denial> {
    let Exchange { session: id, process, .. } = inputs.exchange;
    // One answer for no such session and for somebody else's: ids must tell nothing.
    let own = inputs.session.filter(|s| s.id == *id && s.belongs_to(inputs.caller, process.as_ref()));
    own.ok_or_else(|| Denial::new(Reason::SessionUnknown).asked(id).by("session", "the broker"))
}

/// Binds the token to the caller, or to the agent that it speaks for. Anybody else would be a delegation.
fn holder(exchange: &Exchange, caller: &Caller, agent: &Agent) -> Result<SpiffeId, Denial> {
    match &exchange.holder {
        None => Ok(caller.id.clone()),
        Some(holder) if agent.may_bind(&caller.id, holder) => Ok(holder.clone()),
        Some(holder) => Err(Denial::new(Reason::AgentNotSpokenFor)
            .asked(format!("holder {holder}"))
            .by(agent.manifest(), &agent.owner)
            .next("leave the holder empty, or name the agent's own SPIFFE ID")),
    }
}

fn end(inputs: &Inputs<'_>, session: &Session, agent: &Agent) -> Result<Timestamp, Denial> {
    let ends = TokenEnds {
        asked: agent.token_life(inputs.exchange.ttl),
        manifest_max: agent.ttl_max,
        session: session.expires_at,
        svid: inputs.caller.svid_expires_at,
        registration: agent.valid_until,
    };
    clamp::token_end(inputs.now, ends).map_err(too_short)
}

/// Refuses an end that came too near since the manifests' limits were looked at.
///
/// # Errors
///
/// `lifetime_too_short`.
pub fn check_life(now: Timestamp, expires_at: Timestamp) -> Result<(), Denial> {
    let life = expires_at.since(now);
    if life < clamp::TTL_MIN { Err(too_short(life)) } else { Ok(()) }
}

fn too_short(life: Duration) -> Denial {
    Denial::new(Reason::LifetimeTooShort)
        .asked(format!("a token that would live for {} s", life.as_secs()))
        .by(format!("a token lives for {} s at least", clamp::TTL_MIN.as_secs()), "the broker")
}

#[cfg(test)]
mod tests;
