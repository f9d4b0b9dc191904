//! Unix signals by name: numbers differ between machines, names do not.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};
use thiserror::Error;
use utoipa::ToSchema;

/// A signal that a person may send to a command.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    Display,
    EnumString,
    EnumIter,
    IntoStaticStr,
)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum Signal {
    Hup,
    Int,
    Quit,
    Abrt,
    Kill,
    Usr1,
    Usr2,
    Alrm,
    Term,
    Cont,
    Stop,
    Tstp,
    Winch,
}

/// A text that names no signal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no signal that can be sent: {known}", known = known())]
pub struct UnknownSignal {
    pub text: String,
}

impl Signal {
    /// The signal that a person names as `TERM`, `SIGTERM` or `sigterm`.
    ///
    /// # Errors
    /// There is no such signal, or it is none that makes sense for a task.
    pub fn named(text: &str) -> Result<Self, UnknownSignal> {
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        Self::from_str(name).map_err(|_| UnknownSignal { text: text.to_owned() })
    }
}

fn known() -> String {
    let names: Vec<&str> = Signal::iter().map(<&str>::from).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_has_the_names_that_people_use() {
        for text in ["USR1", "SIGUSR1", "sigusr1", "usr1"] {
            assert_eq!(Signal::named(text), Ok(Signal::Usr1));
        }
        assert_eq!(serde_json::to_string(&Signal::Usr1).unwrap(), r#""USR1""#);
        let error = Signal::named("SIGSEGV").unwrap_err().to_string();
        assert!(error.starts_with("`SIGSEGV` is no signal that can be sent: HUP, INT,"), "{error}");
    }
}
