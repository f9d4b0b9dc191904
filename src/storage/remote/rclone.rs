//! An installed `rclone` for what we do not speak ourselves.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};

use super::super::settings::obscure;
use super::super::settings::{Origin, Section};
use super::error::{RemoteError, RemoteErrorKind, Result};
use super::item::{Depth, Item, ItemKind, RemoteFile, md5_of_digits};
use super::source::Source;

const PROGRAM: &str = "rclone";
const PIECE: usize = 256 << 10;

/// So much of what it says at its end is told.
const MAX_MESSAGE: usize = 500;

/// Exit codes that its manual gives a meaning.
const FOLDER_NOT_FOUND: i32 = 3;
const FILE_NOT_FOUND: i32 = 4;

/// What it calls a remote that we describe to it by variables.
const OURS: &str = "scitq";

/// A remote as `rclone` knows it.
#[derive(Clone)]
pub(super) struct RcloneRemote {
    /// The remote's name there, with its colon.
    name: String,
    /// Its type there.
    kind: String,
    config: Option<PathBuf>,
    variables: Arc<Vec<(String, String)>>,
}

impl std::fmt::Debug for RcloneRemote {
    /// Without what the variables say.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RcloneRemote").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One entry of its lists.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    path: String,
    is_dir: bool,
    #[serde(default)]
    size: i64,
    mod_time: Option<String>,
    hashes: Option<Hashes>,
}

#[derive(Debug, Deserialize)]
struct Hashes {
    #[serde(alias = "MD5")]
    md5: Option<String>,
}

impl RcloneRemote {
    /// Describes the section to `rclone`: its own sections by their name, others
    /// by variables, which no list of processes shows.
    pub(super) fn of_section(section: &Section) -> Result<Self> {
        if let Origin::Rclone(path) = &section.origin {
            let name = format!("{}:", section.name);
            let (kind, config) = (section.kind.clone(), Some(path.clone()));
            return Ok(Self { name, kind, config, variables: Arc::default() });
        }
        let variable = |key: &str| format!("RCLONE_CONFIG_{}_{}", OURS.to_uppercase(), key);
        let mut variables = vec![(variable("TYPE"), section.kind.clone())];
        for (key, value) in section.values() {
            let value = match key {
                "pass" | "password" | "password2" => obscure::obscure(value)
                    .ok_or_else(|| RemoteError::lasting("a password cannot be handed over"))?,
                _ => value.to_owned(),
            };
            variables.push((variable(&key.to_uppercase()), value));
        }
        let (name, kind) = (format!("{OURS}:"), section.kind.clone());
        Ok(Self { name, kind, config: None, variables: Arc::new(variables) })
    }

    /// Whether it is a web server after all.
    pub(super) fn is_web(&self) -> bool {
        self.kind == "http"
    }

    /// The same, with all paths below a folder.
    pub(super) fn within(mut self, folder: &str) -> Self {
        if !folder.is_empty() {
            self.name = format!("{}{folder}/", self.name);
        }
        self
    }

    /// Whether there is an `rclone` on this machine.
    pub(super) async fn is_installed() -> bool {
        let mut command = Command::new(PROGRAM);
        command.arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().await.is_ok_and(|status| status.success())
    }

