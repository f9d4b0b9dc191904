//! The URIs of options that change something.

use crate::cli::error::CliError;
use crate::cli::launch::{checked_uri, split_uris};

/// The URIs of a repeatable option, as `scitq launch` reads them.
///
/// # Errors
/// One of them is none.
pub fn read_uris(option: &str, values: &[String]) -> Result<Vec<String>, CliError> {
    let uris = values.iter().flat_map(|value| split_uris(value));
    uris.map(|uri| checked_uri(option, uri)).collect()
}
