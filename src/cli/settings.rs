//! Which server, and with which token: flag, then environment, then the
//! client's configuration file, then the local server's own file, then the
//! default.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::CliError;
use crate::api::client::{AddressError, ServerAddress};
use crate::api::fingerprint::TokenParts;
use crate::runtime_dir::{ServerFile, Surroundings};

/// An environment variable that scitq reads, with its meaning for the manual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    pub name: &'static str,
    pub doc: &'static str,
}

/// The server's address. Declared to the parser as the variable of `--server`.
pub const SERVER: Variable =
    Variable { name: "SCITQ_SERVER", doc: "The server's address, unless --server names one" };
pub const TOKEN: Variable = Variable { name: "SCITQ_TOKEN", doc: "The access token" };
pub const TOKEN_FILE: Variable = Variable {
    name: "SCITQ_TOKEN_FILE",
    doc: "File with the access token, unless SCITQ_TOKEN is set",
};

pub const LOG: Variable = Variable {
    name: "SCITQ_LOG",
    doc: "What server and agent log: error, warn, info (unless set), debug, or finer, as in scitq::agent=debug",
};

/// How much of the server's disk is to stay free.
pub const LEAST_FREE: Variable = Variable {
    name: "SCITQ_SERVE_LEAST_FREE",
    doc: "The percentage of --least-free, unless that option is there",
};

/// Where the remotes of the site are described.
pub const STORAGE_CONFIG: Variable = Variable {
    name: "SCITQ_STORAGE_CONFIG",
    doc: "File with the site's remote storage; ~/.config/scitq/storage.toml or /etc/scitq/storage.toml if unset",
};
pub const RCLONE_CONFIG: Variable = Variable {
    name: "RCLONE_CONFIG",
    doc: "The same in the form of rclone; ~/.config/rclone/rclone.conf or /etc/rclone.conf if unset",
};

/// All variables that are no option's.
pub const VARIABLES: [Variable; 15] = [
    SERVER,
    TOKEN,
    TOKEN_FILE,
    LOG,
    LEAST_FREE,
    Variable {
        name: "VISUAL",
        doc: "The editor of `manage task edit` and `tui`, with its arguments",
    },
    Variable { name: "EDITOR", doc: "The same where VISUAL is not set; else vi" },
    STORAGE_CONFIG,
    RCLONE_CONFIG,
    Variable { name: "PAGER", doc: "The pager of `tui`, with its arguments; else less -R" },
    Variable { name: "TERM", doc: "The kind of terminal that `tui` is shown in" },
    Variable { name: "NO_COLOR", doc: "Any value turns colours off" },
    Variable {
        name: "XDG_CONFIG_HOME",
        doc: "Has scitq/client.toml, the client's configuration; ~/.config if unset",
    },
    Variable {
        name: "XDG_RUNTIME_DIR",
        doc: "Where a running server leaves word of itself, in scitq/server.json",
    },
    Variable {
        name: "XDG_STATE_HOME",
        doc: "Has scitq, the server's data directory; ~/.local/state if unset (root: /var/lib/scitq)",
    },
];

/// Whether colours are turned off for all programs.
#[must_use]
pub fn is_no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// What was found out about the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    pub address: ServerAddress,
    pub token: Option<String>,
    /// What to look at when the server does not know us.
    pub token_hint: Option<String>,
    /// What a person should know, such as a token that others can read.
    pub warnings: Vec<String>,
}

impl std::fmt::Debug for Settings {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("address", &self.address).finish_non_exhaustive()
    }
}

/// `client.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientFile {
    server: Option<String>,
    token: Option<String>,
    token_file: Option<PathBuf>,
}

/// What the process brings along; a test brings its own.
pub struct Environment<'a> {
    /// `--server` or its variable.
    pub server: Option<&'a str>,
    pub variable: &'a dyn Fn(&str) -> Option<OsString>,
    pub surroundings: Surroundings,
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("server", &self.server).finish_non_exhaustive()
    }
}

