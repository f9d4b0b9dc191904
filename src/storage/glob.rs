//! Patterns of paths: `*`, `?`, `[]` and `**`, as a shell has them.
//!
//! - `*` is any run of characters within one name, `?` one character, `[a-z]`
//!   one of a set, `[!a-z]` (or `[^a-z]`) one outside it. A `[` without its
//!   `]` means itself, and so do `{`, `}` and `\`.
//! - A component `**` is any number of folders, none included; links are not
//!   followed on that way. As the last component it is everything below.
//! - Wildcards do not match the dot that hides a name; write it down.
//!
//! Names are bytes: where they are UTF-8, a character is one character.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// One component of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// A name that stands for itself.
    Name(&'a OsStr),
    /// A name with wildcards in it.
    Wild(NamePattern),
    /// `**`
    AnyDepth,
}

/// A pattern of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NamePattern(Vec<Token>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Byte(u8),
    AnyCharacter,
    AnyRun,
    Set { negated: bool, ranges: Vec<(char, char)> },
}

/// Whether the path has any wildcard.
pub(super) fn has_wildcards(path: &Path) -> bool {
    parse_pattern(path).iter().any(|part| !matches!(part, Part::Name(_)))
}

/// The components below the root.
pub(super) fn parse_pattern(path: &Path) -> Vec<Part<'_>> {
    let parse_component = |component| match component {
        Component::Normal(name) => Some(parse_part(name)),
        Component::ParentDir => Some(Part::Name(OsStr::new(".."))),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    };
    let mut parts: Vec<Part<'_>> = path.components().filter_map(parse_component).collect();
    parts.dedup_by(|a, b| matches!((a, b), (Part::AnyDepth, Part::AnyDepth)));
    parts
}

fn parse_part(name: &OsStr) -> Part<'_> {
    if name == "**" {
        return Part::AnyDepth;
    }
    let pattern = NamePattern::parse(name.as_bytes());
    if pattern.0.iter().all(|token| matches!(token, Token::Byte(_))) {
        return Part::Name(name);
    }
    Part::Wild(pattern)
}

impl NamePattern {
    /// `*`: every name that is not hidden.
    pub(super) fn anything() -> Self {
        Self(vec![Token::AnyRun])
    }

    fn parse(mut text: &[u8]) -> Self {
        let mut tokens = Vec::new();
        while let Some((&byte, rest)) = text.split_first() {
            let (token, rest) = match byte {
                b'*' => (Token::AnyRun, rest),
                b'?' => (Token::AnyCharacter, rest),
                b'[' => parse_set(rest).unwrap_or((Token::Byte(b'['), rest)),
                _ => (Token::Byte(byte), rest),
            };
            tokens.push(token);
            text = rest;
        }
        Self(tokens)
    }

    /// Whether the whole name fits.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let is_hidden = name.first() == Some(&b'.');
        if is_hidden && self.0.first() != Some(&Token::Byte(b'.')) {
            return false;
        }
        self.matches_bytes(name)
    }

    /// Goes on greedily and, when stuck, lets the last `*` take one more
    /// character: never more than pattern times name steps.
    fn matches_bytes(&self, name: &[u8]) -> bool {
        let (mut token, mut position) = (0, 0);
        let mut last_run: Option<(usize, usize)> = None;
        loop {
            match self.0.get(token) {
                Some(Token::AnyRun) => {
                    last_run = Some((token, position));
                    token += 1;
                    continue;
                }
                Some(one) => {
                    let rest = name.get(position..).unwrap_or_default();
                    if let Some(length) = one.match_front(rest) {
                        token += 1;
                        position += length;
                        continue;
                    }
                }
                None if position == name.len() => return true,
                None => {}
            }
            let Some((run, start)) = last_run.filter(|(_, start)| *start < name.len()) else {
                return false;
            };
            position = start + front_length(name.get(start..).unwrap_or_default());
            token = run + 1;
            last_run = Some((run, position));
        }
    }
}

impl Token {
    /// How many bytes of the front it takes, if it fits.
    fn match_front(&self, rest: &[u8]) -> Option<usize> {
        let first = *rest.first()?;
        match self {
            Self::Byte(byte) => (*byte == first).then_some(1),
            Self::AnyCharacter => Some(front_length(rest)),
            Self::Set { negated, ranges } => match front_character(rest) {
                Some(c) => {
                    let is_in = ranges.iter().any(|(low, high)| (*low..=*high).contains(&c));
                    (is_in != *negated).then(|| c.len_utf8())
                }
                None => negated.then_some(1),
            },
            Self::AnyRun => None,
        }
    }
}

