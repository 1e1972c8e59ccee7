//! What is on record about one number, and what holds of it now.

use super::{About, Decision, Explanation, Number, Outcome, Step, steps};
use crate::{
    approval::{Approval, Said, State, Vote},
    audit::{Kind, Record},
    broker::Broker,
    session::Session,
    store::{Clue, Listing},
};
use crumb_proto::Layer;
use crumb_token::{ApprovalId, Denial, RequestId, SessionId, TokenId};
use std::collections::BTreeSet;

/// How many records beside the first an answer names.
const BESIDE_MAX: u32 = 16;
/// How many records with one number of a request are looked through: callers number their requests each by themselves, so
/// whoever knows a number can give it too.
const SAME_MAX: u32 = 256;

/// What to do to find a number that is known.
const FIND: &str = "numbers are in `crumb audit tail -o json`, and those of approvals in `crumb requests`";

impl Broker {
    /// Explains what has a number.
    ///
    /// # Errors
    ///
    /// `store_unavailable`, when the trail cannot be read. A number of nothing is an answer, not an error.
    pub async fn explain(&self, number: Number) -> Result<Explanation, Denial> {
        let _place = self.admit()?;
        let explained = match number {
            Number::Record(id) => self.recorded(Clue::Record(id), number.about()).await?,
            Number::Request(id) => self.requested(id).await?,
            Number::Token(id) => self.token(id).await?,
            Number::Session(id) => self.session(id).await?,
            Number::Approval(id) => self.approval(id).await?,
        };
        let unknown = || Explanation::unknown(String::new(), number.about(), FIND);
        Ok(Explanation { id: number.to_string(), ..explained.unwrap_or_else(unknown) })
    }

    async fn recorded(&self, clue: Clue, about: About) -> Result<Option<Explanation>, Denial> {
        match self.store.evidence(clue, 1).await?.into_iter().next() {
            Some((number, record)) => self.told(about, number, record).await.map(Some),
            None => Ok(None),
        }
    }

    /// Tells a record with what belongs to it.
    async fn told(&self, about: About, number: u64, record: Record) -> Result<Explanation, Denial> {
        let issued = match record.token_id.parse() {
            Ok(id) if record.kind == Kind::Decision => self.store.evidence(Clue::Issuance(id), 1).await?,
            _ => Vec::new(),
        };
        let mut told = of_record(about, number, record);
        // Who gave the token with which a call was made, and to whom: a block of it was written by one of its holders.
        told.steps.extend(issued.iter().map(|(number, record)| issued_step(*number, record)));
        told.steps.extend(self.votes_of(told.record.as_ref().map(|(_, record)| record)).await?);
        Ok(told)
    }

    /// A request is told by what became of it last; what became of it before is beside it. Requests of several callers that
    /// have one number are listed, and none of them is told as another's.
    async fn requested(&self, id: RequestId) -> Result<Option<Explanation>, Denial> {
        let mut found = self.store.evidence(Clue::Request(id), SAME_MAX).await?;
        let is_cut = found.len() >= SAME_MAX as usize;
        let assumed = format!("that there is nothing before the newest {SAME_MAX} records with this number");
        let mut told = match found.first() {
            None => return Ok(None),
            Some((_, newest)) if found.iter().any(|(_, record)| record.peer != newest.peer) => of_several(&found),
            Some(_) => {
                let (number, record) = found.remove(0);
                let mut told = self.told(About::Request, number, record).await?;
                let earlier = found.iter().take(BESIDE_MAX as usize);
                told.steps.extend(earlier.map(|(number, record)| beside(*number, record)));
                told
            }
        };
        told.assumed.extend(is_cut.then_some(assumed));
        Ok(Some(told))
    }

    async fn token(&self, id: TokenId) -> Result<Option<Explanation>, Denial> {
        let Some(mut told) = self.recorded(Clue::Issuance(id), About::Token).await? else { return Ok(None) };
        let now = self.clock.now().wall;
        let mut delegates = Vec::new();
        if let Some((_, record)) = &told.record {
            (told.state, told.denial) = self.token_now(id, record, now).await?;
            if told.denial.is_none() {
                delegates = self.delegates_now(record).await?;
            }
        }
        let calls = self.store.evidence(Clue::Calls(id), BESIDE_MAX).await?;
        told.steps.extend(calls.iter().map(|(number, record)| beside(*number, record)));
        told.next = match &told.denial {
            Some(denial) => denial.next.clone(),
            None if delegates.is_empty() => {
                "nothing ends it before its time: a refusal of it is on record by the call, `crumb audit tail`".into()
            }
            None => {
                "what is revoked in the hands of others is among the steps, as far as it is known: a refusal of it is \
                     on record by the call, `crumb audit tail`"
                    .into()
            }
        };
        told.steps.extend(delegates);
        Ok(Some(told))
    }

