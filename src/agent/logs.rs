//! Reads the output files of commands and gives what is new to the link.
//!
//! A piece is read only when the link has room for it, so a slow server costs
//! no memory and a fast command none of the others: executions take turns, a
//! piece each. It runs on a thread of its own, since reading a file may take
//! as long as the disk likes.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender};
use tokio::time::{MissedTickBehavior, interval};

use crate::api::link::{MAX_CHUNK, OutputChunk};
use crate::domain::ExecutionId;
use crate::domain::execution::{OutputSizes, Stream};

use super::fsm::Event;
use super::link::OutputFrame;

/// How often the files of running commands are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// Where an execution's output is.
#[derive(Debug, Clone)]
pub struct OutputFiles {
    pub stdout: PathBuf,
    pub stderr: PathBuf,
}

/// What the state machine wants of the reader.
#[derive(Debug)]
pub enum OutputOrder {
    /// Send what the files have from there on, and what they get.
    Follow {
        execution: ExecutionId,
        link: u64,
        from: OutputSizes,
        files: OutputFiles,
    },
    /// The files are complete: send the rest and say so.
    Finish {
        execution: ExecutionId,
    },
    Stop {
        execution: ExecutionId,
    },
    StopAll,
}

/// The reader of output files.
#[derive(Debug)]
pub struct LogReader {
    orders: UnboundedReceiver<OutputOrder>,
    output: Sender<OutputFrame>,
    events: UnboundedSender<Event>,
    followed: BTreeMap<ExecutionId, Followed>,
    /// Executions with something to send, in the order of their turns.
    turns: VecDeque<ExecutionId>,
}

#[derive(Debug)]
struct Followed {
    link: u64,
    stdout: Tail,
    stderr: Tail,
    /// No more bytes will be written.
    is_complete: bool,
    /// It has a place in the row of turns.
    has_turn: bool,
}

/// One growing file.
#[derive(Debug)]
struct Tail {
    path: PathBuf,
    file: Option<File>,
    /// Bytes that were given to the link, or that the server had before.
    sent: u64,
    /// Size of the file when it was last looked at.
    size: u64,
}

impl LogReader {
    pub fn new(
        orders: UnboundedReceiver<OutputOrder>,
        output: Sender<OutputFrame>,
        events: UnboundedSender<Event>,
    ) -> Self {
        Self { orders, output, events, followed: BTreeMap::new(), turns: VecDeque::new() }
    }

    /// Works until the sender of the orders is dropped.
    pub async fn run(mut self) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let output = self.output.clone();
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => self.on_order(order),
                    None => return,
                },
                room = output.reserve(), if !self.turns.is_empty() => match room {
                    Ok(room) => {
                        if let Some(frame) = self.next_frame() {
                            room.send(frame);
                        }
                    }
                    // The link has gone for good, and the agent is about to.
                    Err(_) => return,
                },
                _ = look.tick(), if !self.followed.is_empty() => self.look(),
            }
        }
    }

    fn on_order(&mut self, order: OutputOrder) {
        match order {
            OutputOrder::Follow { execution, link, from, files } => {
                self.stop(execution);
                let followed = Followed {
                    link,
                    stdout: Tail::new(files.stdout, from.stdout),
                    stderr: Tail::new(files.stderr, from.stderr),
                    is_complete: false,
                    has_turn: false,
                };
                self.followed.insert(execution, followed);
            }
            OutputOrder::Finish { execution } => self.finish(execution),
            OutputOrder::Stop { execution } => self.stop(execution),
            OutputOrder::StopAll => {
                self.followed.clear();
                self.turns.clear();
            }
        }
    }

    fn finish(&mut self, execution: ExecutionId) {
        let Some(followed) = self.followed.get_mut(&execution) else { return };
        followed.look(execution);
        followed.is_complete = true;
        if followed.sizes() == OutputSizes::default() {
            // No frame of it is under way, so none can be overtaken.
            let sizes = OutputSizes::default();
            let link = followed.link;
            drop(self.events.send(Event::OutputSent { execution, link, sizes }));
            self.stop(execution);
        } else if !followed.has_turn {
            followed.has_turn = true;
            self.turns.push_back(execution);
        }
    }

    fn stop(&mut self, execution: ExecutionId) {
        if self.followed.remove(&execution).is_some_and(|followed| followed.has_turn) {
            self.turns.retain(|other| *other != execution);
        }
    }

    /// Looks which files of running commands have grown.
    fn look(&mut self) {
        for (execution, followed) in &mut self.followed {
            if followed.is_complete || followed.has_turn {
                continue;
            }
            followed.look(*execution);
            if followed.has_more() {
                followed.has_turn = true;
                self.turns.push_back(*execution);
            }
        }
    }

    /// The next piece of the execution whose turn it is, if it can be read.
    fn next_frame(&mut self) -> Option<OutputFrame> {
        let execution = self.turns.pop_front()?;
        let followed = self.followed.get_mut(&execution)?;
        let link = followed.link;
        match followed.read(execution) {
            Ok(Some(frame)) => {
                followed.has_turn = followed.has_more() || followed.is_complete;
                if followed.has_turn {
                    self.turns.push_back(execution);
                }
                Some(OutputFrame::Chunk { link, frame })
            }
            Ok(None) => {
                followed.has_turn = false;
                if !followed.is_complete {
                    return None;
                }
                let sizes = followed.sizes();
                self.followed.remove(&execution);
                Some(OutputFrame::End { link, execution, sizes })
            }
            Err(error) => {
                tracing::error!(%execution, %error, "cannot read the output of an execution");
                followed.give_up();
                followed.has_turn = followed.is_complete;
                if followed.has_turn {
                    self.turns.push_back(execution);
                }
                None
            }
        }
    }
}

