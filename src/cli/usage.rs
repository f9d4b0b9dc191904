//! What the argument parser finds wrong, told as every other error is.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::app::command;
use super::error::CliError;

/// The error of a command line that cannot be understood.
#[must_use]
pub fn usage_error(error: &clap::Error, arguments: &[OsString]) -> CliError {
    let (mut named, path) = named_command(arguments);
    let mut told = CliError::usage(message(error));
    let suggestions =
        [ContextKind::SuggestedArg, ContextKind::SuggestedValue, ContextKind::SuggestedSubcommand];
    for suggestion in suggestions.into_iter().filter_map(|kind| context(error, kind)) {
        told = told.hint(format!("did you mean `{suggestion}`?"));
    }
    if let Some(values) = context(error, ContextKind::ValidValue) {
        told = told.hint(format!("one of {values}"));
    }
    let is_launch = path.last().is_some_and(|name| name == "launch");
    if is_launch && error.kind() == ErrorKind::UnknownArgument {
        told = told.hint("a command that begins with `-` needs `--` in front of it");
    }
    let help = format!("`{} --help` tells more", path.join(" "));
    if error.kind() != ErrorKind::MissingRequiredArgument {
        return told.hint(help);
    }
    let usage = named.render_usage().to_string();
    told.hint(format!("write {}; {help}", usage.trim_start_matches("Usage: ")))
}

fn message(error: &clap::Error) -> String {
    let argument = context(error, ContextKind::InvalidArg).map(|text| plain(&text));
    let argument = argument.unwrap_or_default();
    let value = context(error, ContextKind::InvalidValue);
    match (error.kind(), value) {
        (ErrorKind::UnknownArgument, _) if argument.starts_with('-') => {
            format!("unknown option `{argument}`")
        }
        (ErrorKind::UnknownArgument, _) => format!("`{argument}` is one argument too many"),
        (ErrorKind::InvalidSubcommand, _) => {
            let name = context(error, ContextKind::InvalidSubcommand);
            format!("unknown command `{}`", name.unwrap_or_default())
        }
        (ErrorKind::InvalidValue, None) => format!("{argument} needs a value"),
        (ErrorKind::InvalidValue, Some(value)) => format!("{argument} cannot be `{value}`"),
        (ErrorKind::ValueValidation, value) => {
            let reason = std::error::Error::source(error).map(ToString::to_string);
            let reason = reason.unwrap_or_default();
            match value {
                Some(value) => format!("{argument} cannot be `{value}`: {reason}"),
                None => format!("{argument} cannot be empty: {reason}"),
            }
        }
        (ErrorKind::MissingRequiredArgument, _) => format!("{argument} is missing"),
        (ErrorKind::ArgumentConflict, _) => match context(error, ContextKind::PriorArg) {
            Some(other) if plain(&other) != argument => {
                format!("{argument} cannot go with {}", plain(&other))
            }
            _ => format!("{argument} is given twice"),
        },
        _ => first_line(error),
    }
}

/// A part of the error's context as text; none where it is empty.
fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    let text = match error.get(kind)? {
        ContextValue::String(text) => text.clone(),
        ContextValue::Strings(texts) => texts.join(", "),
        ContextValue::StyledStr(text) => text.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// An argument as people name it: `--after <ID>` is `--after`, and
/// `<ID|--name <NAME>>` is `ID, --name`.
fn plain(argument: &str) -> String {
    let alternatives = argument.split('|').map(|one| {
        let first = one.trim_start_matches(['<', '[']).split([' ', '=']).next().unwrap_or(one);
        first.trim_end_matches(['>', ']', '.', '[']).to_owned()
    });
    alternatives.collect::<Vec<_>>().join(" or ")
}

/// The subcommand that the arguments name, and the words that name it.
fn named_command(arguments: &[OsString]) -> (Command, Vec<String>) {
    let mut named = command();
    named.build();
    let mut path = vec![named.get_name().to_owned()];
    for word in arguments.iter().skip(1).filter_map(|word| word.to_str()) {
        if word == "--" {
            break;
        }
        if let Some(subcommand) = named.find_subcommand(word).cloned() {
            path.push(word.to_owned());
            named = subcommand;
        }
    }
    (named, path)
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_plain_names() {
        assert_eq!(plain("--after <ID>"), "--after");
        assert_eq!(plain("--shell[=<SHELL>]"), "--shell");
        assert_eq!(plain("[ID]..."), "ID");
        assert_eq!(plain("<COMMAND>..."), "COMMAND");
        assert_eq!(plain("<ID|--id <ID>|--name <NAME>>"), "ID or --id or --name");
    }
}
