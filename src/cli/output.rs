//! The only place that prints: data goes to standard output, everything else
//! to standard error.

use std::cell::RefCell;
use std::fmt::{self, Display};
use std::io::{self, BufWriter, IsTerminal, Write};

use dialoguer::console::Term;
use serde::Serialize;

use super::error::CliError;
use super::format;

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// Colours that carry a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Plain,
    Good,
    Bad,
    Active,
    Faint,
    Strong,
}

/// How much is told on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    #[default]
    Normal,
    /// Errors and warnings only.
    Quiet,
}

/// How an error is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorFormat {
    #[default]
    Text,
    /// One JSON object on one line.
    Json,
}

/// The voice on standard error.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    verbosity: Verbosity,
    colored: bool,
}

/// Both streams of a command.
pub struct Output {
    voice: Voice,
    stdout: RefCell<BufWriter<Box<dyn Write>>>,
    is_terminal: bool,
    colored: bool,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("voice", &self.voice).finish_non_exhaustive()
    }
}

impl ColorChoice {
    /// Whether a stream gets colours.
    fn applies(self, is_terminal: bool) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => is_terminal && !super::settings::is_no_color(),
        }
    }
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Active => "36",
            Self::Faint => "2",
            Self::Strong => "1",
        }
    }
}

/// A text in a colour.
struct Painted<T>(T, Paint, bool);

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(text, paint, colored) = self;
        if *colored && *paint != Paint::Plain {
            write!(f, "\u{1b}[{}m{text}\u{1b}[0m", paint.code())
        } else {
            text.fmt(f)
        }
    }
}

impl Voice {
    #[must_use]
    pub fn new(verbosity: Verbosity, color: ColorChoice) -> Self {
        Self { verbosity, colored: color.applies(io::stderr().is_terminal()) }
    }

    /// Tells how things go; silent with `--quiet`.
    pub fn status(self, text: impl Display) {
        if self.verbosity == Verbosity::Normal {
            write_stderr(format_args!("{text}\n"));
        }
    }

    /// Tells what a person should know even with `--quiet`.
    pub fn warning(self, text: impl Display) {
        let label = Painted("warning:", Paint::Active, self.colored);
        write_stderr(format_args!("{label} {text}\n"));
    }

    /// Tells an error with its causes and hints.
    pub fn error(self, error: &CliError, format: ErrorFormat) {
        if format == ErrorFormat::Json {
            write_stderr(format_args!("{}\n", error.to_json()));
            return;
        }
        let label = Painted("error:", Paint::Bad, self.colored);
        write_stderr(format_args!("{label} {}\n", error.message()));
        for cause in error.causes() {
            let label = Painted("caused by:", Paint::Strong, self.colored);
            write_stderr(format_args!("{label} {cause}\n"));
        }
        for hint in error.hints() {
            let label = Painted("hint:", Paint::Good, self.colored);
            write_stderr(format_args!("{label} {hint}\n"));
        }
    }

    /// A text for standard error in a colour, where there are colours.
    pub fn paint(self, text: impl Display, paint: Paint) -> impl Display {
        Painted(text, paint, self.colored)
    }

    /// Whether progress may be drawn on standard error.
    #[must_use]
    pub fn shows_progress(self) -> bool {
        self.verbosity == Verbosity::Normal && io::stderr().is_terminal()
    }
}

impl Output {
    #[must_use]
    pub fn new(verbosity: Verbosity, color: ColorChoice) -> Self {
        let is_terminal = io::stdout().is_terminal();
        Self {
            voice: Voice::new(verbosity, color),
            stdout: RefCell::new(BufWriter::with_capacity(64 << 10, Box::new(io::stdout()))),
            is_terminal,
            colored: color.applies(is_terminal),
        }
    }

    /// Quiet, and with its data kept by `sink`.
    #[cfg(test)]
    pub fn into_sink(sink: impl Write + 'static) -> Self {
        Self {
            voice: Voice::new(Verbosity::Quiet, ColorChoice::Never),
            stdout: RefCell::new(BufWriter::new(Box::new(sink))),
            is_terminal: false,
            colored: false,
        }
    }

    #[must_use]
    pub const fn voice(&self) -> Voice {
        self.voice
    }

    /// Tells how things go, on standard error.
    pub fn status(&self, text: impl Display) {
        self.voice.status(text);
    }

    /// Writes one line of data.
    pub fn line(&self, text: impl Display) -> Result<(), CliError> {
        writeln!(self.stdout.borrow_mut(), "{text}").map_err(|error| CliError::from_stdout(&error))
    }

    /// Writes data as it is.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        self.stdout.borrow_mut().write_all(bytes).map_err(|error| CliError::from_stdout(&error))
    }

    /// Writes an object as indented JSON.
    pub fn json(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value).map_err(|error| unprintable(&error))?;
        self.line(format::harmless_json(&text))
    }

    /// Writes an object as JSON on one line.
    pub fn json_line(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(|error| unprintable(&error))?;
        self.line(format::harmless_json(&text))
    }

    /// Writes an object as JSON, with nothing after it.
    pub fn json_item(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(|error| unprintable(&error))?;
        self.bytes(format::harmless_json(&text).as_bytes())
    }

    /// Hands over all data that was written.
    pub fn flush(&self) -> Result<(), CliError> {
        self.stdout.borrow_mut().flush().map_err(|error| CliError::from_stdout(&error))
    }

    /// A text for standard output in a colour, where there are colours.
    pub fn paint(&self, text: impl Display, paint: Paint) -> impl Display {
        Painted(text, paint, self.colored)
    }

    /// Whether standard output is a terminal.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        self.is_terminal
    }
}

/// Columns of the terminal on standard output; none in a pipe or file.
#[must_use]
pub fn terminal_width() -> Option<usize> {
    Term::stdout().size_checked().map(|(_, columns)| columns.into())
}

/// Writes a task's bytes to our standard error, as they are.
pub fn stderr_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let result = io::stderr().lock().write_all(bytes);
    result.map_err(|error| CliError::internal("cannot write to standard error").caused_by(&error))
}

/// Whether a person can be asked: both the question and the answer have a terminal.
#[must_use]
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether a screen can be drawn and keys can be read.
#[must_use]
pub fn can_draw() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Tells a person who may not know it that a command waits for what they type;
/// silent unless standard input is a terminal.
pub fn tell_typing(reader: &str) {
    if io::stdin().is_terminal() {
        write_stderr(format_args!("{reader} reads what you type; Ctrl-D ends it\n"));
    }
}

/// Prints what the argument parser has to say (help, version, a usage error).
pub fn parser_message(error: &clap::Error) {
    // Nobody is left to tell when this fails.
    let _ = error.print();
}

/// Tells of a defect of scitq.
pub fn panicked(what: &dyn Display) {
    write_stderr(format_args!(
        "error: scitq has a defect: {what}\nhint: please report it with the command that led here\n"
    ));
}

fn unprintable(error: &serde_json::Error) -> CliError {
    CliError::internal("cannot write the answer as JSON").caused_by(error)
}

/// Writes to standard error in one piece. A failure is ignored: there is no
/// other place to tell it.
fn write_stderr(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_all(text.to_string().as_bytes());
}
