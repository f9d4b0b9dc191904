//! From an address and the site's settings to a remote that can be used.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::domain::uri::Uri;

use super::super::address::{Authority, Location, Protocol, RunAddress, Security, Signing, locate};
use super::super::error::{StorageError, Subject};
use super::super::settings::{Section, SettingsError, StorageSettings};
use super::backend::{Backend, Remote};
use super::build;
use super::error::{RemoteError, Result};
use super::http::{Base, HttpRemote, Login};
use super::item::percent_decode;
use super::net::client;
use super::rclone::RcloneRemote;
use super::retry::Patience;
use super::run::RunRemote;

/// A longer chain of aliases is a circle.
const MAX_ALIASES: usize = 10;

static OF_PROCESS: OnceLock<Remotes> = OnceLock::new();

/// All storage that this process can reach, and its open connections. Clones
/// share them.
#[derive(Debug, Clone)]
pub struct Remotes {
    settings: StorageSettings,
    patience: Patience,
    opened: Arc<Mutex<HashMap<String, (Section, Remote)>>>,
}

/// Where an address leads in the end.
#[derive(Debug)]
pub(in crate::storage) enum Opened {
    Local(PathBuf),
    /// A remote and a path in it, without a final slash.
    Remote(Box<Remote>, String),
}

/// A section with the path that is meant in it.
struct Found {
    section: Section,
    path: String,
}

impl Default for Remotes {
    /// Those of the process: see [`Remotes::serve_process`].
    fn default() -> Self {
        let fallback = || Self::new(StorageSettings::default(), Patience::default());
        OF_PROCESS.get().cloned().unwrap_or_else(fallback)
    }
}

impl Remotes {
    #[must_use]
    pub fn new(settings: StorageSettings, patience: Patience) -> Self {
        Self { settings, patience, opened: Arc::default() }
    }

    /// Takes over what the server has in its `storage.toml`.
    pub fn learn(&self, text: &str) -> std::result::Result<(), SettingsError> {
        self.settings.learn(text)
    }

    /// Makes these the ones that transfers of this process use unless they are
    /// told otherwise. Only the first call counts.
    pub fn serve_process(self) {
        if OF_PROCESS.set(self).is_err() {
            tracing::debug!("the settings of storage were made known before");
        }
    }

    /// Finds the remote that an address names.
    pub(in crate::storage) async fn open(
        &self,
        uri: &Uri,
    ) -> std::result::Result<Opened, StorageError> {
        let address = match locate(uri)? {
            Location::Local(path) => return Ok(Opened::Local(path)),
            Location::Remote(address) => address,
        };
        let subject = Subject(uri);
        let settings = |error| StorageError::Settings { uri: subject.uri(), source: error };
        if let Protocol::Run(run) = &address.protocol {
            return self.open_run(run).map_err(settings);
        }
        let found = match &address.protocol {
            Protocol::Named(name) => {
                let section = self.settings.find(name).map_err(settings)?;
                let unknown =
                    || StorageError::UnknownRemote { uri: subject.uri(), name: name.clone() };
                Found { section: section.ok_or_else(unknown)?, path: address.path.clone() }
            }
            protocol => self.of_protocol(protocol, &address.path).map_err(settings)?,
        };
        let mut found = self.follow_aliases(found).map_err(settings)?;
        if found.section.kind == "local" {
            return open_local(uri, &found.path);
        }
        while found.path.len() > 1 && found.path.ends_with('/') {
            found.path.pop();
        }
        self.connect(uri, found).await
    }

    /// The section for an address that names a protocol.
    fn of_protocol(
        &self,
        protocol: &Protocol,
        path: &str,
    ) -> std::result::Result<Found, SettingsError> {
        let below_host = || path.split_once('/').map_or("", |(_, rest)| rest).to_owned();
        let found = |section, path: String| Ok(Found { section, path });
        match protocol {
            Protocol::S3(Signing::Anonymous) => {
                found(Section::of_address("s3", "s3", &[]), path.to_owned())
            }
            Protocol::S3(Signing::Signed) => {
                let own = || Section::of_address("s3", "s3", &[("env_auth", "true")]);
                found(self.settings.find("s3")?.unwrap_or_else(own), path.to_owned())
            }
            Protocol::Azure => {
                let named = self.settings.find("azure")?.or(self.settings.find("azblob")?);
                let own = || Section::of_address("azure", "azureblob", &[("env_auth", "true")]);
                found(named.unwrap_or_else(own), path.to_owned())
            }
            Protocol::Ftp(host) => found(of_host("ftp", host), below_host()),
            // What stands after the host is absolute, but for `~/`.
            Protocol::Sftp(host) => {
                let below = below_host();
                let path = match below.strip_prefix("~/") {
                    Some(below_home) => below_home.to_owned(),
                    None => format!("/{below}"),
                };
                found(of_host("sftp", host), path)
            }
            Protocol::Http => found(Section::of_address("http", "url", &[]), path.to_owned()),
            Protocol::Https => found(Section::of_address("https", "url", &[]), path.to_owned()),
            Protocol::Webdav(security) => {
                let scheme = if *security == Security::Tls { "https" } else { "http" };
                let host = path.split('/').next().unwrap_or_default();
                let url = format!("{scheme}://{host}/");
                found(Section::of_address(&url, "webdav", &[("url", &url)]), below_host())
            }
            Protocol::Named(name) => found(Section::of_address(name, "", &[]), path.to_owned()),
            // It is opened by `open_run`.
            Protocol::Run(_) => found(Section::of_address("ena", "ena", &[]), path.to_owned()),
        }
    }

