//! Asking before something is destroyed.

use clap::Args;
use dialoguer::Confirm;

use super::error::CliError;
use super::output;

/// Whether a person has agreed beforehand.
#[derive(Debug, Clone, Copy, Args)]
pub struct Consent {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Goes on only with consent.
///
/// # Errors
/// The person said no, or there is no terminal on which to ask.
pub fn confirm(consent: Consent, what: &str) -> Result<(), CliError> {
    if consent.yes {
        return Ok(());
    }
    if !output::can_ask() {
        return Err(CliError::refused(format!(
            "cannot ask whether to {what}: this is no terminal"
        ))
        .hint("add --yes to do it without being asked"));
    }
    match Confirm::new().with_prompt(capitalised(what)).default(false).interact_opt() {
        Ok(Some(true)) => Ok(()),
        Ok(_) => Err(CliError::refused("nothing was done")),
        Err(error) => Err(CliError::refused(format!("cannot ask whether to {what}"))
            .caused_by(&error)
            .hint("add --yes to do it without being asked")),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['?']).collect()
}
