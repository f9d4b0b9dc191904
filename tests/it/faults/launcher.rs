//! A person who queues tasks and remembers what the server acknowledged.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use super::chance::pass;
use crate::harness::{Ran, Server};

/// What a task does beside writing to the ledger and to its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Quick,
    /// It takes a while.
    Nap,
    /// It writes much.
    Big,
    /// It runs until there is a file `go`.
    Wait,
}

/// Whether the results of a task are sent to a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sends {
    Nothing,
    Results,
}

/// What was queued in one request.
#[derive(Debug, Clone)]
pub struct Order {
    pub modes: Vec<Mode>,
    pub sends: Sends,
}

/// A task that was acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Queued {
    pub mode: Mode,
    pub sends: Sends,
}

/// Acknowledged tasks by id.
pub type Acknowledged = BTreeMap<u64, Queued>;

/// All that is needed to call `scitq launch`, wherever the server is meanwhile.
#[derive(Debug, Clone)]
pub struct Launcher {
    program: OsString,
    variables: Vec<(OsString, OsString)>,
    folder: PathBuf,
    /// Tells the launches of several launchers apart.
    name: &'static str,
}

/// Parts of a `Big` task's output, and their length.
pub const BIG: (usize, usize) = (120, 4_000);
pub const SMALL: (usize, usize) = (4, 300);

impl Launcher {
    /// Over another address than the server's own, if one is named.
    pub fn new(server: &Server, name: &'static str, address: Option<&str>) -> Self {
        let template = server.command(&[]);
        let mut variables: Vec<(OsString, OsString)> = template
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect();
        if let Some(address) = address {
            variables.retain(|(name, _)| name != "SCITQ_SERVER");
            variables.push(("SCITQ_SERVER".into(), format!("http://{address}").into()));
        }
        let folder = server.path().to_owned();
        write_script(&folder);
        Self { program: template.get_program().to_owned(), variables, folder, name }
    }

    /// Queues tasks in one request; none when that was not acknowledged.
    pub fn launch(&self, number: usize, order: &Order) -> Option<Acknowledged> {
        let lines: Vec<&str> = order.modes.iter().map(|mode| mode.word()).collect();
        let input = self.folder.join(format!("{}-lines", self.name));
        fs::write(&input, lines.join("\n")).unwrap();
        let mut command = Command::new(&self.program);
        command
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(File::open(input).unwrap())
            .args(["launch", "--each", "--name", &format!("{}{number}-{{#}}", self.name)]);
        if order.sends == Sends::Results {
            let uri = format!("file://{}/", self.folder.join("results").display());
            command.args(["--output", &uri]);
        }
        command.args(["--", "sh"]).arg(self.folder.join("task.sh")).arg("{}");
        let ran = Ran::of(command);
        if !ran.status.success() {
            // The server was away. Whether it had taken the request is not known.
            let expected = [Some(69), Some(75)].contains(&ran.status.code());
            assert!(expected, "launch failed otherwise than for want of a server: {ran}");
            return None;
        }
        let ids: Vec<u64> = ran.text().lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(ids.len(), order.modes.len(), "{ran}");
        let queued = order.modes.iter().map(|mode| Queued { mode: *mode, sends: order.sends });
        Some(ids.into_iter().zip(queued).collect())
    }

    /// Queues all of the orders one after the other, in a thread of its own, each
    /// as often as it takes to have it acknowledged.
    pub fn start(self, orders: Vec<Order>) -> JoinHandle<Acknowledged> {
        std::thread::spawn(move || {
            let mut all = Acknowledged::new();
            let mut number = 0;
            for order in orders {
                loop {
                    number += 1;
                    if let Some(acknowledged) = self.launch(number, &order) {
                        all.extend(acknowledged);
                        break;
                    }
                    pass(Duration::from_millis(50));
                }
            }
            all
        })
    }
}

impl Mode {
    const fn word(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Nap => "nap",
            Self::Big => "big",
            Self::Wait => "wait",
        }
    }

    /// What a task of this mode writes to stdout.
    pub fn stdout(self, task: u64, attempt: u64) -> String {
        let (parts, width) = if self == Self::Big { BIG } else { SMALL };
        let mut text = String::new();
        for part in 1..=parts {
            writeln!(text, "{task} {attempt} {part:0width$}").unwrap();
        }
        writeln!(text, "last of {task}").unwrap();
        text
    }
}

/// Orders for so many tasks of mixed modes.
pub fn mixed(tasks: usize, in_one: usize) -> Vec<Order> {
    let modes: Vec<Mode> = (0..tasks)
        .map(|number| match number % 40 {
            7 | 23 => Mode::Nap,
            11 => Mode::Big,
            _ => Mode::Quick,
        })
        .collect();
    let sends = [Sends::Nothing, Sends::Results, Sends::Nothing];
    modes
        .chunks(in_one)
        .zip(sends.iter().cycle())
        .map(|(modes, sends)| Order { modes: modes.to_vec(), sends: *sends })
        .collect()
}

/// The command of all tasks. Its dates are those of the system and of no process.
fn write_script(folder: &Path) {
    let (ledger, go) = (folder.join("ledger"), folder.join("go"));
    let (ledger, go) = (ledger.display(), go.display());
    let ((small, short), (big, long)) = (SMALL, BIG);
    let text = format!(
        "word() {{ read -r at rest </proc/uptime; \
             echo \"$1 $SCITQ_TASK_ID $SCITQ_EXECUTION_ID $SCITQ_ATTEMPT $at\" >>{ledger}; }}
         word S
         parts={small} width={short}
         if [ \"$1\" = big ]; then parts={big} width={long}; fi
         part=0
         while [ $part -lt $parts ]; do
             part=$((part + 1))
             printf \"%s %s %0${{width}}d\\n\" $SCITQ_TASK_ID $SCITQ_ATTEMPT $part
         done
         echo \"stderr of $SCITQ_TASK_ID\" >&2
         case $1 in
             nap) sleep 0.3 ;;
             wait) until [ -e {go} ]; do sleep 0.05; done ;;
         esac
         if [ -d \"$OUTPUT\" ]; then echo $SCITQ_ATTEMPT >$OUTPUT/$SCITQ_TASK_ID.$SCITQ_ATTEMPT; fi
         echo \"last of $SCITQ_TASK_ID\"
         word E
"
    );
    // In one step, and once: shells read it while they run.
    let script = folder.join("task.sh");
    if !script.exists() {
        let draft = folder.join("task.sh.new");
        fs::write(&draft, text).unwrap();
        fs::rename(draft, script).unwrap();
    }
}
