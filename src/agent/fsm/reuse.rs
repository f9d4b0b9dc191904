//! Outputs that are taken over from another execution, instead of a run.

use crate::api::cache::{CacheEntry, CacheKey, CachedFile};
use crate::api::link::ReportEvent;
use crate::domain::ExecutionId;
use crate::domain::execution::{Outcome, OutputSizes};

use super::event::{Reuse, ReusePlace};
use super::execution::{Ending, Execution, Fetching, Stage, Upload};
use super::record::Record;
use super::state::{AgentState, Turn};

impl AgentState {
    pub(super) fn on_keyed(&mut self, turn: &mut Turn, id: ExecutionId, key: CacheKey) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        if matches!(held.stage, Stage::Downloading(Fetching::Present)) {
            held.cache.key = Some(key.clone());
            turn.wants(super::Effect::Journal(Record::Keyed { execution: id, key }));
        }
    }

    pub(super) fn on_reusable(&mut self, id: ExecutionId, reuse: Box<Reuse>) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        if matches!(held.stage, Stage::Downloading(Fetching::Present)) {
            held.cache.reuse = Some(reuse);
        }
    }

    pub(super) fn on_made(&mut self, id: ExecutionId, files: Vec<CachedFile>) {
        let Some(held) = self.executions.get_mut(&id) else { return };
        if matches!(held.stage, Stage::Ending(_)) {
            held.cache.made = Some(files);
        }
    }

    /// Ends an execution whose turn has come, if there is something to take
    /// over. It needs no slot. What is elsewhere is sent as outputs are: with
    /// leave from the server, and again where that fails.
    pub(super) fn take_over(&mut self, turn: &mut Turn, id: ExecutionId) -> bool {
        let Some(held) = self.executions.get_mut(&id) else { return false };
        let Some(reuse) = held.cache.reuse.take() else { return false };
        let Reuse { reused, place } = *reuse;
        let upload = match place {
            ReusePlace::Same => Upload::Done,
            ReusePlace::Other(files) => {
                held.cache.made = Some(files);
                Upload::AwaitingLeave { failing: None }
            }
        };
        let ending = Ending {
            outcome: Outcome::reusing(reused),
            ended_at: turn.now.wall,
            upload,
            upload_until: None,
            output: Some(OutputSizes::default()),
        };
        self.set_stage(id, Stage::Ending(Box::new(ending)));
        if upload == Upload::Done {
            self.finish_if_done(turn, id);
        } else {
            self.report(id, turn.now.wall, ReportEvent::Uploading { exit_code: None });
        }
        true
    }
}

impl Execution {
    /// What others may take over, now that it has ended so.
    pub(super) fn cache_entry(&self, outcome: &Outcome) -> Option<Box<CacheEntry>> {
        if outcome.failure.is_some() {
            return None;
        }
        let (key, files) = (self.cache.key.clone()?, self.cache.made.clone()?);
        let output = self.order.spec.output.clone()?;
        Some(Box::new(CacheEntry { key, output, files }))
    }
}
