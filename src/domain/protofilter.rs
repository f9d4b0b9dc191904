//! Which kinds of machines are meant: the name of a flavor, or a protofilter
//! `auto[:item comparator value]…`, with a provider and a region or without.
//!
//! Deployments, recruiters, lists and forms all ask here, so that all choose alike.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use strum::IntoEnumIterator;
use strum::{Display, EnumIter, EnumString, IntoStaticStr};
use thiserror::Error;

use super::flavor::{Flavor, ProviderName, RegionName};

/// Machines that are taken away more often are not meant unless `eviction` is named.
const MOST_EVICTION: f64 = 5.0;

/// Flavors that are meant.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// The one of this name.
    Named(String),
    /// All that meet these.
    Auto(Vec<Condition>),
    /// All that there are; nothing is implied. Is not written as text.
    Any,
}

/// A filter at a provider and in a region, where they are named.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    pub filter: Filter,
    pub provider: Option<ProviderName>,
    pub region: Option<RegionName>,
}

/// `cpu>=8`.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    item: Item,
    comparator: Comparator,
    value: Value,
}

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Item {
    Cpu,
    Ram,
    Disk,
    Gpumem,
    Cost,
    Eviction,
    Tags,
    Region,
    Provider,
    Name,
}

/// How its value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumIter)]
pub enum Comparator {
    #[strum(serialize = "==")]
    Is,
    #[strum(serialize = "!=")]
    IsNot,
    #[strum(serialize = ">=")]
    AtLeast,
    #[strum(serialize = "<=")]
    AtMost,
    #[strum(serialize = "!~")]
    Unlike,
    #[strum(serialize = "!#")]
    Lacks,
    #[strum(serialize = ">")]
    More,
    #[strum(serialize = "<")]
    Less,
    #[strum(serialize = "~")]
    Like,
    #[strum(serialize = "#")]
    Has,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Number(f64),
    Text(String),
}

/// What makes a text no filter.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct FilterError {
    /// What is wrong, with the character at which it is.
    pub reason: String,
    /// The same place, counted from 1.
    pub at: usize,
}

/// A term of a selection, and how many flavors it alone leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluding {
    pub term: String,
    pub count: usize,
}

impl Item {
    const fn is_number(self) -> bool {
        matches!(
            self,
            Self::Cpu | Self::Ram | Self::Disk | Self::Gpumem | Self::Cost | Self::Eviction
        )
    }

    /// A number of a flavor; none where it is not known.
    fn number(self, flavor: &Flavor) -> Option<f64> {
        match self {
            Self::Cpu => Some(f64::from(flavor.cpu)),
            Self::Ram => flavor.ram,
            Self::Disk => flavor.disk,
            // What has no GPU is known to have no memory of one.
            Self::Gpumem if flavor.gpu.is_none() && !flavor.tags.contains('G') => Some(0.0),
            Self::Gpumem => flavor.gpu_memory,
            Self::Cost => flavor.cost,
            Self::Eviction => flavor.eviction,
            Self::Tags | Self::Region | Self::Provider | Self::Name => None,
        }
    }

    fn text(self, flavor: &Flavor) -> &str {
        match self {
            Self::Tags => &flavor.tags,
            Self::Region => flavor.region.as_str(),
            Self::Provider => flavor.provider.as_str(),
            Self::Name => flavor.name.as_str(),
            _ => "",
        }
    }
}

impl Comparator {
    const fn takes_number(self) -> bool {
        !matches!(self, Self::Like | Self::Unlike | Self::Has | Self::Lacks)
    }

    const fn takes_text(self) -> bool {
        !matches!(self, Self::AtLeast | Self::AtMost | Self::More | Self::Less)
    }
}

impl Condition {
    /// A value that is not known meets nothing.
    #[must_use]
    pub fn holds(&self, flavor: &Flavor) -> bool {
        match &self.value {
            Value::Number(wanted) => {
                self.item.number(flavor).is_some_and(|number| self.compares(number, *wanted))
            }
            Value::Text(wanted) => {
                let text = self.item.text(flavor);
                match self.comparator {
                    Comparator::Is => text == wanted,
                    Comparator::IsNot => text != wanted,
                    Comparator::Like => is_like(text, wanted),
                    Comparator::Unlike => !is_like(text, wanted),
                    Comparator::Has => wanted.chars().all(|letter| text.contains(letter)),
                    Comparator::Lacks => !wanted.chars().any(|letter| text.contains(letter)),
                    _ => false,
                }
            }
        }
    }

    fn compares(&self, number: f64, wanted: f64) -> bool {
        let order = number.total_cmp(&wanted);
        match self.comparator {
            Comparator::Is => order == Ordering::Equal,
            Comparator::IsNot => order != Ordering::Equal,
            Comparator::AtLeast => order != Ordering::Less,
            Comparator::AtMost => order != Ordering::Greater,
            Comparator::More => order == Ordering::Greater,
            Comparator::Less => order == Ordering::Less,
            _ => false,
        }
    }
}

