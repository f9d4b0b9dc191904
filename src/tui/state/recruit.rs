//! The form for recruiting workers.

use super::popup::LineEdit;
use crate::domain::protofilter::{Filter, FilterError};

/// The fields in the original's order, with what they begin with.
pub const FIELDS: [(&str, &str); 7] = [
    ("concurrency", "1"),
    ("prefetch", "0"),
    ("flavor", ""),
    ("region", "auto"),
    ("provider", "auto"),
    ("batch", ""),
    ("number", "1"),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecruitForm {
    pub fields: Vec<LineEdit>,
    pub focus: usize,
    /// The field that is wrong, and why.
    pub error: Option<(usize, String)>,
}

impl RecruitForm {
    /// A form with what was typed into the last one.
    #[must_use]
    pub fn new(last: &[String]) -> Self {
        let fields = FIELDS.iter().enumerate().map(|(number, (_, usual))| {
            LineEdit::new(last.get(number).map_or(*usual, String::as_str))
        });
        Self { fields: fields.collect(), focus: 2, error: None }
    }

    #[must_use]
    pub fn values(&self) -> Vec<String> {
        self.fields.iter().map(|field| field.text().trim().to_owned()).collect()
    }

    /// What stands in a field.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        let number = FIELDS.iter().position(|(known, _)| *known == name);
        number.and_then(|number| self.fields.get(number)).map_or("", |field| field.text().trim())
    }

    /// The name of the field that is edited.
    #[must_use]
    pub fn focused(&self) -> &'static str {
        FIELDS.get(self.focus).map_or("", |(name, _)| name)
    }

    /// Looks for the first field that makes no sense.
    ///
    /// # Errors
    /// Its number, and why.
    pub fn check(&self) -> Result<(), (usize, String)> {
        let values = self.values();
        for (number, (name, _)) in FIELDS.iter().enumerate() {
            let value = values.get(number).map(String::as_str).unwrap_or_default();
            check_field(name, value).map_err(|reason| (number, reason))?;
        }
        Ok(())
    }
}

fn check_field(name: &str, value: &str) -> Result<(), String> {
    match name {
        "concurrency" => check_number(value, 1, 100_000),
        "prefetch" => check_number(value, 0, 100_000),
        "number" => check_number(value, 1, 10_000),
        "flavor" => {
            value.parse::<Filter>().map(drop).map_err(|error: FilterError| error.to_string())
        }
        "batch" if value.is_empty() => Ok(()),
        "batch" => {
            value.parse::<crate::domain::BatchName>().map(drop).map_err(|error| error.to_string())
        }
        _ if value.is_empty() => Err("name one, or `auto`".to_owned()),
        _ => Ok(()),
    }
}

fn check_number(value: &str, least: u32, most: u32) -> Result<(), String> {
    match value.parse::<u32>() {
        Ok(number) if (least..=most).contains(&number) => Ok(()),
        _ => Err(format!("`{value}` is no number from {least} to {most}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(field: usize, value: &str) -> String {
        let mut form = RecruitForm::new(&[]);
        form.fields[2] = LineEdit::new("d2-2");
        form.fields[field] = LineEdit::new(value);
        match form.check() {
            Ok(()) => String::new(),
            Err((number, reason)) => {
                assert_eq!(number, field);
                reason
            }
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_field() {
        assert_eq!(refusal(0, "0"), "`0` is no number from 1 to 100000");
        assert_eq!(refusal(1, "0"), "");
        assert_eq!(refusal(2, ""), "name a flavor, or a filter such as auto:cpu>=8");
        assert_eq!(refusal(5, "a/b"), "batch name `a/b` has a `/`, which batch names cannot have");
        assert_eq!(refusal(6, "many"), "`many` is no number from 1 to 10000");
    }

    #[test]
    fn a_protofilter_is_checked_to_the_character() {
        assert_eq!(refusal(2, "auto"), "");
        assert_eq!(refusal(2, "auto:cpu>=8:ram>=30:tags!#M:region~sw%"), "");
        assert!(refusal(2, "auto:cores>=8").starts_with("`cores` at character 6: cpu ram"));
        assert_eq!(refusal(2, "auto:cpu>=8:ram>=x"), "`x` at character 18 is no number");
        assert_eq!(refusal(2, "auto:cpu"), "`cpu` at character 6 has no comparator such as >=");
    }
}
