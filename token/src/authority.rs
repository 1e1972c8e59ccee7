//! Reading the authority block: its facts into [`Claims`], and its four checks, which must say what the facts say.

use crate::{
    Caveat, Claims, Grant, Grants, Origin, Reason, ResourcePattern, SpiffeId, Timestamp,
    claims::{Ancestor, Subject},
    handover::{Delegate, DelegationKey, MayAct},
    hop,
    origin::Assurance,
    profile::{self, DEPTH_MAX, ambient, fact},
    shape::{self, from_check, is_check_if, read_query},
    symbols::{Op, Symbols, Term},
};
use biscuit_auth::format::schema;

/// Reads the authority block.
///
/// # Errors
///
/// [`Reason::TokenVersion`] for another profile version, else [`Reason::TokenOutOfProfile`].
pub(crate) fn read(block: &schema::Block, symbols: &Symbols<'_>) -> Result<Claims, Reason> {
    let mut draft = Draft::default();
    for fact in &block.facts {
        let (name, terms) = symbols.predicate(&fact.predicate).ok_or(Reason::TokenOutOfProfile)?;
        if let (fact::PROFILE, [Term::Int(version)]) = (name, &terms[..])
            && *version != profile::VERSION
        {
            return Err(Reason::TokenVersion);
        }
        draft.take(name, &terms).ok_or(Reason::TokenOutOfProfile)?;
    }
    let key = hop::read_key(&block.public_keys).ok_or(Reason::TokenOutOfProfile)?;
    let claims = draft.finish(key).ok_or(Reason::TokenOutOfProfile)?;
    checks_agree(block, symbols, &claims).ok_or(Reason::TokenOutOfProfile)?;
    Ok(claims)
}

/// The facts as they are met: each once, grants, actors and ancestors in order.
#[derive(Default)]
struct Draft<'a> {
    profile: Option<i64>,
    texts: Vec<(&'static str, &'a str)>,
    dates: Vec<(&'static str, u64)>,
    origin: Option<Origin>,
    subject: Option<Subject>,
    intent_digest: Option<[u8; 32]>,
    depth_limit: Option<u8>,
    actors: Vec<SpiffeId>,
    ancestors: Vec<Ancestor>,
    delegates: Vec<Delegate>,
    grants: Vec<Grant>,
}

const TEXTS: [&str; 8] = [
    fact::TOKEN_ID,
    fact::SESSION,
    fact::AGENT,
    fact::AGENT_VERSION,
    fact::ENVIRONMENT,
    fact::HOLDER,
    fact::AUDIENCE,
    fact::IDENTITY_PROVIDER,
];
const DATES: [&str; 2] = [fact::ISSUED_AT, fact::EXPIRES_AT];

