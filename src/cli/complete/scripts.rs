//! `scitq completions`: what a shell needs to complete our command lines.

use clap::{Args, ValueEnum};

use crate::cli::app::GlobalArgs;
use crate::cli::error::CliError;

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  scitq completions bash >/etc/bash_completion.d/scitq
  scitq completions zsh >/usr/local/share/zsh/site-functions/_scitq
  scitq completions fish >~/.config/fish/completions/scitq.fish
  source <(scitq completions bash)

Commands and options are completed, and from the server ids of tasks, workers
and executions, and names of batches. A server that does not answer at once is
not waited for.")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// A shell that scitq knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    const fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("scitq.bash"),
            Self::Zsh => include_str!("scitq.zsh"),
            Self::Fish => include_str!("scitq.fish"),
        }
    }
}

pub fn cmd_completions(global: &GlobalArgs, args: &CompletionsArgs) -> Result<u8, CliError> {
    let output = global.output();
    output.bytes(args.shell.script().as_bytes())?;
    output.flush()?;
    Ok(0)
}
