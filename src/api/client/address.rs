//! The address of a server, as people write it.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use thiserror::Error;

use crate::api::ssh::SshHost;

/// The port on which scitq listens, as the original does.
pub const DEFAULT_PORT: u16 = 5000;

/// Where a server answers: `HOST`, `HOST:PORT`, or `http://HOST[:PORT][/PREFIX]`
/// and the same with `https`, or `ssh://[USER@]HOST[:SSH-PORT][/PORT]`.
///
/// Without a scheme the port defaults to [`DEFAULT_PORT`]; with `http` and
/// `https`, to that of the scheme. Behind `ssh` it is the port on the loopback
/// interface of the server's machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    url: Url,
    ssh: Option<Box<SshHost>>,
}

/// Why a text is no server address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    #[error("the server address is empty")]
    Empty,
    #[error("the server address `{address}` has the unknown scheme `{scheme}`")]
    UnknownScheme { address: String, scheme: String },
    #[error("`{address}` is no server address: {reason}")]
    Malformed { address: String, reason: String },
}

impl ServerAddress {
    /// The host without brackets and port.
    #[must_use]
    pub fn host(&self) -> &str {
        match &self.ssh {
            Some(ssh) => &ssh.host,
            None => self.url.host_str().unwrap_or_default().trim_matches(['[', ']']),
        }
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(DEFAULT_PORT)
    }

    /// Whether it names this machine's loopback interface.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let is_named = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        is_named && self.ssh.is_none()
    }

    /// The machine through which the server is reached by SSH.
    #[must_use]
    pub fn ssh(&self) -> Option<&SshHost> {
        self.ssh.as_deref()
    }

    /// Whether nobody on the way can read what is sent there.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.ssh.is_some() || self.is_encrypted() || self.is_loopback()
    }

    /// Whether it is spoken to in TLS.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The same place, spoken to in TLS.
    #[must_use]
    pub fn encrypted(&self) -> Self {
        if self.ssh.is_some() {
            return self.clone();
        }
        let mut url = self.url.clone();
        let port = self.port();
        // A URL with a host takes both: see the test.
        let _ = url.set_scheme("https");
        let _ = url.set_port(Some(port));
        Self { url, ssh: None }
    }

    /// Whether a token for `self` may be sent to `other`: it is the same place,
    /// and spoken to no less privately.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let is_downgrade = self.is_encrypted() && !other.is_private();
        let is_same_host =
            self.host() == other.host() || (self.is_loopback() && other.is_loopback());
        let place = |address: &Self| (address.port(), address.url.path().to_owned());
        is_same_host && self.ssh == other.ssh && place(self) == place(other) && !is_downgrade
    }

    /// The URL of a WebSocket at a path that begins with `/`.
    #[must_use]
    pub fn websocket_url(&self, path: &str) -> String {
        let url = self.join(path);
        format!("ws{}", url.as_str().trim_start_matches("http"))
    }

    /// The URL of a path that begins with `/`.
    pub(super) fn join(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        let whole = format!("{}{path}", url.path().trim_end_matches('/'));
        url.set_path(&whole);
        url
    }
}

impl Default for ServerAddress {
    fn default() -> Self {
        Self { url: local_url(), ssh: None }
    }
}

#[expect(clippy::expect_used, reason = "a constant that a test parses")]
fn local_url() -> Url {
    Url::parse("http://127.0.0.1:5000").expect("a constant address")
}

impl FromStr for ServerAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        match text.split_once("://") {
            Some(("http" | "https", _)) => parse_url(text, text).map(|url| Self { url, ssh: None }),
            Some(("ssh", _)) => parse_ssh(text),
            Some((scheme, _)) => {
                Err(AddressError::UnknownScheme { address: text.into(), scheme: scheme.into() })
            }
            None => parse_host(text).map(|url| Self { url, ssh: None }),
        }
    }
}

/// `HOST`, `HOST:PORT`, or an IPv6 address with or without brackets.
fn parse_host(text: &str) -> Result<Url, AddressError> {
    if text.contains('/') {
        return Err(malformed(text, "a path needs `http://` in front of the host"));
    }
    let host = match text.parse::<Ipv6Addr>() {
        Ok(address) => format!("[{address}]"),
        Err(_) => text.to_owned(),
    };
    let names_port = host.rsplit(']').next().is_some_and(|rest| rest.contains(':'));
    let with_port = if names_port { host } else { format!("{host}:{DEFAULT_PORT}") };
    parse_url(text, &format!("http://{with_port}"))
}

