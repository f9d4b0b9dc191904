//! Our standard input, and which option reads it.

use std::io::{self, Read};

use super::args::LaunchArgs;
use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::parse::IdsOrStdin;

/// The options that ask for it: at most one, or it is not theirs to share.
///
/// # Errors
/// Two options want to read it.
pub fn check_readers(args: &LaunchArgs) -> Result<(), CliError> {
    let from_stdin =
        |ids: &[IdsOrStdin<_>]| ids.iter().filter(|ids| matches!(ids, IdsOrStdin::Stdin)).count();
    let is_each = args.many.each;
    let reads_data = args.task.stdin.as_ref().is_some_and(|path| path == "-");
    let readers = [
        ("--each", usize::from(is_each)),
        ("--after -", from_stdin(&args.task.after)),
        ("--after-any -", from_stdin(&args.task.after_any)),
        ("--stdin -", usize::from(reads_data)),
    ];
    let named = readers.into_iter().flat_map(|(name, count)| std::iter::repeat_n(name, count));
    match named.collect::<Vec<_>>().as_slice() {
        [first, second, ..] => Err(CliError::usage(format!(
            "{first} and {second} both read standard input, and only one option can"
        ))
        .hint(
            "give the ids as arguments, --after \"$(cat FILE)\"; give data as a file, --stdin FILE",
        )),
        _ => Ok(()),
    }
}

/// All of it.
pub fn read_to_end(reader: &str) -> Result<Vec<u8>, CliError> {
    output::tell_typing(reader);
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).map_err(|error| {
        CliError::refused(format!("{reader} cannot read standard input")).caused_by(&error)
    })?;
    Ok(bytes)
}
