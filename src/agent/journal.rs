//! The agent's journal on disk: which executions it has, and the final reports
//! that the server has not acknowledged.
//!
//! One JSON object a line, appended before anything is told to the server, and
//! rewritten now and then with what still counts. Nothing is synced: `write`
//! puts the line where a killed agent cannot lose it, and when the machine
//! itself goes, the commands go with it and are lost whatever the disk says.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::domain::ExecutionId;

use super::fsm::{Files, Record};

/// A journal smaller than this, in bytes, is not rewritten.
const COMPACT_FROM: u64 = 1 << 20;

/// Where a journal is kept.
pub trait Paper: fmt::Debug + Send {
    /// Adds bytes at the end, and says how many of them were taken.
    ///
    /// # Errors
    /// The disk takes none.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Puts these bytes in the place of all that is there.
    ///
    /// # Errors
    /// The disk does not take them; all is as it was.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// The open journal.
#[derive(Debug)]
pub struct Journal {
    paper: Box<dyn Paper>,
    /// The lines of each execution that is not gone.
    live: BTreeMap<ExecutionId, Vec<u8>>,
    /// Bytes that are not written yet.
    pending: Vec<u8>,
    /// Bytes in the file.
    size: u64,
    /// Rewritten when larger than this.
    compact_at: u64,
}

/// What an agent before this one wrote down.
#[derive(Debug, Default)]
pub struct Replay {
    /// The records of executions that are not gone, in the order of writing
    /// for each execution.
    pub records: Vec<Record>,
    /// Executions that are gone and whose files may still be there by mistake.
    pub to_remove: Vec<ExecutionId>,
}

impl Journal {
    /// Opens the journal at `path`, made when missing, and reads what it says.
    /// A line that cannot be understood is skipped: the last one may be torn.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(path: &Path) -> io::Result<(Self, Replay)> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        Self::over(&bytes, Box::new(OnDisk { path: path.to_owned(), file: None }))
    }

    /// The journal on this paper, which says `bytes`.
    ///
    /// # Errors
    /// It cannot be rewritten.
    pub fn over(bytes: &[u8], mut paper: Box<dyn Paper>) -> io::Result<(Self, Replay)> {
        let mut live: BTreeMap<ExecutionId, Vec<u8>> = BTreeMap::new();
        let mut replay = Replay::default();
        let mut records: BTreeMap<ExecutionId, Vec<Record>> = BTreeMap::new();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Record>(line) {
                Ok(Record::Gone { execution, files }) => {
                    live.remove(&execution);
                    records.remove(&execution);
                    if files == Files::Remove {
                        replay.to_remove.push(execution);
                    }
                }
                Ok(record) => {
                    let lines = live.entry(record.execution()).or_default();
                    lines.extend_from_slice(line);
                    lines.push(b'\n');
                    records.entry(record.execution()).or_default().push(record);
                }
                Err(error) => {
                    let text = String::from_utf8_lossy(line);
                    tracing::warn!(%error, line = %text, "skipped a line of the journal");
                }
            }
        }
        replay.to_remove.retain(|execution| !live.contains_key(execution));
        replay.records = records.into_values().flatten().collect();
        let size = rewrite(&mut *paper, &live)?;
        let compact_at = COMPACT_FROM.max(size.saturating_mul(2));
        Ok((Self { paper, live, pending: Vec::new(), size, compact_at }, replay))
    }

    /// Adds a line, to be written by the next [`Self::flush`].
    pub fn append(&mut self, record: &Record) {
        let begin = self.pending.len();
        if let Err(error) = serde_json::to_writer(&mut self.pending, record) {
            self.pending.truncate(begin);
            tracing::error!(%error, execution = %record.execution(), "a record has no JSON form");
            return;
        }
        self.pending.push(b'\n');
        if let Record::Gone { execution, .. } = record {
            self.live.remove(execution);
            return;
        }
        let line = self.pending.get(begin..).unwrap_or_default();
        self.live.entry(record.execution()).or_default().extend_from_slice(line);
    }

    /// Writes what was added, all of it in one call where the disk takes it.
    ///
    /// # Errors
    /// The disk does not take it. What is left stays for the next call, which
    /// goes on at the very byte.
    pub fn flush(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.paper.append(&self.pending) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.pending.drain(..written);
                    self.size += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.size > self.compact_at {
            self.compact();
        }
        Ok(())
    }

    /// Rewrites the file with what still counts. When that fails the old one
    /// goes on and grows to twice its size before the next try.
    fn compact(&mut self) {
        match rewrite(&mut *self.paper, &self.live) {
            Ok(size) => self.size = size,
            Err(error) => tracing::warn!(%error, "cannot rewrite the journal"),
        }
        self.compact_at = COMPACT_FROM.max(self.size.saturating_mul(2));
    }
}

/// Puts what still counts in the place of all, and says how long that is.
fn rewrite(paper: &mut dyn Paper, live: &BTreeMap<ExecutionId, Vec<u8>>) -> io::Result<u64> {
    let lines: Vec<u8> = live.values().flatten().copied().collect();
    paper.replace(&lines)?;
    Ok(lines.len() as u64)
}

/// A file.
#[derive(Debug)]
struct OnDisk {
    path: PathBuf,
    /// None before it was written anew.
    file: Option<File>,
}

impl Paper for OnDisk {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Writes a new file beside the old one and puts it in its place.
    fn replace(&mut self, bytes: &[u8]) -> io::Result<()> {
        let fresh = self.path.with_extension("jsonl.new");
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&fresh)?;
        file.write_all(bytes)?;
        fs::rename(&fresh, &self.path)?;
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::Timestamp;

    use super::*;

    fn started(execution: u64) -> Record {
        Record::Started { execution: ExecutionId(execution), at: Timestamp(7), since_boot: None }
    }

    fn gone(execution: u64, files: Files) -> Record {
        Record::Gone { execution: ExecutionId(execution), files }
    }

    #[test]
    fn what_is_not_gone_is_there_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.jsonl");
        let (mut journal, replay) = Journal::open(&path).unwrap();
        assert!(replay.records.is_empty());
        for record in
            [started(1), started(2), started(3), gone(1, Files::Remove), gone(3, Files::Keep)]
        {
            journal.append(&record);
        }
        journal.flush().unwrap();
        let (_, replay) = Journal::open(&path).unwrap();
        assert_eq!(replay.records, [started(2)]);
        assert_eq!(replay.to_remove, [ExecutionId(1)]);
        let (_, replay) = Journal::open(&path).unwrap();
        assert_eq!(replay.records, [started(2)], "also after it was rewritten");
        assert!(replay.to_remove.is_empty());
    }

    #[test]
    fn a_torn_line_costs_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.jsonl");
        let mut bytes = serde_json::to_vec(&started(5)).unwrap();
        bytes.extend_from_slice(b"\n{\"started\":{\"exec");
        fs::write(&path, bytes).unwrap();
        let (mut journal, replay) = Journal::open(&path).unwrap();
        assert_eq!(replay.records, [started(5)]);
        journal.append(&started(6));
        journal.flush().unwrap();
        assert_eq!(Journal::open(&path).unwrap().1.records, [started(5), started(6)]);
    }

    #[test]
    fn a_journal_of_the_gone_stays_small() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.jsonl");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.append(&started(1));
        for execution in 2..20_000 {
            journal.append(&started(execution));
            journal.append(&gone(execution, Files::Remove));
            journal.flush().unwrap();
        }
        assert!(fs::metadata(&path).unwrap().len() <= COMPACT_FROM + 1_000);
        assert_eq!(Journal::open(&path).unwrap().1.records, [started(1)]);
    }
}
