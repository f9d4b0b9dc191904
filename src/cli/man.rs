//! `scitq man`: the manual pages, made from the same grammar as `--help`.

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::PathBuf;

use clap::Args;
use clap_mangen::Man;

use super::app::{GlobalArgs, command};
use super::error::CliError;
use super::exit::WAITING_EXIT_CODES;
use super::facts::{COMMAND_VARIABLES, Facts};

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

/// Commands that are not in `--help`, since only packagers need them.
const FOR_PACKAGERS: [&str; 2] = ["completions", "man"];

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
    let is_told = |command: &&clap::Command| {
        !command.is_hide_set() || FOR_PACKAGERS.contains(&command.get_name())
    };
    for subcommand in command.get_subcommands().filter(is_told) {
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
    let (own_examples, prose) = parts(&after);
    let examples = if own_examples.is_empty() { examples_below(command) } else { own_examples };
    text.push_str(&verbatim("EXAMPLES", &examples));
    text.push_str(&paragraphs("NOTES", &prose));
    let facts = Facts::of(&name);
    text.push_str(&list("EXIT STATUS", facts.exit_codes()));
    if name == "scitq-launch" {
        text.push_str(&list("EXIT STATUS WITH --wait AND --follow", WAITING_EXIT_CODES));
        text.push_str(&list("ENVIRONMENT OF THE COMMAND", COMMAND_VARIABLES));
    }
    if name == "scitq-manage-task-wait" {
        text.push_str(&list("EXIT STATUS FOR ONE TASK", WAITING_EXIT_CODES));
    }
    text.push_str(&list("ENVIRONMENT", facts.variables()));
    text.push_str(&list("FILES", facts.files()));
    if name != "scitq" {
        text.push_str(".SH \"SEE ALSO\"\n.BR scitq (1)\n");
    }
    Ok((format!("{name}.1"), text))
}

/// What stands below the options in `--help`: the lines of its examples, and
/// the rest.
fn parts(after_help: &str) -> (Vec<String>, String) {
    let (first, rest) = after_help.split_once("\n\n").unwrap_or((after_help, ""));
    let mut lines = first.lines();
    match lines.next() {
        Some("Example:" | "Examples:") => {
            let lines = lines.map(|line| line.strip_prefix("  ").unwrap_or(line).to_owned());
            (lines.collect(), rest.to_owned())
        }
        _ => (Vec::new(), after_help.to_owned()),
    }
}

/// Of each command below this one, the first example.
fn examples_below(command: &clap::Command) -> Vec<String> {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    let first = shown.flat_map(|command| {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let (own, _) = parts(&after);
        let examples = if own.is_empty() { examples_below(command) } else { own };
        // An example goes on in the next line where its last character says so.
        let mut goes_on = true;
        examples
            .into_iter()
            .take_while(move |line| std::mem::replace(&mut goes_on, line.ends_with('\\')))
    });
    first.collect()
}

/// A section of lines that are shown as they are.
fn verbatim(title: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines.iter().map(|line| escaped(line) + "\n").collect();
    format!(".SH {title}\n.nf\n{lines}.fi\n")
}

/// A section of prose.
fn paragraphs(title: &str, prose: &str) -> String {
    let mut roff = String::new();
    for paragraph in prose.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        if roff.is_empty() {
            let _ = writeln!(roff, ".SH {title}");
        } else {
            roff.push_str(".PP\n");
        }
        paragraph.lines().for_each(|line| roff.push_str(&(escaped(line) + "\n")));
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
    fn every_page_has_examples_exit_codes_variables_and_files() {
        for (name, text) in pages().unwrap() {
            for section in ["EXAMPLES", "\"EXIT STATUS\"", "\"ENVIRONMENT\"", "\"FILES\""] {
                assert!(text.contains(&format!(".SH {section}\n")), "{name} has no {section}");
            }
        }
    }

    #[test]
    fn examples_are_kept_as_they_are() {
        let (examples, prose) = parts("Examples:\n  a -b 'x'\n  .hidden\n\nSome.\nMore.\n\nThen.");
        assert_eq!(
            verbatim("EXAMPLES", &examples) + &paragraphs("NOTES", &prose),
            ".SH EXAMPLES\n.nf\na \\-b \\(aqx\\(aq\n\\&.hidden\n.fi\n\
             .SH NOTES\nSome.\nMore.\n.PP\nThen.\n"
        );
        assert_eq!(parts("Only prose."), (vec![], "Only prose.".to_owned()));
    }

    #[test]
    fn a_command_of_commands_shows_an_example_of_each() {
        let leaf =
            |name: &'static str, help: &'static str| clap::Command::new(name).after_help(help);
        let command = clap::Command::new("x")
            .subcommand(leaf("a", "Examples:\n  x a \\\n    1\n  x a 2"))
            .subcommand(leaf("b", "Example:\n  x b"));
        assert_eq!(examples_below(&command), ["x a \\", "  1", "x b"]);
    }
}
