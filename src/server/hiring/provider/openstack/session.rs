//! A token of Keystone, the catalogue that comes with it, and requests under it.

use std::fmt;
use std::sync::Arc;

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use super::credentials::{self, Lookup};
use super::error::of_reply;
use super::settings::OpenStackSettings;
use crate::domain::flavor::RegionName;
use crate::server::hiring::provider::wire::{Reply, Variable, Wire};
use crate::server::hiring::provider::{ErrorClass, ProviderError, Secret};
use crate::server::hiring::settings::Surroundings;

/// A service of the cloud, as its catalogue calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    Compute,
    Image,
    Network,
}

/// A request to a service of one region.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub service: Service,
    pub region: &'a RegionName,
    pub method: Method,
    /// Below the service's own address, with the query.
    pub path: &'a str,
    pub body: Option<Value>,
    /// A later version of Nova's API than the first.
    pub version: Option<&'static str>,
}

/// Who we are at one cloud.
pub(super) struct Session {
    lookup: Lookup,
    variable: Variable,
    login: Mutex<Option<Arc<Login>>>,
}

/// What Keystone has given.
struct Login {
    wire: Wire,
    token: HeaderValue,
    catalogue: Vec<CatalogueEntry>,
    interface: String,
    region: Option<String>,
    origin: String,
}

#[derive(Deserialize)]
struct TokenBody {
    token: TokenContent,
}

#[derive(Deserialize)]
struct TokenContent {
    #[serde(default)]
    catalog: Vec<CatalogueEntry>,
}

#[derive(Debug, Clone, Deserialize)]
struct CatalogueEntry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Clone, Deserialize)]
struct Endpoint {
    interface: String,
    #[serde(default)]
    region_id: Option<String>,
    #[serde(default)]
    region: Option<String>,
    url: String,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("lookup", &self.lookup).finish_non_exhaustive()
    }
}

impl<'a> Call<'a> {
    /// A read of Nova.
    pub(super) const fn get(region: &'a RegionName, path: &'a str) -> Self {
        let (service, method) = (Service::Compute, Method::GET);
        Self { service, region, method, path, body: None, version: None }
    }

    pub(super) fn post(region: &'a RegionName, path: &'a str, body: Value) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(region, path) }
    }

    pub(super) const fn delete(region: &'a RegionName, path: &'a str) -> Self {
        let (service, method) = (Service::Compute, Method::DELETE);
        Self { service, region, method, path, body: None, version: None }
    }

    /// The same of another service.
    pub(super) const fn of(mut self, service: Service) -> Self {
        self.service = service;
        self
    }
}

impl Session {
    pub(super) fn new(settings: &OpenStackSettings, surroundings: &Surroundings) -> Self {
        let lookup = Lookup { cloud: settings.cloud.clone(), file: settings.clouds_file.clone() };
        Self { lookup, variable: Arc::clone(&surroundings.variable), login: Mutex::default() }
    }

    /// Sends a request, with a new token where the old one no longer counts.
    pub(super) async fn send(&self, call: &Call<'_>) -> Result<Reply, ProviderError> {
        let login = self.login(None).await?;
        let reply = login.send(call).await?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        let renewed = self.login(Some(&login)).await?;
        let reply = renewed.send(call).await?;
        if reply.status == StatusCode::UNAUTHORIZED {
            let mut error = of_reply(&reply);
            error.message = format!(
                "{}; a token that was just made with {} is refused",
                error.message, renewed.origin
            );
            return Err(error);
        }
        Ok(reply)
    }

    /// The same, where anything but success is an error.
    pub(super) async fn ask(&self, call: &Call<'_>) -> Result<Reply, ProviderError> {
        let reply = self.send(call).await?;
        if reply.status.is_success() { Ok(reply) } else { Err(of_reply(&reply)) }
    }

    /// All pages of a list, whose items are under `key`.
    pub(super) async fn pages(
        &self,
        region: &RegionName,
        path: &str,
        key: &str,
        version: Option<&'static str>,
    ) -> Result<Vec<Value>, ProviderError> {
        let (bare, mut query) = match path.split_once('?') {
            Some((bare, query)) => (bare, query.to_owned()),
            None => (path, String::new()),
        };
        let mut items = Vec::new();
        loop {
            let path = if query.is_empty() { bare.to_owned() } else { format!("{bare}?{query}") };
            let mut call = Call::get(region, &path);
            call.version = version;
            let mut reply = self.ask(&call).await?;
            let Some(Value::Array(page)) = reply.body.get_mut(key).map(Value::take) else {
                let message = format!("{}: its answer has no list `{key}`", reply.what);
                return Err(ProviderError::new(ErrorClass::Unsupported, message));
            };
            let is_empty = page.is_empty();
            items.extend(page);
            // Of the address only the query counts: many clouds name a host there by which
            // they cannot be reached from outside.
            match next_query(&reply.body, key) {
                Some(next) if !is_empty && next != query => query = next,
                _ => return Ok(items),
            }
        }
    }

    /// The regions in which the cloud has machines, or the one that the credentials name.
    pub(super) async fn regions(&self) -> Result<Vec<RegionName>, ProviderError> {
        let login = self.login(None).await?;
        let all = login.regions_of(Service::Compute);
        Ok(match &login.region {
            Some(region) => vec![RegionName::new(region.as_str())],
            None => all.into_iter().map(RegionName::new).collect(),
        })
    }

