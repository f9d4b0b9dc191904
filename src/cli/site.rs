//! Which storage this machine can reach: where its settings are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::settings::{RCLONE_CONFIG, STORAGE_CONFIG};
use crate::runtime_dir::Surroundings;
use crate::storage::settings::{SettingsFiles, StorageSettings};
use crate::storage::{Patience, Remotes};

/// Lets transfers of this process find the remotes of the site.
pub fn use_storage_settings() {
    Remotes::new(storage_settings(), Patience::default()).serve_process();
}

/// The settings that this process goes by.
pub fn storage_settings() -> StorageSettings {
    let surroundings = Surroundings::of_process();
    let files = find_files(&surroundings, &|name| std::env::var_os(name), &|path| path.exists());
    StorageSettings::new(files)
}

/// A file that a variable names, else the user's own, else that of the machine.
fn find_files(
    surroundings: &Surroundings,
    variable: &dyn Fn(&str) -> Option<OsString>,
    exists: &dyn Fn(&Path) -> bool,
) -> SettingsFiles {
    let config = surroundings
        .xdg_config
        .clone()
        .or_else(|| Some(surroundings.home.as_ref()?.join(".config")));
    let find = |name: &str, own: &str, of_machine: &str| {
        let named = variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let own = config.as_ref().map(|config| config.join(own)).filter(|path| exists(path));
        named.or(own).or_else(|| Some(PathBuf::from(of_machine)))
    };
    SettingsFiles {
        storage_toml: find(STORAGE_CONFIG.name, "scitq/storage.toml", "/etc/scitq/storage.toml"),
        rclone_conf: find(RCLONE_CONFIG.name, "rclone/rclone.conf", "/etc/rclone.conf"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_file_counts_before_the_own_one_and_the_machines() {
        let surroundings =
            Surroundings::new(false, |name| (name == "HOME").then(|| OsString::from("/home/joe")));
        let named = |name: &str| (name == "RCLONE_CONFIG").then(|| OsString::from("/x/r.conf"));
        let files = find_files(&surroundings, &named, &|_| true);
        assert_eq!(files.rclone_conf, Some(PathBuf::from("/x/r.conf")));
        let own = Some(PathBuf::from("/home/joe/.config/scitq/storage.toml"));
        assert_eq!(files.storage_toml, own);
        let files = find_files(&surroundings, &|_| None, &|_| false);
        assert_eq!(files.storage_toml, Some(PathBuf::from("/etc/scitq/storage.toml")));
        assert_eq!(files.rclone_conf, Some(PathBuf::from("/etc/rclone.conf")));
    }
}
