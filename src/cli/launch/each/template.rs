//! Words with placeholders, and what becomes of them for one line.

use super::records::shown;
use super::{EachError, Item};

/// What columns a placeholder can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    None,
    Numbered,
    Named(Vec<String>),
}

/// A word in which parts stand for what a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
    /// The first `{1}` that was taken as text for want of columns.
    column_as_text: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Bytes, since a word of a command need not be text.
    Literal(Vec<u8>),
    Placeholder(Placeholder),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholder {
    /// `{}`
    Line,
    /// `{.}`: without its extension
    Stem,
    /// `{/}`: the last part of a path
    Base,
    /// `{/.}`: both
    BaseStem,
    /// `{#}`: the number of the task
    Number,
    /// `{q}`: quoted for a shell
    Quoted,
    /// A column, from 0.
    Column(usize),
}

/// What braces hold.
enum Meaning {
    Placeholder(Placeholder),
    /// Nothing of ours: they stand for themselves.
    Text,
    /// The same, but a column may have been meant.
    ColumnAsText,
}

impl Template {
    /// A word without placeholders.
    #[must_use]
    pub fn literal(word: impl Into<Vec<u8>>) -> Self {
        Self { parts: vec![Part::Literal(word.into())], column_as_text: None }
    }

    /// Reads a word. Braces that hold no placeholder stand for themselves.
    ///
    /// # Errors
    /// A column that the header does not name.
    pub fn parse(word: &[u8], columns: &Columns) -> Result<Self, EachError> {
        let mut template = Self { parts: Vec::new(), column_as_text: None };
        let mut literal = Vec::new();
        let mut rest = word;
        while let Some((first, behind)) = rest.split_first() {
            rest = behind;
            let held =
                if *first == b'{' { behind.split(|byte| *byte == b'}').next() } else { None };
            // Without a closing brace, all that follows is held.
            let held = held.filter(|held| held.len() < behind.len());
            let Some(held) = held.and_then(|held| std::str::from_utf8(held).ok()) else {
                literal.push(*first);
                continue;
            };
            let after = behind.get(held.len() + 1..).unwrap_or_default();
            if held == "{" {
                literal.push(b'{');
                rest = after;
                continue;
            }
            match meaning(held, columns)? {
                Meaning::Placeholder(placeholder) => {
                    if !literal.is_empty() {
                        template.parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    template.parts.push(Part::Placeholder(placeholder));
                    rest = after;
                }
                Meaning::Text => literal.push(b'{'),
                Meaning::ColumnAsText => {
                    template.column_as_text.get_or_insert_with(|| held.to_owned());
                    literal.push(b'{');
                }
            }
        }
        if !literal.is_empty() {
            template.parts.push(Part::Literal(literal));
        }
        Ok(template)
    }

    /// The word for this line.
    ///
    /// # Errors
    /// The line has too few columns.
    pub fn expand(&self, item: &Item) -> Result<Vec<u8>, EachError> {
        let mut word = Vec::new();
        for part in &self.parts {
            match part {
                Part::Literal(bytes) => word.extend_from_slice(bytes),
                Part::Placeholder(placeholder) => {
                    word.extend_from_slice(placeholder.value(item)?.as_bytes());
                }
            }
        }
        Ok(word)
    }

    /// Whether the line has any part in it.
    #[must_use]
    pub fn has_placeholder(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Placeholder(_)))
    }

    /// Whether a shell that read this word would read the line as a part of its
    /// own language. A word that is nothing but the line is a script on purpose.
    #[must_use]
    pub fn lets_a_line_become_code(&self) -> bool {
        let is_raw = |part: &Part| match part {
            Part::Literal(_) | Part::Placeholder(Placeholder::Number | Placeholder::Quoted) => {
                false
            }
            Part::Placeholder(_) => true,
        };
        self.parts.len() > 1 && self.parts.iter().any(is_raw)
    }

    /// The first placeholder of a column that was taken as text, since there
    /// are no columns.
    #[must_use]
    pub fn column_as_text(&self) -> Option<&str> {
        self.column_as_text.as_deref()
    }
}

impl Placeholder {
    fn value(self, item: &Item) -> Result<String, EachError> {
        Ok(match self {
            Self::Line => item.text.clone(),
            Self::Stem => stem(&item.text).to_owned(),
            Self::Base => base(&item.text).to_owned(),
            Self::BaseStem => stem(base(&item.text)).to_owned(),
            Self::Number => item.number.to_string(),
            // A NUL, which cannot be quoted, is in no line.
            Self::Quoted => shlex::try_quote(&item.text).unwrap_or_default().into_owned(),
            Self::Column(column) => match item.fields.get(column) {
                Some(field) => field.clone(),
                None => {
                    let shown = shown(&item.text);
                    return Err(EachError::NoColumn { column: column + 1, shown });
                }
            },
        })
    }
}

