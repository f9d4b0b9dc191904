//! One agent's connection, seen from the supervisor: lines in and lines out,
//! neither of which ever blocks.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use serde::Serialize;

use super::protocol::{MAX_LINE, ToSupervisor, push_line};

/// Room for one read, in bytes: some forty ordinary requests.
const READ_SIZE: usize = 64 << 10;

/// The reading half.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: Arc<UnixStream>,
    buffer: LineBuffer,
}

/// The writing half.
#[derive(Debug)]
pub(super) struct Outgoing {
    stream: Arc<UnixStream>,
    pending: Vec<u8>,
}

/// Collects bytes and gives out whole lines.
#[derive(Debug, Default)]
pub(super) struct LineBuffer {
    bytes: Vec<u8>,
    /// Everything before this was given out.
    begin: usize,
    /// No line ends between `begin` and this.
    searched: usize,
}

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// Perhaps something: see [`Incoming::next`].
    Open,
    /// The agent has gone.
    Closed,
}

impl LineBuffer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.begin == self.bytes.len() {
            self.bytes.clear();
            (self.begin, self.searched) = (0, 0);
        } else if self.begin > READ_SIZE {
            self.bytes.drain(..self.begin);
            self.searched -= self.begin;
            self.begin = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, without its end.
    pub(super) fn next_line(&mut self) -> Option<&[u8]> {
        let tail = self.bytes.get(self.searched..)?;
        let Some(offset) = tail.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.bytes.len();
            return None;
        };
        let end = self.searched + offset;
        let begin = self.begin;
        (self.begin, self.searched) = (end + 1, end + 1);
        self.bytes.get(begin..end)
    }

    /// Bytes of the line that has not ended yet.
    pub(super) const fn unfinished(&self) -> usize {
        self.bytes.len() - self.begin
    }
}

/// The two halves of a connection, which is made non-blocking.
pub(super) fn split(stream: UnixStream) -> io::Result<(Incoming, Outgoing)> {
    stream.set_nonblocking(true)?;
    let stream = Arc::new(stream);
    let incoming = Incoming { stream: Arc::clone(&stream), buffer: LineBuffer::default() };
    Ok((incoming, Outgoing { stream, pending: Vec::new() }))
}

impl Incoming {
    pub(super) fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Reads once.
    ///
    /// # Errors
    /// The connection broke, or the agent sends a line without end.
    pub(super) fn receive(&mut self, scratch: &mut Vec<u8>) -> io::Result<Received> {
        scratch.resize(READ_SIZE, 0);
        match (&*self.stream).read(scratch) {
            Ok(0) => Ok(Received::Closed),
            Ok(length) => {
                self.buffer.push(scratch.get(..length).unwrap_or_default());
                if self.buffer.unfinished() > MAX_LINE {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without end"));
                }
                Ok(Received::Open)
            }
            Err(error) if is_for_later(&error) => Ok(Received::Open),
            Err(error) => Err(error),
        }
    }

    /// The next request that has come in whole.
    ///
    /// # Errors
    /// It cannot be understood.
    pub(super) fn next(&mut self) -> Option<serde_json::Result<ToSupervisor>> {
        self.buffer.next_line().map(serde_json::from_slice)
    }
}

impl Outgoing {
    /// Adds a frame, to be sent by the next [`Self::flush`].
    pub(super) fn push<M: Serialize>(&mut self, message: &M) {
        let length = self.pending.len();
        if let Err(error) = push_line(&mut self.pending, message) {
            self.pending.truncate(length);
            tracing::error!(%error, "a frame has no JSON form");
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Sends as much as the socket takes.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match (&*self.stream).write(&self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_they_come_in() {
        let mut buffer = LineBuffer::default();
        let mut lines = Vec::new();
        for piece in ["on", "e\ntwo\nth", "", "ree\n", "four\n", "rest"] {
            buffer.push(piece.as_bytes());
            while let Some(line) = buffer.next_line() {
                lines.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        assert_eq!(lines, ["one", "two", "three", "four"]);
        assert_eq!(buffer.unfinished(), 4);
    }

    #[test]
    fn a_buffer_forgets_what_it_gave_out() {
        let mut buffer = LineBuffer::default();
        buffer.push(b"x");
        for _ in 0..1000 {
            buffer.push(&[b'y'; 1000]);
            buffer.push(b"\nx");
            assert!(buffer.next_line().is_some());
            assert!(buffer.next_line().is_none());
        }
        assert!(buffer.bytes.len() < 3 * READ_SIZE);
    }
}
