//! `scitq tui`: the options of the terminal UI; all else is in its own room.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use super::app::GlobalArgs;
use super::error::{CliError, ErrorKind};
use super::output::{self, ColorChoice};
use super::session::Session;
use super::settings::is_no_color;
use crate::domain::BatchName;
use crate::domain::filter::{Filter, quoted};
use crate::domain::task::TaskState;
use crate::runtime_dir::Surroundings;
use crate::tui::config::{Config, Memory, default_text};
use crate::tui::keymap::Keymap;
use crate::tui::state::{Access, Screen};
use crate::tui::theme::{Depth, Letters, Theme, ThemeName};
use crate::tui::{Ended, Options, Programs, TuiError};

const EXAMPLES: &str = "\
Examples:
  scitq tui
  scitq tui --screen tasks --batch test --state failed
  scitq tui --once --screen batches
  scitq tui --print-config > ~/.config/scitq/tui.toml

In it, ? shows all keys that count where one is.";

/// Watch and control workers, tasks and batches in the terminal
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TuiArgs {
    /// Begin with this screen: workers, tasks, batches, jobs, recruiters or overview
    #[arg(long, value_parser = screen)]
    screen: Option<Screen>,
    /// Show only tasks of this batch
    #[arg(short, long)]
    batch: Option<BatchName>,
    /// Show only tasks in this state
    #[arg(long)]
    state: Option<TaskState>,
    /// Show only what fits a filter, as it is typed at /
    #[arg(long, value_name = "FILTER")]
    filter: Option<String>,
    /// Allow no action that changes anything
    #[arg(long)]
    read_only: bool,
    /// Print one frame as text and exit
    #[arg(long)]
    once: bool,
    /// Size of that frame, unless the terminal says it
    #[arg(long, value_name = "COLUMNSxLINES", value_parser = size, requires = "once")]
    size: Option<(u16, u16)>,
    /// Colours for a dark or a light background, or none: dark, light, mono
    #[arg(long, value_name = "THEME", value_parser = theme)]
    theme: Option<ThemeName>,
    /// Read keys, theme and period from this file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the default configuration and exit
    #[arg(long)]
    print_config: bool,
}

/// The size of a frame when nothing tells it.
const USUAL_SIZE: (u16, u16) = (80, 24);

pub async fn cmd_tui(global: &GlobalArgs, args: TuiArgs) -> Result<u8, CliError> {
    let printer = global.output();
    if args.print_config {
        printer.bytes(default_text().as_bytes())?;
        printer.flush()?;
        return Ok(0);
    }
    let surroundings = Surroundings::of_process();
    let folder = config_folder(&surroundings);
    let config = load_config(args.config.as_deref(), folder.as_deref())?;
    let keymap = Keymap::new(&config.keys).map_err(|error| {
        CliError::configuration(error.to_string()).hint("scitq tui --print-config lists all keys")
    })?;
    if !args.once {
        check_terminal()?;
    }
    let memory_file = memory_path(&surroundings);
    let memory = begin(&args, memory_file.as_deref())?;
    let options = Options {
        access: if args.read_only { Access::ReadOnly } else { Access::Full },
        theme: theme_of(global, &args, &config),
        config,
        keymap,
        memory,
        memory_file: memory_file.filter(|_| !args.once),
        programs: programs(),
        size: args.size.unwrap_or_else(frame_size),
    };
    // Outputs of tasks are listed where they are.
    super::site::use_storage_settings();
    let session = Session::open(global)?;
    let client = session.client.clone();
    if args.once {
        let frame = crate::tui::once(client, options).await.map_err(|e| told(&session, e))?;
        printer.bytes(frame.as_bytes())?;
        printer.flush()?;
        return Ok(0);
    }
    match crate::tui::run(client, options).await.map_err(|error| told(&session, error))? {
        Ended::ByUser => Ok(0),
        Ended::BySignal(number) => Ok(u8::try_from(128 + number).unwrap_or(1)),
    }
}

fn told(session: &Session, error: TuiError) -> CliError {
    match error {
        TuiError::Client(error) => session.explain(error),
        TuiError::Silent => CliError::new(ErrorKind::Unreachable, error.to_string()),
        TuiError::Terminal(_) | TuiError::Defect => CliError::internal(error.to_string()),
    }
}

/// The terminal UI needs a terminal that can place its cursor.
fn check_terminal() -> Result<(), CliError> {
    let no = |what: &str| {
        Err(CliError::usage(what.to_owned())
            .hint("scitq tui --once prints one frame as text, anywhere"))
    };
    if !output::can_draw() {
        return no("the terminal UI needs a terminal on its input and output");
    }
    match variable("TERM") {
        None => no("the terminal UI needs to know the kind of terminal, and TERM is not set"),
        Some(term) if term == "dumb" => {
            no("the terminal UI needs a terminal that can place its cursor, and TERM is `dumb`")
        }
        Some(_) => Ok(()),
    }
}

