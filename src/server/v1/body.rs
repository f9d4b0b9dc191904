//! Bodies as old clients send them: JSON objects, also with GET, in which numbers
//! may be texts and `null` is the same as nothing.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use serde_json::{Map, Value};

use super::error::{V1Error, V1Result};

/// The fields of a request.
#[derive(Debug, Clone, Default)]
pub struct Fields(pub Map<String, Value>);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = V1Error;

    async fn from_request(request: Request, state: &S) -> V1Result<Self> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|error| V1Error::invalid(format!("the body cannot be read: {error}")))?;
        Self::parse(&body)
    }
}

impl Fields {
    pub fn parse(body: &[u8]) -> V1Result<Self> {
        if body.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(Value::Null) => Ok(Self::default()),
            Ok(_) => Err(V1Error::invalid("the body is no JSON object")),
            Err(error) => Err(V1Error::invalid(format!("the body is no JSON: {error}"))),
        }
    }

    /// A field that is there and not `null`.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> V1Result<Option<String>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(value.to_string())),
            Some(other) => Err(V1Error::invalid(format!("{name}: {other} is no text"))),
        }
    }

    /// A text, none if it is empty.
    pub fn word(&self, name: &str) -> V1Result<Option<String>> {
        Ok(self.text(name)?.filter(|text| !text.trim().is_empty()))
    }

    pub fn required(&self, name: &str) -> V1Result<String> {
        self.text(name)?.ok_or_else(|| V1Error::invalid(format!("{name} is missing")))
    }

    pub fn integer(&self, name: &str) -> V1Result<Option<i64>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match integer_of(value) {
            Some(number) => Ok(Some(number)),
            None => Err(V1Error::invalid(format!("{name}: {value} is no whole number"))),
        }
    }

    /// A number that is not negative.
    pub fn count(&self, name: &str) -> V1Result<Option<u32>> {
        let Some(number) = self.integer(name)? else { return Ok(None) };
        u32::try_from(number)
            .map(Some)
            .map_err(|_| V1Error::invalid(format!("{name}: {number} is out of range")))
    }

    pub fn flag(&self, name: &str) -> V1Result<Option<bool>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(value) => match integer_of(value) {
                Some(number) => Ok(Some(number != 0)),
                None => Err(V1Error::invalid(format!("{name}: {value} is neither true nor false"))),
            },
        }
    }

    pub fn integers(&self, name: &str) -> V1Result<Option<Vec<i64>>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| {
                    integer_of(value).ok_or_else(|| {
                        V1Error::invalid(format!("{name}: {value} is no whole number"))
                    })
                })
                .collect::<V1Result<Vec<i64>>>()
                .map(Some),
            Some(other) => Err(V1Error::invalid(format!("{name}: {other} is no list"))),
        }
    }
}

/// A whole number, also when it is written as a text.
pub fn integer_of(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
