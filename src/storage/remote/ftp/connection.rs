//! One connection to an FTP server.

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::error::{RemoteError, RemoteErrorKind, Result};

const CONNECT_LIMIT: Duration = Duration::from_secs(15);

/// No server takes longer for an answer, except to close a large upload.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// No honest answer is longer.
const MAX_ANSWER: usize = 64 << 10;

/// Who we are to a server.
#[derive(Clone)]
pub(in crate::storage::remote) struct FtpLogin {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
}

impl std::fmt::Debug for FtpLogin {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FtpLogin({}@{}:{})", self.user, self.host, self.port)
    }
}

#[derive(Debug)]
pub(super) struct Connection {
    control: BufReader<TcpStream>,
    /// Where the server is; data goes there too, whatever it says of its address.
    peer: IpAddr,
    pub has_mlsd: bool,
    /// The folder after login, without a final slash.
    home: String,
}

/// A server's answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub code: u16,
    pub text: String,
}

impl Connection {
    pub(super) async fn open(login: &FtpLogin) -> Result<Self> {
        let connecting = TcpStream::connect((login.host.as_str(), login.port));
        let stream = timeout(CONNECT_LIMIT, connecting).await.map_err(|_| timed_out())?;
        let stream = stream.map_err(|error| RemoteError::of_io(&error))?;
        let peer = stream.peer_addr().map_err(|error| RemoteError::of_io(&error))?.ip();
        let control = BufReader::new(stream);
        let mut connection = Self { control, peer, has_mlsd: false, home: String::new() };
        connection.read_answer().await?.expect(2)?;
        let answer = connection.ask("USER", &login.user).await?;
        if answer.code == 331 {
            connection.ask("PASS", &login.password).await?.expect(2)?;
        } else {
            answer.expect(2)?;
        }
        let features = connection.ask("FEAT", "").await?;
        let has = |name: &str| {
            features.text.lines().any(|line| {
                let line = line.trim();
                line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
            })
        };
        connection.has_mlsd = has("MLST") || has("MLSD");
        if has("UTF8") {
            // Servers that know it and refuse the order use it anyway.
            connection.ask("OPTS", "UTF8 ON").await?;
        }
        connection.ask("TYPE", "I").await?.expect(2)?;
        let home = connection.ask("PWD", "").await?;
        if home.code == 257 {
            quoted(&home.text).trim_end_matches('/').clone_into(&mut connection.home);
        }
        Ok(connection)
    }

    /// The path as the server takes it in every folder: from the one after
    /// login on, or from the top when it begins with a slash.
    pub(super) fn full(&self, path: &str) -> String {
        if path.starts_with('/') { path.to_owned() } else { format!("{}/{path}", self.home) }
    }

    /// Gives an order about a path and reads the answer.
    pub(super) async fn ask_of(&mut self, order: &str, path: &str) -> Result<Answer> {
        let path = self.full(path);
        self.ask(order, &path).await
    }

    /// Gives an order and reads the answer.
    pub(super) async fn ask(&mut self, order: &str, argument: &str) -> Result<Answer> {
        if argument.contains(['\r', '\n', '\0']) {
            return Err(RemoteError::unsupported("FTP has no names with line breaks"));
        }
        let line = match argument {
            "" => format!("{order}\r\n"),
            argument => format!("{order} {argument}\r\n"),
        };
        let sent = self.control.get_mut().write_all(line.as_bytes()).await;
        sent.map_err(|error| RemoteError::of_io(&error))?;
        self.read_answer().await
    }