    /// The archive of a sequencing run, as the section `[ena]` describes it.
    fn open_run(&self, run: &RunAddress) -> std::result::Result<Opened, SettingsError> {
        let named = self.settings.find("ena")?.filter(|section| section.kind == "ena");
        let section = named.unwrap_or_else(|| Section::of_address("ena", "ena", &[]));
        let backend = Backend::Run(RunRemote::new(&section, run)?);
        Ok(Opened::Remote(Box::new(self.remote(&section, backend)), run.accession.clone()))
    }

    fn follow_aliases(&self, mut found: Found) -> std::result::Result<Found, SettingsError> {
        for _ in 0..MAX_ALIASES {
            if found.section.kind != "alias" {
                return Ok(found);
            }
            let place = || found.section.place();
            let missing = || SettingsError::Missing {
                place: place(),
                kind: "alias".to_owned(),
                key: "remote",
            };
            let target = found.section.get("remote").ok_or_else(missing)?;
            let join = |base: &str| match (base.trim_end_matches('/'), found.path.as_str()) {
                ("", path) if base.starts_with('/') => format!("/{path}"),
                ("", path) => path.to_owned(),
                (base, path) => format!("{base}/{path}"),
            };
            found = match target.split_once(':') {
                Some((name, base)) if !name.contains('/') => {
                    let unusable = || SettingsError::Unusable { place: place(), key: "remote" };
                    let section = self.settings.find(name)?.ok_or_else(unusable)?;
                    Found { section, path: join(base) }
                }
                _ => {
                    let path = join(target);
                    Found { section: Section::of_address("alias", "local", &[]), path }
                }
            };
        }
        Err(SettingsError::Circle { place: found.section.place() })
    }

    /// The remote of a section, as it is open already or opened now.
    async fn connect(&self, uri: &Uri, found: Found) -> std::result::Result<Opened, StorageError> {
        let subject = Subject(uri);
        let Found { section, path } = found;
        if section.kind.is_empty() {
            let source = SettingsError::NoType { place: section.place() };
            return Err(StorageError::Settings { uri: subject.uri(), source });
        }
        let is_bucket = matches!(section.kind.as_str(), "s3" | "azureblob");
        let (bucket, path) = match path.split_once('/') {
            Some((bucket, key)) if is_bucket => (bucket.to_owned(), key.to_owned()),
            None if is_bucket => (path, String::new()),
            _ => (String::new(), path),
        };
        if is_bucket && bucket.is_empty() {
            return Err(StorageError::NoBucket { uri: subject.uri() });
        }
        let lists_web = uri.is_folder() && matches!(section.kind.as_str(), "http" | "url");
        if lists_web && RcloneRemote::is_installed().await {
            let (remote, path) = self
                .web_folder(&section, &path)
                .map_err(|error| StorageError::of_remote(subject, "open", &section.name, error))?;
            return Ok(Opened::Remote(Box::new(remote), path));
        }
        let key = format!("{} {bucket} {}", section.name, uri.protocol);
        if let Some((known, remote)) = self.lock().get(&key)
            && *known == section
        {
            return Ok(Opened::Remote(Box::new(remote.clone()), path));
        }
        let backend = build::build(&section, &bucket).await.map_err(|error| match error {
            build::BuildError::Settings(source) => {
                StorageError::Settings { uri: subject.uri(), source }
            }
            build::BuildError::Remote(error) => {
                let error = error.without(&section.secrets());
                StorageError::of_remote(subject, "open", &section.name, error)
            }
        })?;
        let remote = self.remote(&section, backend);
        self.lock().insert(key, (section, remote.clone()));
        Ok(Opened::Remote(Box::new(remote), path))
    }

