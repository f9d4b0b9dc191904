//! What a cloud's machine runs at its first start (cloud-init's user data): the script
//! that turns it into a worker, within a text of the site's own where it has one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::provision::{
    Baseline, Place, Preparation, PreparationTable, Program, REGISTRY_LOGINS, Service,
    provisioning_script, token_file, token_text,
};
use super::words::quote;
use super::{ErrorClass, Order, ProviderError};

/// Where the agent of a machine that was made for it is.
const DIRECTORY: &str = "/var/lib/scitq";

/// Ends the script within the text that writes it down.
const END_OF_SCRIPT: &str = "END-OF-THE-SCRIPT-OF-SCITQ";

/// What a site sets of the first start of a cloud's machines.
#[derive(Debug, Clone, Default)]
pub(super) struct UserDataTable {
    pub template: Option<PathBuf>,
    pub prepare: PreparationTable,
    pub directory: Option<String>,
    pub service: Service,
}

/// The script, and the text around it.
#[derive(Debug)]
pub(super) struct UserData {
    template: Option<PathBuf>,
    preparation: Preparation,
    registry_logins: Option<PathBuf>,
    place: Place,
}

/// What is wrong with a template.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum TemplateError {
    #[error("cannot read the `user_data` `{path}`: {reason}")]
    Unreadable { path: String, reason: String },
    #[error("`{path}`, line {line}, column {column}: {reason}")]
    Wrong { path: String, line: usize, column: usize, reason: String },
    #[error("{0}")]
    Preparation(String),
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
    /// `notice`: how the agent learns that the machine is taken away; empty: not at all.
    ///
    /// # Errors
    /// A template that is not there, or that has an error; a preparation that makes no sense.
    pub(super) fn new(table: &UserDataTable, notice: String) -> Result<Self, TemplateError> {
        if let Some(path) = &table.template {
            let text = load(path)?;
            parse(&text).map_err(|fault| fault.at(path, &text))?;
        }
        let preparation = table.prepare.over(Baseline::Full).map_err(TemplateError::Preparation)?;
        let directory = table.directory.clone().unwrap_or_else(|| DIRECTORY.to_owned());
        if !directory.starts_with('/') {
            let reason = format!("`directory` is `{directory}`, which does not begin with `/`");
            return Err(TemplateError::Preparation(reason));
        }
        let (program, service) = (Program::Fetched, table.service);
        Ok(Self {
            template: table.template.clone(),
            preparation,
            registry_logins: table.prepare.registry_logins.clone(),
            place: Place { directory, program, service, notice },
        })
    }

    /// The script that makes a worker of the machine, without secrets.
    pub(super) fn script(&self, order: &Order) -> String {
        provisioning_script(order, &self.preparation, &self.place)
    }

    /// The text for one machine. The template is read anew each time.
    ///
    /// # Errors
    /// A template that has an error by now; of the class Unsupported.
    pub(super) fn render(&self, order: &Order) -> Result<String, ProviderError> {
        let script = self.first_start(order)?;
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

impl UserData {
    /// Puts the secrets and the script where they belong, and runs the script. It stays
    /// there, so that a person can run it again.
    fn first_start(&self, order: &Order) -> Result<String, ProviderError> {
        let directory = &self.place.directory;
        let mut text = format!(
            "#!/bin/sh\n# Makes this machine the worker {} of scitq. Run by cloud-init.\n\
             set -eu\numask 077\nmkdir -p {folder}\nchmod 755 {folder}\n\
             printf '%s\\n' {} >{}\n",
            order.worker,
            quote(&token_text(order)),
            quote(&token_file(directory)),
            folder = quote(directory),
        );
        if let Some(path) = &self.registry_logins {
            let logins = std::fs::read(path).map_err(|error| {
                let message =
                    format!("cannot read the `registry_logins` `{}`: {error}", path.display());
                ProviderError::new(ErrorClass::Unsupported, message)
            })?;
            let encoded = STANDARD.encode(logins);
            let _ = write!(
                text,
                "mkdir -p \"$(dirname {REGISTRY_LOGINS})\"\n\
                 printf '%s' {encoded} | base64 -d >{REGISTRY_LOGINS}\n"
            );
        }
        let place = quote(&format!("{directory}/provision.sh")).into_owned();
        let script = self.script(order);
        let _ = write!(
            text,
            "cat >{place} <<'{END_OF_SCRIPT}'\n{script}\n{END_OF_SCRIPT}\n\
             umask 022\nexec /bin/sh {place}\n"
        );
        Ok(text)
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
