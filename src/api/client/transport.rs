//! Sending a request until it is answered, or patience is at its end.

use std::error::Error as _;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Request, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::address::ServerAddress;
use super::error::ClientError;
use crate::api::fingerprint::{Fingerprint, TokenParts};
use crate::api::ssh::{SshError, Tunnel};
use crate::api::tls::{self, Identity};
use crate::api::{ErrorBody, ErrorCode, IDEMPOTENCY_KEY};

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// Silence after which the system probes whether the server's machine still
/// lives, and the pause between two probes.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(5));

/// How long an answer may take, beyond the wait that a request asks for.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// How long a request whose connection was lost is tried again at least: a
/// server that restarts is back by then, and remembers the idempotency key.
const LOST_PATIENCE: Duration = Duration::from_secs(10);

/// First and longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// What a client is made of.
#[derive(Clone, Default)]
pub struct ClientConfig {
    pub address: ServerAddress,
    /// Access token; none where the server trusts the address.
    pub token: Option<String>,
    pub patience: Patience,
}

impl fmt::Debug for ClientConfig {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("address", &self.address)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// How long a server that cannot be reached, or cannot take changes at the
/// moment, is waited for.
#[derive(Clone)]
pub struct Patience {
    /// None: for ever. Zero: not at all.
    pub limit: Option<Duration>,
    /// Told once per outage, when the waiting begins.
    pub notice: Option<Notice>,
}

/// Hears of a wait for the server, with its cause.
pub type Notice = Arc<dyn Fn(&ClientError) + Send + Sync>;

impl Default for Patience {
    /// None: a server that is not there is an error at once.
    fn default() -> Self {
        Self { limit: Some(Duration::ZERO), notice: None }
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// The connections to one server.
#[derive(Debug, Clone)]
pub(super) struct Transport {
    http: reqwest::Client,
    address: ServerAddress,
    patience: Patience,
    /// The way to a server that is reached by SSH.
    tunnel: Option<Arc<Tunnel>>,
    /// Whether an outage was told and no answer has come since; clones share it.
    outage: Arc<AtomicBool>,
}

impl Transport {
    pub(super) fn new(config: ClientConfig) -> Result<Self, ClientError> {
        let mut headers = HeaderMap::new();
        let token = config.token.as_deref().map(TokenParts::of).transpose()?;
        let fingerprint = token.and_then(|token| token.fingerprint);
        let identity = identity(&config.address, fingerprint)?;
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.secret))
                .map_err(|_| ClientError::BadToken)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let tls = tls::client_config(identity).map_err(|error| ClientError::NoTls {
            address: config.address.to_string(),
            cause: error.source().map_or_else(|| error.to_string(), ToString::to_string),
        })?;
        let tunnel = config
            .address
            .ssh()
            .map(|host| Tunnel::open(host, config.address.port()))
            .transpose()
            .map_err(|error| unreachable(&config.address, &error))?;
        let mut builder = reqwest::Client::builder();
        if let Some(tunnel) = &tunnel {
            builder = builder.unix_socket(tunnel.socket());
        }
        let http = builder
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("scitq/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only()
            .tcp_nodelay(true)
            .tcp_keepalive(KEEPALIVE.0)
            .tcp_keepalive_interval(KEEPALIVE.1)
            .tcp_keepalive_retries(3)
            .connect_timeout(CONNECT_LIMIT)
            .timeout(ANSWER_LIMIT)
            .build()
            .map_err(|error| ClientError::from_transport(config.address.to_string(), &error))?;
        Ok(Self {
            http,
            address: config.address,
            patience: config.patience,
            tunnel: tunnel.map(Arc::new),
            outage: Arc::default(),
        })
    }

    pub(super) const fn address(&self) -> &ServerAddress {
        &self.address
    }

    pub(super) fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// A read.
    pub(super) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(self.address.join(path))
    }

    /// A read that needs a body.
    pub(super) fn ask(&self, path: &str) -> RequestBuilder {
        self.http.post(self.address.join(path))
    }

    /// A change: it travels under a key of its own.
    pub(super) fn change(&self, method: Method, path: &str) -> Result<RequestBuilder, ClientError> {
        let request = self.http.request(method, self.address.join(path));
        Ok(request.header(IDEMPOTENCY_KEY, fresh_key()?))
    }