fn meaning(held: &str, columns: &Columns) -> Result<Meaning, EachError> {
    let placeholder = match held {
        "" => Some(Placeholder::Line),
        "." => Some(Placeholder::Stem),
        "/" => Some(Placeholder::Base),
        "/." => Some(Placeholder::BaseStem),
        "#" => Some(Placeholder::Number),
        "q" => Some(Placeholder::Quoted),
        _ => None,
    };
    if let Some(placeholder) = placeholder {
        return Ok(Meaning::Placeholder(placeholder));
    }
    if let Columns::Named(names) = columns
        && let Some(column) = names.iter().position(|name| name == held)
    {
        return Ok(Meaning::Placeholder(Placeholder::Column(column)));
    }
    let is_number = held.bytes().all(|byte| byte.is_ascii_digit());
    let number = if is_number { held.parse::<usize>().ok() } else { None };
    match (number, columns) {
        (Some(_), Columns::None) => Ok(Meaning::ColumnAsText),
        (Some(0), _) => Err(EachError::ColumnZero),
        (Some(number), Columns::Named(names)) if number > names.len() => {
            Err(EachError::ColumnNumber { name: held.to_owned(), count: names.len() })
        }
        (Some(number), _) => Ok(Meaning::Placeholder(Placeholder::Column(number - 1))),
        (None, Columns::Named(names)) if is_word(held) => {
            Err(EachError::UnknownColumn { name: held.to_owned(), known: names.clone() })
        }
        (None, _) => Ok(Meaning::Text),
    }
}

/// Whether braces around this look like a placeholder, and not like a part of
/// a shell's or of awk's language.
fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

/// A path without the extension of its last part. A dot at the beginning of
/// that part hides a file and begins no extension.
fn stem(path: &str) -> &str {
    let start = path.rfind('/').map_or(0, |slash| slash + 1);
    match path.rfind('.') {
        Some(dot) if dot > start => path.split_at(dot).0,
        _ => path,
    }
}

/// The last part of a path.
fn base(path: &str) -> &str {
    let path = match path.trim_end_matches('/') {
        "" => return path,
        path => path,
    };
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::super::{Place, Separator};
    use super::*;

    fn item(text: &str, fields: &[&str]) -> Item {
        Item {
            number: 4,
            place: Place { separator: Separator::Newline, number: 9 },
            text: text.to_owned(),
            fields: fields.iter().map(ToString::to_string).collect(),
        }
    }

    fn expanded(word: &str, columns: &Columns, item: &Item) -> Result<String, EachError> {
        let word = Template::parse(word.as_bytes(), columns)?.expand(item)?;
        Ok(String::from_utf8(word).unwrap())
    }

    #[test]
    fn placeholders_stand_for_parts_of_the_line() {
        let item = item("in/a b.fq.gz", &[]);
        let cases = [
            ("{}", "in/a b.fq.gz"),
            ("<{}|{}>", "<in/a b.fq.gz|in/a b.fq.gz>"),
            ("{.}", "in/a b.fq"),
            ("{/}", "a b.fq.gz"),
            ("{/.}", "a b.fq"),
            ("{#}", "4"),
            ("{q}", "'in/a b.fq.gz'"),
            ("{{}", "{"),
            ("{{}}", "{}"),
            ("{{}{}}", "{in/a b.fq.gz}"),
            ("a{1}{sample}", "a{1}{sample}"),
            ("{print $1}", "{print $1}"),
            ("{ {} }", "{ in/a b.fq.gz }"),
            ("${X}{", "${X}{"),
            ("", ""),
        ];
        for (word, expected) in cases {
            assert_eq!(expanded(word, &Columns::None, &item).as_deref(), Ok(expected), "{word}");
        }
    }

    #[test]
    fn a_word_that_is_no_text_keeps_its_bytes() {
        let template = Template::parse(b"\xff{}{\xfe}", &Columns::None).unwrap();
        assert_eq!(template.expand(&item("x", &[])).unwrap(), b"\xffx{\xfe}");
    }

    #[test]
    fn columns_have_numbers_and_names() {
        let named = Columns::Named(vec!["sample".into(), "file 1".into()]);
        let item = item("s1\tf", &["s1", "{1}$x"]);
        assert_eq!(expanded("{2}-{1}", &Columns::Numbered, &item).as_deref(), Ok("{1}$x-s1"));
        assert_eq!(expanded("{sample}{file 1}", &named, &item).as_deref(), Ok("s1{1}$x"));
        assert_eq!(expanded("{print $1}", &named, &item).as_deref(), Ok("{print $1}"));
        let error = |word, columns| expanded(word, columns, &item).unwrap_err().to_string();
        assert_eq!(error("{3}", &Columns::Numbered), "there is no column 3 in \"s1\\tf\"");
        assert_eq!(error("{3}", &named), "`{3}` is no placeholder: the header has 2 columns");
        assert_eq!(error("{0}", &named), "`{0}` is no placeholder: columns are counted from 1");
        assert_eq!(
            error("{smaple}", &named),
            "`{smaple}` is no placeholder: the header has no column of that name"
        );
    }

    #[test]
    fn paths_are_taken_apart_at_their_last_part() {
        assert_eq!(
            [stem("a.b/c"), stem(".x"), stem("a/.x.y"), stem("é.f")],
            ["a.b/c", ".x", "a/.x", "é"]
        );
        assert_eq!([base("a/b/"), base("/"), base("b"), base("/a")], ["b", "/", "b", "a"]);
    }

    #[test]
    fn a_line_may_become_code_unless_it_is_quoted_or_the_whole_script() {
        let risky = |word: &str| {
            Template::parse(word.as_bytes(), &Columns::Numbered).unwrap().lets_a_line_become_code()
        };
        assert!(risky("cat {}") && risky("cat '{1}'") && risky("{.}x"));
        assert!(!risky("{}") && !risky("cat {q} >{#}") && !risky("cat {{}}"));
    }
}
