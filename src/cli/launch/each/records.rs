//! Reading the lines: which of them are tasks, and what stands in them.

use super::table::{Delimiter, split_fields};
use super::{Columns, EachError, Place};

/// What ends a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    Newline,
    /// For names with newlines in them, as `find -print0` writes them.
    Nul,
}

/// What is in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineForm {
    /// A text of its own.
    Whole,
    /// Columns that are known by their numbers.
    Columns(Delimiter),
    /// Columns that the first line names. Without a delimiter: a tab where the
    /// header has one, else a comma.
    Header(Option<Delimiter>),
}

/// One line that becomes one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The how manieth task it is, from 1.
    pub number: usize,
    /// Where it was read.
    pub place: Place,
    pub text: String,
    /// Empty unless there are columns.
    pub fields: Vec<String>,
}

/// All lines that become tasks, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Records {
    pub columns: Columns,
    pub items: Vec<Item>,
}

impl Item {
    /// What fills in words without placeholders.
    #[must_use]
    pub const fn none() -> Self {
        let place = Place { separator: Separator::Newline, number: 0 };
        Self { number: 0, place, text: String::new(), fields: Vec::new() }
    }
}

/// Reads all of them, or none. Blank lines are no records.
///
/// # Errors
/// The first line that cannot be one.
pub fn read_records(
    bytes: &[u8],
    separator: Separator,
    form: LineForm,
) -> Result<Records, EachError> {
    let mut lines = texts(bytes, separator)?.into_iter();
    let (columns, delimiter) = match form {
        LineForm::Whole => (Columns::None, None),
        LineForm::Columns(delimiter) => (Columns::Numbered, Some(delimiter)),
        LineForm::Header(delimiter) => match lines.next() {
            Some((place, text)) => {
                let delimiter = delimiter.unwrap_or_else(|| Delimiter::of_header(text));
                (read_header(split_fields(text, delimiter, place)?)?, Some(delimiter))
            }
            None => (Columns::Named(Vec::new()), None),
        },
    };
    let items = lines.enumerate().map(|(position, (place, text))| {
        let fields = match delimiter {
            Some(delimiter) => split_fields(text, delimiter, place)?,
            None => Vec::new(),
        };
        if let Columns::Named(names) = &columns
            && names.len() != fields.len()
        {
            let (found, expected) = (fields.len(), names.len());
            return Err(EachError::ColumnCount { place, found, expected });
        }
        Ok(Item { number: position + 1, place, text: text.to_owned(), fields })
    });
    let items = items.collect::<Result<Vec<Item>, EachError>>()?;
    Ok(Records { columns, items })
}

fn read_header(names: Vec<String>) -> Result<Columns, EachError> {
    for (position, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Err(EachError::NamelessColumn { position: position + 1 });
        }
        if names.iter().take(position).any(|other| other == name) {
            return Err(EachError::NamesakeColumns { name: name.clone() });
        }
    }
    Ok(Columns::Named(names))
}

/// The lines that are not blank, as text.
fn texts(bytes: &[u8], separator: Separator) -> Result<Vec<(Place, &str)>, EachError> {
    const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
    let end = match separator {
        Separator::Newline => b'\n',
        Separator::Nul => 0,
    };
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let pieces = bytes.strip_suffix(&[end]).unwrap_or(bytes).split(|byte| *byte == end);
    let mut lines = Vec::new();
    for (position, piece) in pieces.enumerate() {
        let place = Place { separator, number: position + 1 };
        if piece.contains(&0) {
            return Err(EachError::Nul { place });
        }
        let text = std::str::from_utf8(piece).map_err(|_| {
            let shown = shown(&String::from_utf8_lossy(piece));
            EachError::NotText { place, shown }
        })?;
        let is_blank = match separator {
            Separator::Newline => text.trim().is_empty(),
            Separator::Nul => text.is_empty(),
        };
        if !is_blank {
            lines.push((place, text));
        }
    }
    // A file from Windows: no line of it means the CR at its end.
    if separator == Separator::Newline && lines.iter().all(|(_, text)| text.ends_with('\r')) {
        for (_, text) in &mut lines {
            *text = text.strip_suffix('\r').unwrap_or(text);
        }
    }
    Ok(lines)
}

/// The beginning of a line, for an error.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut start: String = text.chars().take(MOST).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8], separator: Separator) -> Result<Vec<String>, EachError> {
        let records = read_records(bytes, separator, LineForm::Whole)?;
        Ok(records.items.into_iter().map(|item| item.text).collect())
    }

    #[test]
    fn lines_are_taken_as_they_are_and_blank_ones_left_out() {
        let lines = whole(b"a b\n\n  \t\n 'c' \nd\re\n$e", Separator::Newline).unwrap();
        assert_eq!(lines, ["a b", " 'c' ", "d\re", "$e"]);
        let records = read_records(b"\na\n\nb\n", Separator::Newline, LineForm::Whole).unwrap();
        let numbers: Vec<_> =
            records.items.iter().map(|item| (item.number, item.place.number)).collect();
        assert_eq!(numbers, [(1, 2), (2, 4)]);
        assert_eq!(whole(b"", Separator::Newline), Ok(vec![]));
        assert_eq!(whole(b"a\nb\0 \0\0c\0", Separator::Nul).unwrap(), ["a\nb", " ", "c"]);
    }

    #[test]
    fn a_file_from_windows_has_plain_lines() {
        assert_eq!(whole(b"\xef\xbb\xbfa\r\n\r\nb\r\n", Separator::Newline).unwrap(), ["a", "b"]);
        assert_eq!(whole(b"a\r\nb\n", Separator::Newline).unwrap(), ["a\r", "b"]);
    }

    #[test]
    fn a_line_that_cannot_be_one_is_told_with_its_number() {
        let error = whole(b"a\n\nb\0c\n", Separator::Newline).unwrap_err();
        assert_eq!(error.to_string(), "line 3 of standard input has a NUL byte");
        let error = whole(b"a\0\xffb\0", Separator::Nul).unwrap_err();
        assert_eq!(error.to_string(), "record 2 of standard input is not UTF-8: \"\u{fffd}b\"");
    }

    #[test]
    fn a_header_names_the_columns_of_every_line() {
        let read =
            |text: &str| read_records(text.as_bytes(), Separator::Newline, LineForm::Header(None));
        let records = read("sample\tfile\ns1\ta,b.fq\n").unwrap();
        assert_eq!(records.columns, Columns::Named(vec!["sample".into(), "file".into()]));
        assert_eq!(records.items[0].fields, ["s1", "a,b.fq"]);
        assert_eq!(read("a,b\n\"x,\"\"y\",2\n").unwrap().items[0].fields, ["x,\"y", "2"]);
        let error = |text| read(text).unwrap_err().to_string();
        assert_eq!(
            error("a,b\n1,2\n\n3\n"),
            "line 4 of standard input has 1 column, and the header has 2"
        );
        assert_eq!(error("a,a\n"), "the header names the column `a` twice");
        assert_eq!(error("a,,b\n"), "the header names no column 2");
    }
}
