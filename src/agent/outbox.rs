//! The way of reports to the link: through the journal, so that nothing is
//! told that is not written down.
//!
//! Lines are written where they arise, not by a thread of their own: that
//! would cost a short command more than all else the agent does for it. A line
//! goes to the page cache in microseconds. Where the disk is so busy that it
//! takes seconds, heartbeats wait as well; a disk that hangs for longer makes
//! the worker look lost, which it is.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::api::link::Up;
use crate::domain::Monotonic;

use super::fsm::Record;
use super::journal::Journal;
use super::link::ToLink;

/// The wait after a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// The journal, and what waits for it.
#[derive(Debug)]
pub struct Outbox {
    journal: Journal,
    link: UnboundedSender<ToLink>,
    /// Each with the number of the link on which it is sent.
    frames: Vec<(u64, Up)>,
    /// Lines wait that need not be written before anything else.
    has_late_lines: bool,
    /// Lines wait that shall be written soon, whether or not a frame follows.
    has_urgent_lines: bool,
    /// When the next write is tried after one that failed.
    retry_at: Option<Monotonic>,
}

impl Outbox {
    pub const fn new(journal: Journal, link: UnboundedSender<ToLink>) -> Self {
        Self {
            journal,
            link,
            frames: Vec::new(),
            has_late_lines: false,
            has_urgent_lines: false,
            retry_at: None,
        }
    }

    /// Takes a record, to be written with the next frame or the next
    /// [`Self::write`], whichever comes first.
    pub fn note(&mut self, record: &Record) {
        self.journal.append(record);
        self.has_late_lines = true;
        self.has_urgent_lines |= record.is_word_of_a_person();
    }

    /// Sends a frame once all records are written that were noted before it.
    pub fn post(&mut self, link: u64, frame: Up) {
        self.frames.push((link, frame));
    }

    /// Whether something shall be written or sent at once, and nothing keeps it
    /// from that.
    pub fn is_urgent(&self) -> bool {
        (self.has_urgent_lines || !self.frames.is_empty()) && self.retry_at.is_none()
    }

    /// Whether there is anything to write or to send.
    pub const fn is_empty(&self) -> bool {
        self.frames.is_empty() && !self.has_late_lines
    }

    /// When the next [`Self::write`] is due because the last one failed.
    pub const fn retry_at(&self) -> Option<Monotonic> {
        self.retry_at
    }

    /// Writes the records, then sends the frames. When the disk does not take
    /// the records, the frames wait.
    pub fn write(&mut self, now: Monotonic) {
        if let Err(error) = self.journal.flush() {
            if self.retry_at.is_none() {
                tracing::error!(%error, "cannot write the journal; reports wait until it can be");
            }
            self.retry_at = Some(now.after(RETRY));
            return;
        }
        if self.retry_at.take().is_some() {
            tracing::info!("the journal can be written again");
        }
        self.has_late_lines = false;
        self.has_urgent_lines = false;
        for (link, frame) in self.frames.drain(..) {
            // The link ends after this, or the agent leaves without it.
            drop(self.link.send(ToLink::Frame { link, frame }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tokio::sync::mpsc::unbounded_channel;

    use crate::domain::{ExecutionId, Timestamp};

    use super::*;

    const RECORD: Record =
        Record::Started { execution: ExecutionId(1), at: Timestamp(0), since_boot: None };

    fn frame() -> Up {
        Up::Reports { number: 1, reports: Vec::new() }
    }

    #[test]
    fn a_frame_is_sent_after_the_lines_before_it_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.jsonl");
        let (link, mut frames) = unbounded_channel();
        let mut outbox = Outbox::new(Journal::open(&path).unwrap().0, link);
        outbox.note(&RECORD);
        outbox.post(1, frame());
        assert!(outbox.is_urgent());
        outbox.write(Monotonic(Duration::ZERO));
        assert!(outbox.is_empty());
        assert!(std::fs::read_to_string(&path).unwrap().contains("started"));
        assert!(matches!(frames.try_recv(), Ok(ToLink::Frame { link: 1, .. })));
    }

    #[test]
    fn nothing_is_told_while_the_disk_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.jsonl");
        // Every write to this device fails for want of space.
        symlink("/dev/full", path.with_extension("jsonl.new")).unwrap();
        let (link, mut frames) = unbounded_channel();
        let mut outbox = Outbox::new(Journal::open(&path).unwrap().0, link);
        outbox.note(&RECORD);
        outbox.post(1, frame());
        outbox.write(Monotonic(Duration::ZERO));
        assert!(!outbox.is_urgent());
        assert!(!outbox.is_empty());
        assert_eq!(outbox.retry_at(), Some(Monotonic(RETRY)));
        assert!(frames.try_recv().is_err());
    }
}
