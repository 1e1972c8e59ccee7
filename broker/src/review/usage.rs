//! Counting what became of each right of an agent. Pure: records in, counts out.

use super::touched::Touched;
use crate::{audit::Kind, registry::Scopes, store::Used};
use crumb_token::{AgentName, Audience, Grant, Grants, Operation, Resource, ResourcePattern, SessionId, ToolName};
use std::collections::{BTreeSet, HashSet};

/// How many patterns of one right a proposal has at most; fewer when a set of rights would not hold them.
const PATTERNS_MAX: [usize; 3] = [4, 2, 1];

/// One right, and what became of it.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Where.
    pub audience: Audience,
    /// The right.
    pub grant: Grant,
    /// Allowed calls.
    pub calls: u64,
    /// How many of them in sessions that were delegated.
    pub delegated: u64,
    /// Tokens with a part of it.
    pub tokens: u64,
    /// In how many sessions either was.
    pub sessions: HashSet<SessionId>,
    /// When last, in Unix milliseconds; 0 for never.
    pub last_ms: u64,
    /// What was called.
    pub called: Touched,
    /// What tokens were asked for.
    pub asked: Touched,
}

impl Tally {
    fn new(audience: &Audience, grant: &Grant) -> Self {
        Self {
            audience: audience.clone(),
            grant: grant.clone(),
            calls: 0,
            delegated: 0,
            tokens: 0,
            sessions: HashSet::new(),
            last_ms: 0,
            called: Touched::default(),
            asked: Touched::default(),
        }
    }

    fn note(&mut self, session: SessionId, at_ms: u64) {
        self.sessions.insert(session);
        self.last_ms = self.last_ms.max(at_ms);
    }

    /// Returns what of the right was used, in at most `most` patterns. Where no call was reported, a token counts as the use of
    /// what it gives.
    pub fn used(&self, most: usize) -> Vec<Grant> {
        let touched = if self.called.is_empty() { &self.asked } else { &self.called };
        let with = |resource: ResourcePattern| Grant { resource, ..self.grant.clone() };
        touched.within(&self.grant.resource, most).into_iter().map(with).collect()
    }

    /// Says whether tokens were asked for more of it than was called.
    pub fn is_asked_wider(&self) -> bool {
        let alone = |grants: Vec<Grant>| Grants::try_new(grants).unwrap_or_default();
        let asked = self.asked.within(&self.grant.resource, PATTERNS_MAX[0]).into_iter();
        let asked = asked.map(|resource| Grant { resource, ..self.grant.clone() }).collect();
        !self.called.is_empty() && alone(asked).first_outside(&alone(self.used(PATTERNS_MAX[0]))).is_some()
    }
}

/// What an agent used of its rights.
#[derive(Debug, Clone)]
pub struct Usage {
    /// A count for each right, in the order of the manifest's audiences.
    pub tallies: Vec<Tally>,
    /// Allowed calls in all.
    pub calls: u64,
    /// Tokens in all.
    pub tokens: u64,
    /// Calls with rights that the agent has no more.
    pub outside: u64,
    /// Records of calls that do not say what was called.
    pub unread: u64,
}

impl Usage {
    /// Begins with nothing used.
    pub fn of(scopes: &Scopes) -> Self {
        let tallies = scopes.iter().flat_map(|(audience, grants)| grants.iter().map(|g| Tally::new(audience, g)));
        Self { tallies: tallies.collect(), calls: 0, tokens: 0, outside: 0, unread: 0 }
    }

    /// Counts a call or a token, of `agent` itself or of somebody it delegated to.
    pub fn take(&mut self, agent: &AgentName, used: &Used) {
        match used.record.kind {
            Kind::Decision => self.take_call(agent, used),
            Kind::Exchange => self.take_token(used),
            _ => {}
        }
    }

    fn take_call(&mut self, agent: &AgentName, used: &Used) {
        self.calls += 1;
        let record = &used.record;
        let Some((tool, operation, resource)) = record.asked().next().and_then(call) else {
            self.unread += 1;
            return;
        };
        let mut covered = false;
        for tally in self.tallies.iter_mut().filter(|tally| tally.audience.as_str() == record.audience) {
            if tally.grant.covers(&tool, &operation, &resource) {
                covered = true;
                tally.calls += 1;
                tally.delegated += u64::from(record.agent != agent.as_str());
                tally.called.add(&resource);
                tally.note(used.session, record.at_unix_ms);
            }
        }
        self.outside += u64::from(!covered);
    }

    fn take_token(&mut self, used: &Used) {
        self.tokens += 1;
        let record = &used.record;
        let granted: Vec<Grant> = record.granted().filter_map(right).collect();
        for tally in self.tallies.iter_mut().filter(|tally| tally.audience.as_str() == record.audience) {
            let parts: Vec<Grant> = granted.iter().filter_map(|grant| grant.meet(&tally.grant)).collect();
            if !parts.is_empty() {
                tally.tokens += 1;
                tally.note(used.session, record.at_unix_ms);
            }
            parts.iter().for_each(|part| tally.asked.add_pattern(&part.resource));
        }
    }

    /// Returns the rights that were used: never more than the agent has, and with every call that was counted inside.
    pub fn narrowed(&self) -> Scopes {
        let audiences: BTreeSet<&Audience> = self.tallies.iter().map(|tally| &tally.audience).collect();
        let used = |audience: &Audience, most| {
            let of = self.tallies.iter().filter(|tally| tally.audience == *audience);
            Grants::try_new(of.flat_map(|tally| tally.used(most)))
        };
        let narrowed = |audience: &Audience| {
            // One pattern for each right is never more than there were.
            let grants = PATTERNS_MAX.into_iter().find_map(|most| used(audience, most).ok()).unwrap_or_default();
            (!grants.is_empty()).then(|| (audience.clone(), grants))
        };
        audiences.into_iter().filter_map(narrowed).collect()
    }

    /// Walks the tool servers for which tokens were issued, and none of which reported a call.
    pub fn silent(&self) -> impl Iterator<Item = &Audience> {
        let audiences: BTreeSet<&Audience> = self.tallies.iter().map(|tally| &tally.audience).collect();
        let sum = |audience: &Audience, count: fn(&Tally) -> u64| -> u64 {
            self.tallies.iter().filter(|tally| tally.audience == *audience).map(count).sum()
        };
        audiences.into_iter().filter(move |a| sum(a, |tally| tally.tokens) > 0 && sum(a, |tally| tally.calls) == 0)
    }
}

fn call([tool, operation, resource]: [&str; 3]) -> Option<(ToolName, Operation, Resource)> {
    Some((tool.parse().ok()?, operation.parse().ok()?, resource.parse().ok()?))
}

fn right([tool, operation, resource]: [&str; 3]) -> Option<Grant> {
    Some(Grant { tool: tool.parse().ok()?, operation: operation.parse().ok()?, resource: resource.parse().ok()? })
}
