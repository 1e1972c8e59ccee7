//! What is held against sessions, in SQL: halted, contracted, resumed, each with its record.
//!
//! A session inside another one has no row of its own for what is held against that one: it is looked up through the
//! sessions above, so that one row holds a whole tree, and one resume frees it.

use super::{
    super::{Revocation, Watch},
    behaviours, endings, integer, natural, outbox, revocations, sessions, trail,
    writer::JobError,
};
use crate::{
    audit::{Kind, Record},
    drift::{Action, Event, Finding, Held, Review, RuleName},
    notify::{self, Data, DriftFacts, Moment, ReviewFacts, SessionFacts},
    session::Session,
};
use crumb_token::{Denial, Reason, RecordId, SessionId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

/// The most sessions in one list.
const LIST_MAX: u32 = 1_000;

/// Returns what is held against a session, and against those above it.
pub(super) fn of(connection: &Connection, session: SessionId) -> Result<Review, JobError> {
    let sql = "WITH RECURSIVE above (id, steps) AS (
                 SELECT ?1, 0
                 UNION ALL SELECT s.parent, steps + 1 FROM sessions s JOIN above a ON s.id = a.id WHERE s.parent IS NOT NULL)
               SELECT b.session, b.halt, b.contraction, b.tokens_ended, b.changes
               FROM above a JOIN behaviours b ON b.session = a.id ORDER BY a.steps";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([session.to_string()])?;
    let mut review = Review::default();
    while let Some(row) = rows.next()? {
        review.merge(read(row)?);
    }
    Ok(review)
}

/// Returns why a token must not be issued that was decided upon when the session and those above had changed `changes` times.
pub(super) fn check(tx: &Connection, session: SessionId, changes: u64) -> Result<Option<Denial>, JobError> {
    let review = of(tx, session)?;
    if review.changes == changes {
        return Ok(None);
    }
    let changed = || Denial::new(Reason::Overloaded).by("the session was halted, contracted or resumed", "the broker");
    Ok(Some(review.check_halt().err().unwrap_or_else(changed)))
}

/// Does what a finding wants, unless as much was done already; returns the revocation when there was one.
pub(super) fn act(
    tx: &Connection,
    event: &Event,
    finding: Finding,
    watch: &Watch,
) -> Result<Option<Revocation>, JobError> {
    // Read here, on the thread that writes: what was issued before this is issued no later than now.
    let now = watch.clock.now().wall;
    let Some(session) = sessions::find(tx, event.session)?.filter(|session| session.is_open(now)) else {
        return Ok(None);
    };
    let own = own(tx, session.id)?;
    let (kind, column, told) = match finding.action {
        Action::Note if !is_noted(tx, session.id, finding.rule)? => (Kind::SessionNote, None, None),
        Action::Contract if own.halt.is_none() && own.contraction.is_none() => {
            (Kind::SessionContract, Some("contraction"), Some(notify::Kind::SessionContracted))
        }
        Action::Halt if own.halt.is_none() => (Kind::SessionHalt, Some("halt"), Some(notify::Kind::SessionHalted)),
        Action::Note | Action::Contract | Action::Halt => return Ok(None),
    };
    tracing::warn!(session = %session.id, agent = %session.agent, %finding, "a session drifts");
    let record = record(kind, &session, event, &finding, watch);
    trail::append(tx, &record)?;
    if let Some(told) = told {
        let facts = Data::Drift(Box::new(DriftFacts::new(&session, &finding, &event.audience)));
        outbox::put(tx, &notify::Event::new(told, Moment::from_unix_ms(record.at_unix_ms), facts))?;
    }
    match column {
        Some(column) => hold(tx, session.id, column, &finding, now, watch.live_max),
        None => note(tx, session.id, finding.rule).map(|()| None),
    }
}

/// Ends the tokens of a session and of those inside it, and writes why.
fn hold(
    tx: &Connection,
    session: SessionId,
    column: &str,
    finding: &Finding,
    now: Timestamp,
    live_max: u32,
) -> Result<Option<Revocation>, JobError> {
    let row: HeldRow = (
        now.as_unix_s(),
        finding.rule.as_str().to_owned(),
        finding.measured,
        finding.threshold,
        finding.action.as_str().to_owned(),
        finding.basis.clone(),
    );
    let text = serde_json::to_string(&row).map_err(|_| JobError::Corrupt("finding"))?;
    let sql =
        format!("UPDATE behaviours SET {column} = ?2, tokens_ended = ?3, changes = changes + 1 WHERE session = ?1");
    tx.prepare_cached(&sql)?.execute(params![session.to_string(), text, integer(now.as_unix_s())])?;
    if revocations::count_live(tx, now)? >= live_max {
        // It gets no new ones all the same.
        tracing::error!(%session, "too many revocations are in force, so the tokens of this session run out by themselves");
        return Ok(None);
    }
    // It can come back, so only what was issued until now is over.
    endings::end_tokens(tx, session, now).map(Some)
}

