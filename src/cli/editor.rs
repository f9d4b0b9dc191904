//! A person's editor, and the file that is in it.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::CliError;

/// A file that only this user can read. It goes away with this value, unless
/// it is kept.
#[derive(Debug)]
pub struct EditedFile {
    path: PathBuf,
    is_kept: bool,
}

impl EditedFile {
    /// A new file with this text; `name` says what it is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(name: &str, text: &str) -> Result<Self, CliError> {
        let unique = format!("scitq-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        // What an earlier process of this number has left is not ours to read.
        let _ = fs::remove_file(&path);
        let file = Self { path, is_kept: false };
        file.create(text).map_err(|error| file.failed("write", &error))?;
        Ok(file)
    }

    /// Opens the file in the editor and gives what it has afterwards.
    ///
    /// # Errors
    /// There is no such editor, or it ended badly.
    pub fn edit(&self) -> Result<String, CliError> {
        let (name, mut command) = editor()?;
        let failed = |reason: String| {
            CliError::refused(format!("the editor `{name}` {reason}"))
                .hint("name another one in VISUAL or EDITOR")
        };
        match command.arg(&self.path).status() {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(failed(format!("ended with {status}; nothing was changed"))),
            Err(error) => return Err(failed("cannot be started".to_owned()).caused_by(&error)),
        }
        fs::read_to_string(&self.path).map_err(|error| self.failed("read", &error))
    }

    /// Writes another text into it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn rewrite(&self, text: &str) -> Result<(), CliError> {
        fs::write(&self.path, text).map_err(|error| self.failed("write", &error))
    }

    /// Leaves the file where it is, and says where.
    pub fn keep(&mut self) -> &Path {
        self.is_kept = true;
        &self.path
    }

    fn create(&self, text: &str) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.write_all(text.as_bytes())
    }

    fn failed(&self, what: &str, error: &io::Error) -> CliError {
        CliError::refused(format!("cannot {what} `{}`", self.path.display())).caused_by(error)
    }
}

impl Drop for EditedFile {
    fn drop(&mut self) {
        if !self.is_kept {
            // It lies in the folder of temporary files, and is of no use.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The editor with its arguments: `VISUAL`, else `EDITOR`, else vi.
fn editor() -> Result<(String, Command), CliError> {
    let named = |variable| std::env::var_os(variable).filter(|value: &OsString| !value.is_empty());
    let line = named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| "vi".into());
    let line = line.to_string_lossy().into_owned();
    let words = shlex::split(&line).unwrap_or_default();
    let [program, arguments @ ..] = words.as_slice() else {
        return Err(CliError::configuration(format!("`{line}` names no editor"))
            .hint("set VISUAL or EDITOR to a program with its arguments"));
    };
    let mut command = Command::new(program);
    command.args(arguments);
    Ok((line, command))
}
