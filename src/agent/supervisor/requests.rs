//! What the supervisor does for its agent.

use std::io;
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process_group};

use super::journal::Started;
use super::protocol::{FromSupervisor, SignalRefusal, SpawnRefusal, SpawnRequest};
use super::spawn::spawn;
use super::state::{Shared, State};
use crate::clock::SystemClock;
use crate::domain::{Clock, ExecutionId, Now};

/// Starts a command and answers.
///
/// The state is not locked while the process starts, which takes longer than
/// all the rest: the ends of other commands are told meanwhile.
pub(super) fn on_spawn(
    shared: &Arc<Shared>,
    ticks_per_second: u64,
    number: u64,
    request: &SpawnRequest,
) {
    let execution = request.execution;
    let mut state = shared.lock();
    if let Err(refusal) = prepare(&mut state, execution) {
        return answer(&mut state, &FromSupervisor::NotSpawned { number, refusal });
    }
    drop(state);
    let before = SystemClock.now();
    let outcome = spawn(request);
    let after = SystemClock.now();

    let mut state = shared.lock();
    state.starting = false;
    shared.start_over.notify_all();
    match outcome {
        Ok(pid) => {
            let at = before.wall;
            let ticks = (ticks(before, ticks_per_second), ticks(after, ticks_per_second));
            state.on_started(Started { execution, pid, ticks, at });
            let pid = pid.unsigned_abs();
            state.tell_start(&FromSupervisor::Spawned { number, pid, started_at: at });
        }
        Err(refusal) => answer(&mut state, &FromSupervisor::NotSpawned { number, refusal }),
    }
}

/// Sends a signal to the process group of a command and answers.
pub(super) fn on_signal(shared: &Arc<Shared>, number: u64, execution: ExecutionId, signal: i32) {
    // The lock is held until the signal is sent: no command is reaped
    // meanwhile, so the group is still the command's.
    let mut state = shared.lock();
    let refusal = send_signal(&state, execution, signal).err();
    answer(&mut state, &FromSupervisor::Signalled { number, refusal });
}

pub(super) fn on_list(shared: &Arc<Shared>, number: u64) {
    let mut state = shared.lock();
    let known = state.known();
    answer(&mut state, &FromSupervisor::Known { number, known });
}

/// Forgets ends. The journal says so with its next line: a supervisor that dies
/// before that tells them once more, which the agent can bear.
pub(super) fn on_forget(shared: &Arc<Shared>, executions: Vec<ExecutionId>) {
    shared.lock().on_forget(executions);
}

fn answer(state: &mut State, reply: &FromSupervisor) {
    state.tell(reply);
    state.publish();
}

/// Whether a command can be started, which is announced then.
fn prepare(state: &mut State, execution: ExecutionId) -> Result<(), SpawnRefusal> {
    if state.running.contains_key(&execution) || state.ended.contains_key(&execution) {
        return Err(SpawnRefusal::AlreadyKnown { execution });
    }
    if state.journal.is_behind() {
        let journal = |error: io::Error| SpawnRefusal::Journal { message: error.to_string() };
        state.journal.flush().map_err(journal)?;
    }
    state.starting = true;
    Ok(())
}

fn send_signal(state: &State, execution: ExecutionId, signal: i32) -> Result<(), SignalRefusal> {
    let named = Signal::from_named_raw(signal).ok_or(SignalRefusal::NoSuchSignal { signal })?;
    let group = state
        .running
        .get(&execution)
        .and_then(|started| Pid::from_raw(started.pid))
        .ok_or(SignalRefusal::NotRunning { execution })?;
    kill_process_group(group, named)
        .map_err(|error| SignalRefusal::System { message: error.to_string() })
}

/// Clock ticks since boot, as the kernel counts the start time of a process.
fn ticks(now: Now, ticks_per_second: u64) -> u64 {
    let since_boot = now.monotonic.0;
    let whole = since_boot.as_secs().saturating_mul(ticks_per_second);
    whole + u64::from(since_boot.subsec_nanos()) * ticks_per_second / 1_000_000_000
}
