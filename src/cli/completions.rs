//! `scitq completions`: what a shell needs to complete our command lines.

use clap::Args;
use clap_complete::Shell;

use super::app::{GlobalArgs, command};
use super::error::CliError;

/// Print the completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq completions bash > /etc/bash_completion.d/scitq")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub fn cmd_completions(global: &GlobalArgs, args: &CompletionsArgs) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command(), "scitq", &mut script);
    let output = global.output();
    output.bytes(&script)?;
    output.flush()?;
    Ok(0)
}
