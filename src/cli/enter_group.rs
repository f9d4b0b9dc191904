//! `scitq enter-group`: the first moment of a command that runs in a control
//! group. Started by the supervisor and by nobody else.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::error::{CliError, ErrorKind};
use super::output::{ColorChoice, ErrorFormat, Verbosity, Voice};
use crate::agent::supervisor::{Entry, enter};

/// Become a program in a control group
#[derive(Debug, Args)]
pub struct EnterGroupArgs {
    /// The group
    #[arg(long, value_name = "DIR")]
    group: PathBuf,
    /// What to become; without it, try only whether the group can be entered
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// As this user
    #[arg(long)]
    uid: Option<u32>,
    /// As this group of users
    #[arg(long)]
    gid: Option<u32>,
    /// The name by which the program is called, and its arguments
    #[arg(last = true)]
    words: Vec<OsString>,
}

/// Returns only where nothing was to be become, or could be: then with the exit
/// code that a shell has for it.
pub fn cmd_enter_group(args: EnterGroupArgs) -> u8 {
    let EnterGroupArgs { group, program, uid, gid, words } = args;
    let entry = Entry { group, uid, gid, program, words };
    let Err(error) = enter(&entry) else { return 0 };
    // Into the stderr of the task.
    let told = CliError::of(ErrorKind::Refused, &error);
    Voice::new(Verbosity::Normal, ColorChoice::Never).error(&told, ErrorFormat::Text);
    error.exit_code()
}
