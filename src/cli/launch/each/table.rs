//! Splitting a line into columns.

use std::str::FromStr;

use super::records::shown;
use super::{EachError, Place};

/// What stands between two columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiter(char);

impl Delimiter {
    /// A tab where the header has one, else a comma.
    #[must_use]
    pub fn of_header(header: &str) -> Self {
        Self(if header.contains('\t') { '\t' } else { ',' })
    }

    /// Whether columns may be in double quotes: in the files that spreadsheets
    /// write, and not in those with tabs, where a quote is a character.
    const fn has_quotes(self) -> bool {
        matches!(self.0, ',' | ';')
    }
}

impl FromStr for Delimiter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "tab" | "\\t" => return Ok(Self('\t')),
            "comma" => return Ok(Self(',')),
            "space" => return Ok(Self(' ')),
            _ => {}
        }
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some('"' | '\n' | '\0'), None) => Err("it cannot stand between columns".to_owned()),
            (Some(character), None) => Ok(Self(character)),
            _ => Err("write one character, or tab, comma or space".to_owned()),
        }
    }
}

/// The columns of a line.
///
/// # Errors
/// A quote is not closed, or does not end its column.
pub fn split_fields(
    line: &str,
    delimiter: Delimiter,
    place: Place,
) -> Result<Vec<String>, EachError> {
    if !delimiter.has_quotes() {
        return Ok(line.split(delimiter.0).map(str::to_owned).collect());
    }
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, behind) = match rest.strip_prefix('"') {
            Some(quoted) => read_quoted(quoted, line, place)?,
            None => {
                let end = rest.find(delimiter.0).unwrap_or(rest.len());
                let (field, behind) = rest.split_at(end);
                (field.to_owned(), behind)
            }
        };
        fields.push(field);
        if behind.is_empty() {
            return Ok(fields);
        }
        rest = behind
            .strip_prefix(delimiter.0)
            .ok_or_else(|| EachError::TextBehindQuote { place, shown: shown(line) })?;
    }
}

/// A column whose opening quote was read, and what stands behind it.
fn read_quoted<'a>(
    quoted: &'a str,
    line: &str,
    place: Place,
) -> Result<(String, &'a str), EachError> {
    let mut field = String::new();
    let mut rest = quoted;
    while let Some((before, behind)) = rest.split_once('"') {
        field.push_str(before);
        match behind.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Ok((field, behind)),
        }
    }
    Err(EachError::OpenQuote { place, shown: shown(line) })
}

#[cfg(test)]
mod tests {
    use super::super::Separator;
    use super::*;

    fn split(line: &str, delimiter: &str) -> Result<Vec<String>, EachError> {
        let place = Place { separator: Separator::Newline, number: 1 };
        split_fields(line, delimiter.parse().unwrap(), place)
    }

    #[test]
    fn columns_may_be_quoted_where_commas_part_them() {
        assert_eq!(split("a,,b ,\"\"", ",").unwrap(), ["a", "", "b ", ""]);
        assert_eq!(split("\"a,\"\"b\"\"\",c\"d", ",").unwrap(), ["a,\"b\"", "c\"d"]);
        assert_eq!(split("a\t\"b\tc", "tab").unwrap(), ["a", "\"b", "c"]);
        assert_eq!(split("a:b", ":").unwrap(), ["a", "b"]);
        assert_eq!(split("é", ",").unwrap(), ["é"]);
    }

    #[test]
    fn a_quote_that_does_not_fit_is_an_error() {
        let open = split("a,\"b", ",").unwrap_err();
        assert_eq!(
            open.to_string(),
            "line 1 of standard input has a quote that is not closed: \"a,\\\"b\""
        );
        assert!(matches!(split("\"a\"b,c", ","), Err(EachError::TextBehindQuote { .. })));
    }

    #[test]
    fn a_delimiter_is_one_character_or_has_a_name() {
        assert_eq!("\\t".parse(), Ok(Delimiter('\t')));
        assert_eq!(";".parse(), Ok(Delimiter(';')));
        assert!("::".parse::<Delimiter>().is_err());
        assert!("".parse::<Delimiter>().is_err());
    }
}
