//! `scitq man`: the manual pages, made from the same grammar as `--help`.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use super::app::{GlobalArgs, command};
use super::error::{CliError, EXIT_CODES};
use super::exit::WAITING_EXIT_CODES;
use super::settings::VARIABLES;

/// Write the manual pages into a directory
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  scitq man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// The directory
    directory: PathBuf,
}

/// A file's name and its text.
type Page = (String, String);

/// Files that scitq reads and writes by itself.
const FILES: [(&str, &str); 5] = [
    (
        "$XDG_CONFIG_HOME/scitq/client.toml",
        "The client's configuration: server, token or token_file. A token in it is sent to its server only",
    ),
    (
        "$XDG_RUNTIME_DIR/scitq/server.json",
        "Where a server of this user listens and where its token is; also in its data directory",
    ),
    (
        "/etc/scitq/agent.toml, $XDG_CONFIG_HOME/scitq/agent.toml",
        "Options of an agent of root and of another user, named as on the command line; also server",
    ),
    ("/var/lib/scitq", "The data directory of a server of root"),
    ("$XDG_STATE_HOME/scitq", "The data directory of a server of another user"),
];

pub fn cmd_man(global: &GlobalArgs, args: &ManArgs) -> Result<u8, CliError> {
    let directory = args.directory.display();
    let failed = |error: &io::Error| {
        CliError::refused(format!("cannot write manual pages into `{directory}`")).caused_by(error)
    };
    fs::create_dir_all(&args.directory).map_err(|error| failed(&error))?;
    let pages = pages().map_err(|error| failed(&error))?;
    for (name, text) in &pages {
        fs::write(args.directory.join(name), text).map_err(|error| failed(&error))?;
    }
    global.output().status(format_args!("{} pages in {directory}", pages.len()));
    Ok(0)
}

/// All pages, that of the program first.
fn pages() -> io::Result<Vec<Page>> {
    let mut root = command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    add_pages(&root, &mut pages)?;
    Ok(pages)
}

fn add_pages(command: &clap::Command, pages: &mut Vec<Page>) -> io::Result<()> {
    pages.push(page(command)?);
    for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        add_pages(subcommand, pages)?;
    }
    Ok(())
}

fn page(command: &clap::Command) -> io::Result<Page> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(command.clone().version(env!("CARGO_PKG_VERSION")))
        .title(name.to_uppercase())
        .date("")
        .source(concat!("scitq ", env!("CARGO_PKG_VERSION")))
        .manual("scitq");
    let mut roff = Vec::new();
    man.render_title(&mut roff)?;
    man.render_name_section(&mut roff)?;
    man.render_synopsis_section(&mut roff)?;
    man.render_description_section(&mut roff)?;
    man.render_options_section(&mut roff)?;
    if command.get_subcommands().any(|command| !command.is_hide_set()) {
        man.render_subcommands_section(&mut roff)?;
    }
    let mut text = String::from_utf8_lossy(&roff).into_owned();
    text.push_str(&notes(&after));
    match name.as_str() {
        "scitq" => {
            text.push_str(&list("EXIT STATUS", EXIT_CODES));
            text.push_str(&list(
                "ENVIRONMENT",
                VARIABLES.map(|variable| (variable.name, variable.doc)),
            ));
            text.push_str(&list("FILES", FILES));
        }
        "scitq-launch" => text.push_str(&list("EXIT STATUS WITH --wait", WAITING_EXIT_CODES)),
        _ => {}
    }
    if name != "scitq" {
        text.push_str(".SH \"SEE ALSO\"\n.BR scitq (1)\n");
    }
    Ok((format!("{name}.1"), text))
}

/// What stands below the options in `--help`: examples as they are, the rest
/// as paragraphs.
fn notes(after_help: &str) -> String {
    let mut roff = String::new();
    for (position, paragraph) in after_help.split("\n\n").enumerate() {
        let mut lines = paragraph.lines();
        if position == 0 && paragraph.starts_with("Example") {
            lines.next();
            roff.push_str(".SH EXAMPLES\n.nf\n");
            lines.for_each(|line| {
                roff.push_str(&(escaped(line.strip_prefix("  ").unwrap_or(line)) + "\n"));
            });
            roff.push_str(".fi\n");
        } else if !paragraph.trim().is_empty() {
            roff.push_str(if roff.contains(".SH NOTES") { ".PP\n" } else { ".SH NOTES\n" });
            lines.for_each(|line| roff.push_str(&(escaped(line) + "\n")));
        }
    }
    roff
}

/// A section of terms and what they mean.
fn list<'a>(title: &str, terms: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut roff = format!(".SH \"{title}\"\n");
    for (term, meaning) in terms {
        let _ = write!(roff, ".TP\n\\fB{}\\fR\n{}\n", escaped(term), escaped(meaning));
    }
    roff
}

/// A line of text as roff takes it.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;

    /// The committed pages are those that the grammar gives. After a change:
    /// `cargo run -- man man`.
    #[test]
    fn the_committed_pages_are_not_stale() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
        let files = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
        let committed: BTreeMap<String, String> = files
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read_to_string(&path).unwrap())
            })
            .collect();
        let generated: BTreeMap<String, String> = pages().unwrap().into_iter().collect();
        let names = |pages: &BTreeMap<String, String>| pages.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&committed), names(&generated), "run `cargo run -- man man`");
        for (name, text) in &generated {
            assert_eq!(text, &committed[name], "{name} is stale: run `cargo run -- man man`");
        }
    }

    #[test]
    fn examples_are_kept_as_they_are() {
        let roff =
            notes("Examples:\n  scitq launch -b 'x'\n  .hidden\n\nSome words.\nMore.\n\nThen.");
        assert_eq!(
            roff,
            ".SH EXAMPLES\n.nf\nscitq launch \\-b \\(aqx\\(aq\n\\&.hidden\n.fi\n\
             .SH NOTES\nSome words.\nMore.\n.PP\nThen.\n"
        );
    }
}
