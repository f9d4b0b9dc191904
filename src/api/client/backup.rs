//! What administrators read: a backup on its way from the server, and the audit.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use tokio::time::timeout;

use super::error::ClientError;
use super::routes::Client;
use crate::api::audit::{AuditPage, ListAudit};

/// How long a backup may take altogether.
const LIFE: Duration = Duration::from_hours(24 * 7);

/// How long its first and each further byte may take. The server copies its
/// databases before it sends the first.
const SILENCE_LIMIT: Duration = Duration::from_hours(1);

/// An archive as it comes.
#[derive(Debug)]
pub struct BackupStream {
    response: Response,
    address: String,
}

impl Client {
    /// Begins a backup.
    pub async fn back_up(&self) -> Result<BackupStream, ClientError> {
        let request = self.transport().get("/api/v2/server/backup").timeout(LIFE);
        let response = self.transport().open(request).await?;
        Ok(BackupStream { response, address: self.address().to_string() })
    }
}

impl Client {
    /// What was done, the latest first.
    pub async fn list_audit(&self, query: &ListAudit) -> Result<AuditPage, ClientError> {
        self.list("/api/v2/audit", query).await
    }
}

impl BackupStream {
    /// The next bytes; none at the end of the whole.
    ///
    /// # Errors
    /// The server went away, or gave up: what came so far is no backup.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let lost = |cause: String| ClientError::Lost { address: self.address.clone(), cause };
        match timeout(SILENCE_LIMIT, self.response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(ClientError::from_transport(self.address.clone(), &error)),
            Err(_) => Err(lost("it has sent nothing for an hour".to_owned())),
        }
    }
}
