//! `ssh://` addresses: a server that is reached through the user's own SSH.
//!
//! All of it is done by the `ssh` program of this machine, so that its
//! configuration, jump hosts, agents and known hosts count. One master
//! connection, which may ask for a password on the terminal, carries everything
//! ([`master`]); each connection to the server is a channel of it
//! ([`tunnel`]). The server needs no open port, and sees who comes from its own
//! machine.

mod master;
mod tunnel;

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

pub use master::prepare;
pub use tunnel::Tunnel;

/// Where `ssh` is to go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshHost {
    pub user: Option<String>,
    /// A name of the user's SSH configuration, or of the network.
    pub host: String,
    /// None: the one that the configuration says.
    pub port: Option<u16>,
}

/// Why there is no way through SSH.
#[derive(Debug, Error)]
pub enum SshError {
    #[error("{0}")]
    Refused(String),
    #[error("cannot start ssh")]
    NoProgram(#[source] io::Error),
    #[error("cannot use the folder `{path}`", path = .path.display())]
    Folder { path: PathBuf, source: io::Error },
}

impl SshHost {
    /// The arguments that name it; no part of it is taken for an option.
    fn arguments(&self) -> Vec<String> {
        let user = self.user.iter().flat_map(|user| ["-l".to_owned(), user.clone()]);
        let port = self.port.iter().flat_map(|port| ["-p".to_owned(), port.to_string()]);
        user.chain(port).chain(["--".to_owned(), self.host.clone()]).collect()
    }
}

impl fmt::Display for SshHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The last line that ssh wrote, which says what went wrong.
fn last_line(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
    let line = line.map(|line| line.strip_prefix("ssh: ").unwrap_or(line));
    let shown = line.unwrap_or("ssh gave up without a word");
    shown.chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_never_an_option() {
        let host =
            SshHost { user: Some("ada".into()), host: "-oProxyCommand=x".into(), port: Some(7) };
        assert_eq!(host.arguments(), ["-l", "ada", "-p", "7", "--", "-oProxyCommand=x"]);
    }

    #[test]
    fn what_ssh_said_last_is_told() {
        let text = b"Warning: x\r\nssh: connect to host h port 22: Connection refused\r\n\n";
        assert_eq!(last_line(text), "connect to host h port 22: Connection refused");
        assert_eq!(last_line(b"\n"), "ssh gave up without a word");
    }
}