    /// Sends a request and reads its JSON answer.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, ClientError> {
        let (_, body) = self.send(request).await?;
        serde_json::from_slice(&body)
            .map_err(|error| self.protocol(format!("its answer cannot be read: {error}")))
    }

    /// Sends a request until it is answered or patience is at its end.
    pub(super) async fn send(
        &self,
        request: RequestBuilder,
    ) -> Result<(HeaderMap, Bytes), ClientError> {
        let request = request.build().map_err(|error| self.broken(&error))?;
        let begun = Instant::now();
        let mut pause = PAUSES.0;
        let mut lost_once = false;
        loop {
            let error = match self.attempt(&request).await {
                Ok(answer) => {
                    self.outage.store(false, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => error,
            };
            lost_once |= matches!(error, ClientError::Lost { .. });
            let patience = match self.patience.limit {
                Some(limit) if lost_once => Some(limit.max(LOST_PATIENCE)),
                limit => limit,
            };
            let is_over = patience.is_some_and(|limit| begun.elapsed() >= limit);
            if is_over || !error.is_transient() {
                return Err(error);
            }
            // A connection that the server had closed while it was idle is
            // no outage: the next try makes a new one.
            let is_outage =
                !matches!(error, ClientError::Lost { .. }) || begun.elapsed() > PAUSES.1;
            if is_outage
                && let Some(notice) = &self.patience.notice
                && !self.outage.swap(true, Ordering::Relaxed)
            {
                notice(&error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Sends a request once and gives its answer out while it is still coming.
    pub(super) async fn open(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        if response.status().is_success() {
            self.outage.store(false, Ordering::Relaxed);
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    async fn attempt(&self, request: &Request) -> Result<(HeaderMap, Bytes), ClientError> {
        let Some(request) = request.try_clone() else {
            return Err(self.protocol("a request that cannot be sent twice".to_owned()));
        };
        let response = self.http.execute(request).await.map_err(|error| self.broken(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let headers = response.headers().clone();
        Ok((headers, response.bytes().await.map_err(|error| self.broken(&error))?))
    }

    /// What an answer that is no success means.
    async fn refusal(&self, response: Response) -> ClientError {
        let status = response.status();
        let body = match response.bytes().await {
            Ok(body) => body,
            Err(error) => return self.broken(&error),
        };
        let Ok(body) = serde_json::from_slice::<ErrorBody>(&body) else {
            return self.protocol(format!("status {}", status_text(status)));
        };
        if body.code == ErrorCode::Unauthenticated {
            return ClientError::Unauthenticated { address: self.address.to_string(), body };
        }
        ClientError::Refused { body }
    }

    fn broken(&self, error: &reqwest::Error) -> ClientError {
        // A connection that ssh could not make looks like one that was closed.
        if let Some(cause) = self.tunnel.as_ref().and_then(|tunnel| tunnel.problem()) {
            return ClientError::Unreachable { address: self.address.to_string(), cause };
        }
        ClientError::from_transport(self.address.to_string(), error)
    }

    pub(super) fn protocol(&self, reason: String) -> ClientError {
        ClientError::Protocol { address: self.address.to_string(), reason }
    }
}

/// No way by SSH.
pub fn unreachable(address: &ServerAddress, error: &SshError) -> ClientError {
    let cause = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    ClientError::Unreachable { address: address.to_string(), cause }
}

/// Whom to expect at an address.
///
/// # Errors
/// The token names a certificate, and would travel in plain.
pub fn identity(
    address: &ServerAddress,
    fingerprint: Option<Fingerprint>,
) -> Result<Identity, ClientError> {
    match fingerprint {
        Some(_) if !address.is_private() => {
            Err(ClientError::Exposed { address: address.to_string() })
        }
        _ if !address.is_encrypted() => Ok(Identity::Plain),
        Some(fingerprint) => Ok(Identity::Pinned(fingerprint)),
        None => Ok(Identity::Vouched),
    }
}

fn status_text(status: StatusCode) -> String {
    let reason = status.canonical_reason().unwrap_or_default();
    format!("{} {reason}", status.as_u16()).trim_end().to_owned()
}

/// A new idempotency key: 128 random bits.
fn fresh_key() -> Result<String, ClientError> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| ClientError::NoKey { cause: error.to_string() })?;
    Ok(format!("{:032x}", u128::from_be_bytes(bits)))
}
