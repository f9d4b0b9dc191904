//! WebDAV: HTTP with folders.

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use http::StatusCode;
use quick_xml::events::Event;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Body, Method, Response, Url};

use super::error::{RemoteError, RemoteErrorKind, Result};
use super::http::HttpRemote;
use super::item::{Item, ItemKind, RemoteFile, percent_decode};
use super::net::{http_date, of_reqwest, of_status};
use super::source::Source;

/// What is asked of each file and folder.
const QUESTION: &str = r#"<?xml version="1.0" encoding="utf-8"?><D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getcontentlength/><D:getlastmodified/><D:getetag/></D:prop></D:propfind>"#;

/// Bytes that are read and sent in one go.
const PIECE: usize = 1 << 20;

/// A WebDAV server; the base of its HTTP is a URL.
#[derive(Debug, Clone)]
pub(super) struct WebdavRemote(pub HttpRemote);

/// One `response` element of an answer, in the making.
#[derive(Debug, Default)]
struct Found {
    href: String,
    is_folder: bool,
    file: RemoteFile,
}

impl WebdavRemote {
    pub(super) async fn stat(&self, path: &str) -> Result<Option<Item>> {
        match self.ask(path, "0").await {
            Ok(found) => {
                Ok(found.into_iter().next().map(|item| Item { path: path.to_owned(), ..item }))
            }
            Err(error) if error.kind == RemoteErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is in a folder, not deeper: many servers refuse to say more at once.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<Item>> {
        let mut path = folder.trim_end_matches('/').to_owned();
        let own = path.clone();
        if !path.is_empty() {
            path.push('/');
        }
        let mut items = self.ask(&path, "1").await?;
        items.retain(|item| item.path != own);
        Ok(items)
    }

    pub(super) async fn read(
        &self,
        path: &str,
        from: u64,
        file: &RemoteFile,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes>>)> {
        // The listing has no tag of the kind that a download answers with on all servers.
        let untagged = RemoteFile { tag: None, ..file.clone() };
        self.0.read(path, from, &untagged).await
    }

    pub(super) async fn write(&self, path: &str, source: &Source) -> Result<()> {
        let pieces = source.open().await?;
        let body = stream::try_unfold(pieces, |mut pieces| async move {
            let next =
                pieces.next(PIECE).await.map_err(|error| std::io::Error::other(error.message))?;
            Ok::<_, std::io::Error>(next.map(|piece| (piece, pieces)))
        });
        let request = self
            .0
            .request(Method::PUT, self.0.url(path)?)
            .header(CONTENT_LENGTH, source.bytes)
            .header(CONTENT_TYPE, "application/octet-stream");
        let request = if source.bytes == 0 {
            request.body(Body::default())
        } else {
            request.body(Body::wrap_stream(body))
        };
        check(&request.send().await.map_err(of_reqwest)?)
    }

    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<()> {
        let answer = self
            .0
            .request(method("MOVE")?, self.0.url(from)?)
            .header("Destination", self.0.url(to)?.as_str())
            .header("Overwrite", "T")
            .send()
            .await
            .map_err(of_reqwest)?;
        check(&answer)
    }

    /// Makes one folder, in a folder that is there.
    pub(super) async fn make_folder(&self, path: &str) -> Result<()> {
        let url = self.0.url(&format!("{}/", path.trim_end_matches('/')))?;
        let answer = self.0.request(method("MKCOL")?, url).send().await.map_err(of_reqwest)?;
        // So a server says that there is one.
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            return Ok(());
        }
        check(&answer)
    }

    pub(super) async fn delete(&self, item: &Item) -> Result<()> {
        let slash = if item.is_folder() { "/" } else { "" };
        let url = self.0.url(&format!("{}{slash}", item.path))?;
        let answer = self.0.request(Method::DELETE, url).send().await.map_err(of_reqwest)?;
        check(&answer)
    }

    async fn ask(&self, path: &str, depth: &str) -> Result<Vec<Item>> {
        let url = self.0.url(path)?;
        let base = self.0.url("")?;
        let answer = self
            .0
            .request(method("PROPFIND")?, url)
            .header("Depth", depth)
            .header(CONTENT_TYPE, "application/xml")
            .body(QUESTION)
            .send()
            .await
            .map_err(of_reqwest)?;
        check(&answer)?;
        if answer.status() != StatusCode::MULTI_STATUS {
            return Err(RemoteError::unsupported("the server does not speak WebDAV here"));
        }
        let text = answer.text().await.map_err(of_reqwest)?;
        parse_answer(&text)?.into_iter().map(|found| found.into_item(&base)).collect()
    }
}

impl Found {
    fn into_item(self, base: &Url) -> Result<Item> {
        let outside = || RemoteError::lasting("the server lists what is not below its address");
        let href = base.join(&self.href).map_err(|_| outside())?;
        let path = percent_decode(href.path());
        let top = percent_decode(base.path());
        let below = path
            .strip_prefix(&top)
            .or_else(|| (format!("{path}/") == top).then_some(""))
            .ok_or_else(outside)?;
        let path = below.trim_end_matches('/').to_owned();
        let kind = if self.is_folder { ItemKind::Folder } else { ItemKind::File(self.file) };
        Ok(Item { path, kind })
    }
}

fn method(name: &str) -> Result<Method> {
    Method::from_bytes(name.as_bytes()).map_err(|error| RemoteError::lasting(error.to_string()))
}

fn check(answer: &Response) -> Result<()> {
    let status = answer.status();
    if status.is_success() { Ok(()) } else { Err(of_status(status, answer.headers())) }
}

/// The `response` elements, whatever prefix their namespace has.
fn parse_answer(text: &str) -> Result<Vec<Found>> {
    let damaged = |error: &dyn std::fmt::Display| {
        RemoteError::lasting(format!("the server's list cannot be read: {error}"))
    };
    let mut reader = quick_xml::Reader::from_str(text);
    let mut all = Vec::new();
    let mut found = Found::default();
    let mut value = String::new();
    loop {
        match reader.read_event().map_err(|error| damaged(&error))? {
            Event::Start(tag) => {
                value.clear();
                if tag.local_name().as_ref() == "response" {
                    found = Found::default();
                }
                found.is_folder |= tag.local_name().as_ref() == "collection";
            }
            Event::Empty(tag) => found.is_folder |= tag.local_name().as_ref() == "collection",
            Event::Text(part) => {
                value.push_str(&part.xml10_content());
            }
            Event::CData(part) => {
                value.push_str(&part.xml10_content());
            }
            Event::GeneralRef(name) => push_reference(&mut value, &name),
            Event::End(tag) => {
                let text = value.trim();
                match tag.local_name().as_ref() {
                    "href" if found.href.is_empty() => text.clone_into(&mut found.href),
                    "getcontentlength" => found.file.bytes = text.parse().ok(),
                    "getlastmodified" => found.file.modified = http_date(text),
                    "getetag" if !text.is_empty() => {
                        found.file.tag = Some(text.trim_matches('"').to_owned());
                    }
                    "response" => all.push(std::mem::take(&mut found)),
                    _ => {}
                }
                value.clear();
            }
            Event::Eof => return Ok(all),
            _ => {}
        }
    }
}

fn push_reference(value: &mut String, name: &quick_xml::events::BytesRef<'_>) {
    if let Ok(Some(character)) = name.resolve_char_ref() {
        return value.push(character);
    }
    match name.as_ref() {
        "amp" => value.push('&'),
        "lt" => value.push('<'),
        "gt" => value.push('>'),
        "quot" => value.push('"'),
        "apos" => value.push('\''),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_with_any_prefix() {
        let text = r#"<?xml version="1.0"?><d:multistatus xmlns:d="DAV:">
          <d:response><d:href>/dav/x/</d:href><d:propstat><d:prop><d:resourcetype><d:collection/></d:resourcetype></d:prop></d:propstat></d:response>
          <d:response><d:href>http://localhost/dav/x/a%20b&amp;c.txt</d:href><d:propstat><d:prop><d:resourcetype/>
            <d:getcontentlength>12</d:getcontentlength><d:getetag>"e&#65;"</d:getetag>
            <d:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</d:getlastmodified></d:prop></d:propstat></d:response></d:multistatus>"#;
        let base = Url::parse("http://localhost/dav/").unwrap();
        let items: Vec<Item> = parse_answer(text)
            .unwrap()
            .into_iter()
            .map(|found| found.into_item(&base).unwrap())
            .collect();
        assert_eq!(items[0], Item::folder("x"));
        assert_eq!(items[1].path, "x/a b&c.txt");
        let ItemKind::File(file) = &items[1].kind else { panic!("a file") };
        assert_eq!((file.bytes, file.tag.as_deref()), (Some(12), Some("eA")));
        assert!(file.modified.is_some());
    }

    #[test]
    fn what_lies_elsewhere_is_refused() {
        let base = Url::parse("http://localhost/dav/").unwrap();
        let found = Found { href: "/other/x".to_owned(), ..Found::default() };
        assert!(found.into_item(&base).is_err());
        assert!(parse_answer("<a><b></a>").is_err());
    }
}
