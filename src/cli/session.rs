//! What every command that talks to a server starts with.

use std::sync::Arc;
use std::time::Duration;

use super::app::GlobalArgs;
use super::error::CliError;
use super::output::{Output, Voice};
use super::parse::Wait;
use super::settings;
use crate::api::client::{self, ClientConfig, Patience};
use crate::api::{Client, ClientError, ssh};

/// A client and somewhere to print.
#[derive(Debug)]
pub struct Session {
    pub client: Client,
    pub output: Output,
    token_hint: Option<String>,
}

impl Session {
    /// Finds the server; nothing is sent yet.
    pub fn open(global: &GlobalArgs) -> Result<Self, CliError> {
        let output = global.output();
        let found = settings::load(global.server.as_deref())?;
        for warning in &found.warnings {
            output.voice().warning(warning);
        }
        let limit = global.wait_server.map_or(Some(Duration::ZERO), Wait::limit);
        let voice = output.voice();
        if let Some(host) = found.address.ssh()
            && let Err(error) = ssh::prepare(host)
        {
            // While nobody may be asked it is tried again with every request.
            let error = client::unreachable(&found.address, &error);
            if limit == Some(Duration::ZERO) {
                return Err(error.into());
            }
            tell_outage(voice, &error);
        }
        let notice = Arc::new(move |error: &ClientError| tell_outage(voice, error));
        let client = Client::new(ClientConfig {
            address: found.address,
            token: found.token,
            patience: Patience { limit, notice: Some(notice) },
        })?;
        Ok(Self { client, output, token_hint: found.token_hint })
    }

    /// A session with this client, whose data `output` keeps.
    #[cfg(test)]
    pub fn of(client: Client, output: Output) -> Self {
        Self { client, output, token_hint: None }
    }

    /// An error of the client, with what we know about our token.
    #[must_use]
    pub fn explain(&self, error: ClientError) -> CliError {
        let is_about_token = matches!(error, ClientError::Unauthenticated { .. });
        let error = CliError::from(error);
        match &self.token_hint {
            Some(hint) if is_about_token => error.hint(hint),
            _ => error,
        }
    }
}

/// Tells that the server is waited for, and why.
pub fn tell_outage(voice: Voice, error: &ClientError) {
    voice.status(format_args!("{error}; waiting for it"));
}