    pub(super) async fn read_answer(&mut self) -> Result<Answer> {
        let mut text = String::new();
        let mut end: Option<String> = None;
        loop {
            let line = self.read_line().await?;
            let code = line.get(..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
            let mark = line.as_bytes().get(3).copied();
            if end.is_none() {
                let code = code.ok_or_else(|| RemoteError::temporary("it does not speak FTP"))?;
                end = (mark == Some(b'-')).then(|| format!("{code} "));
                text.push_str(line.get(4..).unwrap_or_default());
                if end.is_none() {
                    return Ok(Answer { code: code.parse().unwrap_or(0), text });
                }
            } else if end.as_deref().is_some_and(|end| line.starts_with(end)) {
                let code = code.and_then(|code| code.parse().ok()).unwrap_or(0);
                return Ok(Answer { code, text });
            } else {
                text.push('\n');
                text.push_str(&line);
            }
            if text.len() > MAX_ANSWER {
                return Err(RemoteError::lasting("the answer does not end"));
            }
        }
    }

    /// Opens the connection on which data will go.
    pub(super) async fn open_data(&mut self) -> Result<TcpStream> {
        let extended = self.ask("EPSV", "").await?;
        let port = if extended.code == 229 {
            extended.text.split('|').nth(3).and_then(|port| port.parse().ok())
        } else {
            let passive = self.ask("PASV", "").await?;
            passive.expect(2)?;
            parse_passive(&passive.text)
        };
        let port: u16 = port.ok_or_else(|| RemoteError::lasting("it names no port for data"))?;
        let connecting = TcpStream::connect((self.peer, port));
        let stream = timeout(CONNECT_LIMIT, connecting).await.map_err(|_| timed_out())?;
        stream.map_err(|error| RemoteError::of_io(&error))
    }

    /// Gives an order whose answer is data, and reads all of it.
    pub(super) async fn ask_for_text(&mut self, order: &str, argument: &str) -> Result<String> {
        let mut data = self.open_data().await?;
        let answer = self.ask(order, argument).await?;
        answer.expect(1)?;
        let mut bytes = Vec::new();
        let reading = timeout(ANSWER_LIMIT, data.read_to_end(&mut bytes)).await;
        reading.map_err(|_| timed_out())?.map_err(|error| RemoteError::of_io(&error))?;
        drop(data);
        self.read_answer().await?.expect(2)?;
        String::from_utf8(bytes).map_err(|_| RemoteError::unsupported("a name in it is no UTF-8"))
    }

    async fn read_line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        let reading = (&mut self.control).take(MAX_ANSWER as u64).read_until_line(&mut line).await;
        reading?;
        while line.last().is_some_and(|byte| matches!(byte, b'\r' | b'\n')) {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// Reads one line within the time that an answer may take.
trait ReadLine {
    async fn read_until_line(&mut self, line: &mut Vec<u8>) -> Result<()>;
}

impl<R: tokio::io::AsyncBufRead + Unpin> ReadLine for R {
    async fn read_until_line(&mut self, line: &mut Vec<u8>) -> Result<()> {
        let reading = timeout(ANSWER_LIMIT, self.read_until(b'\n', line)).await;
        match reading.map_err(|_| timed_out())? {
            Ok(0) => Err(RemoteError::temporary("the server closed the connection")),
            Ok(_) => Ok(()),
            Err(error) => Err(RemoteError::of_io(&error)),
        }
    }
}

impl Answer {
    /// Whether the first digit of the code is this one; else the error that the
    /// answer is.
    pub(super) fn expect(&self, digit: u16) -> Result<()> {
        if self.code / 100 == digit {
            return Ok(());
        }
        let kind = match self.code {
            530 | 532 => RemoteErrorKind::Denied,
            500..=504 => RemoteErrorKind::Unsupported,
            400..=499 => RemoteErrorKind::Temporary,
            _ if self.text.to_ascii_lowercase().contains("permission") => RemoteErrorKind::Denied,
            _ => RemoteErrorKind::Lasting,
        };
        let text = self.text.lines().next().unwrap_or_default();
        Err(RemoteError::new(kind, format!("the server answers {} {text}", self.code)))
    }
}

pub(super) fn timed_out() -> RemoteError {
    RemoteError::temporary("the server does not answer")
}

/// What stands between the first two quotes; a doubled quote is one.
fn quoted(text: &str) -> String {
    let Some((_, rest)) = text.split_once('"') else { return String::new() };
    let mut path = String::new();
    let mut characters = rest.chars().peekable();
    while let Some(c) = characters.next() {
        if c == '"' && characters.next_if_eq(&'"').is_none() {
            break;
        }
        path.push(c);
    }
    path
}

/// `Entering Passive Mode (10,0,0,1,4,210)`: the port. The address in it is
/// often that of a network behind a gateway, and is not used.
fn parse_passive(text: &str) -> Option<u16> {
    let numbers: Vec<u16> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .map(|part| part.parse().unwrap_or(u16::MAX))
        .collect();
    let [.., _, _, _, _, high, low] = numbers.as_slice() else { return None };
    high.checked_mul(256)?.checked_add(*low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_for_data_is_found() {
        assert_eq!(parse_passive("Entering Passive Mode (10,0,0,1,4,210)."), Some(1234));
        assert_eq!(parse_passive("10,0,0,1,4,210"), Some(1234));
        assert_eq!(parse_passive("no"), None);
    }

    #[test]
    fn the_folder_after_login_is_read() {
        assert_eq!(quoted("\"/home/a \"\"b\"\"\" is the current directory"), "/home/a \"b\"");
        assert_eq!(quoted("nothing"), "");
    }

    #[test]
    fn answers_have_their_meaning() {
        let kind =
            |code, text: &str| Answer { code, text: text.to_owned() }.expect(2).unwrap_err().kind;
        assert_eq!(kind(530, "Login incorrect."), RemoteErrorKind::Denied);
        assert_eq!(kind(421, "Too many"), RemoteErrorKind::Temporary);
        assert_eq!(kind(550, "Permission denied."), RemoteErrorKind::Denied);
        assert_eq!(kind(502, "No."), RemoteErrorKind::Unsupported);
    }
}