impl Followed {
    /// The next piece of either stream; none when all was sent.
    fn read(&mut self, execution: ExecutionId) -> io::Result<Option<Vec<u8>>> {
        for (stream, tail) in
            [(Stream::Stdout, &mut self.stdout), (Stream::Stderr, &mut self.stderr)]
        {
            let offset = tail.sent;
            let bytes = tail.read()?;
            if !bytes.is_empty() {
                return Ok(Some(OutputChunk { execution, stream, offset, bytes }.encode()));
            }
        }
        Ok(None)
    }

    fn look(&mut self, execution: ExecutionId) {
        for tail in [&mut self.stdout, &mut self.stderr] {
            if let Err(error) = tail.look() {
                let path = tail.path.display();
                tracing::warn!(%execution, %path, %error, "cannot look at an output file");
            }
        }
    }

    const fn has_more(&self) -> bool {
        self.stdout.has_more() || self.stderr.has_more()
    }

    /// What cannot be read is not waited for.
    const fn give_up(&mut self) {
        self.stdout.size = self.stdout.sent;
        self.stderr.size = self.stderr.sent;
    }

    /// The sizes of the streams as far as they were sent.
    fn sizes(&self) -> OutputSizes {
        OutputSizes {
            stdout: self.stdout.sent.max(self.stdout.size),
            stderr: self.stderr.sent.max(self.stderr.size),
        }
    }
}

impl Tail {
    const fn new(path: PathBuf, sent: u64) -> Self {
        Self { path, file: None, sent, size: 0 }
    }

    const fn has_more(&self) -> bool {
        self.sent < self.size
    }

