//! Output on its way to the server's disk, and there: how much there is of each
//! execution, and how much of that is safe. Every byte is known beforehand, so that a wrong one is
//! seen.

use std::collections::BTreeMap;

use scitq::agent::fsm::Event;
use scitq::api::link::OutputChunk;
use scitq::domain::ExecutionId;
use scitq::domain::execution::{OutputSizes, Stream};

use super::calendar::{AgentHappening, AgentNumber, MILLISECOND, SECOND, UpFrame};
use super::life::World;

#[derive(Debug, Default)]
pub struct OutputDisk {
    streams: BTreeMap<ExecutionId, Stored>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Stored {
    length: u64,
    synced: u64,
}

/// The byte at that place of the output of an execution.
pub const fn byte_at(execution: ExecutionId, offset: u64) -> u8 {
    (execution.0.wrapping_mul(31).wrapping_add(offset) % 251) as u8
}

impl OutputDisk {
    /// Takes what is new of these bytes; false: some before them are missing.
    ///
    /// # Errors
    /// They are not the bytes of that place.
    pub fn append(
        &mut self,
        execution: ExecutionId,
        offset: u64,
        bytes: &[u8],
    ) -> Result<bool, String> {
        let stored = self.streams.entry(execution).or_default();
        if offset > stored.length {
            return Ok(false);
        }
        for (place, byte) in (offset..).zip(bytes) {
            if *byte != byte_at(execution, place) {
                return Err(format!("output of e{execution} is wrong at byte {place}"));
            }
        }
        stored.length = stored.length.max(offset + bytes.len() as u64);
        Ok(true)
    }

    pub fn has_unsynced(&self, executions: &[ExecutionId]) -> bool {
        let stored = executions.iter().filter_map(|id| self.streams.get(id));
        stored.into_iter().any(|stored| stored.synced < stored.length)
    }

    pub fn sync(&mut self, executions: &[ExecutionId]) {
        for execution in executions {
            if let Some(stored) = self.streams.get_mut(execution) {
                stored.synced = stored.length;
            }
        }
    }

    pub fn sizes(&self, execution: ExecutionId) -> OutputSizes {
        let stdout = self.streams.get(&execution).map_or(0, |stored| stored.length);
        OutputSizes { stdout, stderr: 0 }
    }

    pub fn forget_unsynced(&mut self) {
        for stored in self.streams.values_mut() {
            stored.length = stored.synced;
        }
    }
}

/// Most bytes in one piece.
const PIECE: u64 = 700;

impl World {
    /// An agent looks what a command has written, and sends it.
    pub fn on_output_step(&mut self, agent: AgentNumber, execution: ExecutionId) {
        let now = self.now;
        let entry = &mut self.agents[agent];
        let command = entry.supervisor.commands.get(&execution);
        let (available, is_alive) =
            command.map_or((0, false), |command| (command.written_by(now), command.is_alive));
        let Some(process) = &mut entry.process else { return };
        let Some(followed) = process.followed.get_mut(&execution) else { return };
        let (link, offset) = (followed.link, followed.next);
        if process.link != link {
            return;
        }
        if offset < available {
            let end = available.min(offset + PIECE);
            followed.next = end;
            let bytes: Vec<u8> = (offset..end).map(|place| byte_at(execution, place)).collect();
            let chunk = OutputChunk { execution, stream: Stream::Stdout, offset, bytes };
            if let Some(connection) = process.connection {
                self.send_up(connection, UpFrame::Output(chunk.encode()));
            }
            let what = AgentHappening::OutputStep { execution };
            return self.enter_agent(agent, now + MILLISECOND, what);
        }
        if followed.finishes {
            process.followed.remove(&execution);
            let sizes = OutputSizes { stdout: available, stderr: 0 };
            return self.agent_event(agent, Event::OutputSent { execution, link, sizes });
        }
        if is_alive {
            let what = AgentHappening::OutputStep { execution };
            self.enter_agent(agent, now + SECOND, what);
        }
    }
}
