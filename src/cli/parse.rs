//! Reading the values of options.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

/// Ids that one argument named, separated by spaces or commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdList<T>(pub Vec<T>);

impl<T> FromStr for IdList<T>
where
    T: FromStr,
    T::Err: Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let words = text.split([',', ' ', '\t', '\n', '\r']).filter(|word| !word.is_empty());
        let ids: Result<Vec<T>, String> =
            words.map(|word| word.parse().map_err(|_| format!("`{word}` is no id"))).collect();
        match ids {
            Ok(ids) if ids.is_empty() => Err("it names no id".to_owned()),
            ids => ids.map(Self),
        }
    }
}

/// Ids, or `-` for those that standard input has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdsOrStdin<T> {
    Ids(IdList<T>),
    Stdin,
}

impl<T> FromStr for IdsOrStdin<T>
where
    T: FromStr,
    T::Err: Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "-" { Ok(Self::Stdin) } else { text.parse().map(Self::Ids) }
    }
}

/// The ids of several arguments, in order.
pub fn flatten<T: Copy>(lists: &[IdList<T>]) -> Vec<T> {
    lists.iter().flat_map(|list| list.0.iter().copied()).collect()
}

/// One id.
pub fn id<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "an id is a number".to_owned())
}

/// A whole number.
pub fn count<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "write a whole number".to_owned())
}

/// `K=V`, a variable for a task, or a tag.
pub fn environment_pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some(("", _)) => Err("the name before `=` is empty".to_owned()),
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("it has no `=`; write NAME=VALUE".to_owned()),
    }
}

/// `K=V`, a tag of a task.
pub fn tag_pair(text: &str) -> Result<(String, String), String> {
    environment_pair(text)
}

/// A number of bytes, alone or with a binary unit (`512M`, `1.5G`, `2GiB`).
pub fn size(text: &str) -> Result<u64, String> {
    const HOW: &str = "write a number of bytes, or a number with K, M, G or T";
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.trim_start_matches(digits).to_ascii_uppercase();
    let shift = match unit.trim_end_matches('B').trim_end_matches('I') {
        "" if !unit.contains('I') => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("units are K, M, G and T".to_owned()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let number = |text: &str| text.parse::<u64>().map_err(|_| HOW.to_owned());
    let places = u32::try_from(fraction.len()).unwrap_or(u32::MAX);
    let parts = 10_u64.checked_pow(places).ok_or_else(|| HOW.to_owned())?;
    let unit_bytes = 1_u64 << shift;
    let fraction_bytes = u128::from(number(fraction)?) * u128::from(unit_bytes) / u128::from(parts);
    number(whole)?
        .checked_mul(unit_bytes)
        .and_then(|bytes| bytes.checked_add(u64::try_from(fraction_bytes).ok()?))
        .ok_or_else(|| "too much".to_owned())
}

/// An amount of memory. Its unit must be named: who writes `8` means no 8 bytes.
pub fn memory(text: &str) -> Result<u64, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        return Err(format!("it has no unit; write {text}G or {text}M"));
    }
    size(text)
}

/// A duration: whole seconds, or with a unit (`90`, `90s`, `15m`, `2h`, `7d`).
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_seconds = match text.trim_start_matches(digits) {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("units are s, m, h and d".to_owned()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "write whole seconds, or a number with s, m, h or d".to_owned())?;
    number.checked_mul(unit_seconds).map(Duration::from_secs).ok_or_else(|| "too long".to_owned())
}

/// A column by which a list is sorted: `COLUMN` or `COLUMN:desc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sorting {
    pub column: String,
    pub direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Ascending,
    Descending,
}

impl FromStr for Sorting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (column, direction) = match text.split_once(':') {
            None | Some((_, "asc")) => (text, Direction::Ascending),
            Some((_, "desc")) => (text, Direction::Descending),
            Some((_, other)) => {
                return Err(format!("`{other}` is no direction: write asc or desc"));
            }
        };
        match column.split(':').next() {
            None | Some("") => Err("write COLUMN or COLUMN:desc".to_owned()),
            Some(column) => Ok(Self { column: column.to_ascii_lowercase(), direction }),
        }
    }
}

/// The name that a mistyped one may stand for: not more than a third of it differs.
pub fn most_similar<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = name.chars().count().div_ceil(3);
    let with_distance = known.map(|other| (distance(name, other), other));
    let (distance, nearest) = with_distance.min_by_key(|(distance, _)| *distance)?;
    (distance <= most).then_some(nearest)
}