impl<'a> Draft<'a> {
    /// Takes one fact; `None` when it is unknown, ill-formed, or was there already.
    fn take(&mut self, name: &str, terms: &[Term<'a>]) -> Option<()> {
        match (name, terms) {
            (fact::PROFILE, [Term::Int(version)]) => put(&mut self.profile, *version),
            (fact::ORIGIN, [Term::Text(kind), Term::Text(who), Term::Text(how)]) => {
                // The parent of a session is its last ancestor; what set off the outermost one is not an agent.
                let origin = Origin::from_words(kind, who, how).filter(|o| !matches!(o, Origin::Agent { .. }))?;
                put(&mut self.origin, origin)
            }
            (fact::SUBJECT, [Term::Text(who), Term::Text(how)]) => put(&mut self.subject, subject(who, how)?),
            (fact::INTENT_DIGEST, [Term::Bytes(digest)]) => put(&mut self.intent_digest, (*digest).try_into().ok()?),
            (fact::DEPTH_LIMIT, [Term::Int(limit)]) => {
                let limit = u8::try_from(*limit).ok().filter(|l| *l <= DEPTH_MAX)?;
                put(&mut self.depth_limit, limit)
            }
            (fact::ACTOR, [Term::Int(position), Term::Text(id)]) => {
                let next =
                    usize::try_from(*position).ok()? == self.actors.len() && self.actors.len() < Claims::ACTORS_MAX;
                self.actors.push(id.parse().ok()?);
                next.then_some(())
            }
            (fact::ANCESTOR, [Term::Int(position), above @ ..]) => {
                let len = self.ancestors.len();
                let next = usize::try_from(*position).ok()? == len && len < Claims::ANCESTORS_MAX;
                self.ancestors.push(ancestor(above)?);
                next.then_some(())
            }
            (fact::MAY_ACT, [Term::Int(position), Term::Text(holder), Term::Text(agent), Term::Text(version)]) => {
                let (holder, agent, version) = (holder.parse().ok()?, agent.parse().ok()?, version.parse().ok()?);
                let len = self.delegates.len();
                let next = usize::try_from(*position).ok()? == len && len < MayAct::DELEGATES_MAX;
                self.delegates.push(Delegate { holder, agent, version });
                next.then_some(())
            }
            (fact::GRANT, [Term::Text(tool), Term::Text(operation), Term::Text(kind), Term::Text(resource)]) => {
                self.grants.push(grant(tool, operation, kind, resource)?);
                (self.grants.len() <= Grants::LEN_MAX).then_some(())
            }
            (_, [Term::Text(text)]) => {
                let name = TEXTS.into_iter().find(|t| *t == name)?;
                let new = self.texts.iter().all(|(n, _)| *n != name);
                self.texts.push((name, text));
                new.then_some(())
            }
            (_, [Term::Date(date)]) => {
                let name = DATES.into_iter().find(|d| *d == name)?;
                let new = self.dates.iter().all(|(n, _)| *n != name);
                self.dates.push((name, *date));
                new.then_some(())
            }
            _ => None,
        }
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.texts.iter().find(|(n, _)| *n == name).map(|(_, t)| *t)
    }

    fn date(&self, name: &str) -> Option<Timestamp> {
        self.dates.iter().find(|(n, _)| *n == name).map(|(_, d)| Timestamp::from_unix_s(*d))
    }

    fn finish(self, key: Option<DelegationKey>) -> Option<Claims> {
        self.profile?;
        if self.grants.is_empty() {
            return None;
        }
        let holder: SpiffeId = self.text(fact::HOLDER)?.parse().ok()?;
        // Both or neither: a key that nobody may be named with, or names that no key can sign for, say nothing.
        let may_act = match (key, self.delegates.is_empty()) {
            (None, true) => None,
            (Some(key), false) => Some(MayAct { key, delegates: self.delegates.clone() }),
            _ => return None,
        };
        if may_act.as_ref().is_some_and(|may_act| !may_act.is_bounded(&holder)) {
            return None;
        }
        let grants = Grants::try_new(self.grants.iter().cloned()).ok().filter(|g| g.len() == self.grants.len())?;
        Some(Claims {
            token: self.text(fact::TOKEN_ID)?.parse().ok()?,
            session: self.text(fact::SESSION)?.parse().ok()?,
            agent: self.text(fact::AGENT)?.parse().ok()?,
            version: self.text(fact::AGENT_VERSION)?.parse().ok()?,
            environment: self.text(fact::ENVIRONMENT)?.parse().ok()?,
            holder,
            may_act,
            audience: self.text(fact::AUDIENCE)?.parse().ok()?,
            identity_provider: self.text(fact::IDENTITY_PROVIDER)?.parse().ok()?,
            issued_at: self.date(fact::ISSUED_AT)?,
            expires_at: self.date(fact::EXPIRES_AT)?,
            subject: self.subject,
            actors: self.actors,
            ancestors: self.ancestors,
            origin: self.origin?,
            intent_digest: self.intent_digest?,
            grants,
            depth_limit: self.depth_limit?,
        })
    }
}

fn put<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

fn subject(who: &str, how: &str) -> Option<Subject> {
    let assurance = match how {
        "asserted" => Assurance::Asserted,
        "verified" => Assurance::Verified,
        _ => return None,
    };
    Some(Subject { name: who.parse().ok()?, assurance })
}

fn ancestor(terms: &[Term<'_>]) -> Option<Ancestor> {
    let [Term::Text(session), Term::Text(agent), Term::Text(version), Term::Bytes(digest)] = terms else { return None };
    Some(Ancestor {
        session: session.parse().ok()?,
        agent: agent.parse().ok()?,
        version: version.parse().ok()?,
        intent_digest: (*digest).try_into().ok()?,
    })
}

fn grant(tool: &str, operation: &str, kind: &str, resource: &str) -> Option<Grant> {
    let resource = match kind {
        "exact" => ResourcePattern::Exact(resource.parse().ok()?),
        "under" => format!("{resource}*").parse().ok()?,
        _ => return None,
    };
    Some(Grant { tool: tool.parse().ok()?, operation: operation.parse().ok()?, resource })
}

/// The four checks, in their order, each saying what its fact says.
fn checks_agree(block: &schema::Block, symbols: &Symbols<'_>, claims: &Claims) -> Option<()> {
    let [expiry, audience, holder, grants] = &block.checks[..] else { return None };
    let holder = match claims.may_act {
        None => from_check(holder, symbols)? == Caveat::Holder(claims.holder.clone()),
        Some(_) => hop::read_holder_check(holder, symbols, true)? == claims.holder,
    };
    let agree = from_check(expiry, symbols)? == Caveat::ExpiresAt(claims.expires_at)
        && from_check(audience, symbols)? == Caveat::Audience(claims.audience.clone())
        && holder
        && is_grant_check(grants, symbols)?;
    agree.then_some(())
}

fn is_grant_check(check: &schema::Check, symbols: &Symbols<'_>) -> Option<bool> {
    let [exact, under] = &check.queries[..] else { return None };
    let (exact, under) = (read_query(exact, symbols)?, read_query(under, symbols)?);
    let [t, o, r, last] = asked(&exact, "exact")?;
    let exact_ok = last == r && exact.expressions.is_empty() && all_different(&[t, o, r]);
    let [t, o, r, p] = asked(&under, "under")?;
    let starts = [Op::Value(r), Op::Value(p), Op::Prefix];
    let under_ok = matches!(&under.expressions[..], [e] if e[..] == starts) && all_different(&[t, o, r, p]);
    Some(is_check_if(check) && exact_ok && under_ok)
}

/// Reads `tool($t), operation($o), resource($r), grant($t, $o, kind, $x)` as `[$t, $o, $r, $x]`.
fn asked<'t>(query: &shape::Query<'t>, kind: &str) -> Option<[Term<'t>; 4]> {
    let [(ambient::TOOL, t), (ambient::OPERATION, o), (ambient::RESOURCE, r), (fact::GRANT, g)] = &query.body[..]
    else {
        return None;
    };
    let ([t], [o], [r], [gt, go, Term::Text(k), x]) = (&t[..], &o[..], &r[..], &g[..]) else { return None };
    let vars = [t, o, r, x].into_iter().all(|v| matches!(v, Term::Var(_)));
    (vars && gt == t && go == o && *k == kind).then_some([*t, *o, *r, *x])
}

fn all_different(terms: &[Term<'_>]) -> bool {
    terms.iter().enumerate().all(|(i, a)| terms[..i].iter().all(|b| a != b))
}
