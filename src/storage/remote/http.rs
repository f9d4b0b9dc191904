//! Files of a web server: HTTP without the extensions of WebDAV.

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use reqwest::header::{
    CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};

use super::error::{RemoteError, RemoteErrorKind, Result};
use super::item::{Item, RemoteFile, md5_of_base64, percent_encode};
use super::net::{http_date, of_reqwest, of_status};

/// A web server, and how to introduce oneself to it.
#[derive(Debug, Clone)]
pub(super) struct HttpRemote {
    pub client: reqwest::Client,
    pub base: Base,
    pub login: Login,
}

/// What the paths of a remote are relative to.
#[derive(Debug, Clone)]
pub(super) enum Base {
    /// Nothing: the path is a URL without its scheme, as it was written.
    Scheme(&'static str),
    /// A URL with a final slash; names below it are encoded.
    Url(Url),
}

/// What goes with each request.
#[derive(Clone, Default)]
pub(super) struct Login {
    pub user: Option<(String, Option<String>)>,
    pub bearer: Option<String>,
    pub headers: HeaderMap,
}

impl std::fmt::Debug for Login {
    /// Without its secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl HttpRemote {
    pub(super) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let mut request = self.client.request(method, url).headers(self.login.headers.clone());
        if let Some((user, password)) = &self.login.user {
            request = request.basic_auth(user, password.as_ref());
        }
        if let Some(token) = &self.login.bearer {
            request = request.bearer_auth(token);
        }
        request
    }

    pub(super) fn url(&self, path: &str) -> Result<Url> {
        let url = match &self.base {
            Base::Scheme(scheme) => Url::parse(&format!("{scheme}://{path}")),
            Base::Url(base) => Url::parse(&format!("{base}{}", percent_encode(path))),
        };
        url.map_err(|error| RemoteError::lasting(format!("it is no URL: {error}")))
    }

    /// What a server tells of a file. Some refuse the request that only asks;
    /// they are asked for the first byte.
    pub(super) async fn stat(&self, path: &str) -> Result<Option<Item>> {
        let url = self.url(path)?;
        let answer = self.request(Method::HEAD, url.clone()).send().await.map_err(of_reqwest)?;
        let answer = match answer.status().as_u16() {
            200..=299 | 404 | 410 => answer,
            _ => self
                .request(Method::GET, url)
                .header(RANGE, "bytes=0-0")
                .send()
                .await
                .map_err(of_reqwest)?,
        };
        match answer.status() {
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
            // The answer to a request for the first byte of nothing.
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(Some(Item::file(path, file_of(&answer)))),
            status if status.is_success() => Ok(Some(Item::file(path, file_of(&answer)))),
            status => Err(of_status(status, answer.headers())),
        }
    }

    /// The content, and from which byte on: from the beginning when the server
    /// knows no ranges or has something else by now.
    pub(super) async fn read(
        &self,
        path: &str,
        from: u64,
        file: &RemoteFile,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes>>)> {
        let mut request = self.request(Method::GET, self.url(path)?);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
            let strong = file.tag.as_deref().filter(|tag| tag.starts_with('"'));
            if let Some(tag) = strong.and_then(|tag| HeaderValue::from_str(tag).ok()) {
                request = request.header(IF_RANGE, tag);
            }
        }
        let answer = request.send().await.map_err(of_reqwest)?;
        let start = match answer.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT => {
                let (start, total) = content_range(answer.headers()).unwrap_or((0, None));
                if total.is_some() && file.bytes.is_some() && total != file.bytes {
                    return Err(RemoteError::changed());
                }
                start
            }
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(RemoteError::changed()),
            status => return Err(of_status(status, answer.headers())),
        };
        let told = file_of(&answer);
        if let (Some(listed), Some(now)) = (&file.tag, &told.tag)
            && listed != now
        {
            return Err(RemoteError::changed());
        }
        Ok((start, answer.bytes_stream().map_err(of_reqwest).boxed()))
    }
}

/// What the headers of an answer tell of the file.
fn file_of(answer: &Response) -> RemoteFile {
    let headers = answer.headers();
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let length = || text(CONTENT_LENGTH.as_str())?.parse().ok();
    // Without a length, reqwest knows it from the body if there is one.
    let bytes = match answer.status() {
        StatusCode::PARTIAL_CONTENT => content_range(headers).and_then(|(_, total)| total),
        StatusCode::RANGE_NOT_SATISFIABLE => text(CONTENT_RANGE.as_str())
            .and_then(|range| range.strip_prefix("bytes */")?.parse().ok()),
        _ => length(),
    };
    let digest = text("digest").and_then(|digest| {
        digest.split(',').find_map(|part| part.trim().strip_prefix("md5=").and_then(md5_of_base64))
    });
    let is_encoded = headers.contains_key("content-encoding");
    RemoteFile {
        bytes: bytes.filter(|_| answer.status() != StatusCode::NO_CONTENT),
        modified: text(LAST_MODIFIED.as_str()).and_then(http_date),
        tag: text(ETAG.as_str()).map(str::to_owned),
        md5: text("content-md5").and_then(md5_of_base64).or(digest).filter(|_| !is_encoded),
    }
}

/// From which byte on, and how many there are in all.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    let (range, total) = text.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

/// The headers of a section: `Name,Value,Name,Value`.
pub(super) fn parse_headers(text: &str) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let parts: Vec<&str> = text.split(',').map(|part| part.trim().trim_matches('"')).collect();
    for pair in parts.chunks(2) {
        let [name, value] = pair else { return Err(bad_header()) };
        let name = reqwest::header::HeaderName::try_from(*name).map_err(|_| bad_header())?;
        let mut value = HeaderValue::try_from(*value).map_err(|_| bad_header())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

fn bad_header() -> RemoteError {
    RemoteError::new(RemoteErrorKind::Lasting, "the `headers` of the settings cannot be used")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let range = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_RANGE, text.parse().unwrap());
            content_range(&headers)
        };
        assert_eq!(range("bytes 5-9/10"), Some((5, Some(10))));
        assert_eq!(range("bytes 5-9/*"), Some((5, None)));
        assert_eq!(range("lines 5-9/10"), None);
    }

    #[test]
    fn headers_come_in_pairs() {
        let headers = parse_headers("X-A,1,\"X-B\",\"2\"").unwrap();
        assert_eq!(headers["x-b"], "2");
        assert!(parse_headers("X-A").is_err());
        assert!(!format!("{:?}", parse_headers("X-A,sesame").unwrap()).contains("sesame"));
    }
}
