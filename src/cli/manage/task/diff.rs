//! What an edit changes in a task, as people read it.

use crate::cli::format;
use crate::cli::output::Paint;
use crate::domain::task::TaskSpec;

/// A piece of a changed text.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

/// Comparisons of words that a difference may cost. A longer one is told as if
/// all between its ends had changed.
const MOST_COMPARISONS: usize = 1 << 20;

/// A line for each field that differs: the command word by word, the others
/// with both values.
pub fn changed_fields(
    old: &TaskSpec,
    new: &TaskSpec,
    paint: &dyn Fn(&str, Paint) -> String,
) -> Vec<String> {
    let mut lines = Vec::new();
    let (before, after) = (old.command.to_string(), new.command.to_string());
    if old.command != new.command {
        lines.push(format!("command: {}", word_difference(&before, &after, paint)));
    }
    let (old, new) = (fields(old), fields(new));
    let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names.into_iter().filter(|name| *name != "command") {
        let (before, after) = (old.get(name), new.get(name));
        if before != after {
            let shown = |value: Option<&serde_json::Value>, mark: (&str, &str), colour| {
                value.map(|value| {
                    let text = format!("{}{}{}", mark.0, plain(value), mark.1);
                    paint(&format::visible(&text), colour)
                })
            };
            let before = shown(before, GONE, Paint::Bad).unwrap_or_default();
            let after = shown(after, NEW, Paint::Good).unwrap_or_default();
            lines.push(format!("{name}: {before}{after}"));
        }
    }
    lines
}

/// Marks around what is gone and what is new: colours alone are not seen by all.
const GONE: (&str, &str) = ("[-", "-]");
const NEW: (&str, &str) = ("{+", "+}");

/// A text in which the words that are gone and those that are new are marked.
fn word_difference(old: &str, new: &str, paint: &dyn Fn(&str, Paint) -> String) -> String {
    let mut shown = String::new();
    for piece in difference(old, new) {
        let (text, marks, colour) = match piece {
            Piece::Same(text) => (text, ("", ""), Paint::Plain),
            Piece::Gone(text) => (text, GONE, Paint::Bad),
            Piece::New(text) => (text, NEW, Paint::Good),
        };
        let text = format::visible(text);
        shown.push_str(&paint(&format!("{}{text}{}", marks.0, marks.1), colour));
    }
    shown
}

fn difference<'a>(old: &'a str, new: &'a str) -> Vec<Piece<'a>> {
    let (before, after) = (words(old), words(new));
    let same_ahead = before.iter().zip(&after).take_while(|(a, b)| a == b).count();
    let rest = before.len().min(after.len()) - same_ahead;
    let same_behind =
        before.iter().rev().zip(after.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let old_middle = &before[same_ahead..before.len() - same_behind];
    let new_middle = &after[same_ahead..after.len() - same_behind];
    let mut pieces: Vec<Piece<'a>> =
        before[..same_ahead].iter().copied().map(Piece::Same).collect();
    if old_middle.len().saturating_mul(new_middle.len()) <= MOST_COMPARISONS {
        pieces.extend(longest_common(old_middle, new_middle));
    } else {
        pieces.extend(old_middle.iter().copied().map(Piece::Gone));
        pieces.extend(new_middle.iter().copied().map(Piece::New));
    }
    pieces.extend(before[before.len() - same_behind..].iter().copied().map(Piece::Same));
    pieces
}

/// The difference with the longest common part, by the table of its lengths.
fn longest_common<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Piece<'a>> {
    let width = new.len() + 1;
    let mut lengths = vec![0_u32; (old.len() + 1) * width];
    for row in (0..old.len()).rev() {
        for column in (0..new.len()).rev() {
            lengths[row * width + column] = if old[row] == new[column] {
                lengths[(row + 1) * width + column + 1] + 1
            } else {
                lengths[(row + 1) * width + column].max(lengths[row * width + column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut pieces = Vec::new();
    while row < old.len() && column < new.len() {
        if old[row] == new[column] {
            pieces.push(Piece::Same(old[row]));
            row += 1;
            column += 1;
        } else if lengths[(row + 1) * width + column] >= lengths[row * width + column + 1] {
            pieces.push(Piece::Gone(old[row]));
            row += 1;
        } else {
            pieces.push(Piece::New(new[column]));
            column += 1;
        }
    }
    pieces.extend(old[row..].iter().copied().map(Piece::Gone));
    pieces.extend(new[column..].iter().copied().map(Piece::New));
    pieces
}

/// Words, and the blanks between them.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_blank = first.is_whitespace();
        let end = rest.find(|c: char| c.is_whitespace() != is_blank).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        words.push(word);
        rest = behind;
    }
    words
}

fn fields(spec: &TaskSpec) -> serde_json::Map<String, serde_json::Value> {
    match serde_json::to_value(spec) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}

/// A value without quotes where it is one text.
fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(old: &str, new: &str) -> String {
        word_difference(old, new, &|text, _| text.to_owned())
    }

    #[test]
    fn words_that_changed_are_marked() {
        assert_eq!(marked("qc -t 4 a.fq", "qc -t 8 a.fq"), "qc -t [-4-]{+8+} a.fq");
        assert_eq!(marked("a b c", "a c"), "a [-b-][- -]c");
        assert_eq!(marked("a", "a b"), "a{+ +}{+b+}");
        assert_eq!(marked("same", "same"), "same");
        assert_eq!(marked("x\u{1b}", "y"), "[-x\\u{1b}-]{+y+}");
    }

    #[test]
    fn a_very_long_command_is_compared_at_its_ends() {
        let long = |word: &str| vec![word; 3_000].join(" ");
        let shown = marked(&format!("a {} z", long("b")), &format!("a {} z", long("c")));
        assert!(shown.starts_with("a [-b-]") && shown.ends_with("{+c+} z"), "{shown}");
    }

    #[test]
    fn fields_are_told_with_both_values() {
        let spec = |text: &str| serde_json::from_str::<TaskSpec>(text).unwrap();
        let old = spec(r#"{"command": "a b", "retry": 1, "name": "x"}"#);
        let new = spec(r#"{"command": ["a", "b c"], "retry": 2, "env": {"A": "1"}}"#);
        let lines = changed_fields(&old, &new, &|text, _| text.to_owned());
        assert_eq!(
            lines,
            [
                "command: a [-b-]{+'b+}{+ +}{+c'+}",
                "env: {+{\"A\":\"1\"}+}",
                "name: [-x-]",
                "retry: [-1-]{+2+}",
            ]
        );
    }
}