/// `ssh://[USER@]HOST[:SSH-PORT][/PORT]`.
fn parse_ssh(text: &str) -> Result<ServerAddress, AddressError> {
    let url = Url::parse(text).map_err(|error| malformed(text, &error.to_string()))?;
    if url.password().is_some() {
        return Err(malformed(text, "a password has no place in it: ssh asks for it"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(malformed(text, "it has a query or fragment"));
    }
    let decoded = |part: &str| {
        percent_decode_str(part)
            .decode_utf8()
            .map(Cow::into_owned)
            .map_err(|_| malformed(text, "it is not UTF-8"))
    };
    let host = decoded(url.host_str().unwrap_or_default().trim_matches(['[', ']']))?;
    let user = Some(decoded(url.username())?).filter(|user| !user.is_empty());
    let is_odd = |name: &str| {
        name.starts_with('-') || name.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    if host.is_empty() || is_odd(&host) || user.as_deref().is_some_and(is_odd) {
        return Err(malformed(text, "it names no host, or one that ssh cannot go to"));
    }
    let port = match url.path().trim_matches('/') {
        "" => DEFAULT_PORT,
        digits => digits
            .parse()
            .map_err(|_| malformed(text, "what follows the host is the server's port there"))?,
    };
    let inner = parse_url(text, &format!("http://127.0.0.1:{port}"))?;
    Ok(ServerAddress { url: inner, ssh: Some(Box::new(SshHost { user, host, port: url.port() })) })
}

fn parse_url(text: &str, url: &str) -> Result<Url, AddressError> {
    let mut url = Url::parse(url).map_err(|error| malformed(text, &error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(malformed(text, "it names a user, and scitq knows people by their token"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(malformed(text, "it has a query or fragment"));
    }
    // Slashes at the end of a prefix are not shown, and mean nothing.
    let prefix = url.path().trim_end_matches('/').to_owned();
    url.set_path(&prefix);
    Ok(url)
}

fn malformed(address: &str, reason: &str) -> AddressError {
    AddressError::Malformed { address: address.to_owned(), reason: reason.to_owned() }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.ssh {
            None => f.write_str(self.url.as_str().trim_end_matches('/')),
            Some(ssh) if self.port() == DEFAULT_PORT => write!(f, "ssh://{ssh}"),
            Some(ssh) => write!(f, "ssh://{ssh}/{}", self.port()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match text.parse::<ServerAddress>() {
            Ok(address) => address.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn people_write_addresses_in_many_ways() {
        assert_eq!(shown("head"), "http://head:5000");
        assert_eq!(shown("127.0.0.1"), "http://127.0.0.1:5000");
        assert_eq!(shown("head:80"), "http://head");
        assert_eq!(shown("::1"), "http://[::1]:5000");
        assert_eq!(shown("[::1]:7000"), "http://[::1]:7000");
        assert_eq!(shown("http://head"), "http://head");
        assert_eq!(shown("http://head:5000/scitq/"), "http://head:5000/scitq");
        assert_eq!(shown("https://head"), "https://head");
        assert_eq!(shown("https://head:5000"), "https://head:5000");
        assert_eq!(ServerAddress::default().to_string(), "http://127.0.0.1:5000");
    }

    #[test]
    fn a_prefix_is_kept_in_front_of_the_path() {
        let address: ServerAddress = "http://head/scitq/".parse().unwrap();
        assert_eq!(address.join("/api/v2/tasks").as_str(), "http://head/scitq/api/v2/tasks");
        assert_eq!(address.websocket_url("/link"), "ws://head/scitq/link");
        let address: ServerAddress = "https://head:5000".parse().unwrap();
        assert_eq!(address.websocket_url("/link"), "wss://head:5000/link");
    }

    #[test]
    fn an_address_is_encrypted_on_the_same_port() {
        for (plain, expected) in [
            ("head", "https://head:5000"),
            ("head:80", "https://head:80"),
            ("::1", "https://[::1]:5000"),
            ("https://head", "https://head"),
        ] {
            let address: ServerAddress = plain.parse().unwrap();
            assert_eq!(address.encrypted().to_string(), expected);
            assert!(address.encrypted().is_encrypted());
        }
    }

    #[test]
    fn a_token_goes_to_its_own_server_only_and_never_less_privately() {
        let cases = [
            ("head", "head", true),
            ("head", "https://head:5000", true),
            ("https://head:5000", "head", false),
            ("https://127.0.0.1:5000", "localhost", true),
            ("head", "other", false),
            ("head", "head:5001", false),
            ("http://head:5000/a", "http://head:5000/b", false),
        ];
        for (own, other, expected) in cases {
            let (own, other): (ServerAddress, ServerAddress) =
                (own.parse().unwrap(), other.parse().unwrap());
            assert_eq!(own.covers(&other), expected, "{own} and {other}");
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        assert_eq!(
            shown("ssh://-oProxyCommand=x"),
            "`ssh://-oProxyCommand=x` is no server address: it names no host, or one that ssh cannot go to"
        );
        assert!(shown("ssh://ada:secret@head").ends_with("ssh asks for it"));
        assert!(shown("ssh://head/x").ends_with("the server's port there"));
        assert_eq!(
            shown("ftp://head"),
            "the server address `ftp://head` has the unknown scheme `ftp`"
        );
        assert_eq!(shown("head:port"), "`head:port` is no server address: invalid port number");
        assert_eq!(
            shown("head/x"),
            "`head/x` is no server address: a path needs `http://` in front of the host"
        );
        assert_eq!(shown(" "), "the server address is empty");
    }

    #[test]
    fn ssh_has_a_user_a_port_of_its_own_and_the_port_of_the_server() {
        for text in ["ssh://head", "ssh://ada@head", "ssh://ada@head:2222/5001", "ssh://head/80"] {
            assert_eq!(shown(text), text);
        }
        let address: ServerAddress = "ssh://ada@head:2222/5001".parse().unwrap();
        let ssh = address.ssh().unwrap();
        assert_eq!((ssh.user.as_deref(), ssh.port), (Some("ada"), Some(2222)));
        assert_eq!((address.host(), address.port()), ("head", 5001));
        assert_eq!(address.join("/x").as_str(), "http://127.0.0.1:5001/x");
        assert!(address.is_private() && !address.is_loopback() && !address.is_encrypted());
        assert!(!"ssh://localhost".parse::<ServerAddress>().unwrap().is_loopback());
        assert!(!address.covers(&"http://head:5001".parse().unwrap()));
        assert!(address.covers(&address.encrypted()));
    }

    #[test]
    fn loopback_is_known_by_name_and_number() {
        for text in ["localhost", "127.0.0.1", "::1", "127.8.0.1:80"] {
            assert!(text.parse::<ServerAddress>().unwrap().is_loopback(), "{text}");
        }
        assert!(!"head".parse::<ServerAddress>().unwrap().is_loopback());
    }
}
