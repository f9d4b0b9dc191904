//! Hands executions over to the reader of output files, but for those that
//! end at once and have written nothing: most short commands.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc::UnboundedSender;

use crate::agent::fsm::Event;
use crate::agent::logs::{OutputFiles, OutputOrder};
use crate::agent::workdir::TaskDirs;
use crate::domain::ExecutionId;
use crate::domain::execution::OutputSizes;

/// The agent's end of the reader.
#[derive(Debug)]
pub struct Output {
    workdir: PathBuf,
    reader: UnboundedSender<OutputOrder>,
    events: UnboundedSender<Event>,
    /// Commands that have just started, each with its link. The reader learns
    /// of them with the next [`Self::hand_over`].
    fresh: BTreeMap<ExecutionId, u64>,
}

impl Output {
    pub const fn new(
        workdir: PathBuf,
        reader: UnboundedSender<OutputOrder>,
        events: UnboundedSender<Event>,
    ) -> Self {
        Self { workdir, reader, events, fresh: BTreeMap::new() }
    }

    pub fn follow(&mut self, execution: ExecutionId, link: u64, from: OutputSizes) {
        self.fresh.remove(&execution);
        self.tell_follow(execution, link, from);
    }

    /// Follows a command that has just been started.
    pub fn follow_new(&mut self, execution: ExecutionId, link: u64) {
        self.fresh.insert(execution, link);
    }

    pub fn finish(&mut self, execution: ExecutionId) {
        if let Some(link) = self.fresh.remove(&execution) {
            let dirs = TaskDirs::new(&self.workdir, execution);
            if is_empty(&dirs.stdout()) && is_empty(&dirs.stderr()) {
                let sizes = OutputSizes::default();
                drop(self.events.send(Event::OutputSent { execution, link, sizes }));
                return;
            }
            self.tell_follow(execution, link, OutputSizes::default());
        }
        self.tell(OutputOrder::Finish { execution });
    }

    pub fn stop(&mut self, execution: ExecutionId) {
        if self.fresh.remove(&execution).is_none() {
            self.tell(OutputOrder::Stop { execution });
        }
    }

    pub fn stop_all(&mut self) {
        self.fresh.clear();
        self.tell(OutputOrder::StopAll);
    }

    /// Whether there is anything to hand over.
    pub fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    /// Tells the reader of the commands that still run.
    pub fn hand_over(&mut self) {
        for (execution, link) in std::mem::take(&mut self.fresh) {
            self.tell_follow(execution, link, OutputSizes::default());
        }
    }

    fn tell_follow(&self, execution: ExecutionId, link: u64, from: OutputSizes) {
        let dirs = TaskDirs::new(&self.workdir, execution);
        let files = OutputFiles { stdout: dirs.stdout(), stderr: dirs.stderr() };
        self.tell(OutputOrder::Follow { execution, link, from, files });
    }

    fn tell(&self, order: OutputOrder) {
        if self.reader.send(order).is_err() {
            tracing::error!("the thread that reads output has gone");
        }
    }
}

/// A file that is not there is empty; one that cannot be looked at is for the
/// reader to complain of.
fn is_empty(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => metadata.len() == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}
