//! A connection to one host, and what is done over it.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use openssh::{KnownHosts, OwningCommand, Session, SessionBuilder, Stdio};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use super::super::words::quote;
use super::super::{ErrorClass, ProviderError};
use super::hosts::Host;
use super::settings::{Access, Privilege};

/// `ssh` notices a dead connection after three of these.
const ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Bytes that are sent between two looks at the progress.
const PIECE: usize = 1 << 20;

/// Lines of a failed script that its error has.
const LAST_LINES: usize = 4;

/// Exit codes of the scripts: see `provision/prepare.sh`.
const NO_ROOM: i32 = 28;
const NO_HEAD: i32 = 69;
const NOT_ALLOWED: i32 = 77;

/// An open connection. Closed when it is dropped.
#[derive(Debug)]
pub struct Connection {
    session: Session,
    host: Host,
    privilege: Privilege,
}

impl Connection {
    /// Connects, by the key that is pinned for this worker. Nothing is ever asked for.
    ///
    /// # Errors
    /// The host shows another key, takes none of ours, or does not answer.
    pub async fn open(
        access: &Access,
        privilege: Privilege,
        host: &Host,
        known_hosts: &Path,
    ) -> Result<Self, ProviderError> {
        let mut builder = SessionBuilder::default();
        builder
            .known_hosts_check(KnownHosts::Strict)
            .user_known_hosts_file(known_hosts)
            .connect_timeout(Duration::from_secs(access.connect_seconds.into()))
            .server_alive_interval(ALIVE_INTERVAL)
            // The path of a socket may not be long, and the folder of data may be.
            .control_directory(std::env::temp_dir());
        if let Some(user) = host.user.as_ref().or(access.user.as_ref()) {
            builder.user(user.clone());
        }
        if let Some(port) = host.port.or(access.port) {
            builder.port(port);
        }
        if let Some(file) = &access.key_file {
            builder.keyfile(file);
        }
        if let Some(file) = &access.config_file {
            builder.config_file(file);
        }
        builder.jump_hosts(&access.jump);
        match builder.connect(&host.name).await {
            Ok(session) => Ok(Self { session, host: host.clone(), privilege }),
            Err(error) => Err(refused(host, &error)),
        }
    }

