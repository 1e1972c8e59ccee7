//! The decision on whom a token may be handed to offline.
//!
//! A hop costs the broker nothing, and the broker sees none: so everything that it would ask of a delegation is asked here,
//! when the token is issued. Each agent that the token could reach is held to its own manifest, its standing and its own
//! policy for exactly what the token says, and all of them are named in it.
//!
//! Apart from [`crate::delegation`], which gives another agent a session of its own. Here it acts in the holder's.
//!
//! # Invariants
//!
//! - Only to agents that the holder's owner named, at their own SPIFFE ID, and to none that is told by its process or whose
//!   ID speaks for others: offline nobody asks which process it was meant for.
//! - What could only be counted or asked of people at the broker is not handed on offline.

use crate::{
    caller::Caller,
    exchange::Exchange,
    registry::{Agent, Registry},
    rights,
    ruling::Ruled,
    session::{self, Lineage, Session},
};
use crumb_token::{
    AgentName, Claims, Denial, Reason, SpiffeId, Timestamp,
    handover::{Delegate, DelegationKey, MayAct},
};
use std::fmt::Display;

/// To whom a token may be handed, as a request names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handing {
    /// The key with which the holder will sign that.
    pub key: DelegationKey,
    /// Agents, and the workload of each.
    pub to: Vec<(AgentName, SpiffeId)>,
}

/// Decides whether the token of `claims`, in `session`, may be handed on as asked, and says what it will say of that.
///
/// # Errors
///
/// The [`Denial`]: `delegation_refused`, or why one of those agents would not get these rights itself.
pub fn decide(handing: &Handing, claims: &Claims, session: &Session, registry: &Registry) -> Result<MayAct, Denial> {
    let now = claims.issued_at;
    let holder = registry.agent(&claims.agent).ok_or_else(|| Denial::new(Reason::Unforeseen))?;
    if handing.to.len() > session.lineage.depth_left {
        let levels = session.lineage.depth_left;
        return Err(refused(
            &format_args!("to {} agents, one after the other", handing.to.len()),
            &format_args!("{levels} more levels below {}", session.id),
            &session.agent,
        ));
    }
    let delegates = handing.to.iter().map(|(name, peer)| delegate(name, peer, holder, claims, registry, now));
    let may_act = MayAct { key: handing.key, delegates: delegates.collect::<Result<_, _>>()? };
    if may_act.is_bounded(&claims.holder) {
        return Ok(may_act);
    }
    let rule = format!("1 to {} different workloads, none of them the holder", MayAct::DELEGATES_MAX);
    Err(refused(&"the list of who may act", &rule, &"the token profile"))
}

fn delegate(
    name: &AgentName,
    peer: &SpiffeId,
    holder: &Agent,
    claims: &Claims,
    registry: &Registry,
    now: Timestamp,
) -> Result<Delegate, Denial> {
    if !holder.hands_to.contains(name) {
        let denial = refused(&format_args!("to agent {name}, offline"), &holder.manifest(), &holder.owner);
        return Err(denial.next(format!("delegate through the broker, or have mayHandTo of {} name it", holder.name)));
    }
    let agent = session::registered(name, &Caller { id: peer.clone(), svid_expires_at: now }, registry, now)?;
    if !agent.identity.is(peer) {
        let denial = refused(&format_args!("to {peer}, offline"), &agent.manifest(), &agent.owner);
        return Err(denial.next("hand it to the agent's own SPIFFE ID, or delegate through the broker"));
    }
    // Offline nobody asks which process it is, nor for which of several a sidecar speaks.
    if agent.process.is_some() || registry.agents().any(|other| other.sidecars.contains(peer)) {
        let denial =
            refused(&format_args!("to {peer}, offline"), &"which local process it is has to be asked", &agent.owner);
        return Err(denial.next("delegate through the broker"));
    }
    if agent.environment != claims.environment {
        let rule = format!("{} is registered for {}", agent.name, agent.environment);
        return Err(refused(&format_args!("a token of {}", claims.environment), &rule, &agent.owner));
    }
    rights::inside_manifest(&claims.grants, agent, &claims.audience)?;
    Ok(Delegate { holder: peer.clone(), agent: agent.name.clone(), version: agent.version.clone() })
}

/// An exchange as it would be if a delegate itself had asked: what its own policies are asked about.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The request. No local process is known: it is asked for offline.
    pub exchange: Exchange,
    /// A session of its own, as deep as hops can lead.
    pub session: Session,
    /// The token. Everybody else whom it may be handed to counts as having acted before.
    pub claims: Claims,
}

/// Puts a delegate in the asker's place. Which way the token will go is not known, so the furthest counts.
///
/// # Errors
///
/// `delegation_refused` when more have acted than a token has room for.
pub fn as_asked_by(
    delegate: &Delegate,
    exchange: &Exchange,
    session: &Session,
    claims: &Claims,
    may_act: &MayAct,
) -> Result<Asked, Denial> {
    let others = may_act.delegates.iter().filter(|other| *other != delegate).map(|other| other.holder.clone());
    let actors: Vec<_> = others.chain([claims.holder.clone()]).chain(claims.actors.iter().cloned()).collect();
    if actors.len() > Claims::ACTORS_MAX {
        let rule = format!("at most {} have acted before", Claims::ACTORS_MAX);
        return Err(refused(
            &format_args!("{} before agent {}", actors.len(), delegate.agent),
            &rule,
            &"the token profile",
        ));
    }
    let mut asked = session.clone();
    for _ in &may_act.delegates {
        asked.lineage = Lineage::below(&asked);
    }
    let session = Session {
        agent: delegate.agent.clone(),
        version: delegate.version.clone(),
        peer: delegate.holder.clone(),
        process: None,
        opened_at: claims.issued_at,
        tokens: 0,
        ..asked
    };
    let claims = Claims {
        agent: delegate.agent.clone(),
        version: delegate.version.clone(),
        holder: delegate.holder.clone(),
        actors,
        ..claims.clone()
    };
    let exchange = Exchange { holder: None, process: None, handing: None, ..exchange.clone() };
    Ok(Asked { exchange, session, claims })
}

/// Returns the end of a token that `agent` may hold, for whom policy said `ruled`.
pub fn end(agent: &Agent, ruled: &Ruled, claims: &Claims) -> Timestamp {
    let lives = agent.ttl_max.into_iter().chain(ruled.ttl_max).map(|life| claims.issued_at.plus(life));
    lives.chain(agent.valid_until).fold(claims.expires_at, Ord::min)
}

/// Refuses what the broker would have to be asked about each time: approvals, rates and budgets.
///
/// # Errors
///
/// `delegation_refused`, naming which.
pub fn check_offline(agent: &AgentName, ruled: &Ruled) -> Result<(), Denial> {
    let needed = if !ruled.needs.is_empty() {
        "people have to approve it"
    } else if ruled.per_minute.is_some() || ruled.budget.is_some() {
        "its tokens are counted"
    } else {
        return Ok(());
    };
    let because = if ruled.because.is_empty() { String::new() } else { format!(": {}", ruled.because.join("; ")) };
    let denial =
        refused(&format_args!("by agent {agent}, offline"), &format_args!("{needed}{because}"), &"the issuance policy");
    Err(denial.next("delegate through the broker"))
}

fn refused(asked: &dyn Display, rule: &dyn Display, author: &dyn Display) -> Denial {
    Denial::new(Reason::DelegationRefused).asked(asked).by(rule, author)
}

#[cfg(test)]
mod tests;