    pub(super) async fn stat(&self, path: &str) -> Result<Option<Item>> {
        let arguments = ["lsjson", "--stat", "--hash", "--"];
        match self.run(&arguments, &[self.at(path)]).await {
            Ok(output) => {
                let listed: Option<Listed> =
                    serde_json::from_slice(&output).map_err(|error| odd(&error))?;
                Ok(listed.map(|listed| Item { path: path.to_owned(), ..listed.into_item("") }))
            }
            Err(error) if error.kind == RemoteErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list(&self, folder: &str, depth: Depth) -> Result<Vec<Item>> {
        let mut arguments = vec!["lsjson", "--hash"];
        if depth == Depth::All {
            arguments.push("--recursive");
        }
        arguments.push("--");
        let output = self.run(&arguments, &[self.at(folder)]).await?;
        let listed: Vec<Listed> = serde_json::from_slice(&output).map_err(|error| odd(&error))?;
        Ok(listed.into_iter().map(|listed| listed.into_item(folder)).collect())
    }

    pub(super) fn read(&self, path: &str, from: u64) -> Result<BoxStream<'static, Result<Bytes>>> {
        let mut command = self.command();
        command.args(["cat", "--offset", &from.to_string(), "--"]).arg(self.at(path));
        let mut child = command.spawn().map_err(|error| RemoteError::lasting(error.to_string()))?;
        let stdout = child.stdout.take().ok_or_else(RemoteError::ended_early)?;
        let state = (stdout, Some(child));
        Ok(stream::try_unfold(state, next_piece).boxed())
    }

    pub(super) async fn write(&self, path: &str, source: &Source) -> Result<()> {
        let from = source.path.to_str().ok_or_else(|| {
            RemoteError::unsupported("`rclone` takes no local name that is no UTF-8")
        })?;
        let rate = source.limit.bytes_per_second();
        let rate = rate.map_or_else(|| "off".to_owned(), |rate| format!("{rate}B"));
        let arguments = ["copyto", "--no-traverse", "--ignore-times", "--bwlimit", &rate, "--"];
        self.run(&arguments, &[from.to_owned(), self.at(path)]).await.map(|_| ())
    }

    pub(super) async fn make_folder(&self, path: &str) -> Result<()> {
        self.run(&["mkdir", "--"], &[self.at(path)]).await.map(|_| ())
    }

    pub(super) async fn delete(&self, item: &Item) -> Result<()> {
        let order = if matches!(item.kind, ItemKind::Folder) { "rmdir" } else { "deletefile" };
        self.run(&[order, "--"], &[self.at(&item.path)]).await.map(|_| ())
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.args(["--ask-password=false", "--retries", "1"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str], paths: &[String]) -> Result<Vec<u8>> {
        let mut command = self.command();
        command.args(arguments).args(paths);
        let output = command.output().await;
        let output = output.map_err(|error| RemoteError::lasting(error.to_string()))?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(failure(output.status.code(), &output.stderr))
    }
}

impl Listed {
    fn into_item(self, folder: &str) -> Item {
        let path = if folder.is_empty() { self.path } else { format!("{folder}/{}", self.path) };
        if self.is_dir {
            return Item::folder(&path);
        }
        let modified = self.mod_time.and_then(|time| time.parse::<jiff::Timestamp>().ok());
        let md5 = self.hashes.and_then(|hashes| md5_of_digits(&hashes.md5?));
        let file = RemoteFile {
            bytes: u64::try_from(self.size).ok(),
            modified: modified.map(std::time::SystemTime::from),
            tag: None,
            md5,
        };
        Item::file(&path, file)
    }
}

type Reading = (ChildStdout, Option<Child>);

async fn next_piece((mut stdout, mut child): Reading) -> Result<Option<(Bytes, Reading)>> {
    let mut piece = BytesMut::with_capacity(PIECE);
    let count = stdout.read_buf(&mut piece).await.map_err(|error| RemoteError::of_io(&error))?;
    if count > 0 {
        return Ok(Some((piece.freeze(), (stdout, child))));
    }
    let Some(child) = child.take() else { return Ok(None) };
    let output = child.wait_with_output().await.map_err(|error| RemoteError::of_io(&error))?;
    if output.status.success() {
        return Ok(None);
    }
    Err(failure(output.status.code(), &output.stderr))
}

fn failure(code: Option<i32>, stderr: &[u8]) -> RemoteError {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.last().copied().unwrap_or("it does not say why");
    let message: String = last.chars().take(MAX_MESSAGE).collect();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let kind = match code {
        Some(FOLDER_NOT_FOUND | FILE_NOT_FOUND) => RemoteErrorKind::NotFound,
        _ if says(&["not found", "doesn't exist", "no such file"]) => RemoteErrorKind::NotFound,
        _ if says(&["ermission denied", "AccessDenied", "403", "unauthorized"]) => {
            RemoteErrorKind::Denied
        }
        _ if says(&["timeout", "refused", "reset", "503", "429", "EOF"]) => {
            RemoteErrorKind::Temporary
        }
        _ => RemoteErrorKind::Lasting,
    };
    RemoteError::new(kind, format!("rclone: {message}"))
}

fn odd(error: &serde_json::Error) -> RemoteError {
    RemoteError::lasting(format!("rclone's list cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_lists_are_read() {
        let text = r#"[{"Path":"a b","Name":"a b","Size":3,"MimeType":"x","ModTime":"2026-11-25T03:00:00.5Z","IsDir":false,"Hashes":{"md5":"d41d8cd98f00b204e9800998ecf8427e"}},{"Path":"d","Size":-1,"IsDir":true}]"#;
        let listed: Vec<Listed> = serde_json::from_str(text).unwrap();
        let items: Vec<Item> = listed.into_iter().map(|listed| listed.into_item("top")).collect();
        assert_eq!(items[0].path, "top/a b");
        let ItemKind::File(file) = &items[0].kind else { panic!("a file") };
        assert!(file.bytes == Some(3) && file.modified.is_some() && file.md5.is_some());
        assert_eq!(items[1], Item::folder("top/d"));
    }

    #[test]
    fn passwords_go_by_variables() {
        let section = Section::of_address("lab", "sftp", &[("host", "lab"), ("pass", "sesame")]);
        let remote = RcloneRemote::of_section(&section).unwrap();
        let command = format!("{:?}", remote.command().as_std().get_args().collect::<Vec<_>>());
        assert!(!command.contains("sesame"), "{command}");
        assert!(!format!("{remote:?}").contains("sesame"));
        let named = |name: &str| remote.variables.iter().find(|(key, _)| key == name).cloned();
        assert_eq!(named("RCLONE_CONFIG_SCITQ_HOST").unwrap().1, "lab");
        assert_ne!(named("RCLONE_CONFIG_SCITQ_PASS").unwrap().1, "sesame");
    }

    #[test]
    fn its_exit_codes_have_their_meaning() {
        assert_eq!(failure(Some(3), b"directory not found").kind, RemoteErrorKind::NotFound);
        assert_eq!(failure(Some(1), b"x\nconnection refused\n").kind, RemoteErrorKind::Temporary);
        assert_eq!(failure(Some(1), b"").message, "rclone: it does not say why");
    }
}
