//! What the policies in force say about an exchange that manifest and envelope already allow.
//!
//! Every policy of the registry is a layer, and each has a word: one that denies is enough to deny, all approvals that any
//! of them wants are needed, and the smallest clamp counts. Without a policy the manifests decide alone.
//!
//! Pure: facts in, ruling out. The counters and the store are the flow's.

use crate::{
    approval::Need,
    exchange::Exchange,
    pace::Lately,
    registry::{self, Agent, Registry, ToolServer},
    session::Session,
};
use crumb_policy::{
    Approval, Input, Ruling, Verdict,
    input::{
        AgentFacts, AskFacts, AskedGrant, History, InstanceFacts, Moment, ProcessFacts, Risk, SessionFacts,
        SubjectFacts,
    },
};
use crumb_token::{Claims, Denial, Environment, Grants, Reason};
use std::{collections::BTreeMap, time::Duration};

/// Everything about an exchange that a policy may look at.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What is asked.
    pub exchange: &'a Exchange,
    /// In which session.
    pub session: &'a Session,
    /// Who acts.
    pub agent: &'a Agent,
    /// Where.
    pub server: &'a ToolServer,
    /// What the token would say.
    pub claims: &'a Claims,
    /// Where the broker runs.
    pub environment: &'a Environment,
    /// What was issued and refused lately.
    pub lately: Lately,
}

/// What the policies say, when none denies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruled {
    /// Who has to agree first; nobody when empty.
    pub needs: Vec<Need>,
    /// Why, with the place of each rule.
    pub because: Vec<String>,
    /// The longest life of the token.
    pub ttl_max: Option<Duration>,
    /// The most tokens in a minute, this one among them.
    pub per_minute: Option<u32>,
    /// The most tokens of the outermost session, this one among them.
    pub budget: Option<u64>,
    /// Which policies spoke, as `name@digest`.
    pub version: String,
}

/// Asks every policy.
///
/// # Errors
///
/// `policy_denied`, `rate_limited` or `budget_spent`; `indeterminate` when a policy came to no answer, or asks a group that is
/// not registered.
pub fn decide(registry: &Registry, facts: &Facts<'_>) -> Result<Ruled, Denial> {
    let mut layers = registry.policies().peekable();
    if layers.peek().is_none() {
        return Ok(Ruled::default());
    }
    let wordless = || Denial::new(Reason::Indeterminate).by("facts that no policy has words for", "the broker");
    let input = input(facts, registry).ok_or_else(wordless)?;
    let mut ruled = Ruled::default();
    let mut needs: BTreeMap<String, u32> = BTreeMap::new();
    for layer in layers {
        let verdict = layer.compiled.decide(&input).map_err(|error| {
            tracing::error!(policy = %layer.name, %error, "a policy came to no answer");
            Denial::new(Reason::Indeterminate).by(format!("policy {}: {error}", layer.name), &layer.owner)
        })?;
        let version = layer.compiled.version();
        let version = format!("{}@{}", layer.name, version.get(..12).unwrap_or(version));
        ruled.version = if ruled.version.is_empty() { version } else { format!("{} {version}", ruled.version) };
        if let Ruling::NeedsApproval(groups) = &verdict.ruling {
            for group in groups {
                need(&mut needs, group, layer, registry, facts)?;
            }
        }
        take(&mut ruled, &verdict, layer, facts)?;
    }
    ruled.needs = needs.into_iter().map(|(group, count)| Need { group, count }).collect();
    Ok(ruled)
}

/// Notes how many of a group have to agree: what the policy wants, and never fewer than the group's own rule.
fn need(
    needs: &mut BTreeMap<String, u32>,
    group: &Approval,
    layer: &registry::Policy,
    registry: &Registry,
    facts: &Facts<'_>,
) -> Result<(), Denial> {
    let name = group.from.to_string();
    let Some(rule) = name.parse().ok().and_then(|name| registry.approval_rule(&name)) else {
        // Nobody could ever approve it, and a slip in a policy is not to look like a wait.
        let rule = format!("policy {}: no approval rule is registered as {name}", layer.name);
        return Err(Denial::new(Reason::Indeterminate).asked(asked(facts)).by(rule, &layer.owner));
    };
    let count = needs.entry(name).or_default();
    *count = u32::from(group.count.get()).max(rule.count).max(*count);
    Ok(())
}

fn take(ruled: &mut Ruled, verdict: &Verdict, layer: &registry::Policy, facts: &Facts<'_>) -> Result<(), Denial> {
    match &verdict.ruling {
        Ruling::Allow => {}
        Ruling::NeedsApproval(_) => ruled.because.extend(verdict.reasons.iter().map(|reason| said(layer, reason))),
        Ruling::Deny => {
            let reason = verdict.reasons.first();
            let rule = reason.map_or_else(|| format!("policy {}", layer.name), |reason| said(layer, reason));
            let denial = Denial::new(Reason::PolicyDenied).asked(asked(facts)).by(rule, &layer.owner);
            return Err(match reason.and_then(|reason| reason.fix.as_deref()) {
                Some(fix) => denial.next(fix),
                None => denial,
            });
        }
    }
    clamp(ruled, verdict, layer, facts)
}

