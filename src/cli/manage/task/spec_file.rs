//! A task's specification as a text that a person edits.

use std::fmt::Write;

use crate::cli::error::CliError;
use crate::domain::TaskId;
use crate::domain::task::TaskSpec;

/// A field with what it is for, and an example that a person can uncomment.
struct Field {
    key: &'static str,
    about: &'static str,
    example: &'static str,
}

const fn field(key: &'static str, about: &'static str, example: &'static str) -> Field {
    Field { key, about, example }
}

/// All fields; those that are tables come last, as TOML wants them.
const FIELDS: [Field; 27] = [
    field("command", "A command line in quotes, or the words of a command as a list", ""),
    field("shell", "Run the command line through this shell", "\"bash\""),
    field("container", "Run the command in a container made from this image", "\"debian:12\""),
    field("container_options", "Options of the container, those of `docker run`", "\"--gpus all\""),
    field("pull", "Fetch the image always, when it is missing, or never", "\"missing\""),
    field("name", "A name", "\"align-1\""),
    field("batch", "The batch whose workers take it", "\"Default\""),
    field("input", "URIs that are fetched into $INPUT", "[\"file:///data/reads.fq\"]"),
    field(
        "resource",
        "URIs that are fetched once per worker into $RESOURCE",
        "[\"file:///data/genome/\"]",
    ),
    field("output", "URI of the folder to which $OUTPUT is sent", "\"file:///data/results/\""),
    field("use_cache", "Take over outputs that were made of the same", "true"),
    field("retry", "How often a failure is tried again", "2"),
    field("priority", "A higher one comes first", "10"),
    field("cpu", "Processor cores that it needs", "4"),
    field("memory", "Main memory that it needs, bytes", "8589934592"),
    field("run_timeout", "Seconds that the command may run", "7200"),
    field("download_timeout", "Seconds that fetching its data may take", "600"),
    field("upload_timeout", "Seconds that sending its outputs may take", "3600"),
    field("output_limit", "Bytes that are kept of each output stream", "104857600"),
    field("stdin", "What the command reads on its standard input", "\"yes\""),
    field("after", "Tasks that must have succeeded before", "[12, 13]"),
    field("after_any", "Tasks that must have ended before, well or not", "[14]"),
    field("after_batch", "Batches whose tasks must have succeeded before", "[\"qc\"]"),
    field("uid", "Run as this user, by number", "1000"),
    field("gid", "Run as this group, by number", "1000"),
    // Tables follow.
    field("env", "Variables for the command", "THREADS = \"4\""),
    field("tags", "Words of your own, to find tasks by", "project = \"soil\""),
];

/// The text for an editor, which says what each field is for.
///
/// # Errors
/// The specification cannot be written as TOML.
pub fn write(id: TaskId, state: &str, spec: &TaskSpec) -> Result<String, CliError> {
    let unprintable = |error: &dyn std::error::Error| {
        CliError::internal("cannot write the task as TOML").caused_by(error)
    };
    let table = toml::Table::try_from(spec).map_err(|error| unprintable(&error))?;
    let mut text = format!(
        "# Task {id}, {state}. Save and leave to change it; leave it as it is, or empty,\n\
         # to change nothing. A line that begins with # says nothing.\n"
    );
    for field in &FIELDS {
        let is_table = matches!(field.key, "env" | "tags");
        let _ = write!(text, "\n# {}\n", field.about);
        match table.get(field.key) {
            // A table in the midst of the others would swallow what follows it.
            Some(value @ toml::Value::Table(_)) if !is_table => {
                let _ = writeln!(text, "{} = {value}", field.key);
            }
            Some(value) => {
                let mut one = toml::Table::new();
                one.insert(field.key.to_owned(), value.clone());
                let written = toml::to_string_pretty(&one).map_err(|error| unprintable(&error))?;
                text.push_str(&written);
            }
            None if is_table => {
                let _ = write!(text, "# [{}]\n# {}\n", field.key, field.example);
            }
            None => {
                let _ = writeln!(text, "# {} = {}", field.key, field.example);
            }
        }
    }
    Ok(text)
}

/// What a person made of it.
///
/// # Errors
/// In words for the person who has to correct it.
pub fn read(text: &str) -> Result<TaskSpec, String> {
    let spec: TaskSpec = toml::from_str(text).map_err(|error| error.to_string())?;
    spec.check().map_err(|error| error.to_string())?;
    Ok(spec)
}

/// The text with a message on top, in place of the one that it had.
#[must_use]
pub fn with_message(text: &str, message: &str) -> String {
    let mut whole = String::new();
    for line in message.lines() {
        let _ = writeln!(whole, "{MESSAGE}{line}");
    }
    whole + &without_message(text)
}

/// The text without the message on top.
#[must_use]
pub fn without_message(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with(MESSAGE)).collect()
}

/// How a line of the message begins.
const MESSAGE: &str = "#! ";

#[cfg(test)]
mod tests {
    use super::*;

    /// A specification in which every field has a value.
    fn full() -> TaskSpec {
        let value = serde_json::json!({
            "command": ["sh", "-c", "echo 'a'\nb"], "name": "n", "batch": "b", "shell": "sh", "container": "i",
            "container_options": "--init", "pull": "never",
            "env": {"A": "1"}, "input": ["file:///i"], "resource": ["file:///r"],
            "output": "file:///o", "use_cache": true, "uid": 1, "gid": 2, "retry": 3, "priority": -4, "cpu": 5,
            "memory": 6, "download_timeout": 7, "run_timeout": 8, "upload_timeout": 10,
            "output_limit": 9,
            "stdin": {"bytes": [255]}, "tags": {"T": "x"}, "after": [1], "after_any": [2],
            "after_batch": ["c"],
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_field_is_written_and_read_again() {
        let spec = full();
        let text = write(TaskId(1), "failed", &spec).unwrap();
        assert_eq!(read(&text), Ok(spec.clone()), "{text}");
        let keys: Vec<String> = toml::Table::try_from(&spec).unwrap().keys().cloned().collect();
        for key in keys {
            assert!(FIELDS.iter().any(|field| field.key == key), "{key} has no comment");
        }
    }

    #[test]
    fn what_is_not_set_is_a_comment_that_could_be_set() {
        let spec: TaskSpec = serde_json::from_str(r#"{"command": "true"}"#).unwrap();
        let text = write(TaskId(1), "failed", &spec).unwrap();
        assert_eq!(read(&text), Ok(spec));
        let all: Vec<&str> = text
            .lines()
            .map(|line| line.strip_prefix("# ").unwrap_or(line))
            .filter(|line| line.contains(" = ") || line.starts_with('['))
            .collect();
        let all = all.join("\n");
        assert!(read(&all).is_ok(), "{:?}\n{all}", read(&all));
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        let error = read("command = \"true\"\nretries = 3\n").unwrap_err();
        assert!(error.contains("unknown field `retries`") && error.contains("line 2"), "{error}");
        assert_eq!(read("command = \"\"").unwrap_err(), "the command is empty");
    }

    #[test]
    fn a_message_stands_on_top_once() {
        let once = with_message("a\nb\n", "no\nreally");
        assert_eq!(once, "#! no\n#! really\na\nb\n");
        assert_eq!(with_message(&once, "other"), "#! other\na\nb\n");
    }
}