    /// The login, or another one than that which is refused.
    async fn login(&self, refused: Option<&Arc<Login>>) -> Result<Arc<Login>, ProviderError> {
        let mut kept = self.login.lock().await;
        if let Some(login) = &*kept
            && refused.is_none_or(|refused| !Arc::ptr_eq(refused, login))
        {
            return Ok(Arc::clone(login));
        }
        *kept = None;
        let login = Arc::new(self.authenticate().await?);
        *kept = Some(Arc::clone(&login));
        Ok(login)
    }

    async fn authenticate(&self) -> Result<Login, ProviderError> {
        let found = credentials::load(&self.lookup, &*self.variable)?;
        let wire = Wire::new(found.authorities.as_deref(), vec![found.secret.clone()])?;
        let mut url = found.url.clone();
        url.set_path(&format!("{}/auth/tokens", found.url.path()));
        let request = wire
            .request(Method::POST, url)
            .header(CONTENT_TYPE, "application/json")
            .body(found.body.expose().to_owned());
        let reply = wire.send(request).await?;
        if !reply.status.is_success() {
            let mut error = of_reply(&reply);
            if error.class == ErrorClass::Authentication {
                error.message = format!(
                    "{}; the credentials are wrong or have expired: {}",
                    error.message, found.origin
                );
            }
            return Err(error);
        }
        let mut token = reply.headers.get("x-subject-token").cloned().ok_or_else(|| {
            let message = format!("{}: its answer has no token: is it Keystone?", reply.what);
            ProviderError::new(ErrorClass::Unsupported, message)
        })?;
        token.set_sensitive(true);
        let body: TokenBody = reply.read()?;
        let secret = Secret::new(token.to_str().unwrap_or_default().to_owned());
        // From now on the token is a secret too.
        let wire = Wire::new(found.authorities.as_deref(), vec![found.secret, secret])?;
        let (interface, region, origin) = (found.interface, found.region, found.origin);
        Ok(Login { wire, token, catalogue: body.token.catalog, interface, region, origin })
    }
}

impl Login {
    async fn send(&self, call: &Call<'_>) -> Result<Reply, ProviderError> {
        let url = self.url(call)?;
        let mut request = self
            .wire
            .request(call.method.clone(), url)
            .header("x-auth-token", self.token.clone())
            .header("accept", "application/json");
        if let Some(version) = call.version {
            // The older and the newer of the two ways to say it.
            request = request
                .header("x-openstack-nova-api-version", version)
                .header("openstack-api-version", format!("compute {version}"));
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        self.wire.send(request).await
    }

    fn url(&self, call: &Call<'_>) -> Result<Url, ProviderError> {
        let endpoints = self.endpoints_of(call.service);
        let found = endpoints.iter().find(|endpoint| endpoint.is_in(call.region.as_str()));
        let Some(endpoint) = found else {
            let known = self.regions_of(call.service);
            let message = format!(
                "the cloud has no {} with the interface `{}` in the region `{}`; it has it in: {}",
                call.service.name(),
                self.interface,
                call.region,
                if known.is_empty() { "no region".to_owned() } else { known.join(", ") },
            );
            return Err(ProviderError::new(ErrorClass::Unsupported, message));
        };
        let base = endpoint.url.trim_end_matches('/');
        // Catalogues name these two with and without their version.
        let version = match call.service {
            Service::Compute => "",
            Service::Image if base.ends_with("/v2") => "",
            Service::Image => "/v2",
            Service::Network if base.ends_with("/v2.0") => "",
            Service::Network => "/v2.0",
        };
        format!("{base}{version}{}", call.path).parse().map_err(|error| {
            let message = format!("the catalogue names `{base}`, which is no address: {error}");
            ProviderError::new(ErrorClass::Unsupported, message)
        })
    }

    fn endpoints_of(&self, service: Service) -> Vec<&Endpoint> {
        let entries = self.catalogue.iter().filter(|entry| entry.kind == service.name());
        let endpoints = entries.flat_map(|entry| &entry.endpoints);
        endpoints.filter(|endpoint| endpoint.interface == self.interface).collect()
    }

    fn regions_of(&self, service: Service) -> Vec<String> {
        let endpoints = self.endpoints_of(service);
        let mut regions: Vec<String> = endpoints
            .iter()
            .filter_map(|endpoint| endpoint.region_id.clone().or_else(|| endpoint.region.clone()))
            .collect();
        regions.sort();
        regions.dedup();
        regions
    }
}

impl Endpoint {
    fn is_in(&self, region: &str) -> bool {
        self.region_id.as_deref() == Some(region) || self.region.as_deref() == Some(region)
    }
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Image => "image",
            Self::Network => "network",
        }
    }
}

/// The query of the link to the next page.
fn next_query(body: &Value, key: &str) -> Option<String> {
    let links = body.get(format!("{key}_links"))?.as_array()?;
    let next = links.iter().find(|link| link["rel"] == "next")?;
    Some(next["href"].as_str()?.split_once('?')?.1.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_next_page_is_found_by_its_query_alone() {
        let body = json!({"flavors_links": [
            {"rel": "self", "href": "http://127.0.0.1/flavors"},
            {"rel": "next", "href": "http://head.inside/v2.1/flavors/detail?limit=2&marker=f2"},
        ]});
        assert_eq!(next_query(&body, "flavors").as_deref(), Some("limit=2&marker=f2"));
        assert_eq!(next_query(&body, "servers"), None);
    }
}
