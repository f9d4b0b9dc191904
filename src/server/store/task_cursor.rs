//! Where a page of the task list ended, as text that clients hand back unread.
//!
//! `sort.direction.key.id`, where the key is the value by which the last task
//! was sorted: `-` for none, `n` and a number, or `t` and the text's bytes in
//! hexadecimal. Run times grow while one reads, so their cursor has a fifth
//! part: the moment as of which the first page was sorted.

use std::fmt::Write as _;

use thiserror::Error;

use crate::api::task::TaskSort;
use crate::domain::task::TaskState;
use crate::domain::{TaskId, Timestamp};

/// The value by which a task is sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SortKey {
    None,
    Number(i64),
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Forward,
    /// Last ones first.
    Backward,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub sort: TaskSort,
    pub direction: Direction,
}

/// A place in a list: behind this task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub key: SortKey,
    pub id: TaskId,
    /// The moment as of which run times are sorted.
    pub as_of: Option<Timestamp>,
}

/// Why a text is no place in this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CursorError {
    #[error("the cursor is none that a task list gave; leave it out for the first page")]
    Malformed,
    #[error(
        "the cursor is of a list with another order: `sort` and `reverse` stay the same from page to page"
    )]
    OtherOrder,
}

impl Position {
    #[must_use]
    pub fn encode(&self, order: Order) -> String {
        let Order { sort, direction } = order;
        let direction = direction_letter(direction);
        let key = match &self.key {
            SortKey::None => "-".to_owned(),
            SortKey::Number(number) => format!("n{number}"),
            SortKey::Text(text) => text.bytes().fold("t".to_owned(), |mut key, byte| {
                // Writing to a string cannot fail.
                let _ = write!(key, "{byte:02x}");
                key
            }),
        };
        let as_of = self.as_of.map(|date| format!(".{}", date.0)).unwrap_or_default();
        format!("{sort}.{direction}.{key}.{}{as_of}", self.id)
    }

    /// The inverse of [`Self::encode`].
    pub fn decode(text: &str, order: Order) -> Result<Self, CursorError> {
        let malformed = CursorError::Malformed;
        let mut parts = text.split('.');
        let mut part = || parts.next().ok_or(malformed);
        let sort: TaskSort = part()?.parse().map_err(|_| malformed)?;
        let direction = match part()? {
            "f" => Direction::Forward,
            "b" => Direction::Backward,
            _ => return Err(malformed),
        };
        let key = decode_key(part()?).ok_or(malformed)?;
        let id: i64 = part()?.parse().map_err(|_| malformed)?;
        let as_of = match (sort, parts.next()) {
            (TaskSort::Runtime, Some(date)) => {
                Some(Timestamp(date.parse().map_err(|_| malformed)?))
            }
            (TaskSort::Runtime, None) | (_, Some(_)) => return Err(malformed),
            (_, None) => None,
        };
        if id < 0 || parts.next().is_some() || !suits(sort, &key) {
            return Err(malformed);
        }
        if (Order { sort, direction }) != order {
            return Err(CursorError::OtherOrder);
        }
        Ok(Self { key, id: TaskId::from_sql(id), as_of })
    }
}

const fn direction_letter(direction: Direction) -> char {
    match direction {
        Direction::Forward => 'f',
        Direction::Backward => 'b',
    }
}

/// Whether tasks are sorted by such a key.
fn suits(sort: TaskSort, key: &SortKey) -> bool {
    match sort {
        TaskSort::Id => *key == SortKey::None,
        TaskSort::Name | TaskSort::Worker => !matches!(key, SortKey::Number(_)),
        TaskSort::Batch => matches!(key, SortKey::Text(_)),
        TaskSort::State => {
            matches!(key, SortKey::Text(state) if state.parse::<TaskState>().is_ok())
        }
        TaskSort::Priority | TaskSort::Since => matches!(key, SortKey::Number(_)),
        TaskSort::Started | TaskSort::Runtime => !matches!(key, SortKey::Text(_)),
    }
}

fn decode_key(text: &str) -> Option<SortKey> {
    if text == "-" {
        return Some(SortKey::None);
    }
    if let Some(number) = text.strip_prefix('n') {
        return number.parse().ok().map(SortKey::Number);
    }
    let digits = text.strip_prefix('t')?.as_bytes();
    let mut bytes = Vec::with_capacity(digits.len() / 2);
    for pair in digits.chunks(2) {
        let [high, low] = pair else { return None };
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
    }
    String::from_utf8(bytes).ok().map(SortKey::Text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use strum::IntoEnumIterator;

    use super::*;

    const DEFAULT: Order = Order { sort: TaskSort::Id, direction: Direction::Forward };

    fn order() -> impl Strategy<Value = Order> {
        let sorts: Vec<TaskSort> = TaskSort::iter().collect();
        (prop::sample::select(sorts), any::<bool>()).prop_map(|(sort, forward)| Order {
            sort,
            direction: if forward { Direction::Forward } else { Direction::Backward },
        })
    }

    fn key(sort: TaskSort) -> BoxedStrategy<SortKey> {
        let number = any::<i64>().prop_map(SortKey::Number);
        let text = any::<String>().prop_map(SortKey::Text);
        match sort {
            TaskSort::Id => Just(SortKey::None).boxed(),
            TaskSort::State => Just(SortKey::Text("failed".to_owned())).boxed(),
            TaskSort::Batch => text.boxed(),
            TaskSort::Name | TaskSort::Worker => prop_oneof![text, Just(SortKey::None)].boxed(),
            TaskSort::Priority | TaskSort::Since => number.boxed(),
            TaskSort::Started | TaskSort::Runtime => {
                prop_oneof![number, Just(SortKey::None)].boxed()
            }
        }
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_was_given(
            (order, key) in order().prop_flat_map(|order| (Just(order), key(order.sort))),
            id in 0..i64::MAX,
            as_of: i64,
        ) {
            let as_of = (order.sort == TaskSort::Runtime).then_some(Timestamp(as_of));
            let position = Position { key, id: TaskId::from_sql(id), as_of };
            let text = position.encode(order);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)));
            prop_assert_eq!(Position::decode(&text, order), Ok(position));
        }

        #[test]
        fn any_other_text_is_refused(text in ".*|[a-z]{2,8}[.][fb][.][-nt0-9a-f]{0,9}([.][-0-9]{1,20}){0,3}", order in order()) {
            if let Ok(position) = Position::decode(&text, order) {
                prop_assert_eq!(Position::decode(&position.encode(order), order), Ok(position));
            }
        }
    }

    #[test]
    fn a_cursor_of_another_order_is_told_from_one_that_is_none() {
        for text in [
            "",
            "12",
            "id.f.-",
            "id.f.-.x",
            "id.f.-.-1",
            "id.f.n1.1",
            "name.f.t6.1",
            "name.f.tff.1",
            "state.f.t61.1",
            "runtime.f.n1.1",
            "id.f.-.1.2",
        ] {
            assert_eq!(Position::decode(text, DEFAULT), Err(CursorError::Malformed), "{text}");
        }
        for text in ["id.b.-.1", "priority.f.n-3.1", "name.f.-.1"] {
            assert_eq!(Position::decode(text, DEFAULT), Err(CursorError::OtherOrder), "{text}");
        }
    }
}
