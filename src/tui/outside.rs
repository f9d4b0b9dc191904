//! The user's other programs: editor, pager, ssh, and the shell that Ctrl-Z
//! goes back to.

use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, kill_current_process_group};

use super::effects::save_stream;
use crate::api::Client;
use crate::domain::execution::Stream;
use crate::domain::{ExecutionId, TaskId};

/// Programs as the environment names them, each with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    pub editor: String,
    pub pager: String,
}

impl Default for Programs {
    fn default() -> Self {
        Self { editor: "vi".to_owned(), pager: "less -R".to_owned() }
    }
}

/// Lets the user's editor work on a text. The terminal must have been given back.
pub(super) fn edit(programs: &Programs, task: TaskId, text: &str) -> Result<String, String> {
    let folder = tempfolder()?;
    let path = folder.join(format!("task-{task}.toml"));
    let told = |error: std::io::Error| format!("cannot use {}: {error}", path.display());
    std::fs::write(&path, text).map_err(told)?;
    let ran = run_program(&programs.editor, &path);
    let edited = std::fs::read_to_string(&path).map_err(told);
    // Left behind, it would be a file in the folder for temporary ones.
    let _ = std::fs::remove_dir_all(&folder);
    ran?;
    let edited = edited?;
    if edited == text { Err("nothing was changed".to_owned()) } else { Ok(edited) }
}

/// Shows a whole stream in the user's pager.
pub(super) async fn page(
    client: &Client,
    programs: &Programs,
    execution: ExecutionId,
    stream: Stream,
) -> Result<(), String> {
    let folder = tempfolder()?;
    let path = folder.join(format!("execution-{execution}.{stream}"));
    let saved = save_stream(client, execution, stream, &path).await;
    let ran = saved.and_then(|_| run_program(&programs.pager, &path));
    let _ = std::fs::remove_dir_all(&folder);
    ran
}

/// Opens a shell on another machine.
pub(super) fn shell(host: &str) -> Result<(), String> {
    if host.is_empty() || host.starts_with('-') {
        return Err(format!("`{host}` is no host"));
    }
    let status = Command::new("ssh").arg(host).status();
    match status {
        Ok(status) if status.code() == Some(255) => Err(format!("ssh could not reach {host}")),
        Ok(_) => Ok(()),
        Err(error) => Err(format!("cannot start ssh: {error}")),
    }
}

/// Stops until the shell lets us go on.
pub(super) fn stop_here() {
    // All of the group, as the terminal itself would do it. Refused, we go on.
    let _ = kill_current_process_group(Signal::STOP);
}

fn run_program(line: &str, file: &Path) -> Result<(), String> {
    let words = shlex::split(line).unwrap_or_default();
    let Some((program, arguments)) = words.split_first() else {
        return Err("no program is named".to_owned());
    };
    let status = Command::new(program).args(arguments).arg(file).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} ended with {status}")),
        Err(error) => Err(format!("cannot start {program}: {error}")),
    }
}

/// A folder that only this user can look into.
fn tempfolder() -> Result<std::path::PathBuf, String> {
    use std::os::unix::fs::DirBuilderExt;
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).map_err(|error| format!("no random numbers: {error}"))?;
    let name = format!("scitq-{:016x}", u64::from_be_bytes(bits));
    let path = std::env::temp_dir().join(name);
    let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
    made.map_err(|error| format!("cannot make {}: {error}", path.display()))?;
    Ok(path)
}
