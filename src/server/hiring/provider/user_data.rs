//! What a cloud's machine runs at its first start (cloud-init's user data): the script
//! that turns it into a worker, within a text of the site's own where it has one.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::{ErrorClass, Order, ProviderError};

/// The text around the script.
#[derive(Debug)]
pub(super) struct UserData {
    template: Option<PathBuf>,
}

/// What is wrong with a template.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum TemplateError {
    #[error("cannot read the `user_data` `{path}`: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("`{path}`, line {line}, column {column}: {reason}")]
    Wrong { path: String, line: usize, column: usize, reason: String },
}

/// What stands between `{{` and `}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Worker,
    Server,
    Token,
    Fingerprint,
    Script,
    ScriptBase64,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Slot(Slot),
}

const SLOTS: &[(&str, Slot)] = &[
    ("script", Slot::Script),
    ("script-base64", Slot::ScriptBase64),
    ("worker", Slot::Worker),
    ("server", Slot::Server),
    ("token", Slot::Token),
    ("fingerprint", Slot::Fingerprint),
];

/// How a text begins that cloud-init knows what to do with.
const BEGINNINGS: &[&str] =
    &["#!", "#cloud-config", "#cloud-boothook", "#include", "Content-Type:", "MIME-Version:"];

impl UserData {
    /// # Errors
    /// A template that is not there, or that has an error.
    pub(super) fn new(template: Option<PathBuf>) -> Result<Self, TemplateError> {
        if let Some(path) = &template {
            let text = load(path)?;
            parse(&text).map_err(|fault| fault.at(path, &text))?;
        }
        Ok(Self { template })
    }

    /// The text for one machine. The template is read anew each time.
    ///
    /// # Errors
    /// A template that has an error by now; of the class Unsupported.
    pub(super) fn render(&self, order: &Order) -> Result<String, ProviderError> {
        let script = first_start(order);
        let Some(path) = &self.template else {
            return Ok(script);
        };
        let refused =
            |error: TemplateError| ProviderError::new(ErrorClass::Unsupported, error.to_string());
        let text = load(path).map_err(refused)?;
        let pieces = parse(&text).map_err(|fault| refused(fault.at(path, &text)))?;
        let mut rendered = String::with_capacity(text.len() + script.len());
        for piece in pieces {
            match piece {
                Piece::Text(text) => rendered.push_str(text),
                Piece::Slot(Slot::Worker) => rendered.push_str(&order.worker),
                Piece::Slot(Slot::Server) => rendered.push_str(&order.agent.server),
                Piece::Slot(Slot::Token) => rendered.push_str(order.agent.token.expose()),
                Piece::Slot(Slot::Fingerprint) => {
                    rendered.push_str(order.agent.fingerprint.as_deref().unwrap_or_default());
                }
                Piece::Slot(Slot::Script) => rendered.push_str(&script),
                Piece::Slot(Slot::ScriptBase64) => rendered.push_str(&STANDARD.encode(&script)),
            }
        }
        Ok(rendered)
    }
}

/// An error at an offset in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    offset: usize,
    reason: String,
}

impl Fault {
    fn at(self, path: &Path, text: &str) -> TemplateError {
        let before = text.get(..self.offset).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        TemplateError::Wrong { path: path.display().to_string(), line, column, reason: self.reason }
    }
}

fn load(path: &Path) -> Result<String, TemplateError> {
    std::fs::read_to_string(path).map_err(|error| TemplateError::Unreadable {
        path: path.display().to_string(),
        reason: error.to_string(),
    })
}

fn parse(text: &str) -> Result<Vec<Piece<'_>>, Fault> {
    if !BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) {
        let reason = format!(
            "cloud-init does not know what this is: begin with one of {}",
            BEGINNINGS.join(" ")
        );
        return Err(Fault { offset: 0, reason });
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let offset = text.len() - after.len() - 2;
        let Some((name, behind)) = after.split_once("}}").filter(|(name, _)| !name.contains('\n'))
        else {
            return Err(Fault { offset, reason: "`{{` without `}}` on its line".to_owned() });
        };
        let Some((_, slot)) = SLOTS.iter().find(|(known, _)| *known == name.trim()) else {
            let known: Vec<&str> = SLOTS.iter().map(|(known, _)| *known).collect();
            let reason = format!("`{{{{{name}}}}}` is none of: {}", known.join(", "));
            return Err(Fault { offset, reason });
        };
        pieces.push(Piece::Text(before));
        pieces.push(Piece::Slot(*slot));
        rest = behind;
    }
    pieces.push(Piece::Text(rest));
    let brings_agent = |piece: &Piece<'_>| {
        matches!(piece, Piece::Slot(Slot::Script | Slot::ScriptBase64 | Slot::Token))
    };
    if !pieces.iter().any(brings_agent) {
        let reason = "nothing here starts an agent: put in `{{script}}`".to_owned();
        return Err(Fault { offset: text.len(), reason });
    }
    Ok(pieces)
}

/// Fetches the agent from the head and starts it.
fn first_start(order: &Order) -> String {
    let quoted = |text: &str| {
        shlex::try_quote(text).map_or_else(|_| "''".to_owned(), std::borrow::Cow::into_owned)
    };
    format!(
        "#!/bin/sh\n# Made by scitq for the worker {worker}.\nset -eu\numask 077\n\
         folder=${{SCITQ_FOLDER:-/var/lib/scitq}}\nmkdir -p \"$folder\"\n\
         printf '%s' {token} >\"$folder/token\"\n",
        worker = order.worker,
        token = quoted(order.agent.token.expose()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> String {
        parse(text).unwrap_err().at(Path::new("u"), text).to_string()
    }

    #[test]
    fn an_error_in_a_template_has_its_place() {
        assert_eq!(
            wrong("#!/bin/sh\necho {{wroker}}\n{{script}}\n"),
            "`u`, line 2, column 6: `{{wroker}}` is none of: script, script-base64, worker, server, token, fingerprint"
        );
        assert_eq!(
            wrong("#!/bin/sh\n  {{script\n}}"),
            "`u`, line 2, column 3: `{{` without `}}` on its line"
        );
        assert!(wrong("echo\n{{script}}").starts_with("`u`, line 1, column 1: cloud-init"));
        assert!(wrong("#!/bin/sh\ntrue\n").starts_with("`u`, line 3, column 1: nothing here"));
    }

    #[test]
    fn a_template_falls_into_its_pieces() {
        let pieces = parse("#cloud-config\na: {{ script-base64 }}\n").unwrap();
        let expected =
            [Piece::Text("#cloud-config\na: "), Piece::Slot(Slot::ScriptBase64), Piece::Text("\n")];
        assert_eq!(pieces, expected);
    }
}
