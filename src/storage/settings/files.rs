//! The files with the settings, read when they are needed and again when they
//! have changed.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::SettingsError;
use super::rclone_conf::parse_rclone_conf;
use super::section::Section;
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
}

/// A file as it was when it was read.
#[derive(Debug)]
struct ReadFile {
    path: PathBuf,
    state: FileState,
    sections: Arc<Vec<Section>>,
}

/// Changes when a file is written to or replaced.
type FileState = Option<(u64, u64, i64, i64)>;

type Parser = fn(&Path, &str) -> Result<Vec<Section>, SettingsError>;

impl StorageSettings {
    #[must_use]
    pub fn new(files: SettingsFiles) -> Self {
        Self { files, read: Arc::default() }
    }

    /// The remote of this name. What `storage.toml` says counts before
    /// `rclone.conf`. Blocks for a moment.
    pub fn find(&self, name: &str) -> Result<Option<Section>, SettingsError> {
        let files: [(&Option<PathBuf>, Parser); 2] = [
            (&self.files.storage_toml, parse_storage_toml),
            (&self.files.rclone_conf, parse_rclone_conf),
        ];
        for (path, parser) in files {
            let Some(path) = path else { continue };
            let sections = self.load(path, parser)?;
            if let Some(section) = sections.iter().find(|section| section.name == name) {
                return Ok(Some(section.clone()));
            }
        }
        Ok(None)
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
        fs::write(&conf, "nonsense").unwrap();
        assert!(settings.find("other").is_err());
    }
}
