//! An ask that was never made, as somebody writes it, and what it leaves to be filled in: who asks, and where.

use crate::{
    process::LocalProcess,
    registry::{Agent, AgentIdentity, ProcessRule, Registry, ToolServer},
    session::Session,
};
use crumb_proto::{Violations, convert, wire};
use crumb_token::{AgentName, Audience, Denial, Grant, Origin, Reason, SessionId, SpiffeId};
use std::time::Duration;

/// What is asked, well-formed.
#[derive(Debug, Clone)]
pub struct Hypothetical {
    /// Who would ask; the agent of the session when nobody is named.
    pub agent: Option<AgentName>,
    /// In which session; in one that declares just this when none is named.
    pub session: Option<SessionId>,
    /// Where; where the tool is when no place is named.
    pub audience: Option<Audience>,
    /// For what.
    pub grant: Grant,
    /// For how long; zero for the default.
    pub ttl: Duration,
    /// What set off a session that is made up.
    pub origin: Option<Origin>,
}

/// What a session that is made up says it does, and who set it off.
pub(super) const MADE_UP: &str = "why";

/// Returns who asks.
pub(super) fn who(ask: &Hypothetical, session: Option<&Session>) -> Result<AgentName, Denial> {
    let invalid = |rule: &str| Denial::new(Reason::RequestInvalid).by(rule, "the broker");
    match (&ask.agent, session) {
        (Some(name), Some(session)) if *name != session.agent => {
            let next = format!("leave the agent out: the session is one of {}", session.agent);
            Err(invalid("the session is another agent's").asked(session.id).next(next))
        }
        (Some(name), _) => Ok(name.clone()),
        (None, Some(session)) => Ok(session.agent.clone()),
        (None, None) => Err(invalid("nobody asks").next("name the agent, or a session")),
    }
}

/// Returns where the tool is: at the place that is named, or at the only one that the agent's manifest or the registry has.
pub(super) fn server<'r>(ask: &Hypothetical, agent: &Agent, registry: &'r Registry) -> Result<&'r ToolServer, Denial> {
    if let Some(audience) = &ask.audience {
        let unknown = || Denial::new(Reason::ToolServerUnknown).asked(audience).by("registry", "the registry's owner");
        return registry.tool_server(audience).ok_or_else(unknown);
    }
    let Grant { tool, operation, .. } = &ask.grant;
    let having: Vec<_> = registry.tool_servers().filter(|server| server.has(tool, operation)).collect();
    let given: Vec<_> = having.iter().copied().filter(|server| agent.scopes.contains_key(&server.audience)).collect();
    match (&given[..], &having[..]) {
        ([server], _) | ([], [server]) => Ok(server),
        ([], []) => {
            let denial = Denial::new(Reason::ToolUnknown).asked(format!("{tool} {operation}"));
            Err(denial.by("no tool server is registered with it", "the registry's owner"))
        }
        _ => {
            let names: Vec<&str> = having.iter().map(|server| server.audience.as_str()).collect();
            let denial = Denial::new(Reason::RequestInvalid).by("several tool servers have this tool", "the broker");
            Err(denial.next(format!("name one of {}", names.join(", "))))
        }
    }
}

/// Returns who would ask: the session's own workload, or the agent itself.
pub(super) fn presenter(agent: &Agent, session: Option<&Session>) -> Result<SpiffeId, Denial> {
    match (session, &agent.identity) {
        (Some(session), _) => Ok(session.peer.clone()),
        (None, AgentIdentity::One(id)) => Ok(id.clone()),
        (None, AgentIdentity::PerInstance(pattern)) => {
            let instance = pattern.to_string().replace("/*", &format!("/{MADE_UP}"));
            instance.parse().map_err(|_| Denial::new(Reason::Unforeseen))
        }
    }
}

/// Returns the process that the session is bound to, with the digest that the manifest wants of it.
pub(super) fn process(session: &Session, agent: &Agent, assumed: &mut Vec<String>) -> Option<LocalProcess> {
    let bound = session.process.as_ref()?;
    assumed.push(format!("for {} of user {}, the program that the manifest means", bound.exe, bound.uid));
    let exe_sha256 = agent.process.as_ref().and_then(ProcessRule::digest);
    Some(LocalProcess { pid: 0, uid: bound.uid, gid: 0, exe: bound.exe.clone(), exe_sha256 })
}

/// Reads an ask; what is wrong with it is named.
///
/// # Errors
///
/// The fields that are not well-formed.
pub(crate) fn read(wire: &wire::ExplainAskRequest) -> Result<Hypothetical, Violations> {
    let mut v = Violations::default();
    let agent = optional(&mut v, "agent", &wire.agent);
    let session = optional(&mut v, "session_id", &wire.session_id);
    let audience = optional(&mut v, "audience", &wire.audience);
    let grant = convert::grant(&mut v, "grant", &wire.grant.clone().unwrap_or_default());
    let origin = match &wire.origin {
        None => Some(None),
        origin => convert::origin(&mut v, "origin", origin.as_ref()).map(Some),
    };
    if let Some(Some(Origin::Agent { .. })) = origin {
        v.add("origin", "is a user or a schedule: name the session itself to ask in it");
    }
    let ttl = Duration::from_secs(wire.ttl_s.into());
    let read = || {
        Some(Hypothetical {
            agent: agent?,
            session: session?,
            audience: audience?,
            grant: grant?,
            ttl,
            origin: origin?,
        })
    };
    read().filter(|_| v.is_empty()).ok_or(v)
}

/// Reads a text that may be left out. `None` when it is there and not well-formed.
fn optional<T: std::str::FromStr<Err: std::fmt::Display>>(
    v: &mut Violations,
    field: &str,
    text: &str,
) -> Option<Option<T>> {
    if text.is_empty() { Some(None) } else { v.parse(field, text).map(Some) }
}
