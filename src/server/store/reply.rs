//! Table `reply`: what was answered to changes, for their repetition.

use rusqlite::{Connection, OptionalExtension, Transaction};

use crate::domain::Timestamp;

use super::super::engine::change::ReplyRow;

/// What was answered, and to which request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReply {
    pub request_hash: [u8; 32],
    pub reply: String,
}

pub(super) fn write(
    transaction: &Transaction<'_>,
    rows: &[ReplyRow],
    forget_before: Option<Timestamp>,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO reply (key, at, request_hash, reply) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for row in rows {
        insert.execute((&*row.key, row.at.0, row.request_hash, &row.reply))?;
    }
    if let Some(date) = forget_before {
        transaction.prepare_cached("DELETE FROM reply WHERE at < ?1")?.execute([date.0])?;
    }
    Ok(())
}

pub(super) fn find(connection: &Connection, key: &str) -> rusqlite::Result<Option<StoredReply>> {
    connection
        .prepare_cached("SELECT request_hash, reply FROM reply WHERE key = ?1")?
        .query_row([key], |row| Ok(StoredReply { request_hash: row.get(0)?, reply: row.get(1)? }))
        .optional()
}
