//! Reads `clouds.yaml`, in which the tools of OpenStack keep credentials, and the
//! `secure.yaml` beside it, into which some move the passwords.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

/// One cloud of the file, as far as it concerns us.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Cloud {
    pub auth: BTreeMap<String, String>,
    pub auth_type: Option<String>,
    pub region_name: Option<String>,
    pub interface: Option<String>,
    pub cacert: Option<String>,
    pub verify: Option<bool>,
}

/// Finds a cloud in a file; the error says what is wrong, without the text around it.
pub(super) fn find(path: &Path, name: &str) -> Result<Cloud, String> {
    let file = path.display();
    let mut clouds = load(path)?;
    let secure = path.with_file_name("secure.yaml");
    if secure.is_file() {
        merge(&mut clouds, load(&secure)?);
    }
    let Some(cloud) = clouds.get(name) else {
        let known: Vec<String> = clouds
            .as_object()
            .map(|clouds| clouds.keys().map(|key| format!("`{key}`")).collect())
            .unwrap_or_default();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(format!("`{file}` has no cloud `{name}`; it has {known}"));
    };
    // What serde says of a wrong type may have the value in it: a password.
    serde_json::from_value(texts_of(cloud)).map_err(|_| {
        format!("`{file}`: a key of the cloud `{name}` is of another type than it should be")
    })
}

fn load(path: &Path) -> Result<Value, String> {
    let file = path.display();
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("cannot read `{file}`: {error}"))?;
    let documents = YamlLoader::load_from_str(&text).map_err(|error| {
        let place = error.marker();
        format!("`{file}`, line {}, column {}: {}", place.line(), place.col() + 1, error.info())
    })?;
    let document = documents.first().map_or(Value::Null, json_of);
    match document.get("clouds") {
        Some(clouds) if clouds.is_object() => Ok(clouds.clone()),
        _ => Err(format!("`{file}` has no `clouds:`")),
    }
}

/// Puts what the second has into the first.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn json_of(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Hash(pairs) => {
            let pairs = pairs.iter().filter_map(|(key, value)| {
                let Value::String(key) = text_of(&json_of(key)) else { return None };
                Some((key, json_of(value)))
            });
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Yaml::Array(items) => items.iter().map(json_of).collect(),
        Yaml::Boolean(value) => Value::Bool(*value),
        Yaml::String(text) | Yaml::Real(text) => Value::String(text.clone()),
        Yaml::Integer(number) => Value::Number((*number).into()),
        Yaml::Alias(_) | Yaml::Null | Yaml::BadValue => Value::Null,
    }
}

/// A password of digits alone is text as well.
fn texts_of(cloud: &Value) -> Value {
    let mut cloud = cloud.clone();
    if let Some(auth) = cloud.get_mut("auth").and_then(Value::as_object_mut) {
        auth.retain(|_, value| !value.is_null());
        auth.values_mut().for_each(|value| *value = text_of(value));
    }
    cloud
}

fn text_of(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Bool(value) => Value::String(value.to_string()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cloud(text: &str) -> Cloud {
        let document = &YamlLoader::load_from_str(text).unwrap()[0];
        serde_json::from_value(texts_of(&json_of(document))).unwrap()
    }

    #[test]
    fn a_cloud_is_read_with_anchors_and_odd_types() {
        let read = cloud(
            "auth: &common\n  auth_url: http://127.0.0.1/v3\n  password: 12345\n  project_id: ~\n\
             region_name: 'GRA11'\nidentity_api_version: 3\nverify: true\n",
        );
        assert_eq!(read.auth["password"], "12345");
        assert_eq!(read.auth.get("project_id"), None);
        assert_eq!(read.region_name.as_deref(), Some("GRA11"));
        assert_eq!(read.verify, Some(true));
    }

    #[test]
    fn the_second_file_has_the_last_word() {
        let mut into = serde_json::json!({"ovh": {"auth": {"username": "joe"}, "verify": true}});
        merge(&mut into, serde_json::json!({"ovh": {"auth": {"password": "x"}}}));
        let expected = serde_json::json!({"ovh": {"auth": {"username": "joe", "password": "x"}, "verify": true}});
        assert_eq!(into, expected);
    }
}
