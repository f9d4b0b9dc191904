//! Control groups, in which the kernel keeps a command and all that it starts
//! within its memory, counts what it used, and says when it was killed for it.
//!
//! The agent needs a group of its own making for each task, so somebody has to
//! have given it a place for them ([`mod@find`]). Where there is none, commands run
//! without, and the reason is told with the figures of the worker.
//!
//! A group stays until the end of its command is on the agent's disk: an agent
//! that was away finds the figures of what ended meanwhile.

mod find;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::io::Errno;
use sha2::{Digest, Sha256};

pub use find::{NoGroups, find};

use crate::domain::ExecutionId;
use crate::storage::hexadecimal;

/// So many bytes of a sum tell the groups of one workdir from those of another.
const MARK_BYTES: usize = 6;

/// The two forms in which the kernel offers control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A tree of folders for memory alone.
    One,
    /// One tree for all.
    Two,
}

/// The place of an agent's groups.
#[derive(Debug)]
pub struct TaskGroups {
    base: PathBuf,
    version: Version,
    /// What the names of this agent's groups begin with.
    prefix: String,
    /// Groups that are not needed any more and could not be removed yet:
    /// something in them still lives.
    left: BTreeSet<ExecutionId>,
}

/// What a group has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// The most memory that all its processes had at once, with what the kernel
    /// kept of files for them, bytes; none where the kernel does not tell.
    pub peak_bytes: Option<u64>,
    /// How many of its processes were killed for want of memory.
    pub kills: u64,
}

impl Version {
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

impl TaskGroups {
    fn new(base: PathBuf, version: Version, workdir: &Path) -> Self {
        let sum = Sha256::digest(workdir.as_os_str().as_encoded_bytes());
        let mark = hexadecimal(sum.get(..MARK_BYTES).unwrap_or_default());
        Self { base, version, prefix: format!("scitq-{mark}-"), left: BTreeSet::new() }
    }

    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Makes the group of an execution, which may use so much memory, bytes.
    ///
    /// # Errors
    /// The group cannot be made, or takes no limit. Nothing of it is left.
    pub fn make(&self, execution: ExecutionId, memory: Option<u64>) -> io::Result<PathBuf> {
        let group = self.path(execution);
        match fs::create_dir(&group) {
            // The agent before this one was killed in the middle of a start.
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Err(error) = self.limit(&group, memory) {
            // It is empty: whatever keeps it there keeps nothing else.
            let _ = fs::remove_dir(&group);
            return Err(error);
        }
        Ok(group)
    }

    /// What the group of an execution has counted; none where there is no such group.
    #[must_use]
    pub fn figures(&self, execution: ExecutionId) -> Option<Figures> {
        let group = self.path(execution);
        let (peak, events) = match self.version {
            Version::One => ("memory.max_usage_in_bytes", "memory.oom_control"),
            Version::Two => ("memory.peak", "memory.events"),
        };
        let events = fs::read_to_string(group.join(events)).ok()?;
        let peak_bytes = read(&group, peak).filter(|bytes| *bytes > 0);
        Some(Figures { peak_bytes, kills: parse_count(&events, "oom_kill").unwrap_or(0) })
    }

    /// Removes the group of an execution, now or when all in it has ended.
    pub fn remove(&mut self, execution: ExecutionId) {
        self.left.insert(execution);
        let mut left = std::mem::take(&mut self.left);
        left.retain(|execution| is_busy(&fs::remove_dir(self.path(*execution))));
        self.left = left;
    }

    /// Removes the groups of this agent that belong to none of these executions.
    pub fn sweep(&mut self, known: &BTreeSet<ExecutionId>) {
        let Ok(entries) = fs::read_dir(&self.base) else { return };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let own = names.filter_map(|name| name.strip_prefix(&self.prefix)?.parse().ok());
        let unknown: Vec<u64> = own.filter(|id| !known.contains(&ExecutionId(*id))).collect();
        for id in unknown {
            self.remove(ExecutionId(id));
        }
    }

    fn path(&self, execution: ExecutionId) -> PathBuf {
        self.base.join(format!("{}{execution}", self.prefix))
    }

    fn limit(&self, group: &Path, memory: Option<u64>) -> io::Result<()> {
        let set = |file: &str, text: &str| fs::write(group.join(file), text);
        let limit = memory.map(|bytes| bytes.to_string());
        match self.version {
            Version::One => {
                let Some(limit) = limit else { return Ok(()) };
                set("memory.limit_in_bytes", &limit)?;
                or_absent(set("memory.memsw.limit_in_bytes", &limit))
            }
            Version::Two => {
                // All of a command or nothing of it: a half would be no result.
                or_absent(set("memory.oom.group", "1"))?;
                let Some(limit) = limit else { return Ok(()) };
                set("memory.max", &limit)?;
                or_absent(set("memory.swap.max", "0"))
            }
        }
    }
}

/// Machines without swap, and older kernels, lack some files, and nobody can
/// make them.
fn or_absent(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
            ) =>
        {
            Ok(())
        }
        outcome => outcome,
    }
}

fn is_busy(removed: &io::Result<()>) -> bool {
    let code = removed.as_ref().err().and_then(io::Error::raw_os_error);
    code == Some(Errno::BUSY.raw_os_error())
}

fn read<T: FromStr>(group: &Path, file: &str) -> Option<T> {
    fs::read_to_string(group.join(file)).ok()?.trim().parse().ok()
}

/// The number on the line that begins with this word.
fn parse_count(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(base: &Path, version: Version) -> TaskGroups {
        TaskGroups::new(base.to_owned(), version, Path::new("/w"))
    }

    #[test]
    fn a_group_has_the_limit_of_its_task_and_tells_what_it_used() {
        let base = tempfile::tempdir().unwrap();
        for (version, limit, peak, events, text) in [
            (Version::Two, "memory.max", "memory.peak", "memory.events", "oom 1\noom_kill 2\n"),
            (
                Version::One,
                "memory.limit_in_bytes",
                "memory.max_usage_in_bytes",
                "memory.oom_control",
                "under_oom 0\noom_kill 2\n",
            ),
        ] {
            let groups = groups(base.path(), version);
            let group = groups.make(ExecutionId(7), Some(1 << 20)).unwrap();
            assert_eq!(fs::read_to_string(group.join(limit)).unwrap(), "1048576");
            fs::write(group.join(peak), "4096\n").unwrap();
            fs::write(group.join(events), text).unwrap();
            let figures = Figures { peak_bytes: Some(4096), kills: 2 };
            assert_eq!(groups.figures(ExecutionId(7)), Some(figures));
            assert_eq!(groups.figures(ExecutionId(8)), None);
            fs::remove_dir_all(group).unwrap();
        }
    }

    #[test]
    fn groups_of_others_and_of_what_is_known_stay() {
        let base = tempfile::tempdir().unwrap();
        let mut groups = groups(base.path(), Version::One);
        let other = TaskGroups::new(base.path().to_owned(), Version::One, Path::new("/v"));
        let kept = groups.make(ExecutionId(1), None).unwrap();
        let gone = groups.make(ExecutionId(2), None).unwrap();
        let others = other.make(ExecutionId(2), None).unwrap();
        groups.sweep(&BTreeSet::from([ExecutionId(1)]));
        assert_eq!([kept, gone, others].map(|group| group.exists()), [true, false, true]);
    }
}
