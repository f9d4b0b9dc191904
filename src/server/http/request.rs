//! What comes in: bodies, queries and path segments, with errors of our own form.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_LENGTH;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::api::IDEMPOTENCY_KEY;
use crate::api::error::ErrorCode;

use super::super::engine::service::RequestKey;
use super::error::{ApiError, ApiResult};
use super::gate::Caller;

/// Largest body that a request may have, bytes.
pub const MAX_BODY: usize = 256 << 20;
/// Longest idempotency key, bytes.
pub const MAX_KEY: usize = 128;
/// Bodies larger than this are parsed beside the threads that answer requests.
const LARGE_BODY: usize = 256 << 10;

/// The body of a change, with the key that makes its repetition harmless.
#[derive(Debug)]
pub struct Change<T> {
    pub value: T,
    pub key: Option<RequestKey>,
}

/// A query string.
#[derive(Debug)]
pub struct Parameters<T>(pub T);

/// An id in the path.
#[derive(Debug)]
pub struct Id<T>(pub T);

impl<T, S> FromRequest<S> for Change<T>
where
    T: DeserializeOwned + Send + 'static,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        let caller = request.extensions().get::<Caller>().cloned();
        let key = idempotency_key(request.headers())?;
        let route = format!("{} {}\n", request.method(), request.uri());
        // Refused before it is sent, where its length is told.
        let told = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let told: Option<usize> = told.and_then(|told| told.parse().ok());
        if told.is_some_and(|told| told > MAX_BODY) {
            return Err(too_long());
        }
        let body =
            Bytes::from_request(request, state).await.map_err(|error| match error.status() {
                StatusCode::PAYLOAD_TOO_LARGE => too_long(),
                _ => ApiError::invalid(format!("the body cannot be read: {}", error.body_text())),
            })?;
        let key = key.map(|key| {
            let actor = caller.as_ref().map_or("", |caller| &*caller.name);
            let mut hash = Sha256::new();
            hash.update(route.as_bytes());
            hash.update(&body);
            RequestKey {
                key: format!("{actor}/{key}").into(),
                request_hash: hash.finalize().into(),
            }
        });
        let value = if body.len() > LARGE_BODY {
            let parsed = tokio::task::spawn_blocking(move || parse(&body)).await;
            parsed.map_err(|_| ApiError::invalid("the body cannot be parsed"))??
        } else {
            parse(&body)?
        };
        Ok(Self { value, key })
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        // Read as a form, bytes that are no text would become U+FFFD.
        let query = parts.uri.query().unwrap_or_default();
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(ApiError::invalid("query: it is not UTF-8"));
        }
        let Query(value) = Query::from_request_parts(parts, state)
            .await
            .map_err(|error| ApiError::invalid(format!("query: {}", error.body_text())))?;
        Ok(Self(value))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> ApiResult<Self> {
        let Path(value) = Path::from_request_parts(parts, state)
            .await
            .map_err(|error| ApiError::invalid(format!("path: {}", error.body_text())))?;
        Ok(Self(value))
    }
}

/// States by name, separated by commas.
pub(super) fn parse_states<T>(text: Option<&str>) -> ApiResult<Vec<T>>
where
    T: std::str::FromStr + strum::IntoEnumIterator + ToString + PartialEq,
{
    let mut states = Vec::new();
    for word in text.unwrap_or_default().split(',').filter(|word| !word.is_empty()) {
        let state = word.parse().map_err(|_| {
            let known: Vec<String> = T::iter().map(|state| state.to_string()).collect();
            ApiError::invalid(format!("`{word}` is no state"))
                .hint(format!("states are {}", known.join(", ")))
        })?;
        if !states.contains(&state) {
            states.push(state);
        }
    }
    Ok(states)
}

/// How many entries a page has.
pub(super) fn page_size(limit: Option<u32>) -> ApiResult<u32> {
    match limit {
        None => Ok(crate::api::DEFAULT_PAGE),
        Some(limit @ 1..=crate::api::MAX_PAGE) => Ok(limit),
        Some(limit) => Err(ApiError::invalid(format!(
            "limit {limit} is not between 1 and {}",
            crate::api::MAX_PAGE
        ))),
    }
}

fn too_long() -> ApiError {
    ApiError::invalid(format!("the body is longer than {MAX_BODY} bytes"))
        .status(StatusCode::PAYLOAD_TOO_LARGE)
        .hint("send several requests with a part each")
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> ApiResult<T> {
    // A change without a body takes `()`.
    let body = if body.is_empty() { b"null" } else { body };
    // An array would be read as the fields of an object in their order.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(ApiError::invalid(
            "the body is not what this route takes: it is an array, and must be an object",
        ));
    }
    serde_json::from_slice(body).map_err(|error| {
        ApiError::invalid(format!("the body is not what this route takes: {error}"))
    })
}

fn idempotency_key(headers: &HeaderMap) -> ApiResult<Option<String>> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match value.to_str() {
        Ok(key)
            if (1..=MAX_KEY).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(Some(key.to_owned()))
        }
        _ => Err(ApiError::new(
            ErrorCode::Invalid,
            format!("an idempotency key is 1 to {MAX_KEY} visible ASCII characters"),
        )),
    }
}
