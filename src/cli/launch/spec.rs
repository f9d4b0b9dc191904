//! From options to the specification of a task.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use super::args::LaunchArgs;
use super::each::{Columns, EachError, Item, Template};
use super::uris::{checked_uri, split_uris};
use crate::cli::error::CliError;
use crate::cli::parse::{IdList, IdsOrStdin};
use crate::domain::TaskId;
use crate::domain::byte_string::ByteString;
use crate::domain::task::{Command, TaskSpec};

/// What a task takes from our standard input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FromStdin {
    /// Ids for `-`.
    pub after: Vec<TaskId>,
    /// The standard input of the task itself.
    pub data: Option<ByteString>,
}

/// A task in which lines of standard input have their places.
#[derive(Debug)]
pub struct TaskTemplate {
    /// All that is the same for every line.
    fixed: TaskSpec,
    command: CommandTemplate,
    name: Option<Template>,
    input: Vec<Template>,
    resource: Vec<Template>,
    output: Option<Template>,
    env: Vec<(String, Template)>,
    tags: Vec<(String, Template)>,
}

#[derive(Debug)]
enum CommandTemplate {
    Line(Template),
    Arguments(Vec<Template>),
}

/// How words become templates.
#[derive(Clone, Copy)]
enum Reading<'a> {
    AsTheyAre,
    WithPlaceholders(&'a Columns),
}

impl Reading<'_> {
    fn template(self, word: &[u8]) -> Result<Template, EachError> {
        match self {
            Self::AsTheyAre => Ok(Template::literal(word)),
            Self::WithPlaceholders(columns) => Template::parse(word, columns),
        }
    }
}

impl TaskTemplate {
    /// The one task that these options describe.
    pub fn without_placeholders(args: &LaunchArgs, stdin: FromStdin) -> Result<Self, CliError> {
        Self::read(args, stdin, Reading::AsTheyAre)
    }

    /// The tasks that these options describe for lines with such columns.
    pub fn for_lines(
        args: &LaunchArgs,
        stdin: FromStdin,
        columns: &Columns,
    ) -> Result<Self, CliError> {
        Self::read(args, stdin, Reading::WithPlaceholders(columns))
    }

    fn read(args: &LaunchArgs, stdin: FromStdin, reading: Reading<'_>) -> Result<Self, CliError> {
        let task = &args.task;
        let text = |text: &String| reading.template(text.as_bytes());
        let uris = |values: &[String]| {
            let uris = values.iter().flat_map(|value| split_uris(value));
            uris.map(|uri| reading.template(uri.as_bytes())).collect::<Result<Vec<_>, _>>()
        };
        let pairs = |pairs: &[(String, String)]| {
            let pairs = pairs.iter().map(|(name, value)| Ok((name.clone(), text(value)?)));
            pairs.collect::<Result<Vec<_>, EachError>>()
        };
        Ok(Self {
            command: command(&args.command, task.shell.as_deref(), reading)?,
            name: task.name.as_ref().map(text).transpose()?,
            input: uris(&task.input)?,
            resource: uris(&task.resource)?,
            output: task.output.as_ref().map(text).transpose()?,
            env: pairs(&task.env)?,
            tags: pairs(&task.tag)?,
            fixed: fixed(args, stdin),
        })
    }

    /// The task for this line.
    ///
    /// # Errors
    /// A column that the line does not have, a URI that is none, and whatever
    /// the server would refuse by itself.
    pub fn spec(&self, item: &Item) -> Result<TaskSpec, CliError> {
        let text = |template: &Template| Ok::<_, EachError>(into_text(template.expand(item)?));
        let uris = |option: &str, templates: &[Template]| {
            let uris = templates.iter().map(|template| checked_uri(option, text(template)?));
            uris.collect::<Result<Vec<String>, CliError>>()
        };
        let pairs = |pairs: &[(String, Template)]| {
            let pairs = pairs.iter().map(|(name, value)| Ok((name.clone(), text(value)?)));
            pairs.collect::<Result<BTreeMap<String, String>, EachError>>()
        };
        let output = self.output.as_ref().map(|output| checked_uri("--output", text(output)?));
        let spec = TaskSpec {
            command: match &self.command {
                CommandTemplate::Line(line) => Command::Line(text(line)?),
                CommandTemplate::Arguments(words) => {
                    let words = words.iter().map(|word| word.expand(item).map(ByteString::from));
                    Command::Arguments(words.collect::<Result<Vec<_>, _>>()?)
                }
            },
            name: self.name.as_ref().map(text).transpose()?,
            env: pairs(&self.env)?,
            tags: pairs(&self.tags)?,
            input: uris("--input", &self.input)?,
            resource: uris("--resource", &self.resource)?,
            output: output.transpose()?,
            ..self.fixed.clone()
        };
        spec.check().map_err(|error| CliError::usage(error.to_string()))?;
        Ok(spec)
    }

    /// Whether the lines make any difference.
    #[must_use]
    pub fn has_placeholder(&self) -> bool {
        self.templates().any(Template::has_placeholder)
    }

