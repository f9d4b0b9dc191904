//! Table `token`.

use rusqlite::{Connection, Transaction, params};
use rustc_hash::FxHashMap;

use crate::domain::{Timestamp, TokenId, WorkerId};

use super::super::engine::change::TokenRow;
use super::{StoreError, word};

pub(super) fn write(
    transaction: &Transaction<'_>,
    rows: &FxHashMap<TokenId, Option<TokenRow>>,
) -> rusqlite::Result<()> {
    for (id, row) in rows {
        let Some(row) = row else {
            transaction.execute("DELETE FROM token WHERE id = ?1", [id.to_sql()])?;
            continue;
        };
        transaction.execute(
            "INSERT INTO token (id, name, role, worker, hash, created_at, created_by, expires_at,
                 join_until)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                id.to_sql(),
                row.name,
                <&str>::from(row.role),
                row.worker.map(WorkerId::to_sql),
                row.hash,
                row.created_at.0,
                &*row.created_by,
                row.expires_at.map(|at| at.0),
                row.join_until.map(|until| until.0),
            ],
        )?;
    }
    Ok(())
}

/// Records when tokens were last used.
pub(super) fn note_use(
    transaction: &Transaction<'_>,
    used: &FxHashMap<TokenId, Timestamp>,
) -> rusqlite::Result<()> {
    if used.is_empty() {
        return Ok(());
    }
    let mut statement =
        transaction.prepare_cached("UPDATE token SET last_used_at = ?2 WHERE id = ?1")?;
    for (id, at) in used {
        statement.execute((id.to_sql(), at.0))?;
    }
    Ok(())
}

pub(super) fn load(connection: &Connection) -> Result<Vec<(TokenId, TokenRow)>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT id, name, role, worker, hash, created_at, created_by, expires_at, last_used_at,
             join_until
         FROM token ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        let role: String = row.get(2)?;
        let created_by: String = row.get(6)?;
        tokens.push((
            TokenId::from_sql(row.get(0)?),
            TokenRow {
                name: row.get(1)?,
                role: word("role", &role)?,
                worker: row.get::<_, Option<i64>>(3)?.map(WorkerId::from_sql),
                hash: row.get(4)?,
                join_until: row.get::<_, Option<i64>>(9)?.map(Timestamp),
                created_at: Timestamp(row.get(5)?),
                created_by: created_by.into(),
                expires_at: row.get::<_, Option<i64>>(7)?.map(Timestamp),
                last_used_at: row.get::<_, Option<i64>>(8)?.map(Timestamp),
            },
        ));
    }
    Ok(tokens)
}
