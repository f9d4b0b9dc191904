//! The thread that waits for processes to end.
//!
//! It waits for all children at once, the supervisor's own commands and what
//! the kernel hands to it when their parents die (the supervisor is a child
//! subreaper). A process that has ended is first only looked at: as long as it
//! is not reaped, its number cannot name another process group, so what it
//! left behind in its group can be killed without hitting anybody else.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group};
use wait4::try_wait4_pid;

use super::journal::Started;
use super::protocol::{EndRecord, Exit};
use super::state::{Shared, State};
use crate::clock::SystemClock;
use crate::domain::Clock;
use crate::domain::execution::ResourceUsage;

/// Ends that are collected before the first of them is told.
const BATCH: usize = 64;

/// A child that has ended and is not reaped.
enum Zombie {
    Pid(i32),
    /// There is one, and its number cannot be told.
    Unnamed,
    /// There are children, and none has ended.
    None,
    /// There are no children.
    NoChildren,
}

/// Runs as long as the supervisor does.
pub(super) fn run(shared: &Arc<Shared>) {
    loop {
        let zombie = next_zombie(WaitPidFlag::empty());
        let mut state = shared.lock();
        if matches!(zombie, Zombie::NoChildren) {
            while state.running.is_empty() {
                state = shared.wait_for_start(state);
            }
            continue;
        }
        let mut next = zombie;
        for _ in 0..BATCH {
            match next {
                Zombie::Pid(pid) if state.by_pid.contains_key(&pid) => on_end(&mut state, pid),
                // It may be the process that is being started: ask again after
                // that, for if the start fails, `spawn` itself reaps it.
                Zombie::Pid(_) | Zombie::Unnamed if state.starting => {
                    state.publish();
                    state = shared.wait_for_start(state);
                }
                Zombie::Pid(pid) => drop(try_wait4_pid(pid.unsigned_abs())),
                Zombie::Unnamed => on_unnamed_end(&mut state),
                Zombie::None | Zombie::NoChildren => break,
            }
            next = next_zombie(WaitPidFlag::WNOHANG);
        }
        state.publish();
        if state.is_blocked() || (state.agent.is_none() && state.running.is_empty()) {
            shared.wake();
        }
    }
}

/// Looks for a child that has ended, and with the flag `WNOHANG` waits for none.
fn next_zombie(flag: WaitPidFlag) -> Zombie {
    loop {
        return match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | flag) {
            Ok(WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..)) => {
                Zombie::Pid(pid.as_raw())
            }
            Ok(_) => Zombie::None,
            Err(Errno::EINTR) => continue,
            Err(Errno::ECHILD) => Zombie::NoChildren,
            // `nix` cannot name the signals for real time.
            Err(_) => Zombie::Unnamed,
        };
    }
}

/// A command's main process has ended: kills what it left in its process
/// group, reaps it and records the end.
fn on_end(state: &mut State, pid: i32) {
    let Some(started) =
        state.by_pid.get(&pid).and_then(|execution| state.running.get(execution)).copied()
    else {
        return;
    };
    if let Some(group) = Pid::from_raw(pid) {
        // The dead leader itself is in the group, so this finds somebody;
        // a member that changed its user may be out of reach.
        if let Err(error) = kill_process_group(group, Signal::KILL) {
            tracing::warn!(%error, pid, "cannot kill what a command left behind");
        }
    }
    match try_wait4_pid(pid.unsigned_abs()) {
        Ok(Some(end)) => state.on_ended(end_of(&started, end.status, &end.rusage)),
        Ok(None) => {}
        Err(error) => {
            tracing::error!(%error, pid, "a command was reaped by somebody else");
            state.on_ended(lost(&started));
        }
    }
}

/// Some child was ended by a signal whose number cannot be told, and so
/// neither can the child's: asks for each command in turn.
fn on_unnamed_end(state: &mut State) {
    let pids: Vec<i32> = state.by_pid.keys().copied().collect();
    let named = pids.into_iter().find(|pid| {
        let id = Id::Pid(nix::unistd::Pid::from_raw(*pid));
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
        !matches!(waitid(id, flags), Ok(WaitStatus::StillAlive))
    });
    if let Some(pid) = named {
        return on_end(state, pid);
    }
    // An orphan, but a command may end this very moment.
    let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) else { return };
    let execution = state.by_pid.get(&pid.as_raw_nonzero().get());
    if let Some(started) = execution.and_then(|execution| state.running.get(execution)).copied() {
        let exit = exit_of(ExitStatus::from_raw(status.as_raw()));
        state.on_ended(EndRecord { exit, ..lost(&started) });
    }
}

fn end_of(started: &Started, status: ExitStatus, usage: &wait4::ResourceUsage) -> EndRecord {
    let usage = ResourceUsage {
        user_seconds: usage.utime.as_secs_f64(),
        system_seconds: usage.stime.as_secs_f64(),
        peak_memory_bytes: usage.maxrss,
    };
    EndRecord { exit: exit_of(status), usage, ..lost(started) }
}

fn exit_of(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Lost,
    }
}

/// The end of a command of which nothing is known but that it is over.
pub(super) fn lost(started: &Started) -> EndRecord {
    EndRecord {
        execution: started.execution,
        exit: Exit::Lost,
        usage: ResourceUsage::default(),
        started_at: started.at,
        ended_at: SystemClock.now().wall,
    }
}