    /// Runs a script with nothing to read, and tells its lines as they come. The script
    /// can be seen in the list of processes: it has no secrets in it.
    ///
    /// # Errors
    /// It ended with another code than 0, or the connection broke.
    pub async fn run(
        &self,
        script: &str,
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<(), ProviderError> {
        // Read whole before it runs: what runs in it must not read of it.
        let mut command = self.shell(r#"exec sh -c "$(cat)" 2>&1"#);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().await.map_err(|error| self.broken(&error))?;
        let stdin = child.stdin().take();
        let stdout = child.stdout().take();
        let mut last: Vec<String> = Vec::new();
        let send = async {
            if let Some(mut stdin) = stdin {
                // Its exit code says why, where it does not want to read.
                let _ = stdin.write_all(script.as_bytes()).await;
                let _ = stdin.shutdown().await;
            }
        };
        let receive = async {
            let Some(stdout) = stdout else { return };
            let mut lines = BufReader::new(stdout).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                on_line(&line);
                last.push(line);
                if last.len() > LAST_LINES {
                    last.remove(0);
                }
            }
        };
        tokio::join!(send, receive);
        let status = child.wait().await.map_err(|error| self.broken(&error))?;
        if status.success() { Ok(()) } else { Err(self.failed(status.code(), &last)) }
    }

    /// What a script prints.
    ///
    /// # Errors
    /// As [`Connection::run`].
    pub async fn ask(&self, script: &str) -> Result<String, ProviderError> {
        let mut text = String::new();
        let mut keep = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        self.run(script, &mut keep).await?;
        Ok(text)
    }

    /// Writes a file that only its owner can read, in a folder that is there or is made.
    ///
    /// # Errors
    /// No room, no leave, or no connection.
    pub async fn send(
        &self,
        from: impl tokio::io::AsyncRead + Unpin + Send,
        to: &str,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), ProviderError> {
        let to = quote(to);
        let script = format!(r#"umask 077 && mkdir -p "$(dirname {to})" && cat >{to}"#);
        let mut command = self.shell(&script);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().await.map_err(|error| self.broken(&error))?;
        let stdin = child.stdin().take();
        let stderr = child.stderr().take();
        let mut said = Vec::new();
        let mut unread = None;
        let send = async {
            let Some(stdin) = stdin else { return };
            unread = pour(from, stdin, on_progress).await.err();
        };
        let hear = async {
            if let Some(stderr) = stderr {
                let _ = stderr.take(1 << 16).read_to_end(&mut said).await;
            }
        };
        tokio::join!(send, hear);
        let status = child.wait().await.map_err(|error| self.broken(&error))?;
        let lines = String::from_utf8_lossy(&said).trim().to_owned();
        if !status.success() {
            let code = if lines.contains("No space left") { Some(NO_ROOM) } else { status.code() };
            return Err(self.failed(code, &[lines]));
        }
        match unread {
            Some(error) => {
                let message = format!("cannot read what is to be sent to {}: {error}", self.host);
                Err(ProviderError::new(ErrorClass::Unsupported, message))
            }
            None => Ok(()),
        }
    }

    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// Ends the connection in good order.
    pub async fn close(self) {
        // What was done over it is done.
        let _ = self.session.close().await;
    }

    fn shell(&self, script: &str) -> OwningCommand<&Session> {
        match self.privilege {
            Privilege::AsLogin => self.session.shell(script),
            Privilege::Sudo => {
                let mut command = self.session.command("sudo");
                // It fails where it would ask for a password.
                command.args(["-n", "sh", "-c", script]);
                command
            }
        }
    }

    fn broken(&self, error: &openssh::Error) -> ProviderError {
        let message = format!("the connection to host {} broke: {}", self.host, reasons(error));
        ProviderError::new(ErrorClass::Transient, message)
    }

    fn failed(&self, code: Option<i32>, last: &[String]) -> ProviderError {
        let host = &self.host;
        let said = last.join("; ");
        let (class, what) = match code {
            Some(NO_ROOM) => (ErrorClass::Capacity, "its disk is full".to_owned()),
            Some(NO_HEAD) => (ErrorClass::Transient, "it cannot reach the head".to_owned()),
            Some(NOT_ALLOWED) => (ErrorClass::Authentication, "it is not let in".to_owned()),
            _ if said.contains("sudo: ") => {
                (ErrorClass::Authentication, "sudo wants a password or refuses".to_owned())
            }
            Some(code) => (ErrorClass::Transient, format!("exit code {code}")),
            None => (ErrorClass::Transient, "ended by a signal".to_owned()),
        };
        ProviderError::new(class, format!("host {host}: {what}: {said}"))
    }
}

/// Copies all of it; an error is one of reading, since the other side tells its own.
async fn pour(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    on_progress: &mut (dyn FnMut(u64) + Send),
) -> std::io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut sent = 0;
    loop {
        let count = from.read(&mut piece).await?;
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        if to.write_all(bytes).await.is_err() {
            return Ok(());
        }
        sent += u64::try_from(count).unwrap_or(0);
        on_progress(sent);
    }
    let _ = to.shutdown().await;
    Ok(())
}

/// Why no connection was made.
fn refused(host: &Host, error: &openssh::Error) -> ProviderError {
    let said = reasons(error);
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let (class, message) = if has(&["IDENTIFICATION HAS CHANGED", "Host key verification failed"]) {
        let message = format!(
            "host {host} shows another key than the one that is known: somebody else may answer in \
             its place. If it was installed anew, put its new key into the file of known hosts"
        );
        (ErrorClass::Authentication, message)
    } else if has(&["Permission denied", "Too many authentication failures"]) {
        let message = format!(
            "host {host} refuses the keys of the head: add the public one to `authorized_keys` there \
             (passwords are never asked for): {said}"
        );
        (ErrorClass::Authentication, message)
    } else if matches!(error, openssh::Error::Master(_) | openssh::Error::Ssh(_)) {
        (ErrorClass::Unsupported, format!("cannot run ssh on the head: {said}"))
    } else {
        (ErrorClass::Transient, format!("host {host} cannot be reached: {said}"))
    };
    ProviderError::new(class, message)
}

/// An error with all of its causes, in one line.
fn reasons(error: &openssh::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('@'));
    lines.collect::<Vec<_>>().join(" ")
}