/// Length of the first character. A byte that is part of none counts as one.
fn front_length(bytes: &[u8]) -> usize {
    front_character(bytes).map_or(1, char::len_utf8)
}

/// The character with which the bytes begin, if they begin with one.
fn front_character(bytes: &[u8]) -> Option<char> {
    let front = bytes.get(..bytes.len().min(4))?;
    front.utf8_chunks().next()?.valid().chars().next()
}

/// A set, `[` already taken: the token and what follows its `]`.
fn parse_set(text: &[u8]) -> Option<(Token, &[u8])> {
    let (negated, body) = match text.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        _ => (false, text),
    };
    // A `]` at the very front is a member of the set.
    let end = 1 + body.get(1..)?.iter().position(|&byte| byte == b']')?;
    let (members, rest) = body.split_at_checked(end)?;
    let members: Vec<char> = String::from_utf8_lossy(members).chars().collect();
    let mut ranges = Vec::new();
    let mut remaining = members.as_slice();
    while let Some((&low, after)) = remaining.split_first() {
        if let ['-', high, beyond @ ..] = after {
            ranges.push((low, *high));
            remaining = beyond;
        } else {
            ranges.push((low, low));
            remaining = after;
        }
    }
    Some((Token::Set { negated, ranges }, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &[u8]) -> bool {
        NamePattern::parse(pattern.as_bytes()).matches(name)
    }

    #[test]
    fn wildcards_match_as_in_a_shell() {
        for (pattern, name) in [
            ("*.fq.gz", "a.fq.gz"),
            ("*", "a"),
            ("a*b*c", "aXbYbZc"),
            ("?", "é"),
            ("s[0-9][!a-z]", "s1_"),
            ("[]x]", "]"),
            ("[^]]", "x"),
            ("[a-]", "-"),
            ("[é-ü]", "ö"),
            ("[a", "[a"),
            ("[]", "[]"),
            ("{a,b}\\", "{a,b}\\"),
            (".*", ".profile"),
            ("a**", "abc"),
        ] {
            assert!(matches(pattern, name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.fq", "a.fq.gz"),
            ("?", ""),
            ("?", "ab"),
            ("*??", "é"),
            ("[a-c]", "d"),
            ("[!a-c]", "b"),
            ("[z-a]", "b"),
            ("*", ".hidden"),
            ("[.]x", ".x"),
            ("?x", ".x"),
            ("a*b", "ac"),
        ] {
            assert!(!matches(pattern, name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn names_that_are_no_text_match_byte_by_byte() {
        assert!(matches("a?b", b"a\xffb"));
        assert!(matches("a[!x]b", b"a\xffb"));
        assert!(!matches("a[x]b", b"a\xffb"));
        assert!(matches("*b", b"\xff\xfeb"));
    }

    #[test]
    fn a_pattern_that_asks_for_much_searching_ends() {
        let name = "a".repeat(255);
        assert!(!matches(&"a*".repeat(100), format!("{name}b").replace('a', "c").as_bytes()));
        assert!(!matches(&format!("{}b", "a*".repeat(100)), name.as_bytes()));
    }

    #[test]
    fn components_are_told_apart() {
        let parts = parse_pattern(Path::new("/data/run*/**/**/../x[1"));
        let expected = [
            Part::Name(OsStr::new("data")),
            Part::Wild(NamePattern::parse(b"run*")),
            Part::AnyDepth,
            Part::Name(OsStr::new("..")),
            Part::Name(OsStr::new("x[1")),
        ];
        assert_eq!(parts, expected);
        assert!(has_wildcards(Path::new("/a/?")));
        assert!(!has_wildcards(Path::new("/a/[/{x}")));
    }

    proptest! {
        #[test]
        fn a_name_without_wildcards_matches_itself_and_a_run_matches_all(
            name in proptest::collection::vec(1_u8.., 1..20)
        ) {
            let literal: Vec<u8> =
                name.iter().copied().filter(|byte| !b"*?[".contains(byte)).collect();
            prop_assert!(NamePattern::parse(&literal).matches_bytes(&literal));
            prop_assert!(NamePattern::anything().matches_bytes(&name));
        }
    }
}
