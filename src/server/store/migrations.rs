//! The schema and its steps. Steps are only ever added; the number of those
//! taken is the database's `user_version`.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::StoreError;

const STEPS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
];

/// Brings the schema up to date, after a copy of the database when there is
/// something in it to lose.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    take_steps(connection, path, STEPS)
}

fn take_steps(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let found: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    if found > 0 {
        let copy = copy_path(path, found);
        if let Err(error) = std::fs::remove_file(&copy)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(StoreError::OldCopy { copy, source: error });
        }
        connection
            .execute("VACUUM INTO ?1", [copy.to_string_lossy()])
            .map_err(|source| StoreError::Copy { copy, source })?;
    }
    for (number, step) in (found + 1..).zip(steps.iter().skip(found as usize)) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

fn copy_path(path: &Path, version: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".before-{}", version + 1));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::super::connection::open_writer;
    use super::*;

    #[test]
    fn a_newer_schema_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scitq.db");
        let mut connection = open_writer(&path).unwrap();
        migrate(&mut connection, &path).unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        let error = migrate(&mut connection, &path).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 99, .. }), "{error}");
    }

    #[test]
    fn a_copy_of_what_was_there_is_made_before_a_step_that_may_fail() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scitq.db");
        let mut connection = open_writer(&path).unwrap();
        let first = "CREATE TABLE old (id INTEGER); INSERT INTO old VALUES (7);";
        take_steps(&mut connection, &path, &[first]).unwrap();
        assert!(!copy_path(&path, 1).exists());
        let broken = "DELETE FROM old; INSERT INTO none VALUES (1);";
        take_steps(&mut connection, &path, &[first, broken]).unwrap_err();
        for place in [&path, &copy_path(&path, 1)] {
            let connection = open_writer(place).unwrap();
            let id: u32 = connection.query_row("SELECT id FROM old", [], |row| row.get(0)).unwrap();
            assert_eq!(id, 7);
        }
        // A copy that a failed step left behind does not stop the next try.
        take_steps(&mut connection, &path, &[first, "DELETE FROM old"]).unwrap();
    }
}
