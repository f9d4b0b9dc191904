//! The log of the programs that stay: one line for each thing worth knowing, on
//! standard error, where a service manager keeps it, or in a file.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use super::error::CliError;
use super::settings::LOG;

/// What would write tokens into the log at its finest, with all else that is sent.
const KEPT_QUIET: &str = "tungstenite=info,tokio_tungstenite=info";

/// The form of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, strum::Display)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object for each line.
    Json,
}

/// A log that is kept in a file. Others may move the file away: then it is
/// opened anew on SIGHUP.
#[derive(Debug, Clone)]
pub struct LogFile {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

/// The file, for as long as a line is written.
#[derive(Debug)]
pub struct Line<'a>(MutexGuard<'a, File>);

/// Begins to log on standard error; what is told is chosen by a variable.
pub fn start() {
    begin(LogFormat::Text, None);
}

/// The same in that form, and in a file where one is named.
///
/// # Errors
/// The file cannot be written to.
pub fn start_with(format: LogFormat, path: Option<&Path>) -> Result<Option<LogFile>, CliError> {
    let Some(path) = path else {
        begin(format, None);
        return Ok(None);
    };
    let log = LogFile::open(path).map_err(|error| {
        CliError::configuration(format!("cannot log to `{}`", path.display())).caused_by(&error)
    })?;
    begin(format, Some(&log));
    Ok(Some(log))
}

/// The form of log lines that is named so.
pub fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("write text or json".to_owned()),
    }
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let file = Arc::new(Mutex::new(append_to(&path)?));
        Ok(Self { path, file })
    }

    /// Opens the file anew on each SIGHUP. Ends with the runtime, in which it is
    /// to be called. One who is at a terminal means something else by a hang-up.
    pub fn reopen_on_hang_up(self) {
        if io::stdin().is_terminal() {
            return;
        }
        tokio::spawn(async move {
            let mut hang_ups = match signal(SignalKind::hangup()) {
                Ok(hang_ups) => hang_ups,
                Err(error) => return tracing::warn!(%error, "the log is not opened anew on SIGHUP"),
            };
            while hang_ups.recv().await.is_some() {
                self.reopen();
            }
        });
    }

    fn reopen(&self) {
        match append_to(&self.path) {
            Ok(file) => {
                *self.file.lock().unwrap_or_else(PoisonError::into_inner) = file;
                tracing::info!("opened the log anew");
            }
            Err(error) => tracing::error!(%error, "the log goes on in the file from before"),
        }
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self.file.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl io::Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

fn begin(format: LogFormat, file: Option<&LogFile>) {
    let writer = match file {
        None => BoxMakeWriter::new(io::stderr),
        Some(log) => BoxMakeWriter::new(log.clone()),
    };
    let filter = std::env::var_os(LOG.name).and_then(|value| value.into_string().ok());
    let filter = filter.as_deref().unwrap_or("info");
    let filter = EnvFilter::new(format!("{filter},{KEPT_QUIET}"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(file.is_none() && io::stderr().is_terminal())
        .with_target(false);
    // A program that embeds us may log already, and goes on to.
    let _ = match format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).with_span_list(false).try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_one_name() {
        for format in [LogFormat::Text, LogFormat::Json] {
            assert_eq!(log_format(&format.to_string()), Ok(format));
        }
        assert!(log_format("xml").is_err());
    }
}
