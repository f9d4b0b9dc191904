//! A token of the login service, and requests to the Resource Manager under it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::credentials::Lookup;
use super::error::{of_login, of_operation, of_reply};
use super::settings::AzureSettings;
use crate::server::hiring::provider::wire::{Reply, Variable, Wire, escaped, pause};
use crate::server::hiring::provider::{ErrorClass, Journal, ProviderError, Secret};
use crate::server::hiring::settings::Surroundings;

/// Where Azure asks for more patience between two looks, this counts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A kind of Azure's resources, with the version of the API in which we speak of it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Api {
    Groups,
    Network,
    Machines,
    Skus,
    Graph,
}

/// Who we are at Azure.
pub(super) struct Session {
    lookup: Lookup,
    variable: Variable,
    management: Url,
    login: Url,
    token: Mutex<Option<Arc<Token>>>,
}

struct Token {
    wire: Wire,
    header: HeaderValue,
}

#[derive(Deserialize)]
struct TokenBody {
    access_token: String,
}

/// How long to wait for what takes its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub poll: Duration,
    pub limit: Duration,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("lookup", &self.lookup)
            .field("management", &self.management.as_str())
            .finish_non_exhaustive()
    }
}

impl Api {
    const fn version(self) -> &'static str {
        match self {
            Self::Groups => "2021-04-01",
            Self::Network => "2023-09-01",
            Self::Machines => "2024-07-01",
            Self::Skus => "2021-07-01",
            Self::Graph => "2022-10-01",
        }
    }
}

impl Session {
    pub(super) fn new(
        settings: &AzureSettings,
        surroundings: &Surroundings,
        management: Url,
        login: Url,
    ) -> Self {
        let variable = Arc::clone(&surroundings.variable);
        let lookup = Lookup::new(settings);
        Self { lookup, variable, management, login, token: Mutex::default() }
    }

    /// The path of something in our subscription.
    pub(super) fn path(&self, below: &str) -> Result<String, ProviderError> {
        let subscription = self.lookup.subscription(&*self.variable)?;
        Ok(format!("/subscriptions/{}{below}", escaped(&subscription)))
    }

    /// Sends a request, whatever comes back. `query` begins with `&` or is empty.
    pub(super) async fn send(
        &self,
        api: Api,
        method: Method,
        path: &str,
        query: &str,
        body: Option<&Value>,
    ) -> Result<Reply, ProviderError> {
        let base = self.management.as_str().trim_end_matches('/');
        let url = format!("{base}{path}?api-version={}{query}", api.version());
        self.send_to(method, address(&url)?, body).await
    }

