//! Sessions in SQL.

use super::{
    super::answer::{self, AncestorRow},
    integer, natural, reviews,
    writer::JobError,
};
use crate::drift::Review;
use crate::session::{BoundProcess, Envelope, Lineage, Session};
use crumb_token::{AgentName, Origin, Owner, SessionId, Timestamp};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use std::str::FromStr;

/// The most living sessions inside one outermost session.
const INSIDE_MAX: u32 = 256;

const COLUMNS: &str = "id, depth, lineage, agent, version, owner, peer, uid, exe, intent, origin_kind, origin_name, \
                       origin_assurance, envelope, opened_at, expires_at, closed_at, tokens";

/// Returns a session.
pub(super) fn find(connection: &Connection, id: SessionId) -> Result<Option<Session>, JobError> {
    let sql = format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1");
    let row = connection.prepare_cached(&sql)?.query_row([id.to_string()], |row| Ok(read(row))).optional()?;
    let Some(mut session) = row.transpose()? else { return Ok(None) };
    if session.lineage.ancestors.is_empty() {
        session.review = reviews::own(connection, id)?;
    } else {
        session.review = reviews::of(connection, id)?;
        session.tokens = spent(connection, id)?;
    }
    Ok(Some(session))
}

/// Returns how many tokens the outermost session of a session has had.
pub(super) fn spent(tx: &Connection, session: SessionId) -> Result<u64, JobError> {
    let sql = "SELECT tokens FROM sessions WHERE id = (SELECT coalesce(root, id) FROM sessions WHERE id = ?1)";
    let row: Option<i64> = tx.prepare_cached(sql)?.query_row([session.to_string()], |row| row.get(0)).optional()?;
    Ok(row.map_or(0, natural))
}

/// Adds a session.
pub(super) fn insert(tx: &Connection, session: &Session) -> Result<(), JobError> {
    let parent = match &session.origin {
        Origin::Agent { session } => Some(session.to_string()),
        Origin::User { .. } | Origin::Schedule { .. } => None,
    };
    let sql = format!(
        "INSERT INTO sessions ({COLUMNS}, parent, root, subject)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)"
    );
    tx.prepare_cached(&sql)?.execute(params![
        session.id.to_string(),
        session.lineage.ancestors.len() as i64,
        lineage_text(&session.lineage)?,
        session.agent.as_str(),
        session.version.as_str(),
        session.owner.as_str(),
        session.peer.as_str(),
        session.process.as_ref().map(|p| p.uid),
        session.process.as_ref().map(|p| p.exe.as_str()),
        session.intent.as_str(),
        session.origin.kind(),
        session.origin.name(),
        session.origin.assurance().as_str(),
        envelope_text(&session.envelope)?,
        integer(session.opened_at.as_unix_s()),
        integer(session.expires_at.as_unix_s()),
        session.closed_at.map(|at| integer(at.as_unix_s())),
        integer(session.tokens),
        parent,
        session.lineage.ancestors.first().map(|root| root.session.to_string()),
        session.lineage.subject().map(|subject| subject.name.to_string()),
    ])?;
    Ok(())
}

/// Says whether there is room for one more session: an agent has its own, and a session has room for those inside it, so that
/// nobody uses up another agent's by delegating to it.
pub(super) fn has_room(tx: &Connection, session: &Session, open_max: u32, now: Timestamp) -> Result<bool, JobError> {
    let (sql, name, max) = match session.lineage.ancestors.first() {
        None => {
            let sql = "SELECT count(*) FROM sessions
                       WHERE agent = ?1 AND closed_at IS NULL AND expires_at > ?2 AND parent IS NULL";
            (sql, session.agent.to_string(), open_max)
        }
        Some(root) => {
            let sql = "SELECT count(*) FROM sessions WHERE root = ?1 AND closed_at IS NULL AND expires_at > ?2";
            (sql, root.session.to_string(), INSIDE_MAX)
        }
    };
    let open: u32 = tx.prepare_cached(sql)?.query_row(params![name, integer(now.as_unix_s())], |row| row.get(0))?;
    Ok(open < max)
}