    async fn session(&self, id: SessionId) -> Result<Option<Explanation>, Denial> {
        let mut acts = self.store.evidence(Clue::Session(id), BESIDE_MAX).await?;
        acts.reverse();
        let session = self.store.sessions(vec![id]).await?.into_iter().next();
        let is_beginning =
            |(_, record): &(u64, Record)| matches!(record.kind, Kind::SessionOpen | Kind::SessionDelegate);
        let Some(first) = acts.iter().position(is_beginning) else {
            return Ok(session.map(|session| self.untold(&session)));
        };
        let (number, record) = acts.remove(first);
        let mut told = of_record(About::Session, number, record);
        told.steps.extend(acts.iter().map(|(number, record)| beside(*number, record)));
        if let Some(session) = session {
            (told.state, told.denial) = self.session_now(&session, &acts);
            told.next = match &told.denial {
                Some(denial) => denial.next.clone(),
                None => format!("what was asked in it: `crumb audit tail --session {id}`"),
            };
        }
        Ok(Some(told))
    }

    /// A session whose beginning is further back than what is looked at: many things happened to it since.
    fn untold(&self, session: &Session) -> Explanation {
        let mut record = self.operation(Kind::SessionOpen, session.peer.as_str());
        record.record_id = String::new();
        record.at_unix_ms = session.opened_at.as_unix_s().saturating_mul(1000);
        record.describe(session);
        record.allow();
        let mut told = of_record(About::Session, 0, record);
        (told.state, told.denial) = self.session_now(session, &[]);
        told
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<Explanation>, Denial> {
        let Some(approval) = self.store.approval(id).await? else { return Ok(None) };
        let session = self.store.sessions(vec![approval.wanted.session]).await?.into_iter().next();
        let now = self.clock.now().wall;
        let mut record = self.operation(Kind::Exchange, approval.wanted.peer.as_str());
        record.record_id = String::new();
        record.at_unix_ms = approval.asked_at.as_unix_s().saturating_mul(1000);
        record.ask(&crumb_proto::convert::to_grants(&approval.wanted.grants));
        record.audience = approval.wanted.audience.to_string();
        session.iter().for_each(|session| record.describe(session));
        let state = approval.state.word(approval.expires_at, now);
        let denial = approval.answer(now).filter(|_| state != "redeemed");
        let wanted =
            approval.because.iter().map(|rule| Step::new(Layer::Policy, Outcome::Noted, rule, "the issuance policy"));
        let needs = approval.needs.iter().map(|need| {
            let (agreed, group) = (approval.agreed(&need.group), &need.group);
            let outcome = if agreed >= need.count { Outcome::Held } else { Outcome::NotReached };
            Step::new(Layer::Approval, outcome, format!("{agreed} of {} of {group}", need.count), group)
        });
        let steps = wanted.chain(needs).chain(votes(&approval)).collect();
        let next = match &denial {
            Some(denial) => denial.next.clone(),
            None if state == "approved" => "ask the same again: it is redeemed once".to_owned(),
            None => "it became a token: `crumb why` with the number of that".to_owned(),
        };
        let decision = Decision::of(denial.as_ref());
        let record = Some((0, record));
        let (about, assumed) = (About::Approval, Vec::new());
        Ok(Some(Explanation { id: id.to_string(), about, decision, state, record, denial, steps, assumed, next }))
    }

    /// Returns the votes by which a token was approved, when it was.
    async fn votes_of(&self, record: Option<&Record>) -> Result<Vec<Step>, Denial> {
        let Some(record) = record.filter(|record| record.kind == Kind::Exchange && record.allowed) else {
            return Ok(Vec::new());
        };
        let Ok(session) = record.session_id.parse() else { return Ok(Vec::new()) };
        let token = record.token_id.clone();
        let keep = move |approval: &Approval| matches!(&approval.state, State::Redeemed { token: t } if *t == token);
        let listing = Listing { session: Some(session), state: Some("redeemed"), now: self.clock.now().wall, limit: 1 };
        let found = self.store.approvals(listing, Box::new(keep)).await?;
        Ok(found.iter().flat_map(votes).collect())
    }
}

/// Lists the requests of several callers that have one number: the newest of each.
fn of_several(found: &[(u64, Record)]) -> Explanation {
    let next = "several callers gave this number: `crumb why` with the number of one of these records, rec_…";
    let mut told = Explanation::unknown(String::new(), About::Request, next);
    let mut callers = BTreeSet::new();
    let newest = found.iter().filter(|(_, record)| callers.insert(record.peer.as_str()));
    let steps = newest.take(BESIDE_MAX as usize).map(|(number, record)| {
        let step = beside(*number, record);
        let word = if record.allowed { "allowed" } else { "refused" };
        let rule = format!("{}, {} of {}, {word}: {}", record.record_id, record.kind.as_str(), record.peer, step.rule);
        Step { rule, ..step }
    });
    told.steps = steps.collect();
    told
}

/// Tells one record by itself.
fn of_record(about: About, number: u64, record: Record) -> Explanation {
    let denial = record.denial();
    let steps = match steps::of(&record, denial.as_ref()) {
        steps if steps.is_empty() => vec![beside(number, &record)],
        steps => steps,
    };
    let decision = match (&denial, record.allowed) {
        (None, false) => Decision::Denied,
        (denial, _) => Decision::of(denial.as_ref()),
    };
    let next = match (&denial, record.session_id.as_str()) {
        (Some(denial), _) => denial.next.clone(),
        (None, "") => "crumb audit tail".to_owned(),
        (None, session) => format!("what else was done in its session: `crumb audit tail --session {session}`"),
    };
    let id = record.record_id.clone();
    let (state, record, assumed) = ("", Some((number, record)), Vec::new());
    Explanation { id, about, decision, state, record, denial, steps, assumed, next }
}

/// Tells a record beside another one.
fn beside(number: u64, record: &Record) -> Step {
    let denial = record.denial();
    let layer = match (&denial, record.kind) {
        (Some(denial), _) => Layer::of(denial.reason),
        (None, Kind::Decision) => Layer::Grant,
        (None, Kind::Approval) => Layer::Approval,
        (None, Kind::Revoke | Kind::SessionClose) => Layer::Revocation,
        (None, Kind::Lift) => Layer::KillSwitch,
        (None, Kind::SessionNote | Kind::SessionContract | Kind::SessionHalt | Kind::SessionResume) => Layer::Drift,
        (None, Kind::RegistryApply | Kind::RegistryReview) => Layer::Registry,
        (None, _) => Layer::Session,
    };
    let outcome = if denial.is_some() { Outcome::Refused } else { Outcome::Noted };
    let mut step = Step::recorded(layer, outcome, number, record);
    if let Some([tool, operation, resource]) = record.asked().next().filter(|_| record.kind == Kind::Decision) {
        step.rule = match denial {
            Some(denial) => format!("{tool} {operation} {resource}: {}, {}", denial.reason, denial.rule),
            None => format!("{tool} {operation} {resource}: allowed"),
        };
    }
    step
}

fn issued_step(number: u64, record: &Record) -> Step {
    let mut step = Step::recorded(Layer::Token, Outcome::Noted, number, record);
    let blocks = "any block after the first is a holder's";
    step.rule = format!("{} was issued to {}; {blocks}", record.token_id, record.holder);
    step
}

/// Tells the votes on a request for approval.
pub(super) fn votes(approval: &Approval) -> Vec<Step> {
    let told = |vote: &Vote| {
        let (outcome, said) = match vote.said {
            Said::Yes { .. } => (Outcome::Held, "approved"),
            Said::No => (Outcome::Refused, "refused"),
        };
        let why = vote.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let mut step = Step::new(Layer::Approval, outcome, format!("{said} {}{why}", approval.id), &vote.approver);
        step.at_unix_ms = vote.at.as_unix_s().saturating_mul(1000);
        step
    };
    approval.votes.iter().map(told).collect()
}