impl Filter {
    /// Whether a flavor is meant.
    #[must_use]
    pub fn fits(&self, flavor: &Flavor) -> bool {
        match self {
            Self::Any => true,
            Self::Named(name) => flavor.name.as_str() == name,
            Self::Auto(conditions) => {
                conditions.iter().all(|condition| condition.holds(flavor))
                    && (self.names(Item::Eviction) || is_steady(flavor))
                    && (self.names(Item::Tags) || is_no_metal(flavor))
            }
        }
    }

    fn names(&self, item: Item) -> bool {
        match self {
            Self::Named(_) | Self::Any => false,
            Self::Auto(conditions) => conditions.iter().any(|condition| condition.item == item),
        }
    }
}

impl Selection {
    /// Whether a flavor is meant.
    #[must_use]
    pub fn fits(&self, flavor: &Flavor) -> bool {
        self.provider.as_ref().is_none_or(|provider| *provider == flavor.provider)
            && self.region.as_ref().is_none_or(|region| *region == flavor.region)
            && self.filter.fits(flavor)
    }

    /// The term that leaves out more of these flavors than any other, the first of
    /// several; none where no term leaves out any.
    #[must_use]
    pub fn most_excluding<'a>(
        &self,
        flavors: impl IntoIterator<Item = &'a Flavor>,
    ) -> Option<Excluding> {
        let mut terms = self.terms();
        for flavor in flavors {
            for (_, holds, count) in &mut terms {
                *count += usize::from(!holds(flavor));
            }
        }
        let mut most: Option<Excluding> = None;
        for (term, _, count) in terms {
            if count > most.as_ref().map_or(0, |most| most.count) {
                most = Some(Excluding { term, count });
            }
        }
        most
    }

    fn terms(&self) -> Vec<Term<'_>> {
        let mut terms: Vec<Term<'_>> = Vec::new();
        if let Some(provider) = &self.provider {
            let holds = move |flavor: &Flavor| flavor.provider == *provider;
            terms.push((format!("provider {provider}"), Box::new(holds), 0));
        }
        if let Some(region) = &self.region {
            let holds = move |flavor: &Flavor| flavor.region == *region;
            terms.push((format!("region {region}"), Box::new(holds), 0));
        }
        match &self.filter {
            Filter::Any => {}
            Filter::Named(name) => {
                let holds = move |flavor: &Flavor| flavor.name.as_str() == name;
                terms.push((format!("name {name}"), Box::new(holds), 0));
            }
            Filter::Auto(conditions) => {
                for condition in conditions {
                    let holds = move |flavor: &Flavor| condition.holds(flavor);
                    terms.push((condition.to_string(), Box::new(holds), 0));
                }
                if !self.filter.names(Item::Eviction) {
                    let told = format!("eviction<={MOST_EVICTION} (implied)");
                    terms.push((told, Box::new(is_steady), 0));
                }
                if !self.filter.names(Item::Tags) {
                    terms.push(("tags!#M (implied)".to_owned(), Box::new(is_no_metal), 0));
                }
            }
        }
        terms
    }
}

type Term<'a> = (String, Box<dyn Fn(&Flavor) -> bool + 'a>, usize);

/// The order in which flavors are taken: preferred regions first, then the cheapest;
/// one without a price comes last and is not left out.
#[must_use]
pub fn order(a: (&Flavor, Preference), b: (&Flavor, Preference)) -> Ordering {
    let ((a, a_preference), (b, b_preference)) = (a, b);
    let by_cost = match (a.cost, b.cost) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        (a, b) => a.is_none().cmp(&b.is_none()),
    };
    a_preference
        .cmp(&b_preference)
        .then(by_cost)
        .then_with(|| a.provider.cmp(&b.provider))
        .then_with(|| a.region.cmp(&b.region))
        .then_with(|| a.name.cmp(&b.name))
}

/// Whether a flavor is in a region that its provider's settings prefer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preference {
    Preferred,
    Usual,
}

impl Preference {
    /// By the pattern of its provider, in which `%` stands for anything.
    #[must_use]
    pub fn of(region: &RegionName, pattern: Option<&str>) -> Self {
        if pattern.is_some_and(|pattern| is_like(region.as_str(), pattern)) {
            Self::Preferred
        } else {
            Self::Usual
        }
    }
}

fn is_steady(flavor: &Flavor) -> bool {
    flavor.eviction.is_none_or(|eviction| eviction <= MOST_EVICTION)
}

fn is_no_metal(flavor: &Flavor) -> bool {
    !flavor.tags.contains('M')
}

