//! After a supervisor that died: finds what is left of its commands, and ends it.
//!
//! A process id alone proves nothing, since ids are used again. What was
//! started belongs to the dead supervisor when it was this boot of the
//! machine, this namespace of process ids, and either the process of that id
//! began at the time that the journal has, or it is a process of that group
//! in the dead supervisor's session. (The kernel does not give a number away
//! while it still names a group or a session.)

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};

use super::journal::{Opened, Started};

/// How long killed processes may take to vanish. One that waits for a dead
/// disk takes longer than anybody can wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks at processes that are to vanish.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// A process, as `/proc/PID/stat` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: i32,
    group: i32,
    pub(super) session: i32,
    /// Clock ticks since boot.
    started: u64,
    /// Dead, and not waited for.
    zombie: bool,
}

/// Names this boot of the machine and this namespace of process ids: process
/// ids of another one mean nothing here.
///
/// # Errors
/// `/proc` is not there.
pub(super) fn boot() -> io::Result<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let namespace = fs::read_link("/proc/self/ns/pid")?;
    Ok(format!("{} {}", boot.trim_end(), namespace.display()))
}

/// Kills what is left of these commands and waits until it is gone.
///
/// # Errors
/// `/proc` cannot be read, or something would not die in time.
pub(super) fn kill_leftovers(unended: &[(Started, Opened)], boot: &str) -> io::Result<()> {
    let candidates: Vec<&(Started, Opened)> =
        unended.iter().filter(|(_, opened)| opened.boot == boot).collect();
    if candidates.is_empty() {
        return Ok(());
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        let processes = list_processes()?;
        let alive: Vec<i32> = candidates
            .iter()
            .filter(|(started, opened)| {
                processes.iter().any(|process| is_of(*process, started, opened))
            })
            .map(|(started, _)| started.pid)
            .collect();
        if alive.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let message = format!("process groups {alive:?} do not die");
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        for group in alive.into_iter().filter_map(Pid::from_raw) {
            match kill_process_group(group, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let nothing: &mut [PollFd<'_>] = &mut [];
        poll(nothing, Timespec::try_from(LOOK_AGAIN).ok().as_ref())?;
    }
}

fn is_of(process: Process, started: &Started, opened: &Opened) -> bool {
    if process.zombie || process.group != started.pid {
        return false;
    }
    if process.pid == started.pid {
        return (started.ticks.0..=started.ticks.1).contains(&process.started);
    }
    process.session == opened.session && process.started >= started.ticks.0
}

pub(super) fn list_processes() -> io::Result<Vec<Process>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // A process may be gone since the folder was read.
        if let Ok(stat) = fs::read(format!("/proc/{pid}/stat"))
            && let Some(process) = parse_stat(pid, &stat)
        {
            processes.push(process);
        }
    }
    Ok(processes)
}

/// Reads a line of `/proc/PID/stat` (see proc(5)). The second field is a name
/// in parentheses that may itself have any byte, so counting begins after the
/// last parenthesis.
fn parse_stat(pid: i32, stat: &[u8]) -> Option<Process> {
    let end_of_name = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end_of_name + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let group = fields.nth(1)?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    let started = fields.nth(15)?.parse().ok()?;
    Some(Process { pid, group, session, started, zombie: matches!(state, "Z" | "X") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ExecutionId, Timestamp};

    const STAT: &[u8] =
        b"77 (a) b) c) S 3 75 74 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 152215 3133440 390";

    #[test]
    fn a_name_with_parentheses_shifts_no_field() {
        let process = parse_stat(77, STAT).unwrap();
        let expected = Process { pid: 77, group: 75, session: 74, started: 152_215, zombie: false };
        assert_eq!(process, expected);
        assert_eq!(parse_stat(1, b"1 (x"), None);
    }

    #[test]
    fn the_own_process_is_listed_with_its_start() {
        let own = i32::try_from(std::process::id()).unwrap();
        let processes = list_processes().unwrap();
        assert!(processes.iter().any(|process| process.pid == own && process.started > 0));
    }

    #[test]
    fn only_the_very_process_and_its_group_are_taken() {
        let started =
            Started { execution: ExecutionId(1), pid: 50, ticks: (100, 101), at: Timestamp(0) };
        let opened = Opened { boot: "b".to_owned(), session: 40 };
        let leader = Process { pid: 50, group: 50, session: 40, started: 101, zombie: false };
        let child = Process { pid: 60, started: 300, ..leader };
        assert!(is_of(leader, &started, &opened));
        assert!(is_of(child, &started, &opened));
        assert!(!is_of(Process { zombie: true, ..leader }, &started, &opened));
        assert!(!is_of(Process { started: 102, ..leader }, &started, &opened));
        assert!(!is_of(Process { session: 50, ..child }, &started, &opened));
        assert!(!is_of(Process { group: 51, ..child }, &started, &opened));
    }
}