/// What one begins with: what is asked for, else what was last.
fn begin(args: &TuiArgs, file: Option<&Path>) -> Result<Memory, CliError> {
    let kept = file.filter(|_| !args.once).and_then(|path| fs::read(path).ok());
    // What an older version remembered may make no sense to this one.
    let mut memory: Memory =
        kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let mut terms = Vec::new();
    if let Some(batch) = &args.batch {
        terms.push(quoted(&format!("batch:{batch}")));
    }
    if let Some(state) = args.state {
        terms.push(format!("state:{state}"));
    }
    terms.extend(args.filter.clone());
    if !terms.is_empty() {
        memory.filter = terms.join(" ");
        memory.screen = Screen::Tasks;
    }
    Filter::parse(&memory.filter).map_err(|error| CliError::usage(error.to_string()))?;
    if let Some(screen) = args.screen {
        memory.screen = screen;
    }
    Ok(memory)
}

fn load_config(named: Option<&Path>, folder: Option<&Path>) -> Result<Config, CliError> {
    let usual = folder.map(|folder| folder.join("tui.toml"));
    let Some(path) = named.map(Path::to_path_buf).or(usual) else { return Ok(Config::default()) };
    let broken = || CliError::configuration(format!("cannot read `{}`", path.display()));
    match fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text).map_err(|error| {
            broken().caused_by(&error).hint("scitq tui --print-config shows what can be set")
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
            Ok(Config::default())
        }
        Err(error) => Err(broken().caused_by(&error)),
    }
}

fn theme_of(global: &GlobalArgs, args: &TuiArgs, config: &Config) -> Theme {
    let is_plain =
        global.color == ColorChoice::Never || (global.color == ColorChoice::Auto && is_no_color());
    let term = variable("TERM").unwrap_or_default();
    let is_rich = ["256color", "direct", "kitty", "alacritty", "ghostty", "wezterm", "foot"]
        .iter()
        .any(|part| term.contains(part))
        || variable("COLORTERM").is_some_and(|value| !value.is_empty());
    let has_colors = !term.starts_with("vt") && !term.is_empty();
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()));
    let is_utf8 = locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    Theme {
        name: match args.theme {
            Some(name) => name,
            None if is_plain || !has_colors => ThemeName::Mono,
            None => config.theme,
        },
        depth: if is_rich { Depth::Colors256 } else { Depth::Colors16 },
        letters: if is_utf8 || args.once { Letters::Unicode } else { Letters::Ascii },
    }
}

fn programs() -> Programs {
    let usual = Programs::default();
    let named = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    Programs {
        editor: named("VISUAL").or_else(|| named("EDITOR")).unwrap_or(usual.editor),
        pager: named("PAGER").unwrap_or(usual.pager),
    }
}

fn frame_size() -> (u16, u16) {
    let columns = output::terminal_width().and_then(|columns| u16::try_from(columns).ok());
    (columns.unwrap_or(USUAL_SIZE.0), USUAL_SIZE.1)
}

fn config_folder(surroundings: &Surroundings) -> Option<PathBuf> {
    let config = surroundings.xdg_config.clone();
    config
        .or_else(|| Some(surroundings.home.as_ref()?.join(".config")))
        .map(|path| path.join("scitq"))
}

/// Beside the user's other state, and not in the data directory of a server.
fn memory_path(surroundings: &Surroundings) -> Option<PathBuf> {
    let state = surroundings.xdg_state.clone();
    let state = state.or_else(|| Some(surroundings.home.as_ref()?.join(".local/state")))?;
    Some(state.join("scitq-tui.json"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var_os(name).and_then(|value: OsString| value.into_string().ok())
}

fn screen(text: &str) -> Result<Screen, String> {
    match text.parse() {
        Ok(Screen::Task | Screen::Output) | Err(_) => {
            Err("workers, tasks, batches, jobs, recruiters or overview".to_owned())
        }
        Ok(screen) => Ok(screen),
    }
}

fn theme(text: &str) -> Result<ThemeName, String> {
    match text {
        "dark" => Ok(ThemeName::Dark),
        "light" => Ok(ThemeName::Light),
        "mono" => Ok(ThemeName::Mono),
        _ => Err("dark, light or mono".to_owned()),
    }
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let parsed = text.split_once('x').and_then(|(columns, lines)| {
        Some((columns.parse::<u16>().ok()?, lines.parse::<u16>().ok()?))
    });
    match parsed {
        Some((columns @ 1..=1_000, lines @ 1..=1_000)) => Ok((columns, lines)),
        _ => Err("columns and lines, such as 120x40".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_two_numbers() {
        assert_eq!(size("120x40"), Ok((120, 40)));
        assert!(size("120").is_err() && size("0x5").is_err() && size("9999x5").is_err());
    }

    #[test]
    fn only_whole_screens_can_be_begun_with() {
        assert_eq!(screen("overview"), Ok(Screen::Overview));
        assert!(screen("task").is_err() && screen("x").is_err());
    }
}