/// Whether a text is like a pattern, in which `%` stands for anything; the case of
/// ASCII letters does not count.
#[must_use]
pub fn is_like(text: &str, pattern: &str) -> bool {
    let same = |a: u8, b: u8| a.eq_ignore_ascii_case(&b);
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let (mut at, mut in_pattern) = (0, 0);
    // Where the last `%` stands, and how much of the text it has taken by then.
    let mut star: Option<(usize, usize)> = None;
    while at < text.len() {
        if pattern.get(in_pattern) == Some(&b'%') {
            star = Some((in_pattern, at));
            in_pattern += 1;
        } else if pattern.get(in_pattern).is_some_and(|byte| same(*byte, text[at])) {
            at += 1;
            in_pattern += 1;
        } else if let Some((place, taken)) = star {
            star = Some((place, taken + 1));
            at = taken + 1;
            in_pattern = place + 1;
        } else {
            return false;
        }
    }
    pattern[in_pattern..].iter().all(|byte| *byte == b'%')
}

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(':');
        if parts.next() != Some("auto") {
            return named(text);
        }
        let mut conditions = Vec::new();
        let mut at = "auto".len() + 1;
        for part in parts {
            conditions.push(condition(part, at + 1)?);
            at += part.chars().count() + 1;
        }
        Ok(Self::Auto(conditions))
    }
}

fn named(text: &str) -> Result<Filter, FilterError> {
    if text.is_empty() {
        return Err(wrong(1, "name a flavor, or a filter such as auto:cpu>=8".to_owned()));
    }
    let strange = |letter: char| letter == ':' || letter.is_whitespace() || letter.is_control();
    match text.chars().position(strange) {
        Some(place) => {
            let letter = text.chars().nth(place).unwrap_or_default();
            let reason = format!(
                "{letter:?} at character {} is no part of a flavor's name; a filter begins with `auto`",
                place + 1
            );
            Err(wrong(place + 1, reason))
        }
        None => Ok(Filter::Named(text.to_owned())),
    }
}

/// Reads one condition, whose first character is the one with this number.
fn condition(part: &str, at: usize) -> Result<Condition, FilterError> {
    // Of two that begin at the same place the longer one is meant.
    let found = Comparator::iter()
        .filter_map(|comparator| Some((part.find(&comparator.to_string())?, comparator)))
        .min_by_key(|(place, comparator)| {
            (*place, std::cmp::Reverse(comparator.to_string().len()))
        });
    let Some((place, comparator)) = found else {
        let reason = if part.is_empty() {
            format!("a condition such as cpu>=8 is missing at character {at}")
        } else {
            format!("`{part}` at character {at} has no comparator such as >=")
        };
        return Err(wrong(at, reason));
    };
    let (name, rest) = part.split_at(place);
    let Ok(item) = name.parse::<Item>() else {
        let known: Vec<&str> = Item::iter().map(Into::into).collect();
        let reason = format!("`{name}` at character {at}: {}", known.join(" "));
        return Err(wrong(at, reason));
    };
    let sign = comparator.to_string();
    let sign_at = at + name.chars().count();
    let fits = if item.is_number() { comparator.takes_number() } else { comparator.takes_text() };
    if !fits {
        let (what, signs) = if item.is_number() {
            ("a number", "== != >= > <= <")
        } else {
            ("text", "== != ~ !~ # !#")
        };
        let reason = format!("`{sign}` at character {sign_at}: {item} is {what}, use {signs}");
        return Err(wrong(sign_at, reason));
    }
    let value_at = sign_at + sign.chars().count();
    let text = rest.strip_prefix(sign.as_str()).unwrap_or_default();
    let value = value(item, text, value_at)?;
    Ok(Condition { item, comparator, value })
}

fn value(item: Item, text: &str, at: usize) -> Result<Value, FilterError> {
    if text.is_empty() {
        return Err(wrong(at, format!("a value for {item} is missing at character {at}")));
    }
    if item.is_number() {
        let is_plain = text.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
        return match text.parse::<f64>() {
            Ok(number) if is_plain => Ok(Value::Number(number)),
            _ => Err(wrong(at, format!("`{text}` at character {at} is no number"))),
        };
    }
    let strange = |letter: char| !(letter.is_alphanumeric() || "_%-.".contains(letter));
    if let Some((place, letter)) = text.chars().enumerate().find(|(_, letter)| strange(*letter)) {
        let place = at + place;
        let reason =
            format!("{letter:?} at character {place} is no letter, digit or one of _ % - .");
        return Err(wrong(place, reason));
    }
    Ok(Value::Text(text.to_owned()))
}

fn wrong(at: usize, reason: String) -> FilterError {
    FilterError { reason, at }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Number(number) => write!(f, "{}{}{number}", self.item, self.comparator),
            Value::Text(text) => write!(f, "{}{}{text}", self.item, self.comparator),
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Named(name) => f.write_str(name),
            Self::Auto(conditions) => {
                f.write_str("auto")?;
                conditions.iter().try_for_each(|condition| write!(f, ":{condition}"))
            }
        }
    }
}

#[cfg(test)]
#[path = "protofilter/tests.rs"]
mod tests;
