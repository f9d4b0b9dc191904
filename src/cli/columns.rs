//! The columns that a list can have, and which of them are shown.

use std::cmp::Ordering;

use jiff::tz::TimeZone;

use super::error::CliError;
use super::parse::{Direction, Sorting};
use super::table::{Cell, Column};
use crate::clock::SystemClock;
use crate::domain::{Clock, Timestamp};

/// When and where a list is looked at.
#[derive(Debug, Clone)]
pub struct Moment {
    pub now: Timestamp,
    pub zone: TimeZone,
}

/// One column of a list, and what an item has in it.
pub struct Field<T> {
    column: Column,
    presence: Presence,
    cell: fn(&T, &Moment) -> Cell,
    order: Option<fn(&T, &T) -> Ordering>,
}

/// When a column is shown without being asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Always,
    WhenWide,
    Never,
}

/// How many columns a list has by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    Usual,
    Wide,
}

impl Moment {
    /// Here and now.
    #[must_use]
    pub fn present() -> Self {
        Self { now: SystemClock.now().wall, zone: TimeZone::system() }
    }
}

impl<T> std::fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Field").field("column", &self.column).finish_non_exhaustive()
    }
}

impl<T> Field<T> {
    /// A column that is always shown.
    pub fn new(column: Column, cell: fn(&T, &Moment) -> Cell) -> Self {
        Self { column, presence: Presence::Always, cell, order: None }
    }

    /// The same, shown with `--wide` only.
    #[must_use]
    pub fn wide(self) -> Self {
        Self { presence: Presence::WhenWide, ..self }
    }

    /// The same, shown with `--columns` only.
    #[must_use]
    pub fn on_request(self) -> Self {
        Self { presence: Presence::Never, ..self }
    }

    /// The same, and the list can be sorted by it here.
    #[must_use]
    pub fn sorted(self, order: fn(&T, &T) -> Ordering) -> Self {
        Self { order: Some(order), ..self }
    }

    #[must_use]
    pub const fn column(&self) -> Column {
        self.column
    }

    #[must_use]
    pub fn cell(&self, item: &T, moment: &Moment) -> Cell {
        (self.cell)(item, moment)
    }

    /// As `--columns` and `--sort` name it.
    fn name(&self) -> String {
        self.column.title().to_ascii_lowercase()
    }
}

/// The columns that are shown: those that were named, in that order, or as
/// many as the list has by itself.
///
/// # Errors
/// There is no column of such a name.
pub fn choose<T>(
    fields: Vec<Field<T>>,
    named: &[String],
    width: Width,
) -> Result<Vec<Field<T>>, CliError> {
    if named.is_empty() {
        let is_shown = |field: &Field<T>| match field.presence {
            Presence::Always => true,
            Presence::WhenWide => width == Width::Wide,
            Presence::Never => false,
        };
        return Ok(fields.into_iter().filter(is_shown).collect());
    }
    let mut chosen = Vec::new();
    for name in named {
        let wanted = name.trim().to_ascii_lowercase();
        let Some(field) = fields.iter().find(|field| field.name() == wanted) else {
            return Err(unknown_column("--columns", name, &names(&fields)));
        };
        let column = field.column.always();
        chosen.push(Field { column, presence: field.presence, cell: field.cell, order: None });
    }
    Ok(chosen)
}

/// Sorts items by a column; equal ones keep their order.
///
/// # Errors
/// The list cannot be sorted by a column of this name.
pub fn sort<T>(items: &mut [T], fields: &[Field<T>], sorting: &Sorting) -> Result<(), CliError> {
    let sortable = || fields.iter().filter(|field| field.order.is_some());
    let Some(field) = sortable().find(|field| field.name() == sorting.column) else {
        let names: Vec<String> = sortable().map(Field::name).collect();
        return Err(unknown_column("--sort", &sorting.column, &names));
    };
    if let Some(order) = field.order {
        match sorting.direction {
            Direction::Ascending => items.sort_by(order),
            Direction::Descending => items.sort_by(|a, b| order(b, a)),
        }
    }
    Ok(())
}

/// The error for a column that a list does not have.
#[must_use]
pub fn unknown_column(option: &str, name: &str, known: &[String]) -> CliError {
    CliError::usage(format!("{option}: there is no column `{name}`"))
        .hint(format!("one of {}", known.join(", ")))
}

fn names<T>(fields: &[Field<T>]) -> Vec<String> {
    fields.iter().map(Field::name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::table::{number, optional, text};

    fn fields() -> Vec<Field<(u32, &'static str)>> {
        vec![
            Field::new(number("ID"), |item: &(u32, &str), _| item.0.into())
                .sorted(|a, b| a.0.cmp(&b.0)),
            Field::new(optional(text("NAME")), |item: &(u32, &str), _| item.1.into()),
            Field::new(text("MORE"), |_, _| "".into()).wide(),
            Field::new(text("RARE"), |_, _| "".into()).on_request(),
        ]
    }

    fn chosen(named: &[&str], width: Width) -> Result<Vec<String>, CliError> {
        let named: Vec<String> = named.iter().map(ToString::to_string).collect();
        choose(fields(), &named, width).map(|fields| names(&fields))
    }

    #[test]
    fn named_columns_are_shown_in_their_order() {
        assert_eq!(chosen(&[], Width::Usual).unwrap(), ["id", "name"]);
        assert_eq!(chosen(&[], Width::Wide).unwrap(), ["id", "name", "more"]);
        assert_eq!(chosen(&["RARE", " name"], Width::Usual).unwrap(), ["rare", "name"]);
        let error = chosen(&["nmae"], Width::Usual).unwrap_err();
        assert_eq!(error.to_string(), "--columns: there is no column `nmae`");
        assert_eq!(error.hints(), ["one of id, name, more, rare"]);
    }

    #[test]
    fn a_short_list_is_sorted_here() {
        let mut items = [(2, "a"), (1, "b"), (3, "c")];
        let sorted = |items: &mut [(u32, &'static str)], text: &str| {
            sort(items, &fields(), &text.parse().unwrap())
        };
        sorted(&mut items, "id:desc").unwrap();
        assert_eq!(items.map(|item| item.0), [3, 2, 1]);
        let error = sorted(&mut items, "name").unwrap_err();
        assert_eq!(error.hints(), ["one of id"]);
    }
}