    /// A folder of a web server, which only `rclone` can list.
    fn web_folder(&self, section: &Section, path: &str) -> Result<(Remote, String)> {
        if section.kind == "http" {
            let backend = Backend::Rclone(RcloneRemote::of_section(section)?);
            return Ok((self.remote(section, backend), path.to_owned()));
        }
        let url = format!("{}://{}/", section.name, path.trim_end_matches('/'));
        let web = Section::of_address("web", "http", &[("url", &url)]);
        let backend = Backend::Rclone(RcloneRemote::of_section(&web)?);
        Ok((self.remote(&web, backend), String::new()))
    }

    fn remote(&self, section: &Section, backend: Backend) -> Remote {
        Remote { backend, secrets: Arc::new(section.secrets()), patience: self.patience }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Section, Remote)>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A plain URL.
pub(super) fn build_web(scheme: &str) -> Result<Backend> {
    let base = match scheme {
        "http" => Base::Scheme("http"),
        "https" => Base::Scheme("https"),
        _ => return Err(RemoteError::unsupported("it is no web address")),
    };
    Ok(Backend::Http(HttpRemote { client: client()?, base, login: Login::default() }))
}

/// The name of the file that a URL names: the last part of its path, decoded.
pub(in crate::storage) fn percent_name(path: &str) -> String {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let name = percent_decode(path.rsplit('/').next().unwrap_or_default());
    // `%2F` makes no folder.
    name.replace('/', "_")
}

fn of_host(kind: &str, authority: &Authority) -> Section {
    let port = authority.port.map(|port| port.to_string()).unwrap_or_default();
    let user = authority.user.clone().unwrap_or_default();
    let values =
        [("host", authority.host.as_str()), ("user", user.as_str()), ("port", port.as_str())];
    Section::of_address(&format!("{user}@{}:{port}", authority.host), kind, &values)
}

fn open_local(uri: &Uri, path: &str) -> std::result::Result<Opened, StorageError> {
    if !path.starts_with('/') {
        return Err(StorageError::NotAbsolute { uri: uri.to_string() });
    }
    let path = match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    };
    Ok(Opened::Local(PathBuf::from(path)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::super::settings::SettingsFiles;
    use super::*;

    struct Scene {
        folder: tempfile::TempDir,
        remotes: Remotes,
    }

    impl Scene {
        fn new(conf: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("rclone.conf");
            fs::write(&path, conf).unwrap();
            let files = SettingsFiles { storage_toml: None, rclone_conf: Some(path) };
            let remotes = Remotes::new(StorageSettings::new(files), Patience::default());
            Self { folder, remotes }
        }

        async fn open(&self, uri: &str) -> std::result::Result<Opened, StorageError> {
            self.remotes.open(&uri.parse().unwrap()).await
        }

        async fn error(&self, uri: &str) -> String {
            let error = self.open(uri).await.unwrap_err();
            let mut text = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                text = format!("{text}: {source}");
            }
            text.replace(self.folder.path().to_str().unwrap(), "")
        }
    }

    #[tokio::test]
    async fn aliases_lead_to_what_they_stand_for() {
        let scene = Scene::new(
            "[disk]\ntype = local\n[data]\ntype = alias\nremote = /srv/data\n[runs]\ntype = alias\nremote = data:runs/\n[ring]\ntype = alias\nremote = ring:\n[store]\ntype = s3\naccess_key_id = a\nsecret_access_key = b\nendpoint = http://localhost:1\nregion = x\n[bucket]\ntype = alias\nremote = store:bucket\n",
        );
        for (uri, expected) in [
            ("disk:///a/b/", "/a/b"),
            ("data://a", "/srv/data/a"),
            ("runs://1/x", "/srv/data/runs/1/x"),
        ] {
            let Opened::Local(path) = scene.open(uri).await.unwrap() else { panic!("{uri}") };
            assert_eq!(path, PathBuf::from(expected));
        }
        let Opened::Remote(_, path) = scene.open("bucket://a/b/").await.unwrap() else {
            panic!("a remote")
        };
        assert_eq!(path, "a/b");
        assert!(scene.error("ring://x").await.contains("leads back to itself"));
        assert!(scene.error("disk://x").await.contains("no absolute path"));
    }

    #[tokio::test]
    async fn what_is_not_set_up_says_so() {
        let scene = Scene::new("[odd]\nhost = lab\n[half]\ntype = sftp\n");
        let message = scene.error("lab://x").await;
        assert!(message.contains("`lab://x`") && message.contains("`lab`"), "{message}");
        assert!(scene.error("odd://x").await.contains("has no `type`"));
        assert!(scene.error("half://x").await.contains("has no `host`"));
    }

    #[test]
    fn a_url_names_a_file() {
        assert_eq!(percent_name("host/a/b%20c.fq?x=/y#z"), "b c.fq");
        assert_eq!(percent_name("host/a%2Fb"), "a_b");
        assert_eq!(percent_name("host/"), "");
    }
}
