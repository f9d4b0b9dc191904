//! HTTP to a cloud: what the APIs of all clouds have in common.
//!
//! No redirect is followed, since it would carry credentials elsewhere. A request that
//! the cloud has provably not carried out is sent again a few times; what may have been
//! carried out is not, and its caller looks what is there.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ErrorClass, Journal, ProviderError, Secret};

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// So often a request is sent at most.
const TRIES: u32 = 4;

/// The pause after the first try, where the cloud names none; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A cloud that wants to be left alone for longer ends the call, which says so.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// Of an error page that is not JSON, so many characters are shown.
const SHOWN: usize = 300;

/// All that means something in an address, or may come to.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Reads a variable of the server's environment.
pub(super) type Variable = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// A client of one cloud.
pub(super) struct Wire {
    http: reqwest::Client,
    /// Replaced in all that the cloud says, should it repeat them.
    secrets: Vec<Secret>,
}

/// An answer of a cloud, whatever its status.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
    /// Method and URL, without the query.
    pub what: String,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

impl Wire {
    /// A client that also trusts the authorities in a PEM file.
    pub(super) fn new(
        authorities: Option<&Path>,
        secrets: Vec<Secret>,
    ) -> Result<Self, ProviderError> {
        crate::api::tls::install_crypto();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("scitq/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(ANSWER_LIMIT);
        if let Some(path) = authorities {
            let refused = |reason: String| {
                let message =
                    format!("cannot read the certificates in `{}`: {reason}", path.display());
                ProviderError::new(ErrorClass::Authentication, message)
            };
            let pem = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
            let found = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| refused(chain(&error)))?;
            builder = builder.tls_certs_merge(found);
        }
        let http = builder.build().map_err(|error| {
            ProviderError::new(
                ErrorClass::Unsupported,
                format!("no HTTP client: {}", chain(&error)),
            )
        })?;
        Ok(Self { http, secrets })
    }

    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        self.http.request(method, url)
    }

    /// Sends a request until it has an answer that is no request to wait.
    ///
    /// # Errors
    /// Transient, where there is no answer.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Reply, ProviderError> {
        let request = request.build().map_err(|error| self.unsent(&error))?;
        let what = shown(request.method(), request.url());
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let Some(copy) = request.try_clone() else { break };
            let answer = self.once(copy, &what).await;
            let (again, asked) = match &answer {
                Ok(reply) => (reply.was_not_carried_out(is_read), reply.retry_after()),
                Err(_) => (is_read, None),
            };
            let wait = asked.unwrap_or(pause);
            if !again || attempt >= TRIES || wait > LONGEST_PAUSE {
                return answer;
            }
            tracing::debug!(what, attempt, ?wait, "a cloud is asked again");
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
        Err(ProviderError::new(ErrorClass::Unsupported, format!("{what}: cannot be sent twice")))
    }

    async fn once(&self, request: reqwest::Request, what: &str) -> Result<Reply, ProviderError> {
        let failed = |error: reqwest::Error| {
            let reason = self.hide(&chain(&error.without_url()));
            ProviderError::new(ErrorClass::Transient, format!("{what}: {reason}"))
        };
        let answer = self.http.execute(request).await.map_err(failed)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = self.hide(&answer.text().await.map_err(failed)?);
        let body = serde_json::from_str(&text).unwrap_or_else(|_| {
            let shown: String = text.trim().chars().take(SHOWN).collect();
            if shown.is_empty() { Value::Null } else { Value::String(shown) }
        });
        Ok(Reply { status, headers, body, what: what.to_owned() })
    }

    fn unsent(&self, error: &reqwest::Error) -> ProviderError {
        ProviderError::new(ErrorClass::Unsupported, self.hide(&chain(error)))
    }

    fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets.iter().filter(|secret| secret.expose().len() > 3) {
            text = text.replace(secret.expose(), "(secret)");
        }
        text
    }
}

impl Reply {
    /// Reads the body.
    ///
    /// # Errors
    /// It is not what the API promises.
    pub(super) fn read<T: DeserializeOwned>(self) -> Result<T, ProviderError> {
        let what = self.what;
        serde_json::from_value(self.body).map_err(|error| {
            let message = format!("{what}: its answer cannot be read: {error}");
            ProviderError::new(ErrorClass::Unsupported, message)
        })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the cloud will rather take it later.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self.status.as_u16(), 408 | 425 | 429 | 500..=599)
    }

    /// How long the cloud wants us to wait: seconds, or a date.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
        let wait = date.duration_since(jiff::Timestamp::now());
        Some(wait.try_into().unwrap_or(Duration::ZERO))
    }

    /// An error of this class, in the cloud's own words.
    pub(super) fn error(&self, class: ErrorClass, words: &str) -> ProviderError {
        let said = if words.is_empty() { "no reason given" } else { words };
        let mut error =
            ProviderError::new(class, format!("{}: {}: {said}", self.what, self.status.as_u16()));
        error.retry_after = self.retry_after();
        error
    }

    fn was_not_carried_out(&self, is_read: bool) -> bool {
        let is_put_off = self.status == StatusCode::TOO_MANY_REQUESTS;
        is_put_off || (self.is_transient() && is_read)
    }
}

/// Lets time pass, but for a job that was cancelled.
///
/// # Errors
/// Only the cancellation.
pub(super) async fn pause(journal: &dyn Journal, wait: Duration) -> Result<(), ProviderError> {
    let rest = std::pin::pin!(tokio::time::sleep(wait));
    match select(rest, journal.cancelled()).await {
        Either::Left(_) if !journal.is_cancelled() => Ok(()),
        _ => Err(ProviderError::cancelled()),
    }
}

/// Ends a call whose job was cancelled. Between two requests only, so that the cloud
/// never carries one out that nobody knows of.
///
/// # Errors
/// The cancellation.
pub(super) fn go_on(journal: &dyn Journal) -> Result<(), ProviderError> {
    if journal.is_cancelled() { Err(ProviderError::cancelled()) } else { Ok(()) }
}

/// A word as it may stand in a path, a query or a form.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

fn shown(method: &Method, url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{method} {}{port}{}", url.host_str().unwrap_or_default(), url.path())
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
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
