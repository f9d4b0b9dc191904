//! Sequencing runs by their accessions: `run+fastq://ERR1`, `run+submitted://ERR1`.
//!
//! The European Nucleotide Archive tells in a report which files a run has, with
//! their sums, and serves them over the web and by FTP. Where it has none, the
//! tools of the Sequence Read Archive make them here.

mod report;
mod sra;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use reqwest::{StatusCode, Url};

use self::report::{ReportedFile, parse_report};
use super::super::address::{RunAddress, RunFiles, Way};
use super::super::error::{StorageError, Subject};
use super::super::listing::{Entry, EntryKind, FileFacts, Listing, RemoteFacts};
use super::super::settings::{Section, SettingsError};
use super::super::transfer::{Transfer, list_directory};
use super::backend::Remote;
use super::error::{RemoteError, RemoteErrorKind, Result};
use super::ftp::{FtpLogin, FtpRemote};
use super::http::{Base, HttpRemote, Login};
use super::item::RemoteFile;
use super::net::{client, of_reqwest, of_status};
use crate::domain::uri::Uri;

/// Where the archive answers, where no setting says otherwise.
pub(super) const ARCHIVE: &str = "https://www.ebi.ac.uk/ena/portal/api";

/// The columns of a report that are asked for.
const FIELDS: &str = "run_accession,first_public,fastq_ftp,fastq_md5,fastq_bytes,submitted_ftp,submitted_md5,submitted_bytes";

/// The ways to files of which the address names none.
const USUAL_WAYS: [Way; 3] = [Way::Https, Way::Ftp, Way::Sra];

const NO_FILES: &str = "the archive has no such files of this run";

/// The archive, and one run in it.
#[derive(Debug, Clone)]
pub(in crate::storage) struct RunRemote {
    client: reqwest::Client,
    /// The address of its reports.
    archive: Url,
    address: RunAddress,
    /// The image with the tools for the other archive.
    image: Option<String>,
    ftp: Arc<Mutex<HashMap<String, FtpRemote>>>,
}

impl RunRemote {
    /// The keys of the section `[ena]`.
    const KEYS: [&str; 2] = ["url", "sra_image"];

    pub(super) fn new(
        section: &Section,
        address: &RunAddress,
    ) -> std::result::Result<Self, SettingsError> {
        if let Some(key) = section.unknown_key(&Self::KEYS) {
            let (place, kind) = (section.place(), section.kind.clone());
            return Err(SettingsError::UnknownKey { place, kind, key: key.to_owned() });
        }
        let unusable = || SettingsError::Unusable { place: section.place(), key: "url" };
        let archive = Url::parse(section.get("url").unwrap_or(ARCHIVE)).map_err(|_| unusable())?;
        Ok(Self {
            client: client().map_err(|_| unusable())?,
            archive,
            address: address.clone(),
            image: section.get("sra_image").map(str::to_owned),
            ftp: Arc::default(),
        })
    }

    /// The content of a file of the archive, by the first way that leads there.
    pub(super) async fn read(
        &self,
        path: &str,
        from: u64,
        file: &RemoteFile,
    ) -> Result<(u64, BoxStream<'static, Result<Bytes>>)> {
        // What stands for a tag is not one that a server tells.
        let listed = RemoteFile { tag: None, ..file.clone() };
        let mut failure = RemoteError::unsupported("no way leads there");
        for way in self.ways() {
            let content = match way {
                Way::Https => self.web().read(path, from, &listed).await,
                Way::Ftp => match self.ftp_server(path) {
                    Ok((server, below)) => server.read(&below, from).await,
                    Err(error) => Err(error),
                },
                Way::Sra => continue,
            };
            match content {
                Ok(content) => return Ok(content),
                Err(error) => {
                    tracing::debug!(%way, path, error = error.message, "no file by this way");
                    // Of two failures the one that may pass is told.
                    if failure.kind != RemoteErrorKind::Temporary {
                        failure = error;
                    }
                }
            }
        }
        Err(failure)
    }

    fn ways(&self) -> impl Iterator<Item = Way> {
        let named = &self.address.ways;
        let ways = if named.is_empty() { &USUAL_WAYS[..] } else { named };
        ways.iter().copied()
    }

    fn web(&self) -> HttpRemote {
        // Files come as the report does: without TLS only where that has none.
        let scheme = if self.archive.scheme() == "http" { "http" } else { "https" };
        let base = Base::Scheme(scheme);
        HttpRemote { client: self.client.clone(), base, login: Login::default() }
    }