/// Walks the agents from one to the next by the index of open sessions, and looks at one living session of each: a million
/// sessions of a thousand agents cost a thousand steps.
const ACTING_AGENTS: &str = "
    WITH RECURSIVE names (agent) AS (
      SELECT min(agent) FROM sessions WHERE closed_at IS NULL
      UNION ALL
      SELECT (SELECT min(s.agent) FROM sessions s WHERE s.closed_at IS NULL AND s.agent > names.agent)
      FROM names WHERE names.agent IS NOT NULL)
    SELECT agent FROM names
    WHERE agent IS NOT NULL AND EXISTS (
      SELECT 1 FROM sessions s WHERE s.agent = names.agent AND s.closed_at IS NULL AND s.expires_at > ?1
        AND (?2 IS NULL OR s.owner = ?2 COLLATE NOCASE))
    ORDER BY agent";

/// Returns the agents that have open sessions, of one owner when given.
pub(super) fn acting_agents(
    connection: &Connection,
    owner: Option<&Owner>,
    now: Timestamp,
) -> Result<Vec<AgentName>, JobError> {
    let mut statement = connection.prepare_cached(ACTING_AGENTS)?;
    let now = integer(now.as_unix_s());
    let names = statement.query_map(params![now, owner.map(Owner::as_str)], |row| row.get::<_, String>(0))?;
    names.map(|name| name?.parse().map_err(|_| JobError::Corrupt("session"))).collect()
}

/// Says whether `session` is open.
pub(super) fn is_open(tx: &Connection, session: SessionId, now: Timestamp) -> Result<bool, JobError> {
    let sql = "SELECT count(*) FROM sessions WHERE id = ?1 AND closed_at IS NULL AND expires_at > ?2";
    let found: i64 =
        tx.prepare_cached(sql)?.query_row(params![session.to_string(), integer(now.as_unix_s())], |row| row.get(0))?;
    Ok(found == 1)
}

/// Says whether `session` was closed, by itself or with something else.
pub(super) fn is_closed(tx: &Connection, session: SessionId) -> Result<bool, JobError> {
    let sql = "SELECT count(*) FROM sessions WHERE id = ?1 AND closed_at IS NOT NULL";
    let found: i64 = tx.prepare_cached(sql)?.query_row([session.to_string()], |row| row.get(0))?;
    Ok(found == 1)
}

/// What of a session decides whether a token may be written down in it.
pub(super) struct Standing {
    /// It can be used.
    pub(super) is_open: bool,
    /// It is inside another one.
    pub(super) is_inside: bool,
    /// How many times what is held against it alone has changed.
    pub(super) changes: u64,
}

/// Returns how a session stands.
pub(super) fn standing(tx: &Connection, session: SessionId, now: Timestamp) -> Result<Option<Standing>, JobError> {
    let sql = "SELECT s.closed_at IS NULL AND s.expires_at > ?2, s.parent IS NOT NULL, coalesce(b.changes, 0)
               FROM sessions s LEFT JOIN behaviours b ON b.session = s.id WHERE s.id = ?1";
    let read =
        |row: &Row<'_>| Ok(Standing { is_open: row.get(0)?, is_inside: row.get(1)?, changes: natural(row.get(2)?) });
    let parameters = params![session.to_string(), integer(now.as_unix_s())];
    Ok(tx.prepare_cached(sql)?.query_row(parameters, read).optional()?)
}

/// Notes that a token of a session that is open lives until `until`.
pub(super) fn note_token(
    tx: &Connection,
    session: SessionId,
    until: Timestamp,
    is_inside: bool,
) -> Result<(), JobError> {
    let sql = "UPDATE sessions SET tokens_until = max(tokens_until, ?2), tokens = tokens + 1 WHERE id = ?1";
    tx.prepare_cached(sql)?.execute(params![session.to_string(), integer(until.as_unix_s())])?;
    if is_inside {
        // A token inside counts for the outermost session too: nesting gives nobody a new budget.
        let sql = "UPDATE sessions SET tokens = tokens + 1 WHERE id = (SELECT root FROM sessions WHERE id = ?1)";
        tx.prepare_cached(sql)?.execute([session.to_string()])?;
    }
    Ok(())
}

/// Returns the sessions above `session` and itself, when they exist.
pub(super) fn above(connection: &Connection, session: SessionId) -> Result<Vec<SessionId>, JobError> {
    let Some(session) = find(connection, session)? else { return Ok(Vec::new()) };
    Ok(session.lineage.ancestors.iter().map(|above| above.session).chain([session.id]).collect())
}

type EnvelopeRow = Vec<(String, Vec<(String, String, String)>)>;

