//! The supervisor's journal: which commands were started, how they ended, and
//! which ends the agent has taken.
//!
//! One JSON object a line, written before the agent is told. The file is there
//! for a supervisor that died or left, not for a machine that died: when the
//! machine goes, so do the commands, and the executions are lost whatever the
//! disk says. So nothing is synced; what `write` has given to the kernel
//! outlives the process.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::protocol::{EndRecord, push_line};
use crate::domain::{ExecutionId, Timestamp};

/// A journal smaller than this, in bytes, is not rewritten.
const COMPACT_FROM: u64 = 1 << 20;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Record {
    /// A supervisor began to write: the lines that follow are its own.
    Opened(Opened),
    Started(Started),
    Ended(EndRecord),
    Forgotten(Vec<ExecutionId>),
}

/// The supervisor that started the commands of the lines that follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Opened {
    /// Names this boot of the machine and this namespace of process ids.
    pub(super) boot: String,
    /// Session of the supervisor, and so of its commands.
    pub(super) session: i32,
}

/// A command that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    pub(super) execution: ExecutionId,
    /// Process id of the command, and id of its process group.
    pub(super) pid: i32,
    /// The kernel's start time of the process (field 22 of `/proc/PID/stat`,
    /// clock ticks since boot) lies between these two, both included. They are
    /// read off the clock before and after the start, which costs less than a
    /// look into `/proc` for each command.
    pub(super) ticks: (u64, u64),
    pub(super) at: Timestamp,
}

/// What a journal says in the end.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Replay {
    /// Started, end unknown; each with the supervisor that started it.
    pub(super) unended: BTreeMap<ExecutionId, (Started, Opened)>,
    /// Ended, not forgotten.
    pub(super) ended: BTreeMap<ExecutionId, EndRecord>,
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    opened: Opened,
    /// Lines that are not written yet.
    pending: Vec<u8>,
    /// The last write failed.
    behind: bool,
    /// Bytes in the file.
    size: u64,
    /// Rewritten when larger than this.
    compact_at: u64,
}

impl Replay {
    /// Reads the journal at `path`; a missing one says nothing. A line that
    /// cannot be understood is skipped: the last one may be torn.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub(super) fn load(path: &Path) -> io::Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error),
        };
        let mut replay = Self::default();
        let mut supervisor = None;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(Record::Opened(opened)) => supervisor = Some(opened),
                Ok(record) => replay.apply(record, supervisor.as_ref()),
                Err(error) => {
                    let line = String::from_utf8_lossy(line);
                    tracing::warn!(%error, %line, "skipped a line of the journal");
                }
            }
        }
        Ok(replay)
    }

    fn apply(&mut self, record: Record, supervisor: Option<&Opened>) {
        match record {
            Record::Opened(_) => {}
            Record::Started(started) => {
                if let Some(opened) = supervisor {
                    self.unended.insert(started.execution, (started, opened.clone()));
                }
            }
            Record::Ended(end) => {
                self.unended.remove(&end.execution);
                self.ended.insert(end.execution, end);
            }
            Record::Forgotten(executions) => {
                for execution in executions {
                    self.ended.remove(&execution);
                }
            }
        }
    }
}

impl Journal {
    /// Begins a journal that says that `ended` ended, and nothing else.
    pub(super) fn create(path: PathBuf, opened: Opened, ended: &[&EndRecord]) -> io::Result<Self> {
        let (file, size) = rewrite(&path, &opened, &[], ended)?;
        let compact_at = COMPACT_FROM.max(size.saturating_mul(2));
        Ok(Self { path, file, opened, pending: Vec::new(), behind: false, size, compact_at })
    }

    /// Adds a line, to be written by the next [`Self::flush`].
    pub(super) fn append(&mut self, record: &Record) {
        let length = self.pending.len();
        if let Err(error) = push_line(&mut self.pending, record) {
            self.pending.truncate(length);
            tracing::error!(%error, "a record has no JSON form");
        }
    }

    /// Writes what was added, all of it in one call where the disk takes it.
    ///
    /// # Errors
    /// The disk does not take it. What is left stays for the next call, which
    /// goes on at the very byte.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let outcome = self.write_pending();
        self.behind = outcome.is_err();
        outcome
    }

    /// Whether the last write failed.
    pub(super) const fn is_behind(&self) -> bool {
        self.behind
    }

    fn write_pending(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.file.write(&self.pending) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.pending.drain(..written);
                    self.size += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether it has grown so much that [`Self::compact`] is due.
    pub(super) const fn wants_compaction(&self) -> bool {
        self.size > self.compact_at
    }

    /// Replaces the file by one that says only this. Nothing may be pending.
    ///
    /// # Errors
    /// The new file cannot be written; the old one goes on.
    pub(super) fn compact(&mut self, running: &[&Started], ended: &[&EndRecord]) -> io::Result<()> {
        let outcome = rewrite(&self.path, &self.opened, running, ended);
        if let Ok((file, size)) = outcome {
            self.file = file;
            self.size = size;
            self.compact_at = COMPACT_FROM.max(size.saturating_mul(2));
            return Ok(());
        }
        self.compact_at = self.size.saturating_mul(2);
        outcome.map(|_| ())
    }
}