fn record(kind: Kind, session: &Session, event: &Event, finding: &Finding, watch: &Watch) -> Record {
    let id = RecordId::from_uuid(Uuid::now_v7());
    let mut record = Record::new(id, watch.clock.unix_ms(), kind, &watch.registry_version);
    record.describe(session);
    record.audience = event.audience.to_string();
    record.detail = crate::audit::cut(&format!("{finding}; {}, the last at {}", event.kin, event.audience));
    record.allow();
    record
}

fn is_noted(tx: &Connection, session: SessionId, rule: RuleName) -> Result<bool, JobError> {
    let sql = "SELECT noted FROM behaviours WHERE session = ?1";
    let noted: String = tx.prepare_cached(sql)?.query_row([session.to_string()], |row| row.get(0))?;
    Ok(noted.split(' ').any(|word| word == rule.as_str()))
}

fn note(tx: &Connection, session: SessionId, rule: RuleName) -> Result<(), JobError> {
    let sql = "UPDATE behaviours SET noted = noted || ' ' || ?2 WHERE session = ?1";
    tx.prepare_cached(sql)?.execute(params![session.to_string(), rule.as_str()])?;
    Ok(())
}

/// Frees a session, and begins its counting anew. `false`, and nothing written, when nothing is held against it itself.
pub(super) fn resume(tx: &Connection, session: SessionId, record: &Record) -> Result<bool, JobError> {
    let sql = "UPDATE behaviours SET halt = NULL, contraction = NULL, noted = '', changes = changes + 1
               WHERE session = ?1 AND (halt IS NOT NULL OR contraction IS NOT NULL)";
    if tx.prepare_cached(sql)?.execute([session.to_string()])? == 0 {
        return Ok(false);
    }
    if let Some((kin, mut behaviour)) = behaviours::find(tx, session)? {
        behaviour.reviewed();
        behaviours::save(tx, session, &behaviour)?;
        behaviours::accept_tools(tx, session, &kin)?;
    }
    trail::append(tx, record)?;
    let facts = ReviewFacts {
        session: sessions::find(tx, session)?.as_ref().map(SessionFacts::from),
        by: record.peer.clone(),
        detail: record.detail.clone(),
    };
    let (kind, at) = (notify::Kind::SessionResumed, Moment::from_unix_ms(record.at_unix_ms));
    outbox::put(tx, &notify::Event::new(kind, at, Data::Review(Box::new(facts))))?;
    Ok(true)
}

/// Returns the open sessions against which something is held themselves.
pub(super) fn held(connection: &Connection, now: Timestamp) -> Result<Vec<Session>, JobError> {
    let sql = "SELECT b.session FROM behaviours b JOIN sessions s ON s.id = b.session
               WHERE (b.halt IS NOT NULL OR b.contraction IS NOT NULL) AND s.closed_at IS NULL AND s.expires_at > ?1
               ORDER BY b.session LIMIT ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let ids = statement.query_map(params![integer(now.as_unix_s()), LIST_MAX], |row| row.get::<_, String>(0))?;
    let ids = ids.collect::<rusqlite::Result<Vec<_>>>()?;
    let find = |id: String| {
        let id = id.parse().map_err(|_| JobError::Corrupt("session"))?;
        let mut session = sessions::find(connection, id)?.ok_or(JobError::Corrupt("session"))?;
        session.review = own(connection, id)?;
        Ok(session)
    };
    ids.into_iter().map(find).collect()
}

/// Returns what is held against a session itself; all that there is, when it is inside no other.
pub(super) fn own(connection: &Connection, session: SessionId) -> Result<Review, JobError> {
    let sql = "SELECT session, halt, contraction, tokens_ended, changes FROM behaviours WHERE session = ?1";
    let row = connection.prepare_cached(sql)?.query_row([session.to_string()], |row| Ok(read(row))).optional()?;
    row.transpose().map(Option::unwrap_or_default)
}

/// Since when, the rule, what was measured, the threshold, the action, the basis.
type HeldRow = (u64, String, u64, u64, String, String);

fn read(row: &Row<'_>) -> Result<Review, JobError> {
    let corrupt = || JobError::Corrupt("finding");
    let session: SessionId = row.get::<_, String>("session")?.parse().map_err(|_| corrupt())?;
    let held = |text: String| {
        let (since, rule, measured, threshold, action, basis): HeldRow = serde_json::from_str(&text).ok()?;
        let (rule, action) = (RuleName::from_word(&rule)?, Action::from_word(&action)?);
        let finding = Finding { rule, measured, threshold, action, basis };
        Some(Held { session, since: Timestamp::from_unix_s(since), finding })
    };
    let column = |name: &str| {
        let text: Option<String> = row.get(name)?;
        text.map(|text| held(text).ok_or_else(corrupt)).transpose()
    };
    Ok(Review {
        halt: column("halt")?,
        contraction: column("contraction")?,
        tokens_ended: row.get::<_, Option<i64>>("tokens_ended")?.map(|at| Timestamp::from_unix_s(natural(at))),
        changes: natural(row.get("changes")?),
    })
}
