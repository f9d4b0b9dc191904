//! The files with the settings, read when they are needed and again when they
//! have changed.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::SettingsError;
use super::rclone_conf::parse_rclone_conf;
use super::section::{Origin, Section};
use super::storage_toml::parse_storage_toml;

/// Where the settings are. A file that is not there is as good as an empty one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SettingsFiles {
    pub storage_toml: Option<PathBuf>,
    pub rclone_conf: Option<PathBuf>,
}

/// The settings of this process. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct StorageSettings {
    files: SettingsFiles,
    read: Arc<Mutex<Vec<ReadFile>>>,
    /// What the server told, in memory only.
    told: Arc<Mutex<Arc<Vec<Section>>>>,
}

/// A file as it was when it was read.
#[derive(Debug)]
struct ReadFile {
    path: PathBuf,
    state: FileState,
    sections: Arc<Vec<Section>>,
}

/// What errors call the settings that the server told.
const OF_SERVER: &str = "the server's storage.toml";

/// Changes when a file is written to or replaced.
type FileState = Option<(u64, u64, i64, i64)>;

type Parser = fn(&Path, &str) -> Result<Vec<Section>, SettingsError>;

impl StorageSettings {
    #[must_use]
    pub fn new(files: SettingsFiles) -> Self {
        Self { files, read: Arc::default(), told: Arc::default() }
    }

    /// The remote of this name. What `storage.toml` says counts before
    /// `rclone.conf`, and both before what the server told. Blocks for a moment.
    pub fn find(&self, name: &str) -> Result<Option<Section>, SettingsError> {
        let is_it = |section: &&Section| section.name == name;
        for (path, parser) in self.files() {
            let sections = self.load(path, parser)?;
            if let Some(section) = sections.iter().find(is_it) {
                return Ok(Some(section.clone()));
            }
        }
        Ok(self.told().iter().find(is_it).cloned())
    }

    /// All remotes, each once: of several with one name the one that counts.
    pub fn list(&self) -> Result<Vec<Section>, SettingsError> {
        let mut found: Vec<Section> = Vec::new();
        let mut add = |sections: &[Section]| {
            for section in sections {
                if !found.iter().any(|other| other.name == section.name) {
                    found.push(section.clone());
                }
            }
        };
        for (path, parser) in self.files() {
            add(&self.load(path, parser)?);
        }
        add(&self.told());
        Ok(found)
    }

    /// Takes over what the server has in its `storage.toml`, in place of what it
    /// told before.
    pub fn learn(&self, text: &str) -> Result<(), SettingsError> {
        let sections = parse_storage_toml(Path::new(OF_SERVER), &Origin::Server, text)?;
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(sections);
        Ok(())
    }

    fn told(&self) -> Arc<Vec<Section>> {
        Arc::clone(&self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn files(&self) -> impl Iterator<Item = (&Path, Parser)> {
        let files: [(&Option<PathBuf>, Parser); 2] = [
            (&self.files.storage_toml, parse_toml_file),
            (&self.files.rclone_conf, parse_rclone_conf),
        ];
        files.into_iter().filter_map(|(path, parser)| Some((path.as_deref()?, parser)))
    }

    fn load(&self, path: &Path, parser: Parser) -> Result<Arc<Vec<Section>>, SettingsError> {
        let state = state_of(path);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = read.iter().find(|file| file.path == path && file.state == state) {
            return Ok(Arc::clone(&file.sections));
        }
        let sections = match fs::read_to_string(path) {
            Ok(text) => {
                warn_if_open(path);
                Arc::new(parser(path, &text)?)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Arc::default(),
            Err(error) => {
                let (path, source) = (path.to_owned(), Arc::new(error));
                return Err(SettingsError::Read { path, source });
            }
        };
        read.retain(|file| file.path != path);
        let kept = Arc::clone(&sections);
        read.push(ReadFile { path: path.to_owned(), state, sections: kept });
        Ok(sections)
    }
}

fn parse_toml_file(path: &Path, text: &str) -> Result<Vec<Section>, SettingsError> {
    parse_storage_toml(path, &Origin::Toml(path.to_owned()), text)
}

/// Whether a `storage.toml` can be read by agents. Errors show nothing of it.
pub fn check_storage_toml(path: &Path, text: &str) -> Result<(), SettingsError> {
    parse_toml_file(path, text).map(|_| ())
}

/// Others on this machine should not read passwords.
fn warn_if_open(path: &Path) {
    if fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o077 != 0) {
        tracing::warn!(path = %path.display(), "others can read the settings of storage: chmod 600");
    }
}

fn state_of(path: &Path) -> FileState {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_toml_counts_first_and_changes_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (toml, conf) = (folder.path().join("storage.toml"), folder.path().join("rclone.conf"));
        let settings = StorageSettings::new(SettingsFiles {
            storage_toml: Some(toml.clone()),
            rclone_conf: Some(conf.clone()),
        });
        assert_eq!(settings.find("lab").unwrap(), None);
        fs::write(&conf, "[lab]\ntype = ftp\n[other]\ntype = local\n").unwrap();
        assert_eq!(settings.find("lab").unwrap().unwrap().kind, "ftp");
        fs::write(&toml, "[lab]\ntype = \"sftp\"\n").unwrap();
        assert_eq!(settings.find("lab").unwrap().unwrap().kind, "sftp");
        assert_eq!(settings.find("other").unwrap().unwrap().kind, "local");
        settings.learn("[lab]\ntype = \"s3\"\n[far]\ntype = \"s3\"\n").unwrap();
        assert_eq!(settings.find("lab").unwrap().unwrap().kind, "sftp");
        assert_eq!(settings.clone().find("far").unwrap().unwrap().kind, "s3");
        let all = settings.list().unwrap();
        let names: Vec<&str> = all.iter().map(|section| section.name.as_str()).collect();
        assert_eq!(names, ["lab", "other", "far"]);
        let error = settings.learn("[far]\npass = sesame\n").unwrap_err().to_string();
        assert!(error.contains("server") && !error.contains("sesame"), "{error}");
        fs::write(&conf, "nonsense").unwrap();
        assert!(settings.find("other").is_err());
    }
}
