//! Keys of hosts: each worker has a file with the key of its host, and `ssh` talks to
//! nothing that shows another one.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::super::{ErrorClass, ProviderError};
use super::hosts::Host;
use super::settings::Access;

/// Writes the known-hosts file of a worker, if it has none yet: the lines about its host
/// in the files of the site.
///
/// # Errors
/// No key of that host is known, or the files cannot be used.
pub async fn pin(access: &Access, host: &Host, file: &Path) -> Result<(), ProviderError> {
    if file.exists() {
        return Ok(());
    }
    let looked_up = Lookup::of(access, host).await?;
    let files = match &access.known_hosts {
        Some(file) => vec![file.clone()],
        None => looked_up.files.clone(),
    };
    let mut lines = String::new();
    for source in files.iter().filter(|source| source.exists()) {
        lines.push_str(&find_lines(&looked_up.name, source).await?);
    }
    if lines.is_empty() {
        let files: Vec<String> = files.iter().map(|file| format!("`{}`", file.display())).collect();
        let message = format!(
            "the key of host {host} is not known: see that it is the right one, and put it into {} \
             (ssh-keyscan shows it as `{}`)",
            files.join(" or "),
            looked_up.name
        );
        return Err(ProviderError::new(ErrorClass::Authentication, message));
    }
    write(file, &lines).map_err(|error| {
        let message = format!("cannot write the host key to `{}`: {error}", file.display());
        ProviderError::new(ErrorClass::Transient, message)
    })
}

/// Plants lines of keys that are known already, for machines that were told theirs.
///
/// # Errors
/// They cannot be written.
pub fn write(file: &Path, lines: &str) -> io::Result<()> {
    let draft = file.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let mut handle = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    io::Write::write_all(&mut handle, lines.as_bytes())?;
    fs::rename(draft, file)
}

/// Forgets the key of a worker's host.
///
/// # Errors
/// The file stays.
pub fn forget(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Under which name, and where, `ssh` would look a key up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lookup {
    name: String,
    files: Vec<PathBuf>,
}

impl Lookup {
    async fn of(access: &Access, host: &Host) -> Result<Self, ProviderError> {
        let mut command = Command::new("ssh");
        command.arg("-G").args(access.arguments(host));
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.map_err(|error| no_program("ssh", &error))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let message = format!("ssh does not take host {host}: {said}");
            return Err(ProviderError::new(ErrorClass::Unsupported, message));
        }
        Ok(Self::in_configuration(&String::from_utf8_lossy(&output.stdout)))
    }

    /// In what `ssh -G` prints.
    fn in_configuration(text: &str) -> Self {
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(str::trim)
        };
        let port = value("port").unwrap_or("22");
        let host = value("hostname").unwrap_or_default();
        let name = match value("hostkeyalias") {
            Some(alias) => alias.to_owned(),
            None if port == "22" => host.to_owned(),
            None => format!("[{host}]:{port}"),
        };
        let files = ["userknownhostsfile", "globalknownhostsfile"]
            .iter()
            .filter_map(|key| value(key))
            .flat_map(str::split_whitespace)
            .map(expand_home)
            .collect();
        Self { name, files }
    }
}

/// `ssh -G` prints some of its paths as they are written, with `~`.
fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// `ssh-keygen` knows all forms that such a file may have, hashed names among them.
async fn find_lines(name: &str, file: &Path) -> Result<String, ProviderError> {
    let mut command = Command::new("ssh-keygen");
    command.arg("-F").arg(name).arg("-f").arg(file).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| no_program("ssh-keygen", &error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    Ok(lines.fold(String::new(), |all, line| all + line + "\n"))
}

fn no_program(program: &str, error: &io::Error) -> ProviderError {
    let message = format!("cannot run `{program}` (Debian: openssh-client) on the head: {error}");
    ProviderError::new(ErrorClass::Unsupported, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_looked_up_as_ssh_does() {
        let lookup = |text: &str| Lookup::in_configuration(text).name;
        assert_eq!(lookup("user ada\nhostname node1.lab\nport 22\n"), "node1.lab");
        assert_eq!(lookup("hostname node1.lab\nport 2222\n"), "[node1.lab]:2222");
        assert_eq!(lookup("hostname 10.0.0.1\nport 2222\nhostkeyalias lab\n"), "lab");
        let text = "hostname a\nuserknownhostsfile /x/known /y/known\nglobalknownhostsfile /z\n";
        let files = Lookup::in_configuration(text).files;
        assert_eq!(files, ["/x/known", "/y/known", "/z"].map(PathBuf::from));
    }
}
