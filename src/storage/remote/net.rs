//! The HTTP client of all remotes, and how it waits when a server asks it to.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Request, Response, StatusCode};
use opendal::{Buffer, ErrorKind, HttpBody, HttpTransport};
use reqwest::header::{CONTENT_LENGTH, HeaderMap, RETRY_AFTER};

use super::error::{RemoteError, RemoteErrorKind, Result};

/// A server that answers takes no longer to accept a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// A transfer in which nothing moves for so long is given up and resumed.
pub(super) const STALL_LIMIT: Duration = Duration::from_mins(1);

/// A server that wants us to wait longer is as good as broken.
pub(super) const LONGEST_WAIT: Duration = Duration::from_mins(2);

/// So often one request is repeated since the server asked us to wait.
const MAX_REPEATS: usize = 5;

static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();

/// The client. All remotes share its connections.
pub(super) fn client() -> Result<reqwest::Client> {
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    crate::api::tls::install_crypto();
    let client = reqwest::Client::builder()
        .user_agent(concat!("scitq/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(STALL_LIMIT)
        .tcp_nodelay(true)
        .build()
        .map_err(|error| RemoteError::lasting(chain(&error)))?;
    Ok(CLIENT.get_or_init(|| client).clone())
}

/// An error with all of its causes in one line, without the URL.
pub(super) fn of_reqwest(error: reqwest::Error) -> RemoteError {
    let is_ours = error.is_builder();
    let message = chain(&error.without_url());
    if is_ours { RemoteError::lasting(message) } else { RemoteError::temporary(message) }
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let next = source.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = source.source();
    }
    text
}

/// What an answer means that is no success.
pub(super) fn of_status(status: StatusCode, headers: &HeaderMap) -> RemoteError {
    let kind = match status.as_u16() {
        404 | 410 => RemoteErrorKind::NotFound,
        401 | 403 => RemoteErrorKind::Denied,
        405 | 501 => RemoteErrorKind::Unsupported,
        412 => RemoteErrorKind::Changed,
        408 | 423 | 425 | 429 | 500 | 502..=504 | 509 | 529 => RemoteErrorKind::Temporary,
        _ => RemoteErrorKind::Lasting,
    };
    let mut error = RemoteError::new(kind, format!("the server answers {status}"));
    error.retry_after = retry_after(headers, now());
    error
}

/// How long the server wants us to wait: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = http_date(text)?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// A date as HTTP headers have it.
pub(super) fn http_date(text: &str) -> Option<SystemTime> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| SystemTime::from(date.timestamp()))
}

fn now() -> SystemTime {
    SystemTime::from(jiff::Timestamp::now())
}

/// Carries the requests of `opendal`. A server that says it is busy, and for
/// how long, is asked again after that time.
#[derive(Debug, Clone)]
pub(super) struct Transport(pub reqwest::Client);

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let (parts, body) = request.into_parts();
        let body = body.to_bytes();
        let url = parts.uri.to_string();
        let mut repeats = 0;
        loop {
            let answer = self
                .0
                .request(parts.method.clone(), &url)
                .headers(parts.headers.clone())
                .body(body.clone())
                .send()
                .await
                .map_err(of_transport)?;
            let is_busy = matches!(answer.status().as_u16(), 429 | 503);
            match retry_after(answer.headers(), now()) {
                Some(wait) if is_busy && wait <= LONGEST_WAIT && repeats < MAX_REPEATS => {
                    tracing::info!(?wait, "the storage is busy and asks to wait");
                    tokio::time::sleep(wait).await;
                    repeats += 1;
                }
                _ => return answer_of(&parts.method, answer),
            }
        }
    }
}

fn answer_of(
    method: &http::Method,
    mut answer: reqwest::Response,
) -> opendal::Result<Response<HttpBody>> {
    let bytes = answer
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .filter(|_| method != http::Method::HEAD);
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        std::mem::swap(headers, answer.headers_mut());
    }
    let stream = answer
        .bytes_stream()
        .try_filter(|piece: &Bytes| std::future::ready(!piece.is_empty()))
        .map_ok(Buffer::from)
        .map_err(of_transport);
    response.body(HttpBody::new(stream, bytes)).map_err(|error| {
        opendal::Error::new(ErrorKind::Unexpected, "the answer cannot be read").set_source(error)
    })
}

fn of_transport(error: reqwest::Error) -> opendal::Error {
    let told = of_reqwest(error);
    let is_temporary = told.kind == RemoteErrorKind::Temporary;
    opendal::Error::new(ErrorKind::Unexpected, told.message).with_temporary(is_temporary)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_wait_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:47 GMT"), Some(Duration::from_secs(10)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:00 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn answers_have_their_meaning() {
        for (status, kind) in [
            (404, RemoteErrorKind::NotFound),
            (403, RemoteErrorKind::Denied),
            (503, RemoteErrorKind::Temporary),
            (405, RemoteErrorKind::Unsupported),
            (400, RemoteErrorKind::Lasting),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(of_status(status, &HeaderMap::new()).kind, kind);
        }
    }
}
