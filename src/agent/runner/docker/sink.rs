//! Where the output of a container goes: into the files that are this process's
//! own standard output and standard error.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::FileExt;

use bollard::container::LogOutput;

/// Both streams.
pub struct Sink {
    stdout: OutputFile,
    stderr: OutputFile,
}

struct OutputFile {
    file: File,
    /// The same, to be read.
    readable: Option<File>,
    /// Bytes that were in it before the container wrote any.
    base: u64,
    written: u64,
    /// So much of what comes is there already.
    skip: u64,
}

impl Sink {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            stdout: OutputFile::new(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
            stderr: OutputFile::new(File::from(io::stderr().as_fd().try_clone_to_owned()?)),
        })
    }

    pub fn write(&mut self, piece: LogOutput) -> io::Result<()> {
        let stream = match piece {
            LogOutput::StdErr { .. } => &mut self.stderr,
            _ => &mut self.stdout,
        };
        stream.write(&piece.into_bytes())
    }

    /// The output comes once more from its start.
    pub fn skip_what_is_there(&mut self) {
        for stream in [&mut self.stdout, &mut self.stderr] {
            stream.skip = stream.written;
        }
    }

    /// A word of scitq's own in the task's stderr.
    pub fn say(&mut self, text: &str) {
        drop(self.stderr.file.write_all(format!("scitq: {text}\n").as_bytes()));
    }
}

impl OutputFile {
    fn new(file: File) -> Self {
        let base = file.metadata().map_or(0, |metadata| metadata.len());
        let readable = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok();
        Self { file, readable, base, written: 0, skip: 0 }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        let (again, fresh) = bytes.split_at(known);
        let same = self.is_there(again);
        self.skip = if same == known { self.skip - known as u64 } else { 0 };
        let fresh = if same == known { fresh } else { from_line_start(bytes, same) };
        self.file.write_all(fresh)?;
        self.written += fresh.len() as u64;
        Ok(())
    }

    /// How many of these bytes are what was written at this place before. An
    /// engine that was stopped in the middle of a line has not kept that line's
    /// beginning, which its container does not write again.
    fn is_there(&self, again: &[u8]) -> usize {
        let Some(readable) = self.readable.as_ref().filter(|_| !again.is_empty()) else {
            return again.len();
        };
        let mut before = vec![0; again.len()];
        let place = self.base + self.written - self.skip;
        if readable.read_exact_at(&mut before, place).is_err() {
            return again.len();
        }
        again.iter().zip(&before).take_while(|(one, other)| one == other).count()
    }
}

/// What comes from the beginning of the line on in which `position` is.
fn from_line_start(bytes: &[u8], position: usize) -> &[u8] {
    let (same, _) = bytes.split_at(position);
    let start = same.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    bytes.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::OpenOptions;

    use super::*;

    /// What is in a file in which `before` was, after `first` was written, and
    /// then the container's output came again in these pieces.
    fn again(before: &str, first: &str, pieces: &[&str]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout");
        fs::write(&path, before).unwrap();
        let mut stream = OutputFile::new(OpenOptions::new().append(true).open(&path).unwrap());
        stream.write(first.as_bytes()).unwrap();
        stream.skip = stream.written;
        for piece in pieces {
            stream.write(piece.as_bytes()).unwrap();
        }
        fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn what_is_there_is_not_written_again() {
        assert_eq!(again("", "one\ntwo\n", &["one\n", "two\n", "three"]), "one\ntwo\nthree");
        assert_eq!(again("x", "one\ntwo", &["one\nt", "wo\nthree"]), "xone\ntwo\nthree");
        assert_eq!(again("", "one", &[]), "one");
    }

    #[test]
    fn a_line_of_which_the_engine_lost_the_beginning_goes_on() {
        assert_eq!(again("", "first", &["between", "last"]), "firstbetweenlast");
        assert_eq!(again("x\n", "one\nta", &["one\n", "tb\nend"]), "x\none\ntatb\nend");
        assert_eq!(again("", "one\nta", &["one\ntb\nend"]), "one\ntatb\nend");
    }
}