/// A token with where it came from, or why there is none, if that is not plain.
type Found = Result<(String, String), Option<String>>;

/// The settings of this process.
///
/// # Errors
/// An address that is none, a configuration file or a named token file that
/// cannot be read.
pub fn load(server: Option<&str>) -> Result<Settings, CliError> {
    resolve(&Environment {
        server,
        variable: &|name| std::env::var_os(name),
        surroundings: Surroundings::of_process(),
    })
}

/// The settings of an environment: see [`load`].
pub fn resolve(environment: &Environment<'_>) -> Result<Settings, CliError> {
    let surroundings = &environment.surroundings;
    let mut warnings = Vec::new();
    let config = load_client_file(surroundings.client_config().as_deref(), &mut warnings)?;
    let local = load_server_file(&surroundings.runtime_file_candidates());
    let named = environment.server.or(config.server.as_deref());
    let named = named.or(local.as_ref().map(|file| file.address.as_str()));
    let address = named.map_or_else(|| Ok(ServerAddress::default()), parse_address)?;
    let found = find_token(environment, &config, local.as_ref(), &address, &mut warnings)?;
    let (token, token_hint) = match found {
        Ok((token, source)) => {
            (Some(token), Some(format!("the token that was sent came from {source}")))
        }
        Err(hint) => (None, hint),
    };
    // A bare name is a name of whatever the token is for.
    let is_bare = !named.is_some_and(|text| text.contains("://"));
    let parts =
        token.as_deref().map(TokenParts::of).transpose().map_err(|error| {
            CliError::configuration(error.to_string()).hint("copy the whole of it")
        })?;
    let is_pinned = parts.is_some_and(|parts| parts.fingerprint.is_some());
    let address = if is_bare && is_pinned { address.encrypted() } else { address };
    Ok(Settings { address, token, token_hint, warnings })
}

fn find_token(
    environment: &Environment<'_>,
    config: &ClientFile,
    local: Option<&ServerFile>,
    address: &ServerAddress,
    warnings: &mut Vec<String>,
) -> Result<Found, CliError> {
    let variable = |which: Variable| (environment.variable)(which.name).filter(|v| !v.is_empty());
    if let Some(token) = variable(TOKEN) {
        let no_text = |_| CliError::configuration(format!("{} is no text", TOKEN.name));
        let token = token.into_string().map_err(no_text)?;
        return Ok(Ok((token.trim().to_owned(), TOKEN.name.to_owned())));
    }
    if let Some(path) = variable(TOKEN_FILE) {
        return read_named_token(Path::new(&path), TOKEN_FILE.name, warnings).map(Ok);
    }
    if config.token.is_some() || config.token_file.is_some() {
        let of = config.server.as_deref().map(parse_address).transpose()?;
        if let Some(of) = of.filter(|of| !of.covers(address)) {
            return Ok(Err(Some(format!(
                "the token in client.toml is for {of} and was not sent to {address}; set {}",
                TOKEN.name
            ))));
        }
    }
    if let Some(token) = &config.token {
        return Ok(Ok((token.trim().to_owned(), "client.toml".to_owned())));
    }
    if let Some(path) = &config.token_file {
        return read_named_token(path, "client.toml", warnings).map(Ok);
    }
    Ok(find_local_token(local, address, warnings))
}

/// The token of the server on this machine, if that is the one we talk to: it
/// is never sent to another.
fn find_local_token(
    local: Option<&ServerFile>,
    address: &ServerAddress,
    warnings: &mut Vec<String>,
) -> Found {
    let Some(file) = local else { return Err(None) };
    if !file.address.parse::<ServerAddress>().is_ok_and(|of| of.covers(address)) {
        return Err(None);
    }
    let path = file.token_file.display();
    read_token(&file.token_file, warnings)
        .map(|token| (token, format!("{path}, the local server's own")))
        .map_err(|error| {
            Some(format!("the local server's token in {path} cannot be read: {error}"))
        })
}

