//! What the units for systemd share.

use crate::cli::error::CliError;

/// A word of a unit, of which systemd changes nothing.
pub fn word(text: &str) -> Result<String, String> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@[]".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    Err("in a unit it may have letters, digits and any of -_./:@[]".to_owned())
}

/// The path of this program.
pub fn program() -> Result<String, CliError> {
    let path = std::env::current_exe()
        .map_err(|error| CliError::internal("cannot find this program").caused_by(&error))?;
    word(&path.to_string_lossy()).map_err(|reason| {
        CliError::configuration(format!("`{}` cannot be in a unit: {reason}", path.display()))
            .hint("install scitq in another place, such as /usr/local/bin")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_unit_are_plain() {
        for text in ["0.0.0.0:5000", "[::]:5000", "ssh://ada@head", "/srv/scitq"] {
            assert_eq!(word(text).as_deref(), Ok(text));
        }
        for text in ["", "a b", "a%h", "$x", "a\nUser=root", "a;b"] {
            assert!(word(text).is_err(), "{text}");
        }
    }
}