/// How many characters have to be put in, taken out, replaced or swapped with
/// their neighbour to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, a) in one.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, b) in other.iter().enumerate() {
            let replaced = last[column] + usize::from(a != b);
            let mut steps = replaced.min(last[column + 1] + 1).min(next[column] + 1);
            if row > 0 && column > 0 && *a == other[column - 1] && one[row - 1] == *b {
                steps = steps.min(before_last[column - 1] + 1);
            }
            next.push(steps);
        }
        before_last = std::mem::replace(&mut last, next);
    }
    last[other.len()]
}

/// How long to wait for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    ForEver,
    AtMost(Duration),
}

impl Wait {
    /// The limit, where there is one.
    #[must_use]
    pub const fn limit(self) -> Option<Duration> {
        match self {
            Self::ForEver => None,
            Self::AtMost(limit) => Some(limit),
        }
    }
}

/// `ever`, or a duration.
pub fn wait(text: &str) -> Result<Wait, String> {
    if text == "ever" { Ok(Wait::ForEver) } else { duration(text).map(Wait::AtMost) }
}

/// A time limit in whole seconds, at least one.
pub fn limit_seconds(text: &str) -> Result<u32, String> {
    match u32::try_from(duration(text)?.as_secs()) {
        Ok(0) => Err("a limit is at least one second".to_owned()),
        Ok(seconds) => Ok(seconds),
        Err(_) => Err("too long".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TaskId;

    #[test]
    fn ids_are_separated_by_spaces_or_commas() {
        let ids = "1,2 3, 4".parse::<IdList<TaskId>>().unwrap();
        assert_eq!(ids.0, [1, 2, 3, 4].map(TaskId));
        assert_eq!("1,x".parse::<IdList<TaskId>>(), Err("`x` is no id".into()));
        assert_eq!(" ".parse::<IdList<TaskId>>(), Err("it names no id".into()));
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("15m"), Ok(Duration::from_mins(15)));
        assert_eq!(duration("7d"), Ok(Duration::from_hours(168)));
        assert!(duration("5 min").is_err());
        assert!(duration("-3").is_err());
        assert_eq!(limit_seconds("0"), Err("a limit is at least one second".into()));
        assert_eq!(limit_seconds("2h"), Ok(7_200));
    }

    #[test]
    fn a_mistyped_name_is_recognised() {
        let known = || ["Default", "assembly", "qc"].into_iter();
        assert_eq!(most_similar("asembly", known()), Some("assembly"));
        assert_eq!(most_similar("cq", known()), Some("qc"));
        assert_eq!(most_similar("default", known()), Some("Default"));
        assert_eq!(most_similar("mapping", known()), None);
        assert_eq!(most_similar("x", std::iter::empty()), None);
    }

    #[test]
    fn a_list_is_sorted_by_a_column_in_a_direction() {
        let sorting = |column: &str, direction| Ok(Sorting { column: column.into(), direction });
        assert_eq!("Name".parse(), sorting("name", Direction::Ascending));
        assert_eq!("name:desc".parse(), sorting("name", Direction::Descending));
        assert!("name:down".parse::<Sorting>().is_err());
        assert!(":desc".parse::<Sorting>().is_err());
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!(size("512M"), Ok(512 << 20));
        assert_eq!(size("1.5g"), Ok(3 << 29));
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("1TB"), Ok(1 << 40));
        assert_eq!(size("7B"), Ok(7));
        for wrong in ["", "G", "1.G", "-1", "1iB", "1P", "1.5.5G", "99999999999T", "1 G"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        assert_eq!(memory("8"), Err("it has no unit; write 8G or 8M".into()));
        assert_eq!(memory("8G"), Ok(8 << 30));
    }

    #[test]
    fn ids_may_come_from_standard_input() {
        assert_eq!("-".parse::<IdsOrStdin<TaskId>>(), Ok(IdsOrStdin::Stdin));
        assert_eq!("7".parse(), Ok(IdsOrStdin::Ids(IdList(vec![TaskId(7)]))));
    }

    #[test]
    fn a_variable_has_a_name() {
        assert_eq!(environment_pair("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(environment_pair("A="), Ok(("A".into(), String::new())));
        assert!(environment_pair("=x").is_err());
        assert!(environment_pair("A").is_err());
    }
}