fn parse_address(text: &str) -> Result<ServerAddress, CliError> {
    text.parse().map_err(|error: AddressError| {
        CliError::configuration(error.to_string())
            .hint("write HOST, HOST:PORT, https://HOST:PORT or ssh://[USER@]HOST")
    })
}

/// The token in a file that somebody named, who must then have one.
fn read_named_token(
    path: &Path,
    named_by: &str,
    warnings: &mut Vec<String>,
) -> Result<(String, String), CliError> {
    let shown = path.display();
    let token = read_token(path, warnings).map_err(|error| {
        CliError::configuration(format!("cannot read the access token in `{shown}`"))
            .caused_by(&error)
            .hint(format!("{named_by} names it"))
    })?;
    Ok((token, format!("{shown}, which {named_by} names")))
}

/// The token in a file, which nobody else should be able to read.
fn read_token(path: &Path, warnings: &mut Vec<String>) -> io::Result<String> {
    let text = read_secret(path, warnings)?;
    let token = text.trim();
    if token.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"));
    }
    Ok(token.to_owned())
}

fn read_secret(path: &Path, warnings: &mut Vec<String>) -> io::Result<String> {
    let text = fs::read_to_string(path)?;
    if fs::metadata(path)?.mode() & 0o004 != 0 {
        let path = path.display();
        warnings.push(format!(
            "everybody on this machine can read the token in `{path}`: chmod 600 it"
        ));
    }
    Ok(text)
}

/// The client's configuration, empty where there is no file.
fn load_client_file(
    path: Option<&Path>,
    warnings: &mut Vec<String>,
) -> Result<ClientFile, CliError> {
    let Some(path) = path else { return Ok(ClientFile::default()) };
    let broken = || CliError::configuration(format!("cannot read `{}`", path.display()));
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ClientFile::default()),
        Err(error) => return Err(broken().caused_by(&error)),
    };
    let file: ClientFile = toml::from_str(&text).map_err(|error| {
        broken().caused_by(&error).hint("it may have `server`, `token` and `token_file`")
    })?;
    if file.token.is_some() {
        // Read once more for its mode: only a file with a secret is looked at.
        let _ = read_secret(path, warnings);
    }
    Ok(file)
}