/// Writes a new journal beside the old one and puts it in its place.
fn rewrite(
    path: &Path,
    opened: &Opened,
    running: &[&Started],
    ended: &[&EndRecord],
) -> io::Result<(File, u64)> {
    let mut lines = Vec::new();
    push_line(&mut lines, &Record::Opened(opened.clone()))?;
    for started in running {
        push_line(&mut lines, &Record::Started(**started))?;
    }
    for end in ended {
        push_line(&mut lines, &Record::Ended((*end).clone()))?;
    }
    let fresh = path.with_extension("jsonl.new");
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).open(&fresh)?;
    file.write_all(&lines)?;
    fs::rename(&fresh, path)?;
    Ok((file, lines.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::super::protocol::Exit;
    use super::*;

    fn opened() -> Opened {
        Opened { boot: "b".to_owned(), session: 40 }
    }

    fn started(execution: u64) -> Started {
        Started { execution: ExecutionId(execution), pid: 41, ticks: (5, 6), at: Timestamp(7) }
    }

    fn ended(execution: u64) -> EndRecord {
        EndRecord {
            execution: ExecutionId(execution),
            exit: Exit::Signal(9),
            usage: crate::domain::execution::ResourceUsage::default(),
            started_at: Timestamp(7),
            ended_at: Timestamp(8),
        }
    }

    fn ids<T>(map: &BTreeMap<ExecutionId, T>) -> Vec<u64> {
        map.keys().map(|id| id.0).collect()
    }

    #[test]
    fn a_torn_last_line_costs_only_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("supervisor.jsonl");
        let mut journal = Journal::create(path.clone(), opened(), &[]).unwrap();
        journal.append(&Record::Started(started(1)));
        journal.append(&Record::Started(started(2)));
        journal.append(&Record::Ended(ended(1)));
        journal.append(&Record::Started(started(3)));
        journal.append(&Record::Ended(ended(3)));
        journal.append(&Record::Forgotten(vec![ExecutionId(3)]));
        journal.flush().unwrap();
        let whole = fs::read(&path).unwrap();
        let replay = Replay::load(&path).unwrap();
        assert_eq!(ids(&replay.unended), [2]);
        assert_eq!(replay.unended[&ExecutionId(2)], (started(2), opened()));
        assert_eq!(ids(&replay.ended), [1]);

        fs::write(&path, &whole[..whole.len() - 4]).unwrap();
        let replay = Replay::load(&path).unwrap();
        assert_eq!(ids(&replay.unended), [2]);
        assert_eq!(ids(&replay.ended), [1, 3]);
    }

    #[test]
    fn compaction_keeps_what_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("supervisor.jsonl");
        let mut journal = Journal::create(path.clone(), opened(), &[&ended(1)]).unwrap();
        let mut number = 2;
        while !journal.wants_compaction() {
            journal.append(&Record::Started(started(number)));
            journal.append(&Record::Ended(ended(number)));
            journal.append(&Record::Forgotten(vec![ExecutionId(number)]));
            journal.flush().unwrap();
            number += 1;
        }
        journal.compact(&[&started(number)], &[&ended(1)]).unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 1000);
        journal.append(&Record::Started(started(number + 1)));
        journal.flush().unwrap();
        let replay = Replay::load(&path).unwrap();
        assert_eq!(ids(&replay.unended), [number, number + 1]);
        assert_eq!(ids(&replay.ended), [1]);
    }

    #[test]
    fn what_a_full_disk_refused_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("supervisor.jsonl");
        let mut journal = Journal::create(path.clone(), opened(), &[]).unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let file = std::mem::replace(&mut journal.file, full);
        journal.append(&Record::Started(started(1)));
        journal.flush().unwrap_err();
        assert!(journal.is_behind());
        journal.file = file;
        journal.append(&Record::Started(started(2)));
        journal.flush().unwrap();
        assert!(!journal.is_behind());
        assert_eq!(ids(&Replay::load(&path).unwrap().unended), [1, 2]);
    }

    #[test]
    fn no_journal_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Replay::load(&folder.path().join("none")).unwrap(), Replay::default());
    }
}
