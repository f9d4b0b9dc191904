//! The way of reports to the link: through the journal, so that nothing is
//! told that is not written down.
//!
//! A thread of its own writes, since a busy disk may hold a writer for
//! seconds, in which heartbeats and orders must go on. What comes in meanwhile
//! is written together.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use crate::api::link::Up;

use super::fsm::Record;
use super::journal::Journal;
use super::link::ToLink;

/// The wait after a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// The agent's end of the outbox.
#[derive(Debug)]
pub struct Outbox {
    letters: Sender<Letter>,
    thread: JoinHandle<()>,
}

/// Records to write down, and then frames to send on the link of that number.
#[derive(Debug, Default)]
pub struct Letter {
    pub records: Vec<Record>,
    pub frames: Vec<(u64, Up)>,
}

impl Outbox {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(journal: Journal, link: UnboundedSender<ToLink>) -> io::Result<Self> {
        let (letters, incoming) = channel();
        let thread = thread::Builder::new()
            .name("outbox".to_owned())
            .spawn(move || deliver(journal, &incoming, &link))?;
        Ok(Self { letters, thread })
    }

    /// Gives a letter to the thread. Letters arrive in order.
    pub fn post(&self, letter: Letter) {
        if letter.records.is_empty() && letter.frames.is_empty() {
            return;
        }
        if self.letters.send(letter).is_err() {
            tracing::error!("the thread that writes the journal has gone");
        }
    }

    /// Waits until all letters are delivered, or until the disk refuses one.
    pub fn finish(self) {
        drop(self.letters);
        if self.thread.join().is_err() {
            tracing::error!("the thread that writes the journal has failed");
        }
    }
}

fn deliver(mut journal: Journal, letters: &Receiver<Letter>, link: &UnboundedSender<ToLink>) {
    let mut frames = Vec::new();
    let mut failing = false;
    loop {
        let wait = if failing { RETRY } else { Duration::MAX };
        let is_last = match letters.recv_timeout(wait) {
            Ok(letter) => {
                for letter in std::iter::once(letter).chain(letters.try_iter()) {
                    letter.records.iter().for_each(|record| journal.append(record));
                    frames.extend(letter.frames);
                }
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        if let Err(error) = journal.flush() {
            if !failing {
                tracing::error!(%error, "cannot write the journal; reports wait until it can be");
            }
            failing = true;
        } else {
            failing = false;
            for (number, frame) in frames.drain(..) {
                // The link ends after this thread, or the agent leaves without it.
                drop(link.send(ToLink::Frame { link: number, frame }));
            }
        }
        if is_last {
            return;
        }
    }
}
