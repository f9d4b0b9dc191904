//! Asking before something is destroyed.

use std::fmt::Display;

use clap::Args;
use dialoguer::{Confirm, Input, Select};

use super::error::CliError;
use super::output;

/// Whether a person has agreed beforehand.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Consent {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Consent {
    /// Whether nothing has to be asked.
    #[must_use]
    pub const fn is_given(self) -> bool {
        self.yes
    }

    #[cfg(test)]
    pub const fn given() -> Self {
        Self { yes: true }
    }
}

/// Goes on only with consent.
///
/// # Errors
/// The person said no, or there is no terminal on which to ask.
pub fn confirm(consent: Consent, what: &str) -> Result<(), CliError> {
    if consent.yes {
        return Ok(());
    }
    must_have_terminal(what)?;
    match Confirm::new().with_prompt(capitalised(what)).default(false).interact_opt() {
        Ok(Some(true)) => Ok(()),
        Ok(_) => Err(nothing_done()),
        Err(error) => Err(cannot_ask(what).caused_by(&error)),
    }
}

/// Goes on only with consent, for which a word has to be typed.
///
/// # Errors
/// The person typed something else, or there is no terminal on which to ask.
pub fn confirm_by_typing(consent: Consent, what: &str, word: &str) -> Result<(), CliError> {
    if consent.yes {
        return Ok(());
    }
    must_have_terminal(what)?;
    let prompt = format!("{} Type `{word}` to do it", capitalised(what));
    match Input::<String>::new().with_prompt(prompt).allow_empty(true).interact_text() {
        Ok(typed) if typed.trim() == word => Ok(()),
        Ok(_) => Err(nothing_done()),
        Err(error) => Err(cannot_ask(what).caused_by(&error)),
    }
}

/// Which of several ways to go; the first one where a person chooses none.
///
/// # Errors
/// There is no terminal on which to ask.
pub fn choose(question: &str, ways: &[impl Display]) -> Result<usize, CliError> {
    must_have_terminal(question)?;
    match Select::new().with_prompt(question).items(ways).default(0).interact_opt() {
        Ok(Some(chosen)) => Ok(chosen),
        Ok(None) => Err(nothing_done()),
        Err(error) => Err(cannot_ask(question).caused_by(&error)),
    }
}

/// A value that a person types, or leaves as it is.
///
/// # Errors
/// There is no terminal on which to ask.
pub fn input<T>(question: &str, usual: T) -> Result<T, CliError>
where
    T: Clone + std::fmt::Display + std::str::FromStr,
    T::Err: std::fmt::Display,
{
    must_have_terminal(question)?;
    let typed = Input::<T>::new().with_prompt(question).default(usual).interact_text();
    typed.map_err(|error| cannot_ask(question).caused_by(&error))
}

fn must_have_terminal(what: &str) -> Result<(), CliError> {
    if output::can_ask() { Ok(()) } else { Err(cannot_ask_without_terminal(what)) }
}

fn cannot_ask_without_terminal(what: &str) -> CliError {
    CliError::refused(format!("cannot ask whether to {what}: this is no terminal"))
        .hint("add --yes to do it without being asked")
}

fn cannot_ask(what: &str) -> CliError {
    CliError::refused(format!("cannot ask whether to {what}"))
        .hint("add --yes to do it without being asked")
}

fn nothing_done() -> CliError {
    CliError::refused("nothing was done")
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['?']).collect()
}
