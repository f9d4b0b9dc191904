//! Where a task stands, and the one function that moves it.

use thiserror::Error;

use super::TaskState;
use crate::domain::ids::ExecutionId;

/// Where a task stands, with what belongs to that state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskLife {
    /// This many required tasks are not done.
    Waiting {
        unmet: u32,
    },
    Pending,
    Assigned(ExecutionId),
    Accepted(ExecutionId),
    Running(ExecutionId),
    /// Held before a worker has it; this many required tasks are not done.
    Held {
        unmet: u32,
    },
    /// Held on its worker before its command was started.
    HeldAccepted(ExecutionId),
    /// Its command is suspended, and keeps its slot.
    Suspended(ExecutionId),
    Succeeded,
    Failed,
}

/// What can happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TaskEvent {
    /// One required task is done.
    RequirementMet,
    /// One required task that was done is run anew.
    RequirementReopened,
    /// A worker was chosen.
    Assign(ExecutionId),
    /// The agent has the execution.
    Accept(ExecutionId),
    /// The command was started.
    Start(ExecutionId),
    Succeed(ExecutionId),
    /// The execution ended for good, and not well.
    Fail(ExecutionId),
    /// The execution ended and another one shall follow.
    Requeue(ExecutionId),
    /// A person ends a task that no worker has.
    Cancel,
    /// A person wants another run of an ended task; so many required tasks
    /// are not done.
    Relaunch {
        unmet: u32,
    },
    /// An agent has had an execution of it all the time: the database comes from
    /// before, or lost it.
    Adopt(ExecutionId),
    /// It shall not go on for now.
    Pause,
    /// It shall go on, from the state in which it was paused.
    Resume,
    /// It was edited before it had a worker: so many required tasks are not done.
    Require {
        unmet: u32,
    },
}

/// An event that the state does not allow. An event of an execution that is
/// not the active one lands here too: that is the fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a task that is {state} cannot take the event {event:?}")]
pub struct ImpossibleTaskEvent {
    pub state: TaskState,
    pub event: TaskEvent,
}

impl TaskLife {
    #[must_use]
    pub const fn state(self) -> TaskState {
        match self {
            Self::Waiting { .. } => TaskState::Waiting,
            Self::Pending => TaskState::Pending,
            Self::Assigned(_) => TaskState::Assigned,
            Self::Accepted(_) => TaskState::Accepted,
            Self::Running(_) => TaskState::Running,
            Self::Held { .. } | Self::HeldAccepted(_) | Self::Suspended(_) => TaskState::Paused,
            Self::Succeeded => TaskState::Succeeded,
            Self::Failed => TaskState::Failed,
        }
    }

    /// The execution that may act for the task, if one may.
    #[must_use]
    pub const fn execution(self) -> Option<ExecutionId> {
        match self {
            Self::Assigned(id)
            | Self::Accepted(id)
            | Self::Running(id)
            | Self::HeldAccepted(id)
            | Self::Suspended(id) => Some(id),
            Self::Waiting { .. }
            | Self::Pending
            | Self::Held { .. }
            | Self::Succeeded
            | Self::Failed => None,
        }
    }

    /// Whether a person or its batch holds it back.
    #[must_use]
    pub const fn is_paused(self) -> bool {
        matches!(self, Self::Held { .. } | Self::HeldAccepted(_) | Self::Suspended(_))
    }

