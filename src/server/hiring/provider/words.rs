//! Words for a shell.

use std::borrow::Cow;

/// As one word of a shell. What no shell takes, NUL, is left out.
#[must_use]
pub fn quote(text: &str) -> Cow<'_, str> {
    let Ok(quoted) = shlex::try_quote(text) else {
        let without: String = text.chars().filter(|letter| *letter != '\0').collect();
        return Cow::Owned(format!("'{}'", without.replace('\'', r"'\''")));
    };
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_what_it_was() {
        for text in ["", "a b", "it's", "$HOME `id` \"x\" \\", "a\nb"] {
            assert_eq!(shlex::split(&quote(text)).unwrap(), [text]);
        }
        assert_eq!(shlex::split(&quote("a\0'b")).unwrap(), ["a'b"]);
    }
}