    /// The same, where anything but success is an error.
    pub(super) async fn ask(
        &self,
        api: Api,
        method: Method,
        path: &str,
        query: &str,
        body: Option<&Value>,
    ) -> Result<Reply, ProviderError> {
        let reply = self.send(api, method, path, query, body).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(of_reply(&reply)) }
    }

    /// What is there, if it is.
    pub(super) async fn find(
        &self,
        api: Api,
        path: &str,
        query: &str,
    ) -> Result<Option<Value>, ProviderError> {
        let reply = self.send(api, Method::GET, path, query, None).await?;
        match reply.status {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(reply.body)),
            _ => Err(of_reply(&reply)),
        }
    }

    /// All pages of a list.
    pub(super) async fn pages(
        &self,
        api: Api,
        path: &str,
        query: &str,
    ) -> Result<Vec<Value>, ProviderError> {
        let mut items = Vec::new();
        let mut query = query.to_owned();
        loop {
            let mut reply = self.ask(api, Method::GET, path, &query, None).await?;
            let Some(Value::Array(page)) = reply.body.get_mut("value").map(Value::take) else {
                let message = format!("{}: its answer has no list", reply.what);
                return Err(ProviderError::new(ErrorClass::Unsupported, message));
            };
            items.extend(page);
            // Of the address only the query counts, so that no token goes anywhere else.
            let next = reply.body.get("nextLink").and_then(Value::as_str).and_then(query_of);
            match next {
                Some(next) if next != query => query = next,
                _ => return Ok(items),
            }
        }
    }

    /// Makes or changes something, and waits until that is done.
    pub(super) async fn put(
        &self,
        api: Api,
        path: &str,
        body: &Value,
        patience: Patience,
        journal: &dyn Journal,
    ) -> Result<Value, ProviderError> {
        let reply = self.ask(api, Method::PUT, path, "", Some(body)).await?;
        let made = reply.body.clone();
        self.await_end(reply, patience, journal).await?;
        Ok(made)
    }

    /// Waits for the end of what an answer says was begun.
    pub(super) async fn await_end(
        &self,
        begun: Reply,
        patience: Patience,
        journal: &dyn Journal,
    ) -> Result<(), ProviderError> {
        let since = Instant::now();
        let what = begun.what.clone();
        let is_operation = begun.header("azure-asyncoperation").is_some();
        let target = begun.header("azure-asyncoperation").or_else(|| begun.header("location"));
        let Some(target) = target.filter(|_| is_operation || begun.status == StatusCode::ACCEPTED)
        else {
            return Ok(());
        };
        let url = self.own_address(target)?;
        let mut wait = begun.retry_after();
        loop {
            pause(journal, wait.unwrap_or(patience.poll).min(LONGEST_PAUSE)).await?;
            let is_late = since.elapsed() > patience.limit;
            let reply = match self.send_to(Method::GET, url.clone(), None).await {
                // Not to be able to look ends nothing.
                Err(error) if error.class == ErrorClass::Transient && !is_late => {
                    journal.line(&error.message);
                    wait = error.retry_after;
                    continue;
                }
                other => other?,
            };
            wait = reply.retry_after();
            if reply.is_transient() && !is_late {
                journal.line(&of_reply(&reply).message);
                continue;
            }
            if !reply.status.is_success() {
                return Err(of_reply(&reply));
            }
            if is_operation {
                match reply.body.get("status").and_then(Value::as_str).unwrap_or_default() {
                    "Succeeded" => return Ok(()),
                    "Failed" | "Canceled" => return Err(of_operation(&what, &reply.body)),
                    _ => {}
                }
            } else if reply.status != StatusCode::ACCEPTED {
                return Ok(());
            }
            if is_late {
                let message = format!("{what}: not done after {} s", since.elapsed().as_secs());
                return Err(ProviderError::new(ErrorClass::Transient, message));
            }
        }
    }

    async fn send_to(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Reply, ProviderError> {
        let token = self.token(None).await?;
        let reply = token.send(&method, &url, body).await?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        let renewed = self.token(Some(&token)).await?;
        renewed.send(&method, &url, body).await
    }

    /// An address that Azure names, if it is one of the Resource Manager's own.
    fn own_address(&self, text: &str) -> Result<Url, ProviderError> {
        let url = address(text)?;
        if url.origin() == self.management.origin() {
            return Ok(url);
        }
        let message = format!(
            "an operation is to be followed at `{}`, which is not `{}`: no token goes there",
            url.origin().ascii_serialization(),
            self.management
        );
        Err(ProviderError::new(ErrorClass::Unsupported, message))
    }

    async fn token(&self, refused: Option<&Arc<Token>>) -> Result<Arc<Token>, ProviderError> {
        let mut kept = self.token.lock().await;
        if let Some(token) = &*kept
            && refused.is_none_or(|refused| !Arc::ptr_eq(refused, token))
        {
            return Ok(Arc::clone(token));
        }
        *kept = None;
        let token = Arc::new(self.log_in().await?);
        *kept = Some(Arc::clone(&token));
        Ok(token)
    }

    async fn log_in(&self) -> Result<Token, ProviderError> {
        let found = self.lookup.load(&*self.variable)?;
        let wire = Wire::new(None, vec![found.secret.clone()])?;
        let base = self.login.as_str().trim_end_matches('/');
        let url = format!("{base}/{}/oauth2/v2.0/token", escaped(&found.tenant));
        let scope = format!("{}/.default", self.management.as_str().trim_end_matches('/'));
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", &found.client),
            ("client_secret", found.secret.expose()),
            ("scope", &scope),
        ];
        let form: Vec<String> =
            fields.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect();
        let request = wire
            .request(Method::POST, address(&url)?)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.join("&"));
        let reply = wire.send(request).await?;
        if !reply.status.is_success() {
            return Err(of_login(&reply));
        }
        let body: TokenBody = reply.read()?;
        let mut header =
            HeaderValue::try_from(format!("Bearer {}", body.access_token)).map_err(|_| {
                let message = "the login service has given a token that is none";
                ProviderError::new(ErrorClass::Unsupported, message)
            })?;
        header.set_sensitive(true);
        let wire = Wire::new(None, vec![found.secret, Secret::new(body.access_token)])?;
        Ok(Token { wire, header })
    }
}

impl Token {
    async fn send(
        &self,
        method: &Method,
        url: &Url,
        body: Option<&Value>,
    ) -> Result<Reply, ProviderError> {
        let request = self.wire.request(method.clone(), url.clone());
        let mut request = request.header(AUTHORIZATION, self.header.clone());
        if let Some(body) = body {
            request = request.json(body);
        }
        self.wire.send(request).await
    }
}

/// A request without a token, to a service that everybody may ask.
pub(super) async fn ask_openly(wire: &Wire, url: &str) -> Result<Reply, ProviderError> {
    let reply = wire.send(wire.request(Method::GET, address(url)?)).await?;
    if reply.status.is_success() { Ok(reply) } else { Err(of_reply(&reply)) }
}

fn address(text: &str) -> Result<Url, ProviderError> {
    text.parse().map_err(|error| {
        let bare = text.split('?').next().unwrap_or_default();
        ProviderError::new(ErrorClass::Unsupported, format!("`{bare}` is no address: {error}"))
    })
}

/// The query of a link to the next page, without the version, as `pages` wants it.
fn query_of(link: &str) -> Option<String> {
    let (_, query) = link.split_once('?')?;
    let pairs = query.split('&').filter(|pair| !pair.starts_with("api-version="));
    Some(pairs.fold(String::new(), |query, pair| query + "&" + pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_by_its_query_alone() {
        let link = "http://127.0.0.1/elsewhere?api-version=2021-07-01&$filter=a%20b&$skiptoken=x";
        assert_eq!(query_of(link).as_deref(), Some("&$filter=a%20b&$skiptoken=x"));
        assert_eq!(query_of("http://127.0.0.1/none"), None);
    }
}