    /// The one way from state to state.
    ///
    /// # Errors
    /// The event is impossible in this state, or comes from an execution that
    /// is not the active one. Nothing changes then.
    pub fn on(self, event: TaskEvent) -> Result<Self, ImpossibleTaskEvent> {
        use TaskEvent as E;
        use TaskLife as L;
        let impossible = Err(ImpossibleTaskEvent { state: self.state(), event });
        match event {
            // The fence: only the active execution acts for its task.
            E::Accept(id) | E::Start(id) | E::Succeed(id) | E::Fail(id) | E::Requeue(id)
                if self.execution() != Some(id) =>
            {
                impossible
            }
            E::Succeed(_) => Ok(L::Succeeded),
            E::Fail(_) => Ok(L::Failed),
            E::Requeue(_) => Ok(L::Pending),
            _ => match (self, event) {
                (L::Waiting { unmet: 0 | 1 }, E::RequirementMet)
                | (L::Waiting { .. } | L::Pending, E::Require { unmet: 0 })
                | (L::Succeeded | L::Failed, E::Relaunch { unmet: 0 })
                | (L::Held { unmet: 0 }, E::Resume) => Ok(L::Pending),
                (L::Waiting { unmet }, E::RequirementMet) => Ok(L::Waiting { unmet: unmet - 1 }),
                (L::Waiting { unmet }, E::RequirementReopened) => {
                    Ok(L::Waiting { unmet: unmet + 1 })
                }
                (L::Waiting { .. } | L::Pending, E::Require { unmet })
                | (L::Succeeded | L::Failed, E::Relaunch { unmet })
                | (L::Held { unmet }, E::Resume) => Ok(L::Waiting { unmet }),
                (L::Held { unmet }, E::RequirementMet) => {
                    Ok(L::Held { unmet: unmet.saturating_sub(1) })
                }
                (L::Held { unmet }, E::RequirementReopened) => Ok(L::Held { unmet: unmet + 1 }),
                (L::Held { .. }, E::Require { unmet }) | (L::Waiting { unmet }, E::Pause) => {
                    Ok(L::Held { unmet })
                }
                (L::Pending, E::Pause) => Ok(L::Held { unmet: 0 }),
                (L::Accepted(id), E::Pause) => Ok(L::HeldAccepted(id)),
                (L::Pending, E::Assign(id)) => Ok(L::Assigned(id)),
                (L::Waiting { .. } | L::Pending | L::Held { .. } | L::Failed, E::Adopt(id)) => {
                    Ok(L::Accepted(id))
                }
                (L::Assigned(_), E::Accept(id)) | (L::HeldAccepted(id), E::Resume) => {
                    Ok(L::Accepted(id))
                }
                (L::Assigned(_) | L::Accepted(_), E::Start(id)) | (L::Suspended(id), E::Resume) => {
                    Ok(L::Running(id))
                }
                // A held one may be started before its agent hears of that.
                (L::Running(id), E::Pause) | (L::HeldAccepted(_), E::Start(id)) => {
                    Ok(L::Suspended(id))
                }
                (L::Waiting { .. } | L::Pending | L::Held { .. }, E::Cancel) => Ok(L::Failed),
                _ => impossible,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn every_state_and_event() {
        let own = ExecutionId(7);
        let other = ExecutionId(8);
        let lives = [
            TaskLife::Waiting { unmet: 2 },
            TaskLife::Waiting { unmet: 1 },
            TaskLife::Pending,
            TaskLife::Assigned(own),
            TaskLife::Accepted(own),
            TaskLife::Running(own),
            TaskLife::Held { unmet: 2 },
            TaskLife::Held { unmet: 0 },
            TaskLife::HeldAccepted(own),
            TaskLife::Suspended(own),
            TaskLife::Succeeded,
            TaskLife::Failed,
        ];
        let events = [
            TaskEvent::RequirementMet,
            TaskEvent::RequirementReopened,
            TaskEvent::Assign(own),
            TaskEvent::Accept(own),
            TaskEvent::Accept(other),
            TaskEvent::Start(own),
            TaskEvent::Start(other),
            TaskEvent::Succeed(own),
            TaskEvent::Succeed(other),
            TaskEvent::Fail(own),
            TaskEvent::Fail(other),
            TaskEvent::Requeue(own),
            TaskEvent::Requeue(other),
            TaskEvent::Cancel,
            TaskEvent::Relaunch { unmet: 0 },
            TaskEvent::Relaunch { unmet: 2 },
            TaskEvent::Adopt(own),
            TaskEvent::Pause,
            TaskEvent::Resume,
            TaskEvent::Require { unmet: 0 },
            TaskEvent::Require { unmet: 2 },
        ];
        let mut table = String::new();
        for life in lives {
            for event in events {
                let outcome =
                    life.on(event).map_or_else(|_| "-".to_owned(), |next| format!("{next:?}"));
                writeln!(table, "{life:?} + {event:?} = {outcome}").unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }
}
