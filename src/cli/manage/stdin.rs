//! Ids that come on standard input, as another command prints them.

use std::fmt::Display;
use std::io::{self, Read};
use std::str::FromStr;

use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::parse::IdList;

/// All ids on standard input, to its end.
///
/// # Errors
/// It has something else than ids, or none.
pub fn ids<T>() -> Result<Vec<T>, CliError>
where
    T: FromStr,
    T::Err: Display,
{
    output::tell_typing("`-`");
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text).map_err(|error| {
        CliError::refused("cannot read ids from standard input").caused_by(&error)
    })?;
    parse(&text)
}

fn parse<T>(text: &str) -> Result<Vec<T>, CliError>
where
    T: FromStr,
    T::Err: Display,
{
    if text.trim().is_empty() {
        return Err(CliError::refused("no id came on standard input")
            .hint("the command before it in the pipe told none: see what it said"));
    }
    let list: Result<IdList<T>, String> = text.parse();
    list.map(|list| list.0)
        .map_err(|error| CliError::usage(format!("standard input is no list of ids: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TaskId;

    #[test]
    fn ids_come_one_a_line_or_with_commas() {
        assert_eq!(parse("1\n2,3\r\n\n4 5"), Ok([1, 2, 3, 4, 5].map(TaskId).to_vec()));
        assert_eq!(parse::<TaskId>(" \n").unwrap_err().to_string(), "no id came on standard input");
        let error = parse::<TaskId>("1\nerror").unwrap_err();
        assert_eq!(error.to_string(), "standard input is no list of ids: `error` is no id");
    }
}