    /// What is likely to be a mistake.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.script().is_some_and(Template::lets_a_line_become_code) {
            warnings.push(
                "the shell reads what stands for {} as a part of its script, so that a file name \
                 can become code; write {q}, or --env NAME={} and \"$NAME\""
                    .to_owned(),
            );
        }
        if let Some(column) = self.templates().find_map(Template::column_as_text) {
            warnings.push(format!(
                "`{{{column}}}` stands for itself: columns need --delimiter or --header"
            ));
        }
        warnings
    }

    /// The word of the command that a shell reads, where one does.
    fn script(&self) -> Option<&Template> {
        match &self.command {
            CommandTemplate::Line(line) => self.fixed.shell.as_ref().map(|_| line),
            CommandTemplate::Arguments(words) => script_of(words),
        }
    }

    fn templates(&self) -> impl Iterator<Item = &Template> {
        let words = match &self.command {
            CommandTemplate::Line(line) => std::slice::from_ref(line),
            CommandTemplate::Arguments(words) => words,
        };
        let uris = self.input.iter().chain(&self.resource).chain(&self.output);
        let pairs = self.env.iter().chain(&self.tags).map(|(_, value)| value);
        words.iter().chain(&self.name).chain(uris).chain(pairs)
    }
}

/// All of a task but what a line can change.
fn fixed(args: &LaunchArgs, stdin: FromStdin) -> TaskSpec {
    let task = &args.task;
    TaskSpec {
        command: Command::Arguments(Vec::new()),
        name: None,
        batch: task.batch.clone().unwrap_or_default(),
        shell: task.shell.clone(),
        container: task.docker.clone(),
        container_options: joined(&task.container_option),
        pull: task.pull,
        env: BTreeMap::new(),
        input: Vec::new(),
        resource: Vec::new(),
        output: None,
        use_cache: task.use_cache,
        uid: task.uid,
        gid: task.gid,
        retry: task.retry,
        priority: task.priority,
        cpu: task.cpu,
        memory: task.mem,
        download_timeout: task.download_timeout,
        run_timeout: task.run_timeout,
        upload_timeout: task.upload_timeout,
        output_limit: task.output_limit,
        tags: BTreeMap::new(),
        after: required(&task.after, &stdin.after),
        after_any: required(&task.after_any, &stdin.after),
        after_batch: task.after_batch.clone(),
        stdin: stdin.data,
    }
}

/// Options that came in several parts, as one line.
pub(in crate::cli) fn joined(parts: &[String]) -> Option<String> {
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// The ids, with those from standard input in the place of `-`.
fn required(lists: &[IdsOrStdin<TaskId>], from_stdin: &[TaskId]) -> Vec<TaskId> {
    let ids = lists.iter().flat_map(|list| match list {
        IdsOrStdin::Ids(IdList(ids)) => ids,
        IdsOrStdin::Stdin => from_stdin,
    });
    ids.copied().collect()
}

/// Several words travel as they are. One word with blanks in it is a command
/// line; so is the one word that a shell takes.
fn command(
    words: &[OsString],
    shell: Option<&str>,
    reading: Reading<'_>,
) -> Result<CommandTemplate, CliError> {
    if words.first().is_none_or(|word| word.is_empty()) {
        return Err(CliError::usage("the command is empty"));
    }
    let line = match words {
        [word] => word.to_str(),
        _ => None,
    };
    match (line, shell) {
        (Some(line), Some(_)) => Ok(CommandTemplate::Line(reading.template(line.as_bytes())?)),
        (Some(line), None) if line.contains(char::is_whitespace) => command_line(line, reading),
        (None, Some(shell)) => Err(shell_wants_one_word(words, shell)),
        (_, None) => {
            let words = words.iter().map(|word| reading.template(word.as_bytes()));
            Ok(CommandTemplate::Arguments(words.collect::<Result<Vec<_>, _>>()?))
        }
    }
}

/// A command line without a shell. Where lines have places in it, it is split
/// before they are filled in, so that no line is ever split.
fn command_line(line: &str, reading: Reading<'_>) -> Result<CommandTemplate, CliError> {
    if matches!(reading, Reading::AsTheyAre) {
        return Ok(CommandTemplate::Line(reading.template(line.as_bytes())?));
    }
    let words = shlex::split(line).ok_or_else(|| {
        CliError::usage(format!("the command line has a quote that is not closed: {line}"))
    })?;
    let words = words.iter().map(|word| reading.template(word.as_bytes()));
    Ok(CommandTemplate::Arguments(words.collect::<Result<Vec<_>, _>>()?))
}

/// What follows `-c` of a shell within the words of a command.
fn script_of(words: &[Template]) -> Option<&Template> {
    const SHELLS: [&[u8]; 5] = [b"sh", b"bash", b"dash", b"zsh", b"ksh"];
    let nothing = Item::none();
    let plain = |word: &Template| word.expand(&nothing).unwrap_or_default();
    let is_shell = |word: &Template| {
        let word = plain(word);
        let name = word.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        SHELLS.contains(&name)
    };
    let takes_script = |word: &Template| {
        let word = plain(word);
        word.starts_with(b"-") && !word.starts_with(b"--") && word.contains(&b'c')
    };
    let behind_shell = words.iter().skip_while(|word| !is_shell(word)).skip(1);
    behind_shell.skip_while(|word| !takes_script(word)).nth(1)
}

fn shell_wants_one_word(words: &[OsString], shell: &str) -> CliError {
    if words.len() == 1 {
        return CliError::usage("a command for a shell must be UTF-8 text");
    }
    let joined: Vec<_> = words.iter().map(|word: &OsString| lossy(word)).collect();
    let message =
        format!("--shell takes the command as one word, and this one has {}", words.len());
    let quoted = ByteString::from(joined.join(" "));
    CliError::usage(message).hint(format!("quote it: scitq launch --shell={shell} {quoted}"))
}

fn lossy(word: &OsStr) -> String {
    word.to_string_lossy().into_owned()
}

/// Text that was text before a line, which is text, was put into it.
fn into_text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
