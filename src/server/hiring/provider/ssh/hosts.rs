//! Names of hosts, and patterns that stand for many: `node[01-40].lab`.

use std::fmt;
use std::str::FromStr;

/// Most hosts that one pattern stands for.
const MOST_HOSTS: usize = 10_000;

/// A host as `ssh` is told it, perhaps with a user and a port: `ada@node01.lab:2222`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    pub user: Option<String>,
    pub name: String,
    pub port: Option<u16>,
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || {
            format!(
                "`{text}` is no host: write NAME, USER@NAME or NAME:PORT; for other forms give it a name in the configuration of ssh"
            )
        };
        let (user, rest) = match text.split_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, text),
        };
        let (name, port) = match rest.split_once(':') {
            Some((name, port)) => (name, Some(port.parse::<u16>().map_err(|_| invalid())?)),
            None => (rest, None),
        };
        // A dash in front would be an option of ssh.
        let is_word = |word: &str| {
            !word.is_empty()
                && !word.starts_with(['-', '.'])
                && word
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter))
        };
        if !is_word(name) || !user.is_none_or(is_word) || port == Some(0) {
            return Err(invalid());
        }
        Ok(Self { user: user.map(str::to_owned), name: name.to_owned(), port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(&self.name)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// The hosts that a pattern stands for, in order. Brackets have numbers and ranges of
/// numbers in them; those with zeros in front keep their width.
///
/// # Errors
/// What is wrong with the pattern.
pub fn expand(pattern: &str) -> Result<Vec<Host>, String> {
    let mut texts = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, inside)) = rest.split_once('[') {
        let (list, after) =
            inside.split_once(']').ok_or_else(|| format!("`{pattern}` has a `[` without a `]`"))?;
        let numbers = numbers(list).map_err(|reason| format!("`{pattern}`: {reason}"))?;
        if texts.len().saturating_mul(numbers.len()) > MOST_HOSTS {
            return Err(format!("`{pattern}` stands for more than {MOST_HOSTS} hosts"));
        }
        texts = texts
            .iter()
            .flat_map(|text| numbers.iter().map(move |number| format!("{text}{before}{number}")))
            .collect();
        rest = after;
    }
    texts.iter().map(|text| format!("{text}{rest}").parse()).collect()
}

/// `1-3,07` as texts.
fn numbers(ranges: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    for part in ranges.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.chars().all(|digit| digit.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| is_number)
        };
        let (Some(from), Some(to)) = (number(first), number(last)) else {
            return Err(format!("`{part}` in brackets is no number and no range such as 01-40"));
        };
        if to < from {
            return Err(format!("`{part}` in brackets counts backwards"));
        }
        if usize::try_from(to - from).unwrap_or(usize::MAX) >= MOST_HOSTS {
            return Err(format!("`{part}` in brackets is more than {MOST_HOSTS} numbers"));
        }
        let width = if first.starts_with('0') { first.len() } else { 0 };
        found.extend((from..=to).map(|number| format!("{number:0width$}")));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pattern: &str) -> Vec<String> {
        expand(pattern).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_pattern_stands_for_many_hosts() {
        assert_eq!(
            names("node[08-11].lab"),
            ["node08.lab", "node09.lab", "node10.lab", "node11.lab"]
        );
        assert_eq!(names("n[9-10]"), ["n9", "n10"]);
        assert_eq!(names("r[1-2]n[1,7]"), ["r1n1", "r1n7", "r2n1", "r2n7"]);
        assert_eq!(names("ada@big.lab:2222"), ["ada@big.lab:2222"]);
        assert_eq!(names("10.0.0.[1-2]"), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(names("node[01-40].lab").len(), 40);
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (pattern, part) in [
            ("", "is no host"),
            ("-oProxyCommand=id", "is no host"),
            ("a b", "is no host"),
            ("a:0", "is no host"),
            ("a:70000", "is no host"),
            ("@a", "is no host"),
            ("n[1-3", "without a `]`"),
            ("n[3-1]", "counts backwards"),
            ("n[]", "is no number"),
            ("n[a-b]", "is no number"),
            ("n[+1-2]", "is no number"),
            ("n[1-100000]", "more than 10000 numbers"),
            ("n[1-1000][1-1000]", "more than 10000 hosts"),
        ] {
            let reason = expand(pattern).unwrap_err();
            assert!(reason.contains(part), "{pattern}: {reason}");
        }
    }
}
