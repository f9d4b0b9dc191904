//! Filters of lists: a value stands for equality, a list for any of its values,
//! `null` for a field that is not set.

use serde_json::{Map, Value};

use super::body::{Fields, integer_of};
use super::error::{V1Error, V1Result};

/// The conditions of a list.
#[derive(Debug, Clone)]
pub struct Filter(Vec<(String, Value)>);

impl Filter {
    /// All fields but those named in `options`, each of which must be one of `columns`.
    pub fn of(fields: &Fields, columns: &[&str], options: &[&str]) -> V1Result<Self> {
        let mut conditions = Vec::new();
        for (name, value) in &fields.0 {
            if options.contains(&name.as_str()) {
                continue;
            }
            if !columns.contains(&name.as_str()) {
                return Err(V1Error::invalid(format!("`{name}` is nothing to filter by")));
            }
            if value.is_object() {
                return Err(V1Error::invalid(format!("{name}: an object is nothing to filter by")));
            }
            conditions.push((name.clone(), value.clone()));
        }
        Ok(Self(conditions))
    }

    /// Whether an object meets all conditions.
    pub fn fits(&self, object: &Map<String, Value>) -> bool {
        self.0.iter().all(|(name, wanted)| {
            let found = object.get(name).unwrap_or(&Value::Null);
            match wanted {
                Value::Array(any) => any.iter().any(|wanted| equal(found, wanted)),
                wanted => equal(found, wanted),
            }
        })
    }

    /// The values of which one is wanted there, if the column is filtered by.
    pub fn wanted(&self, name: &str) -> Option<Vec<&Value>> {
        let (_, value) = self.0.iter().find(|(column, _)| column == name)?;
        Some(match value {
            Value::Array(any) => any.iter().collect(),
            value => vec![value],
        })
    }

    /// The same as whole numbers from 1 on; none where some are no such numbers.
    pub fn wanted_ids(&self, name: &str) -> Option<Vec<u64>> {
        let ids = self
            .wanted(name)?
            .into_iter()
            .filter_map(|value| u64::try_from(integer_of(value)?).ok().filter(|id| *id > 0));
        Some(ids.collect())
    }

    /// The same as texts.
    pub fn wanted_texts(&self, name: &str) -> Option<Vec<String>> {
        let wanted = self.wanted(name)?;
        if wanted.iter().any(|value| value.is_null()) {
            return None;
        }
        Some(wanted.into_iter().map(text_of).collect())
    }

    /// Whether something else than these columns is filtered by.
    pub fn has_more_than(&self, columns: &[&str]) -> bool {
        self.0.iter().any(|(name, _)| !columns.contains(&name.as_str()))
    }
}

fn equal(found: &Value, wanted: &Value) -> bool {
    if found.is_null() || wanted.is_null() {
        return found.is_null() && wanted.is_null();
    }
    found == wanted || text_of(found) == text_of(wanted)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(flag) => u8::from(*flag).to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fits(filter: &Value) -> bool {
        let fields = Fields::parse(filter.to_string().as_bytes()).unwrap();
        let filter = Filter::of(&fields, &["id", "name", "status", "latest"], &["limit"]).unwrap();
        let object = json!({"id": 7, "name": null, "status": "failed", "latest": true});
        filter.fits(object.as_object().unwrap())
    }

    #[test]
    fn values_lists_nulls_and_numbers_in_quotes() {
        assert!(fits(&json!({})));
        assert!(fits(&json!({"id": 7, "limit": 3})));
        assert!(fits(&json!({"id": "7"})));
        assert!(fits(&json!({"id": [6, 7], "status": ["failed", "running"]})));
        assert!(fits(&json!({"name": null, "latest": true})));
        assert!(fits(&json!({"latest": 1})));
        assert!(!fits(&json!({"id": []})));
        assert!(!fits(&json!({"id": 7, "status": "running"})));
        assert!(!fits(&json!({"name": "7"})));
    }

    #[test]
    fn what_is_no_column_is_refused() {
        let fields = Fields::parse(br#"{"colour": "red"}"#).unwrap();
        assert!(Filter::of(&fields, &["id"], &[]).is_err());
    }
}