fn clamp(ruled: &mut Ruled, verdict: &Verdict, layer: &registry::Policy, facts: &Facts<'_>) -> Result<(), Denial> {
    let clamp = &verdict.clamp;
    let refuse = |reason: Reason, limit: String| {
        let rules: Vec<String> = clamp.reasons.iter().map(|reason| said(layer, reason)).collect();
        Err(Denial::new(reason).asked(asked(facts)).by(format!("{limit}: {}", rules.join("; ")), &layer.owner))
    };
    if let Some(most) = clamp.per_minute.filter(|most| facts.lately.issued_minute >= *most) {
        return refuse(Reason::RateLimited, format!("{most} tokens a minute"));
    }
    if let Some(most) = clamp.budget.filter(|most| facts.session.tokens >= *most) {
        return refuse(Reason::BudgetSpent, format!("{most} tokens a session"));
    }
    // Held once more when the token is written: many ask at once.
    ruled.per_minute = smaller(ruled.per_minute, clamp.per_minute);
    ruled.budget = smaller(ruled.budget, clamp.budget);
    if let Some(ttl_s) = clamp.ttl_s {
        let ttl = Duration::from_secs(ttl_s.into());
        ruled.ttl_max = Some(ruled.ttl_max.map_or(ttl, |max| max.min(ttl)));
    }
    Ok(())
}

fn smaller<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}

/// Names a rule and gives its sentence: `policy issue, high.rego:12: a high risk needs two`.
fn said(layer: &registry::Policy, reason: &crumb_policy::Reason) -> String {
    match &reason.rule {
        Some(place) => format!("policy {}, {place}: {}", layer.name, reason.because),
        None => format!("policy {}: {}", layer.name, reason.because),
    }
}

fn asked(facts: &Facts<'_>) -> String {
    let rights: Vec<String> = facts.exchange.grants.iter().map(ToString::to_string).collect();
    format!("{} at {}", rights.join("; "), facts.server.audience)
}

/// Returns the highest risk of rights at a tool server.
pub fn risk_of(grants: &Grants, server: &ToolServer) -> registry::Risk {
    let risks = grants.iter().filter_map(|g| server.risk(&g.tool, &g.operation));
    risks.max().unwrap_or(registry::Risk::High)
}

/// Who vouches for a person whom the agent only names.
const SAID: &str = "agent";

/// Puts the facts into the policy's words; `None` when one that has to be there does not fit.
fn input(facts: &Facts<'_>, registry: &Registry) -> Option<Input> {
    let Facts { exchange, session, agent, server, claims, environment, lately } = *facts;
    let now = claims.issued_at;
    Some(Input {
        agent: AgentFacts {
            name: agent.name.clone(),
            version: claims.version.clone(),
            owner: agent.owner.clone(),
            environment: agent.environment.clone(),
            purpose: word(agent.purpose.as_str())?,
            persona: agent.persona.as_ref().and_then(|persona| word(persona.as_str())),
            model: agent.model.as_ref().and_then(|model| word(model.as_str())),
        },
        instance: InstanceFacts {
            spiffe_id: claims.holder.clone(),
            process: exchange.process.as_ref().map(|p| ProcessFacts { uid: p.uid, exe: word(&p.exe) }),
        },
        session: SessionFacts {
            id: session.id,
            intent: session.intent.clone(),
            depth: u8::try_from(session.lineage.ancestors.len()).unwrap_or(u8::MAX),
            opened_s_ago: now.since(session.opened_at).as_secs(),
            expected_duration_s: session.expires_at.since(session.opened_at).as_secs(),
            risk: to_risk(risk_of_session(session, registry)),
        },
        origin: session.lineage.root.clone(),
        subject: match &claims.subject {
            Some(subject) => Some(SubjectFacts {
                name: subject.name.clone(),
                issuer: word(session.lineage.issuer.as_deref().unwrap_or(SAID))?,
                assurance: subject.assurance,
            }),
            None => None,
        },
        actors: claims.actors.clone(),
        ask: AskFacts {
            audience: server.audience.clone(),
            reviewers: server.reviewers.as_ref().and_then(|group| word(group.as_str())),
            grants: exchange.grants.iter().map(|grant| asked_grant(grant, server)).collect(),
            ttl_s: u32::try_from(claims.expires_at.since(now).as_secs()).unwrap_or(u32::MAX),
            args_digest: None,
        },
        time: Moment::from(now),
        environment: environment.clone(),
        history: History {
            issued_last_minute: lately.issued_minute,
            issued_last_hour: lately.issued_hour,
            denied_last_hour: lately.denied_hour,
            tokens_in_session: u32::try_from(session.tokens).unwrap_or(u32::MAX),
        },
    })
}

/// Returns the highest risk of what a session declared.
fn risk_of_session(session: &Session, registry: &Registry) -> registry::Risk {
    let risk = |(audience, grants): &(_, Grants)| registry.tool_server(audience).map(|server| risk_of(grants, server));
    session.envelope.iter().filter_map(risk).max().unwrap_or(registry::Risk::High)
}

fn asked_grant(grant: &crumb_token::Grant, server: &ToolServer) -> AskedGrant {
    AskedGrant {
        tool: grant.tool.clone(),
        operation: grant.operation.clone(),
        resource: grant.resource.clone(),
        risk: server.risk(&grant.tool, &grant.operation).map_or(Risk::High, to_risk),
    }
}

fn to_risk(risk: registry::Risk) -> Risk {
    match risk {
        registry::Risk::Low => Risk::Low,
        registry::Risk::Medium => Risk::Medium,
        registry::Risk::High => Risk::High,
    }
}

fn word<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}
