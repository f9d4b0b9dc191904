//! The agent's state machine: [`AgentState::on`] takes what happened and says
//! what is to be done, without doing anything itself.
//!
//! An execution's way: restored or ordered → downloading → ready → starting →
//! running → ending (upload, rest of the output) → reported → gone. The rules
//! that keep two workers from running the same task are all in here:
//! - nothing starts before the server has acknowledged that this agent has it,
//!   nor when the last word from the server is too old ([`lease`]);
//! - nothing is uploaded before the server has acknowledged that this
//!   execution is still the active one;
//! - nothing is killed but on a verdict or a time limit;
//! - what is held back does not start, and what is suspended keeps its slot and
//!   uses up none of its time;
//! - what ended is kept until the server has acknowledged the end.
//!
//! While there is no link nothing is queued for it: what the server has to
//! know follows from the state, and is told after the next welcome.

mod commands;
mod control;
mod edits;
mod effect;
mod event;
mod eviction;
mod execution;
mod lease;
mod orders;
mod orphans;
mod record;
mod reports;
mod resend;
mod restore;
mod reuse;
mod slots;
mod state;
mod transfers;
mod verdicts;
mod welcome;

pub use effect::{Effect, Files, Ground, Secret, Standing};
pub use event::{
    CommandEnd, CommandState, Culprit, Event, Exit, NotStarted, Reuse, ReusePlace, TransferFailure,
};
pub use execution::{Order, StopReason};
pub use record::Record;
pub use state::{AgentState, Limits, UnaskedTerm};

#[cfg(test)]
mod tests;
