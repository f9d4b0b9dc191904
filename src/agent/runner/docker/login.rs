//! Who we are for a registry of images: what `docker login` has left.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use thiserror::Error;

/// Under which name the Docker Hub is kept.
const HUB: &str = "https://index.docker.io/v1/";

/// What a registry is told of us.
#[derive(Clone, PartialEq, Eq)]
pub enum Login {
    Password { user: String, password: String },
    Token(String),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

#[derive(Debug, Error)]
pub enum LoginError {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot understand `{}`", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("the login of `{registry}` in `{}` is damaged", path.display())]
    Damaged { path: PathBuf, registry: String },
    #[error("the credential helper `{helper}` failed for `{registry}`: {message}")]
    Helper { helper: String, registry: String, message: String },
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// The file in which logins are kept: in `$DOCKER_CONFIG`, else at home.
#[must_use]
pub fn config_file() -> Option<PathBuf> {
    let folder = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
    Some(folder?.join("config.json"))
}

/// The login for the registry of an image; none where nobody has logged in.
/// Blocks: a credential helper is another program.
///
/// # Errors
/// There is a login, and it cannot be had.
pub fn find_login(path: &Path, image: &str) -> Result<Option<Login>, LoginError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(LoginError::Read { path: path.to_owned(), source }),
    };
    let config: Config = serde_json::from_slice(&text)
        .map_err(|source| LoginError::Json { path: path.to_owned(), source })?;
    let registry = registry_of(image);
    if let Some(helper) = config.cred_helpers.get(registry).or(config.creds_store.as_ref())
        && let Some(login) = ask(helper, registry)?
    {
        return Ok(Some(login));
    }
    let keys = [registry.to_owned(), format!("https://{registry}"), format!("http://{registry}")];
    let Some(auth) = keys.iter().find_map(|key| config.auths.get(key)) else { return Ok(None) };
    if let Some(token) = auth.identitytoken.as_ref().filter(|token| !token.is_empty()) {
        return Ok(Some(Login::Token(token.clone())));
    }
    let Some(encoded) = auth.auth.as_ref().filter(|encoded| !encoded.is_empty()) else {
        return Ok(None);
    };
    let pair = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((user, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) else {
        let registry = registry.to_owned();
        return Err(LoginError::Damaged { path: path.to_owned(), registry });
    };
    let password = password.trim_end_matches('\0').to_owned();
    Ok(Some(Login::Password { user: user.to_owned(), password }))
}

/// The registry that an image is fetched from: the first part of its name, if
/// it looks like a host.
#[must_use]
pub fn registry_of(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => {
            if host == "docker.io" { HUB } else { host }
        }
        _ => HUB,
    }
}

/// Asks a credential helper; none when it has nothing for this registry.
fn ask(helper: &str, registry: &str) -> Result<Option<Login>, LoginError> {
    let failed = |message: String| LoginError::Helper {
        helper: helper.to_owned(),
        registry: registry.to_owned(),
        message,
    };
    let run = || -> io::Result<std::process::Output> {
        let mut child = Command::new(format!("docker-credential-{helper}"))
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(registry.as_bytes())?;
        }
        child.wait_with_output()
    };
    let output = run().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        let has_none = said.contains("credentials not found");
        return if has_none { Ok(None) } else { Err(failed(said)) };
    }
    let answer: Answer =
        serde_json::from_slice(&output.stdout).map_err(|error| failed(error.to_string()))?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => Login::Token(answer.secret),
        _ => Login::Password { user: answer.username, password: answer.secret },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_names_its_registry() {
        assert_eq!(registry_of("busybox"), HUB);
        assert_eq!(registry_of("library/busybox:1"), HUB);
        assert_eq!(registry_of("127.0.0.1:5000/a:1"), "127.0.0.1:5000");
        assert_eq!(registry_of("localhost/a"), "localhost");
        assert_eq!(registry_of("quay.io/b/c@sha256:0"), "quay.io");
    }

    #[test]
    fn logins_are_found_by_registry() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        assert_eq!(find_login(&file, "a.b/c").unwrap(), None);
        let text =
            r#"{"auths": {"a.b": {"auth": "YWRhOnA6dw=="}, "https://localhost:1": {"auth": "!"}}}"#;
        fs::write(&file, text).unwrap();
        let login = Login::Password { user: "ada".to_owned(), password: "p:w".to_owned() };
        assert_eq!(find_login(&file, "a.b/c").unwrap(), Some(login));
        assert!(matches!(find_login(&file, "localhost:1/e"), Err(LoginError::Damaged { .. })));
        assert_eq!(find_login(&file, "busybox").unwrap(), None);
        fs::write(&file, r#"{"credsStore": "no-such-helper"}"#).unwrap();
        assert!(matches!(find_login(&file, "a.b/c"), Err(LoginError::Helper { .. })));
    }
}
