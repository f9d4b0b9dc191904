//! One method per route.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::address::ServerAddress;
use super::error::ClientError;
use super::transport::{ANSWER_LIMIT, ClientConfig, Patience, Transport};
use crate::api::batch::BatchList;
use crate::api::execution::{ExecutionPage, ExecutionView, ListExecutions};
use crate::api::output::{COMPLETE_HEADER, OFFSET_HEADER, ReadOutput, SIZE_HEADER};
use crate::api::server::ServerStatus;
use crate::api::task::{
    AwaitedTasks, ChangedTasks, CreateTasks, CreatedTasks, DeleteTasks, ListTasks, TaskDetail,
    TaskIds, TaskPage, WaitForTasks,
};
use crate::api::token::{CreateToken, CreatedToken, TokenList};
use crate::api::worker::{UpdateWorker, WorkerList, WorkerView};
use crate::domain::execution::Stream;
use crate::domain::{ExecutionId, TaskId, TokenId, WorkerId};

const TASKS: &str = "/api/v2/tasks";
const EXECUTIONS: &str = "/api/v2/executions";
const WORKERS: &str = "/api/v2/workers";
const TOKENS: &str = "/api/v2/tokens";

/// A client of one server. Clones share their connections.
///
/// Every method fails with a [`ClientError`]; none of them changes anything
/// twice, however often its request had to be sent.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
}

/// A piece of one output stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputPiece {
    /// Offset of the first byte in the stream. Beyond the offset asked for
    /// where the bytes between were dropped.
    pub offset: u64,
    pub bytes: Bytes,
    /// Length of the stream so far, bytes.
    pub size: u64,
    /// Whether no byte will follow `size`.
    pub complete: bool,
}

impl OutputPiece {
    /// The offset to read from next.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Whether this piece is the last of its stream.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.complete && self.end() >= self.size
    }
}

impl Client {
    /// Makes the client; no connection is made before the first request.
    pub fn new(config: ClientConfig) -> Result<Self, ClientError> {
        Ok(Self { transport: Transport::new(config)? })
    }

    #[must_use]
    pub const fn address(&self) -> &ServerAddress {
        self.transport.address()
    }

    /// The same client with another patience.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { transport: self.transport.with_patience(patience) }
    }

    pub async fn create_tasks(&self, tasks: &CreateTasks) -> Result<CreatedTasks, ClientError> {
        self.post(TASKS, tasks).await
    }

    pub async fn list_tasks(&self, query: &ListTasks) -> Result<TaskPage, ClientError> {
        self.list(TASKS, query).await
    }

    pub async fn task(&self, id: TaskId) -> Result<TaskDetail, ClientError> {
        self.get(&format!("{TASKS}/{id}")).await
    }

    /// Waits until all the tasks have ended, or the request's time is over.
    pub async fn wait_for_tasks(&self, wait: &WaitForTasks) -> Result<AwaitedTasks, ClientError> {
        let request = self.transport.ask(&format!("{TASKS}/wait")).json(wait);
        self.transport.json(patient(request, wait.timeout_seconds)).await
    }

    pub async fn relaunch_tasks(&self, tasks: &TaskIds) -> Result<ChangedTasks, ClientError> {
        self.post(&format!("{TASKS}/relaunch"), tasks).await
    }

    pub async fn cancel_tasks(&self, tasks: &TaskIds) -> Result<ChangedTasks, ClientError> {
        self.post(&format!("{TASKS}/cancel"), tasks).await
    }

    pub async fn delete_tasks(&self, tasks: &DeleteTasks) -> Result<ChangedTasks, ClientError> {
        self.post(&format!("{TASKS}/delete"), tasks).await
    }

    pub async fn list_executions(
        &self,
        query: &ListExecutions,
    ) -> Result<ExecutionPage, ClientError> {
        self.list(EXECUTIONS, query).await
    }

    pub async fn execution(&self, id: ExecutionId) -> Result<ExecutionView, ClientError> {
        self.get(&format!("{EXECUTIONS}/{id}")).await
    }

    /// Reads one piece of an output stream, byte for byte.
    pub async fn read_output(
        &self,
        id: ExecutionId,
        stream: Stream,
        query: ReadOutput,
    ) -> Result<OutputPiece, ClientError> {
        let path = format!("{EXECUTIONS}/{id}/output/{stream}");
        let request = self.transport.get(&path).query(&query);
        let request = patient(request, query.wait_seconds.unwrap_or(0));
        let (headers, bytes) = self.transport.send(request).await?;
        Ok(OutputPiece {
            offset: self.header(&headers, OFFSET_HEADER)?,
            bytes,
            size: self.header(&headers, SIZE_HEADER)?,
            complete: self.header(&headers, COMPLETE_HEADER)?,
        })
    }

    pub async fn list_workers(&self) -> Result<WorkerList, ClientError> {
        self.get(WORKERS).await
    }

    pub async fn worker(&self, id: WorkerId) -> Result<WorkerView, ClientError> {
        self.get(&format!("{WORKERS}/{id}")).await
    }

    pub async fn update_worker(
        &self,
        id: WorkerId,
        update: &UpdateWorker,
    ) -> Result<WorkerView, ClientError> {
        let request = self.transport.change(Method::PATCH, &format!("{WORKERS}/{id}"))?;
        self.transport.json(request.json(update)).await
    }

    pub async fn delete_worker(&self, id: WorkerId) -> Result<(), ClientError> {
        self.delete(&format!("{WORKERS}/{id}")).await
    }

    pub async fn list_batches(&self) -> Result<BatchList, ClientError> {
        self.get("/api/v2/batches").await
    }

    pub async fn server_status(&self) -> Result<ServerStatus, ClientError> {
        self.get("/api/v2/server").await
    }

    pub async fn list_tokens(&self) -> Result<TokenList, ClientError> {
        self.get(TOKENS).await
    }

    pub async fn create_token(&self, token: &CreateToken) -> Result<CreatedToken, ClientError> {
        self.post(TOKENS, token).await
    }

    pub async fn delete_token(&self, id: TokenId) -> Result<(), ClientError> {
        self.delete(&format!("{TOKENS}/{id}")).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.transport.json(self.transport.get(path)).await
    }

    async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.transport.json(self.transport.get(path).query(query)).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.transport.json(self.transport.change(Method::POST, path)?.json(body)).await
    }

    async fn delete(&self, path: &str) -> Result<(), ClientError> {
        self.transport.send(self.transport.change(Method::DELETE, path)?).await.map(|_| ())
    }

    fn header<T: std::str::FromStr>(
        &self,
        headers: &HeaderMap,
        name: &str,
    ) -> Result<T, ClientError> {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| self.transport.protocol(format!("the header `{name}` is missing")))
    }
}

/// Leaves the server the time that the request asks it to wait.
fn patient(request: RequestBuilder, wait_seconds: u32) -> RequestBuilder {
    request.timeout(ANSWER_LIMIT + Duration::from_secs(wait_seconds.into()))
}
