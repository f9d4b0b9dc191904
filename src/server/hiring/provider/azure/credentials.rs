//! The service principal under which we are known to Azure.

use std::path::PathBuf;

use super::settings::AzureSettings;
use crate::server::hiring::provider::{ErrorClass, ProviderError, Secret};

/// Who we are.
#[derive(Debug)]
pub(super) struct Credentials {
    pub tenant: String,
    pub client: String,
    pub secret: Secret,
}

/// Where each part is looked for first.
#[derive(Debug, Clone)]
pub(super) struct Lookup {
    tenant: Option<String>,
    client: Option<String>,
    subscription: Option<String>,
    secret_file: Option<PathBuf>,
}

impl Lookup {
    pub(super) fn new(settings: &AzureSettings) -> Self {
        Self {
            tenant: settings.tenant.clone(),
            client: settings.client.clone(),
            subscription: settings.subscription.clone(),
            secret_file: settings.client_secret_file.clone(),
        }
    }

    /// Reads all that is needed for a token.
    ///
    /// # Errors
    /// Of the class Authentication, with all that is missing.
    pub(super) fn load(
        &self,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Credentials, ProviderError> {
        let mut missing = Vec::new();
        let mut read = |own: Option<String>, name: &str, key: &str| {
            let found = own.or_else(|| variable(name)).filter(|value| !value.is_empty());
            if found.is_none() {
                missing.push(format!("`{name}` (or the key `{key}`)"));
            }
            found.unwrap_or_default()
        };
        let secret = match &self.secret_file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    refuse(format!(
                        "cannot read the `client_secret_file` `{}`: {error}",
                        path.display()
                    ))
                })?;
                Some(text.trim().to_owned())
            }
        };
        let tenant = read(self.tenant.clone(), "AZURE_TENANT_ID", "tenant");
        let client = read(self.client.clone(), "AZURE_CLIENT_ID", "client");
        let secret = read(secret, "AZURE_CLIENT_SECRET", "client_secret_file");
        if self.subscription(variable).is_err() {
            missing.push("`AZURE_SUBSCRIPTION_ID` (or the key `subscription`)".to_owned());
        }
        if !missing.is_empty() {
            return Err(refuse(format!(
                "no credentials: set for the server the variables {}",
                missing.join(", ")
            )));
        }
        Ok(Credentials { tenant, client, secret: Secret::new(secret) })
    }

    /// Under which subscription machines are made.
    ///
    /// # Errors
    /// None is named.
    pub(super) fn subscription(
        &self,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<String, ProviderError> {
        let found = self.subscription.clone().or_else(|| variable("AZURE_SUBSCRIPTION_ID"));
        found.filter(|value| !value.is_empty()).ok_or_else(|| {
            refuse(
                "no credentials: set for the server the variable `AZURE_SUBSCRIPTION_ID` (or the key `subscription`)",
            )
        })
    }
}

fn refuse(message: impl Into<String>) -> ProviderError {
    ProviderError::new(ErrorClass::Authentication, message)
}
