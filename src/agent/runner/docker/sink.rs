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
    /// Bytes of the container that are in it.
    written: u64,
    /// How far the engine has told the output, which begins anew when it is
    /// asked once more.
    told: u64,
    /// Where the engine leaves out so many bytes that are in the file.
    gaps: Vec<Gap>,
}

#[derive(Clone, Copy)]
struct Gap {
    told: u64,
    bytes: u64,
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

    /// The output comes once more from its start; what is there is left out.
    pub const fn begin_again(&mut self) {
        self.stdout.told = 0;
        self.stderr.told = 0;
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
        Self { file, readable, base, written: 0, told: 0, gaps: Vec::new() }
    }

    /// Writes what is not there yet. An engine that was stopped in the middle of
    /// a line has not kept that line's beginning, which its container does not
    /// write again: such a line goes on where it was.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let place = self.place();
            let known = self.written.saturating_sub(place).min(self.until_next_gap());
            let known = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
            if known == 0 {
                self.file.write_all(bytes)?;
                self.written += bytes.len() as u64;
                self.told += bytes.len() as u64;
                return Ok(());
            }
            let (again, fresh) = bytes.split_at(known);
            let same = self.count_same(place, again);
            if same == known {
                self.told += known as u64;
                bytes = fresh;
            } else {
                let start = line_start(again, same);
                self.told += start as u64;
                let gap = self.written - (place + start as u64);
                self.gaps.push(Gap { told: self.told, bytes: gap });
                bytes = bytes.get(start..).unwrap_or_default();
            }
        }
        Ok(())
    }

    /// Where in the file the next byte that the engine tells belongs.
    fn place(&self) -> u64 {
        let before = self.gaps.iter().filter(|gap| gap.told <= self.told);
        self.told + before.map(|gap| gap.bytes).sum::<u64>()
    }

    fn until_next_gap(&self) -> u64 {
        let ahead = self.gaps.iter().map(|gap| gap.told).filter(|told| *told > self.told);
        ahead.min().map_or(u64::MAX, |told| told - self.told)
    }

    /// How many of these bytes are in the file at that place. All, where it
    /// cannot be read.
    fn count_same(&self, place: u64, again: &[u8]) -> usize {
        let mut before = vec![0; again.len()];
        let readable = self.readable.as_ref();
        let read = readable.map(|file| file.read_exact_at(&mut before, self.base + place));
        match read {
            Some(Ok(())) => {
                again.iter().zip(&before).take_while(|(one, other)| one == other).count()
            }
            _ => again.len(),
        }
    }
}

/// Where the line begins in which `position` is.
fn line_start(bytes: &[u8], position: usize) -> usize {
    let (same, _) = bytes.split_at(position);
    same.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::fs::OpenOptions;

    use super::*;

    /// What is in a file in which `before` was, after `first` was written, and
    /// then the container's output was told anew, each time in these pieces.
    fn again(before: &str, first: &str, times: &[&[&str]]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("stdout");
        fs::write(&path, before).unwrap();
        let mut stream = OutputFile::new(OpenOptions::new().append(true).open(&path).unwrap());
        stream.write(first.as_bytes()).unwrap();
        for pieces in times {
            stream.told = 0;
            for piece in *pieces {
                stream.write(piece.as_bytes()).unwrap();
            }
        }
        fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn what_is_there_is_not_written_again() {
        assert_eq!(again("", "one\ntwo\n", &[&["one\n", "two\n", "three"]]), "one\ntwo\nthree");
        assert_eq!(again("x", "one\ntwo", &[&["one\nt", "wo\nthree"]]), "xone\ntwo\nthree");
        assert_eq!(again("", "one", &[&[]]), "one");
        assert_eq!(again("", "one", &[&["on"], &["o", "net", "wo"], &["onetwo"]]), "onetwo");
    }

    #[test]
    fn a_line_of_which_the_engine_lost_the_beginning_goes_on() {
        assert_eq!(again("", "first", &[&["between", "last"]]), "firstbetweenlast");
        assert_eq!(again("x\n", "one\nta", &[&["one\n", "tb\nend"]]), "x\none\ntatb\nend");
        assert_eq!(again("", "one\nta", &[&["one\ntb\nend"]]), "one\ntatb\nend");
        // Told once more, it is known by then.
        let told = ["one\ntb\nend"];
        assert_eq!(again("", "one\nta", &[&told, &told, &["one\ntb\nend!"]]), "one\ntatb\nend!");
    }
}
