//! The logs of jobs: a file for each.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustc_hash::FxHashSet;

use crate::clock::SystemClock;
use crate::domain::JobId;
use crate::domain::time::Clock;

/// Bytes of one log that are kept.
const MOST: u64 = 4 << 20;
/// Bytes in one reply.
const PIECE: u64 = 256 << 10;

/// Where they are. Clones are handles of the same folder.
#[derive(Debug, Clone)]
pub struct JobLogs {
    folder: Arc<Path>,
}

impl JobLogs {
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let folder = folder.join("jobs");
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder: folder.into() })
    }

    /// Adds lines, each with its time.
    pub fn append(&self, id: JobId, text: &str) {
        let now = SystemClock.now().wall.to_string();
        let time = now.get(..19).unwrap_or(&now);
        let lines =
            text.lines().fold(String::new(), |lines, line| lines + time + "  " + line + "\n");
        let written =
            OpenOptions::new().create(true).append(true).mode(0o600).open(self.path(id)).and_then(
                |mut file| {
                    if file.metadata()?.len() < MOST {
                        file.write_all(lines.as_bytes())
                    } else {
                        Ok(())
                    }
                },
            );
        if let Err(error) = written {
            tracing::warn!(%error, job = %id, "the log of a job cannot be written");
        }
    }

    /// A piece of a log from that byte on, and where the next one begins.
    ///
    /// # Errors
    /// It cannot be read; one that is not there is empty.
    pub fn read(&self, id: JobId, offset: u64) -> io::Result<(String, u64)> {
        let mut file = match File::open(self.path(id)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((String::new(), offset));
            }
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(PIECE).read_to_end(&mut bytes)?;
        // A piece ends with a line, unless it is all one.
        if let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') {
            bytes.truncate(end + 1);
        }
        let next = offset + bytes.len() as u64;
        Ok((String::from_utf8_lossy(&bytes).into_owned(), next))
    }

    /// Takes the logs of jobs away that are forgotten.
    pub fn keep_only(&self, known: &FxHashSet<JobId>) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".log")?.parse().ok());
            if id.is_some_and(|id| !known.contains(&id)) {
                // It is tried again the next time.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn path(&self, id: JobId) -> PathBuf {
        self.folder.join(format!("{id}.log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_piece_by_piece_and_goes_with_its_job() {
        let folder = tempfile::tempdir().unwrap();
        let logs = JobLogs::open(folder.path()).unwrap();
        assert_eq!(logs.read(JobId(1), 0).unwrap(), (String::new(), 0));
        logs.append(JobId(1), "one\ntwo");
        let (text, next) = logs.read(JobId(1), 0).unwrap();
        assert!(text.ends_with("  two\n") && text.lines().count() == 2, "{text}");
        logs.append(JobId(1), "three");
        assert!(logs.read(JobId(1), next).unwrap().0.ends_with("  three\n"));
        logs.keep_only(&FxHashSet::default());
        assert_eq!(logs.read(JobId(1), 0).unwrap().0, "");
    }
}