/// What a server of this user left of itself: a living one first, else any.
fn load_server_file(candidates: &[PathBuf]) -> Option<ServerFile> {
    let files = candidates.iter().filter_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        serde_json::from_str::<ServerFile>(&text).ok()
    });
    let files: Vec<ServerFile> = files.collect();
    files.iter().find(|file| is_alive(file.pid)).or_else(|| files.first()).cloned()
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A home with a client configuration and a local server's file.
    struct Home {
        directory: tempfile::TempDir,
        variables: Vec<(&'static str, String)>,
    }

    impl Home {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().unwrap(), variables: Vec::new() }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }

        fn local_server(&self, address: &str) {
            let token_file = self.write("admin.token", "local-token\n", 0o600);
            let file = ServerFile { address: address.into(), token_file, pid: std::process::id() };
            self.write(
                ".local/state/scitq/server.json",
                &serde_json::to_string(&file).unwrap(),
                0o600,
            );
        }

        fn config(&self, text: &str) {
            self.write(".config/scitq/client.toml", text, 0o600);
        }

        fn resolve(&self, server: Option<&str>) -> Result<Settings, CliError> {
            let home = self.directory.path().as_os_str().to_owned();
            let variable = |wanted: &str| {
                let found = self.variables.iter().find(|(name, _)| *name == wanted);
                found
                    .map(|(_, value)| value.into())
                    .or_else(|| (wanted == "HOME").then(|| home.clone()))
            };
            let surroundings = Surroundings::new(false, variable);
            resolve(&Environment { server, variable: &variable, surroundings })
        }

        fn found(&self, server: Option<&str>) -> (String, Option<String>) {
            let settings = self.resolve(server).unwrap();
            (settings.address.to_string(), settings.token)
        }
    }

    #[test]
    fn without_anything_it_is_the_local_default() {
        let (address, token) = Home::new().found(None);
        assert_eq!((address.as_str(), token), ("http://127.0.0.1:5000", None));
    }

    #[test]
    fn first_hit_wins() {
        let mut home = Home::new();
        home.local_server("http://127.0.0.1:6000");
        assert_eq!(home.found(None), ("http://127.0.0.1:6000".into(), Some("local-token".into())));
        home.config("server = \"head\"\ntoken = \"config-token\"\n");
        assert_eq!(home.found(None), ("http://head:5000".into(), Some("config-token".into())));
        home.variables.push((
            "SCITQ_TOKEN_FILE",
            home.write("t", "file-token\n", 0o600).display().to_string(),
        ));
        assert_eq!(
            home.found(Some("headless")),
            ("http://headless:5000".into(), Some("file-token".into()))
        );
        home.variables.push(("SCITQ_TOKEN", "variable-token".into()));
        assert_eq!(home.found(Some("headless:1")).1, Some("variable-token".into()));
    }

    #[test]
    fn a_token_is_never_sent_to_another_server() {
        let home = Home::new();
        home.local_server("http://127.0.0.1:6000");
        assert_eq!(home.found(Some("localhost:6000")).1, Some("local-token".into()));
        assert_eq!(home.found(Some("127.0.0.1:6001")).1, None);
        assert_eq!(home.found(Some("head:6000")).1, None);
        home.config("server = \"head\"\ntoken = \"config-token\"\n");
        let settings = home.resolve(Some("headless")).unwrap();
        assert_eq!(settings.token, None);
        assert_eq!(
            settings.token_hint.unwrap(),
            "the token in client.toml is for http://head:5000 and was not sent to http://headless:5000; set SCITQ_TOKEN"
        );
    }

    #[test]
    fn a_token_that_others_can_read_is_warned_about() {
        let mut home = Home::new();
        let path = home.write("t", "secret", 0o644);
        home.variables.push(("SCITQ_TOKEN_FILE", path.display().to_string()));
        let settings = home.resolve(None).unwrap();
        assert_eq!(settings.warnings.len(), 1);
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn what_cannot_be_read_is_a_configuration_error() {
        let mut home = Home::new();
        home.config("sever = \"head\"");
        let error = home.resolve(None).unwrap_err();
        assert_eq!(error.kind().exit_code(), 78);
        assert!(error.causes()[0].contains("unknown field `sever`"), "{error:?}");
        home.config("");
        home.variables.push(("SCITQ_TOKEN_FILE", "/nonexistent/token".into()));
        let error = home.resolve(None).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the access token in `/nonexistent/token`");
    }

    #[test]
    fn a_bare_name_is_encrypted_where_the_token_names_a_certificate() {
        let mut home = Home::new();
        let token = crate::api::fingerprint::Fingerprint::of(b"certificate").in_token("scitq_a");
        home.variables.push(("SCITQ_TOKEN", token));
        assert_eq!(home.found(Some("head")).0, "https://head:5000");
        assert_eq!(home.found(None).0, "https://127.0.0.1:5000");
        assert_eq!(home.found(Some("http://head:5000")).0, "http://head:5000");
        home.variables = vec![("SCITQ_TOKEN", "scitq_a".into())];
        assert_eq!(home.found(Some("head")).0, "http://head:5000");
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_read_or_refused(
            text in "(server|token|token_file|[a-z]{0,4})? ?=? ?[\"'\\[{]?.{0,20}\n?.*"
        ) {
            let home = Home::new();
            home.config(&text);
            match home.resolve(None) {
                Ok(_) => {}
                Err(error) => proptest::prop_assert_eq!(error.kind().exit_code(), 78),
            }
        }
    }
}
