//! The filter language of lists: words that must all hold.
//!
//! `text`, `/regex/`, `state:failed,running`, `batch:x`, `worker:y`, `name:z*`,
//! `tag:key=value`; a `!` in front turns a term around; quotes keep spaces.
//! The terminal UI reads it for lists that it holds whole, the server for tasks.

use std::collections::BTreeSet;
use std::fmt;

use regex::{Regex, RegexBuilder};
use strum::IntoEnumIterator;
use thiserror::Error;

use super::batch::{BatchName, BatchNameError};
use super::task::TaskState;
use super::worker::WorkerState;

/// A filter as it was typed, and what it means.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    text: String,
    terms: Vec<Term>,
}

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FilterError {
    #[error("`{text}` is no state: {known}")]
    UnknownState { text: String, known: String },
    #[error("`{text}` is no regular expression: {reason}")]
    BadRegex { text: String, reason: String },
    #[error("`{term}:` needs a value")]
    NoValue { term: String },
    #[error("a quote is not closed")]
    OpenQuote,
    #[error("{0}")]
    BadBatch(#[from] BatchNameError),
}

/// What a term asks for.
#[derive(Debug, Clone)]
pub enum What {
    /// In name, command, batch or worker, without regard to case.
    Text(String),
    /// In name or command, without regard to case.
    Regex(Regex),
    State(BTreeSet<String>),
    Batch(BatchName),
    Worker(String),
    Name(String),
    Tag(String),
}

/// One word of a filter.
#[derive(Debug, Clone)]
pub struct Term {
    pub sign: Sign,
    pub what: What,
    /// As it was typed, without the quotes.
    word: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Has,
    Lacks,
}

/// A row that a filter looks at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    pub name: &'a str,
    pub state: &'a str,
    pub batch: &'a str,
    pub worker: &'a str,
    /// More text to search.
    pub text: &'a str,
    pub tags: &'a [(&'a str, &'a str)],
}

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// The text is none, and the error says which word.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let terms = words(text)?.iter().map(|word| parse_term(word)).collect::<Result<_, _>>()?;
        Ok(Self { text: text.trim().to_owned(), terms })
    }

    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// Its words, of which all must hold.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// A filter of some of another one's words.
    #[must_use]
    pub fn of_terms(terms: Vec<Term>) -> Self {
        let words: Vec<String> = terms.iter().map(|term| quoted(&term.word)).collect();
        Self { text: words.join(" "), terms }
    }

    /// Whether the counters of all tasks are not those of this filter.
    #[must_use]
    pub fn needs_counts(&self) -> bool {
        self.terms.iter().any(|term| !matches!(term.what, What::State(_)))
    }

    /// Whether it looks at more than name, state, batch and worker.
    #[must_use]
    pub fn needs_more_than_names(&self) -> bool {
        let is_more =
            |term: &Term| matches!(term.what, What::Text(_) | What::Regex(_) | What::Tag(_));
        self.terms.iter().any(is_more)
    }

    /// The states that it lets through.
    #[must_use]
    pub fn states(&self) -> Vec<TaskState> {
        let fits = |state: &TaskState| {
            let word = state.to_string();
            self.terms.iter().all(|term| match &term.what {
                What::State(states) => states.contains(&word) == (term.sign == Sign::Has),
                _ => true,
            })
        };
        TaskState::iter().filter(fits).collect()
    }

    /// The same filter with these states and no others.
    #[must_use]
    pub fn with_state(&self, state: Option<TaskState>) -> Self {
        let mut kept: Vec<String> = words(&self.text)
            .unwrap_or_default()
            .into_iter()
            .filter(|word| !word.trim_start_matches('!').starts_with("state:"))
            .map(|word| quoted(&word))
            .collect();
        if let Some(state) = state {
            kept.push(format!("state:{state}"));
        }
        Self::parse(&kept.join(" ")).unwrap_or_default()
    }

    #[must_use]
    pub fn fits(&self, subject: &Subject<'_>) -> bool {
        self.terms.iter().all(|term| holds(&term.what, subject) == (term.sign == Sign::Has))
    }
}

impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn holds(what: &What, subject: &Subject<'_>) -> bool {
    let has = |part: &str| {
        [subject.name, subject.text, subject.batch, subject.worker]
            .iter()
            .any(|text| text.to_lowercase().contains(&part.to_lowercase()))
    };
    match what {
        What::Text(part) => has(part),
        What::Regex(regex) => [subject.name, subject.text].iter().any(|text| regex.is_match(text)),
        What::State(states) => states.contains(subject.state),
        What::Batch(name) => name.as_str() == subject.batch,
        What::Worker(name) => name == subject.worker,
        What::Name(pattern) => matches_glob(pattern, subject.name),
        What::Tag(tag) => subject.tags.iter().any(|(key, value)| match tag.split_once('=') {
            Some((wanted, expected)) => *key == wanted && *value == expected,
            None => key == tag,
        }),
    }
}

