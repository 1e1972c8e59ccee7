//! Public keys and starts in SQL.

use super::{
    super::{Beginning, PublicKey},
    integer, natural, revocations,
    writer::JobError,
};
use crate::clamp::TTL_MAX;
use crumb_token::{KeyId, Timestamp};
use rusqlite::{Connection, params};

/// Adds a public key and returns its number, which no key ever had.
pub(super) fn insert(
    tx: &Connection,
    public: &[u8; 32],
    not_before: Timestamp,
    not_after: Timestamp,
) -> Result<KeyId, JobError> {
    let sql = "INSERT INTO signing_keys (public, not_before, not_after) VALUES (?1, ?2, ?3)";
    let (from, to) = (integer(not_before.as_unix_s()), integer(not_after.as_unix_s()));
    let id = tx.prepare_cached(sql)?.insert(params![public, from, to])?;
    u32::try_from(id).map(KeyId).map_err(|_| JobError::Corrupt("key number"))
}

/// The most keys of earlier starts that are told to verifiers, who hold 64 at most. A broker that is restarted more often
/// than this within a token's life gives up the oldest, and what they signed is refused.
const EARLIER_MAX: usize = 48;

/// Ends the keys of earlier starts: they went with their process. One that had not begun to sign is forgotten at once, and
/// the others when the last token that they can have signed has ended.
fn retire(tx: &Connection, now: Timestamp) -> Result<(), JobError> {
    let last = integer(now.plus(TTL_MAX).as_unix_s());
    let now = integer(now.as_unix_s());
    tx.execute("UPDATE signing_keys SET not_after = 0 WHERE not_before > ?1", [now])?;
    tx.execute("UPDATE signing_keys SET not_after = min(not_after, ?1)", [last])?;
    Ok(())
}

fn alive(connection: &Connection, now: Timestamp) -> Result<Vec<PublicKey>, JobError> {
    let sql = "SELECT id, public, not_before, not_after FROM signing_keys WHERE not_after > ?1 ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([integer(now.as_unix_s())], |row| {
        Ok(PublicKey {
            id: KeyId(row.get(0)?),
            public: row.get(1)?,
            not_before: Timestamp::from_unix_s(natural(row.get(2)?)),
            not_after: Timestamp::from_unix_s(natural(row.get(3)?)),
        })
    })?;
    let mut keys: Vec<_> = rows.collect::<Result<_, _>>()?;
    let dropped = keys.len().saturating_sub(EARLIER_MAX);
    if dropped > 0 {
        tracing::warn!(dropped, "too many starts within a token's life; the oldest signing keys are given up");
        keys.drain(..dropped);
    }
    Ok(keys)
}

/// Takes the next epoch, which is about the time, and later than every one before even when the clock went back.
pub(super) fn begin(tx: &Connection, at_unix_ms: u64, now: Timestamp) -> Result<Beginning, JobError> {
    let last: i64 = tx.query_row("SELECT coalesce(max(epoch), 0) FROM starts", [], |row| row.get(0))?;
    let epoch = natural(last).saturating_add(1).max(at_unix_ms);
    tx.execute("DELETE FROM starts", [])?;
    retire(tx, now)?;
    tx.execute("INSERT INTO starts (epoch) VALUES (?1)", [integer(epoch)])?;
    Ok(Beginning {
        epoch,
        sequence: revocations::newest(tx)?,
        revocations: revocations::live(tx, now)?,
        keys: alive(tx, now)?,
    })
}