    /// The server that a path begins with, and the path there.
    fn ftp_server(&self, path: &str) -> Result<(FtpRemote, String)> {
        let (place, below) = path
            .split_once('/')
            .ok_or_else(|| RemoteError::lasting("the report names a file without a server"))?;
        let (host, port) = match place.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| bad_port())?),
            None => (place, 21),
        };
        let mut servers = self.ftp.lock().unwrap_or_else(PoisonError::into_inner);
        let server = servers.entry(place.to_owned()).or_insert_with(|| {
            FtpRemote::new(FtpLogin {
                host: host.to_owned(),
                port,
                user: "anonymous".to_owned(),
                password: "scitq@".to_owned(),
            })
        });
        Ok((server.clone(), below.to_owned()))
    }

    /// What the archive tells of the run's files.
    async fn ask(&self) -> Result<Vec<ReportedFile>> {
        let url = format!("{}/filereport", self.archive.as_str().trim_end_matches('/'));
        let accession = self.address.accession.as_str();
        let query = [
            ("accession", accession),
            ("result", "read_run"),
            ("fields", FIELDS),
            ("format", "tsv"),
        ];
        let answer = self.client.get(url).query(&query).send().await.map_err(of_reqwest)?;
        match answer.status() {
            StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => return Ok(Vec::new()),
            status if !status.is_success() => return Err(of_status(status, answer.headers())),
            _ => {}
        }
        let text = answer.text().await.map_err(of_reqwest)?;
        parse_report(&text, accession, self.address.files)
            .ok_or_else(|| RemoteError::temporary("the archive's report cannot be understood"))
    }

    fn wants(&self, way: Way) -> bool {
        self.ways().any(|wanted| wanted == way)
    }

    fn keep_read_1(&self, listing: &mut Listing) -> std::result::Result<(), StorageError> {
        let files = listing.file_count();
        if !self.address.read_1_only || files < 2 {
            return Ok(());
        }
        listing.retain(|name, _| report::is_read_1(&name.to_string_lossy()));
        if listing.file_count() == 0 {
            let uri = listing.uri().to_string();
            return Err(StorageError::NothingMatched { uri, kind: "file of read 1" });
        }
        Ok(())
    }
}

/// Lists the files of a run. Where the archive has none, they are made in a
/// folder of this machine.
pub(in crate::storage) async fn list_run(
    uri: &Uri,
    remote: &Remote,
    run: &RunRemote,
    transfer: &Transfer,
) -> std::result::Result<Listing, StorageError> {
    let accession = run.address.accession.as_str();
    let failed =
        |error| StorageError::of_remote(Subject(uri), "find the files of", accession, error);
    let may_use_tools = run.wants(Way::Sra) && run.address.files == RunFiles::Fastq;
    let from_archive = run.wants(Way::Https) || run.wants(Way::Ftp);
    let mut failure = RemoteError::new(RemoteErrorKind::NotFound, NO_FILES);
    if from_archive {
        match remote.patiently(|| run.ask()).await {
            Ok(files) if !files.is_empty() => {
                let mut listing = Listing::new(uri);
                for file in files {
                    let (name, entry) = entry_of(file);
                    listing.add(Path::new(&name), entry)?;
                }
                run.keep_read_1(&mut listing)?;
                return Ok(listing);
            }
            Ok(_) => {}
            Err(error) => failure = error,
        }
        if !may_use_tools {
            return Err(failed(failure));
        }
        tracing::info!(%uri, reason = failure.message, "asking the other archive");
    }
    let folder = transfer.scratch.folder().join(accession);
    let image = run.image.as_deref();
    // The tools try again by themselves.
    let made = sra::make_fastq(accession, &folder, image).await;
    let made = made.map_err(|error| match failure.kind {
        RemoteErrorKind::NotFound => failed(error),
        kind => failed(RemoteError::new(kind, format!("{}; {}", failure.message, error.message))),
    })?;
    let mut listing = list_directory(uri, &made, transfer).await?;
    run.keep_read_1(&mut listing)?;
    Ok(listing)
}

/// The name that a file has here, and what is known of it.
fn entry_of(file: ReportedFile) -> (String, Entry) {
    let name = file.path.rsplit('/').next().unwrap_or_default().to_owned();
    let facts = FileFacts {
        bytes: file.bytes.unwrap_or(0),
        modified: file.published.unwrap_or(std::time::UNIX_EPOCH),
        mode: 0o644,
    };
    let remote = RemoteFacts {
        has_size: file.bytes.is_some(),
        tag: file.md5.map(|sum| super::super::hexadecimal(&sum).into()),
        md5: file.md5,
    };
    let kind = EntryKind::File(facts);
    (name, Entry { source: file.path.into(), kind, remote: Some(remote) })
}

fn bad_port() -> RemoteError {
    RemoteError::lasting("the report names a server with a port that is none")
}