fn envelope_text(envelope: &Envelope) -> Result<String, JobError> {
    let rows: EnvelopeRow = envelope.iter().map(|(audience, g)| (audience.to_string(), answer::rows(g))).collect();
    serde_json::to_string(&rows).map_err(|_| JobError::Corrupt("envelope"))
}

type LineageRow = ((String, String, String), Vec<AncestorRow>, Vec<String>, usize, Option<Box<str>>);

fn lineage_text(lineage: &Lineage) -> Result<String, JobError> {
    let root = &lineage.root;
    let row: LineageRow = (
        (root.kind().to_owned(), root.name(), root.assurance().as_str().to_owned()),
        lineage.ancestors.iter().map(AncestorRow::from).collect(),
        lineage.actors.iter().map(ToString::to_string).collect(),
        lineage.depth_left,
        lineage.issuer.clone(),
    );
    serde_json::to_string(&row).map_err(|_| JobError::Corrupt("lineage"))
}

/// Reads what a session comes from. One from before there was a lineage is inside no other, or cannot be read.
fn lineage(text: &str, origin: &Origin) -> Option<Lineage> {
    if text.is_empty() {
        return (!matches!(origin, Origin::Agent { .. })).then(|| Lineage::root(origin.clone()));
    }
    let ((kind, name, assurance), ancestors, actors, depth_left, issuer): LineageRow =
        serde_json::from_str(text).ok()?;
    Some(Lineage {
        root: Origin::from_words(&kind, &name, &assurance)?,
        ancestors: ancestors.iter().map(AncestorRow::read).collect::<Option<_>>()?,
        actors: actors.iter().map(|id| id.parse().ok()).collect::<Option<_>>()?,
        depth_left,
        issuer,
    })
}

fn envelope(text: &str) -> Option<Envelope> {
    let rows: EnvelopeRow = serde_json::from_str(text).ok()?;
    rows.into_iter().map(|(audience, rights)| Some((audience.parse().ok()?, answer::grants(&rights)?))).collect()
}

fn read(row: &Row<'_>) -> Result<Session, JobError> {
    let corrupt = || JobError::Corrupt("session");
    let (uid, exe): (Option<u32>, Option<String>) = (row.get("uid")?, row.get("exe")?);
    let (kind, name, assurance): (String, String, String) =
        (row.get("origin_kind")?, row.get("origin_name")?, row.get("origin_assurance")?);
    let origin = Origin::from_words(&kind, &name, &assurance).ok_or_else(corrupt)?;
    Ok(Session {
        id: parsed(row, "id")?,
        agent: parsed(row, "agent")?,
        version: parsed(row, "version")?,
        owner: parsed(row, "owner")?,
        peer: parsed(row, "peer")?,
        process: uid.zip(exe).map(|(uid, exe)| BoundProcess { uid, exe }),
        intent: parsed(row, "intent")?,
        envelope: envelope(&row.get::<_, String>("envelope")?).ok_or_else(corrupt)?,
        lineage: lineage(&row.get::<_, String>("lineage")?, &origin).ok_or_else(corrupt)?,
        origin,
        opened_at: moment(row, "opened_at")?,
        expires_at: moment(row, "expires_at")?,
        closed_at: row.get::<_, Option<i64>>("closed_at")?.map(|s| Timestamp::from_unix_s(natural(s))),
        tokens: natural(row.get("tokens")?),
        review: Review::default(),
    })
}

fn parsed<T: FromStr>(row: &Row<'_>, column: &str) -> Result<T, JobError> {
    row.get::<_, String>(column)?.parse().map_err(|_| JobError::Corrupt("session"))
}

fn moment(row: &Row<'_>, column: &str) -> Result<Timestamp, JobError> {
    Ok(Timestamp::from_unix_s(natural(row.get::<_, i64>(column)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_agent_is_looked_for_in_the_whole_table() {
        let mut connection = Connection::open_in_memory().expect("a database");
        super::super::schema::prepare_writer(&mut connection).expect("tables");
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {ACTING_AGENTS}")).expect("a plan");
        let steps = plan.query_map(params![0, None::<String>], |row| row.get::<_, String>("detail")).expect("steps");
        let steps: Vec<String> = steps.collect::<Result<_, _>>().expect("steps");
        let of_table: Vec<_> = steps.iter().filter(|step| step.contains("sessions") || step.contains(" s ")).collect();
        assert!(!of_table.is_empty() && of_table.iter().all(|step| step.contains("sessions_open")), "{steps:#?}");
    }
}