    /// Sees how large the file is. A file that is not there is empty.
    fn look(&mut self) -> io::Result<()> {
        let metadata = match &self.file {
            Some(file) => file.metadata(),
            None => fs::metadata(&self.path),
        };
        self.size = match metadata {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// The next piece; empty when all was sent. A command may cut its own
    /// output file: what is no longer there is not sent.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        if !self.has_more() {
            return Ok(Vec::new());
        }
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(File::open(&self.path)?),
        };
        let wanted = usize::try_from(self.size - self.sent).unwrap_or(MAX_CHUNK).min(MAX_CHUNK);
        let mut bytes = vec![0; wanted];
        let length = file.read_at(&mut bytes, self.sent)?;
        bytes.truncate(length);
        self.sent += length as u64;
        if length == 0 {
            self.size = self.sent;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{Receiver, channel, unbounded_channel};

    use super::*;

    struct Reader {
        directory: tempfile::TempDir,
        orders: UnboundedSender<OutputOrder>,
        output: Receiver<OutputFrame>,
        events: UnboundedReceiver<Event>,
    }

    const ID: ExecutionId = ExecutionId(3);

    impl Reader {
        fn start() -> Self {
            let (orders, incoming) = unbounded_channel();
            let (frames, output) = channel(1);
            let (happened, events) = unbounded_channel();
            tokio::spawn(LogReader::new(incoming, frames, happened).run());
            Self { directory: tempfile::tempdir().unwrap(), orders, output, events }
        }

        fn write(&self, stream: &str, bytes: &[u8]) {
            use std::io::Write;
            let path = self.directory.path().join(stream);
            let mut file = File::options().create(true).append(true).open(path).unwrap();
            file.write_all(bytes).unwrap();
        }

        fn follow(&self, from: OutputSizes) {
            let files = OutputFiles {
                stdout: self.directory.path().join("stdout"),
                stderr: self.directory.path().join("stderr"),
            };
            self.orders.send(OutputOrder::Follow { execution: ID, link: 1, from, files }).unwrap();
        }

        fn finish(&self) {
            self.orders.send(OutputOrder::Finish { execution: ID }).unwrap();
        }

        async fn chunk(&mut self) -> OutputChunk<bytes::Bytes> {
            match self.output.recv().await.unwrap() {
                OutputFrame::Chunk { link: 1, frame } => {
                    OutputChunk::decode(&frame.into()).unwrap()
                }
                other => panic!("{other:?}"),
            }
        }

        async fn end(&mut self) -> OutputSizes {
            match self.output.recv().await.unwrap() {
                OutputFrame::End { link: 1, execution: ID, sizes } => sizes,
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_command_without_output_has_ended_at_once() {
        let mut reader = Reader::start();
        reader.follow(OutputSizes::default());
        reader.finish();
        let event = reader.events.recv().await.unwrap();
        let Event::OutputSent { execution: ID, link: 1, sizes } = event else {
            panic!("{event:?}")
        };
        assert_eq!(sizes, OutputSizes::default());
    }

    #[tokio::test]
    async fn what_a_running_command_writes_comes_as_it_grows() {
        let mut reader = Reader::start();
        reader.follow(OutputSizes::default());
        reader.write("stderr", b"one\xff");
        let chunk = reader.chunk().await;
        assert_eq!((chunk.stream, chunk.offset), (Stream::Stderr, 0));
        assert_eq!(&*chunk.bytes, b"one\xff");
        reader.write("stderr", b"two");
        let chunk = reader.chunk().await;
        assert_eq!((chunk.stream, chunk.offset), (Stream::Stderr, 4));
        assert_eq!(&*chunk.bytes, b"two");
        reader.write("stdout", b"three");
        reader.finish();
        assert_eq!(&*reader.chunk().await.bytes, b"three");
        assert_eq!(reader.end().await, OutputSizes { stdout: 5, stderr: 7 });
    }

    #[tokio::test]
    async fn large_output_goes_in_pieces_from_where_the_server_has_it() {
        let mut reader = Reader::start();
        let bytes: Vec<u8> = (0..MAX_CHUNK * 2 + 10).map(|n| n.to_le_bytes()[0]).collect();
        reader.write("stdout", &bytes);
        reader.follow(OutputSizes { stdout: 5, stderr: 0 });
        reader.finish();
        let mut received = bytes[..5].to_vec();
        for _ in 0..3 {
            let chunk = reader.chunk().await;
            assert_eq!(chunk.offset, received.len() as u64);
            assert!(chunk.bytes.len() <= MAX_CHUNK);
            received.extend_from_slice(&chunk.bytes);
        }
        assert_eq!(received, bytes);
        assert_eq!(reader.end().await.stdout, bytes.len() as u64);
    }

    #[tokio::test]
    async fn a_file_that_shrank_ends_where_it_was_sent() {
        let mut reader = Reader::start();
        reader.write("stdout", b"short");
        reader.follow(OutputSizes { stdout: 100, stderr: 0 });
        reader.finish();
        assert_eq!(reader.end().await, OutputSizes { stdout: 100, stderr: 0 });
    }
}