fn parse_term(word: &str) -> Result<Term, FilterError> {
    let (sign, body) = match word.strip_prefix('!') {
        Some(rest) if !rest.is_empty() => (Sign::Lacks, rest),
        _ => (Sign::Has, word),
    };
    let regex = body.strip_prefix('/').map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    if let Some(pattern) = regex.filter(|pattern| !pattern.is_empty()) {
        let regex = RegexBuilder::new(pattern).case_insensitive(true).size_limit(1 << 20).build();
        let regex = regex.map_err(|error| FilterError::BadRegex {
            text: pattern.to_owned(),
            reason: error.to_string().lines().last().unwrap_or_default().to_owned(),
        })?;
        return Ok(Term { sign, what: What::Regex(regex), word: word.to_owned() });
    }
    let what = match body.split_once(':') {
        Some((field @ ("state" | "batch" | "worker" | "name" | "tag"), "")) => {
            return Err(FilterError::NoValue { term: field.to_owned() });
        }
        Some(("state", value)) => What::State(parse_states(value)?),
        Some(("batch", value)) => What::Batch(value.parse()?),
        Some(("worker", value)) => What::Worker(value.to_owned()),
        Some(("name", value)) => What::Name(value.to_owned()),
        Some(("tag", value)) => What::Tag(value.to_owned()),
        _ => What::Text(body.to_owned()),
    };
    Ok(Term { sign, what, word: word.to_owned() })
}

/// States by their words, of tasks and of workers.
fn parse_states(value: &str) -> Result<BTreeSet<String>, FilterError> {
    let known: BTreeSet<String> = TaskState::iter()
        .map(|state| state.to_string())
        .chain(WorkerState::iter().map(|state| state.to_string()))
        .collect();
    let mut states = BTreeSet::new();
    for word in value.split(',').filter(|word| !word.is_empty()) {
        if !known.contains(word) {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(FilterError::UnknownState {
                text: word.to_owned(),
                known: known.join(", "),
            });
        }
        states.insert(word.to_owned());
    }
    Ok(states)
}

/// Words, in which quotes keep spaces.
fn words(text: &str) -> Result<Vec<String>, FilterError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = false;
    for c in text.chars() {
        match c {
            '"' => {
                quote = !quote;
                word.get_or_insert_default();
            }
            c if c.is_whitespace() && !quote => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    if quote {
        return Err(FilterError::OpenQuote);
    }
    words.extend(word.filter(|word| !word.is_empty()));
    Ok(words)
}

/// A word as it has to be typed.
#[must_use]
pub fn quoted(word: &str) -> String {
    if word.contains(char::is_whitespace) { format!("\"{word}\"") } else { word.to_owned() }
}

/// Whether a text has the form of a pattern with `*` and `?` in it.
#[must_use]
pub fn matches_glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((back, seen)) => {
                    star = Some((back, seen + 1));
                    p = back + 1;
                    t = seen + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(filter: &str, name: &str, state: &str, text: &str) -> bool {
        let subject = Subject { name, state, batch: "b 1", worker: "w", text, tags: &[("k", "v")] };
        Filter::parse(filter).unwrap().fits(&subject)
    }

    #[test]
    fn all_terms_must_hold() {
        assert!(fits("", "n", "failed", "sort x"));
        assert!(fits("SORT state:failed,running !foo", "n", "failed", "sort x"));
        assert!(!fits("sort !state:failed", "n", "failed", "sort x"));
        assert!(fits("/^so.t/ \"batch:b 1\" worker:w", "n", "failed", "sort x"));
        assert!(fits("name:q?-* tag:k=v tag:k", "qc-17", "failed", "x"));
        assert!(!fits("name:q?-*", "qcc-17", "failed", "x"));
        assert!(!fits("tag:k=w", "qc-17", "failed", "x"));
        assert!(fits("!", "!", "failed", "x"), "a lone mark is text");
    }

    #[test]
    fn an_error_says_which_word() {
        let error = |text: &str| Filter::parse(text).unwrap_err().to_string();
        assert!(error("state:runing").starts_with("`runing` is no state: accepted"));
        assert!(error("/(/").starts_with("`(` is no regular expression"));
        assert_eq!(error("batch:"), "`batch:` needs a value");
        assert_eq!(error("\"a"), "a quote is not closed");
    }

    #[test]
    fn words_of_a_filter_are_one_of_their_own() {
        let filter = Filter::parse("align \"batch:a b\" !\"two words\" /a+ b/").unwrap();
        let some = Filter::of_terms(filter.terms()[1..].to_vec());
        assert_eq!(some.text(), "\"batch:a b\" \"!two words\" /a+ b/");
        assert_eq!(Filter::parse(some.text()).unwrap().terms().len(), 4, "/a+ and b/ are two");
        assert!(filter.needs_counts());
        assert!(!Filter::parse("state:failed").unwrap().needs_counts());
    }

    #[test]
    fn a_tab_replaces_the_states_and_keeps_the_rest() {
        let filter = Filter::parse("\"batch:a b\" state:failed").unwrap();
        let other = filter.with_state(Some(TaskState::Running));
        assert_eq!(other.text(), "\"batch:a b\" state:running");
        assert_eq!(other.with_state(None).text(), "\"batch:a b\"");
    }
}
