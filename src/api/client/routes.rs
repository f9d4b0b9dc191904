//! One method per route.

use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::address::ServerAddress;
use super::error::ClientError;
use super::transport::{ANSWER_LIMIT, ClientConfig, Patience, Transport};
use crate::api::batch::{
    BatchDetail, BatchList, ChangedBatch, DeleteBatch, UpdateBatch, WithTasks,
};
use crate::api::execution::{ExecutionPage, ExecutionView, ListExecutions};
use crate::api::import::{ImportTasks, ImportedIds, ImportedWorker};
use crate::api::output::{
    COMPLETE_HEADER, OFFSET_HEADER, OutputTimes, ReadOutput, ReadTimes, SIZE_HEADER,
};
use crate::api::server::ServerStatus;
use crate::api::task::{
    AwaitedTasks, ChangedTasks, CountTasks, CreateTasks, CreatedTasks, DeleteTasks, EditTasks,
    ListTasks, MoveTasks, SignalTasks, TaskCounts, TaskDetail, TaskIds, TaskPage, WaitForTasks,
};
use crate::api::token::{CreateToken, CreatedToken, TokenList};
use crate::api::worker::{
    CleanWorker, HandledOrphans, OrphanIds, UpdateWorker, WorkerList, WorkerView,
};
use crate::domain::execution::Stream;
use crate::domain::{BatchName, ExecutionId, TaskId, TokenId, WorkerId};

const TASKS: &str = "/api/v2/tasks";
const EXECUTIONS: &str = "/api/v2/executions";
const WORKERS: &str = "/api/v2/workers";
const BATCHES: &str = "/api/v2/batches";
const TOKENS: &str = "/api/v2/tokens";

/// A client of one server. Clones share their connections.
///
/// Every method fails with a [`ClientError`]; none of them changes anything
/// twice, however often its request had to be sent.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) transport: Transport,
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

    pub(super) const fn transport(&self) -> &Transport {
        &self.transport
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

    /// How many tasks there are on all pages of a list.
    pub async fn count_tasks(&self, query: &CountTasks) -> Result<TaskCounts, ClientError> {
        self.list(&format!("{TASKS}/count"), query).await
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

    /// Has the outputs of failed uploads sent once more.
    pub async fn retry_uploads(&self, tasks: &TaskIds) -> Result<ChangedTasks, ClientError> {
        self.post(&format!("{TASKS}/retry-upload"), tasks).await
    }

    pub async fn cancel_tasks(&self, tasks: &TaskIds) -> Result<ChangedTasks, ClientError> {
        self.post(&format!("{TASKS}/cancel"), tasks).await
    }

    pub async fn delete_tasks(&self, tasks: &DeleteTasks) -> Result<ChangedTasks, ClientError> {
        self.post(&format!("{TASKS}/delete"), tasks).await
    }

    /// Holds tasks back: those that wait do not start, commands that run are suspended.
    pub async fn pause_tasks(&self, tasks: &TaskIds) -> Result<ChangedTasks, ClientError> {
        self.post(&format!("{TASKS}/pause"), tasks).await
    }

    pub async fn resume_tasks(&self, tasks: &TaskIds) -> Result<ChangedTasks, ClientError> {
        self.post(&format!("{TASKS}/resume"), tasks).await
    }

    pub async fn signal_tasks(&self, signal: &SignalTasks) -> Result<ChangedTasks, ClientError> {
        self.post(&format!("{TASKS}/signal"), signal).await
    }

    pub async fn move_tasks(&self, tasks: &MoveTasks) -> Result<ChangedTasks, ClientError> {
        self.post(&format!("{TASKS}/move"), tasks).await
    }

    pub async fn edit_tasks(&self, edits: &EditTasks) -> Result<ChangedTasks, ClientError> {
        self.post(&format!("{TASKS}/edit"), edits).await
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

    /// When bytes of an output stream came.
    pub async fn output_times(
        &self,
        id: ExecutionId,
        stream: Stream,
        query: ReadTimes,
    ) -> Result<OutputTimes, ClientError> {
        self.list(&format!("{EXECUTIONS}/{id}/output/{stream}/times"), &query).await
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

    pub async fn clean_worker(&self, id: WorkerId, clean: CleanWorker) -> Result<(), ClientError> {
        self.post_quietly(&format!("{WORKERS}/{id}/clean"), &clean).await
    }

    /// Replaces the agent's process by a new one; its commands run on.
    pub async fn restart_worker(&self, id: WorkerId) -> Result<(), ClientError> {
        self.post_quietly(&format!("{WORKERS}/{id}/restart"), &()).await
    }

    pub async fn adopt_orphans(
        &self,
        id: WorkerId,
        orphans: &OrphanIds,
    ) -> Result<HandledOrphans, ClientError> {
        self.post(&format!("{WORKERS}/{id}/orphans/adopt"), orphans).await
    }

    pub async fn abandon_orphans(
        &self,
        id: WorkerId,
        orphans: &OrphanIds,
    ) -> Result<HandledOrphans, ClientError> {
        self.post(&format!("{WORKERS}/{id}/orphans/abandon"), orphans).await
    }

    pub async fn list_batches(&self) -> Result<BatchList, ClientError> {
        self.get(BATCHES).await
    }

    pub async fn batch(&self, name: &BatchName) -> Result<BatchDetail, ClientError> {
        self.get(&batch_path(name, "")).await
    }

    /// Sets what is named; a batch that is not there is made.
    pub async fn update_batch(
        &self,
        name: &BatchName,
        update: &UpdateBatch,
    ) -> Result<BatchDetail, ClientError> {
        let request = self.transport.change(Method::PATCH, &batch_path(name, ""))?;
        self.transport.json(request.json(update)).await
    }

    pub async fn pause_batch(
        &self,
        name: &BatchName,
        with: WithTasks,
    ) -> Result<ChangedBatch, ClientError> {
        self.post(&batch_path(name, "/pause"), &with).await
    }

    pub async fn go_batch(
        &self,
        name: &BatchName,
        with: WithTasks,
    ) -> Result<ChangedBatch, ClientError> {
        self.post(&batch_path(name, "/go"), &with).await
    }

    /// Pauses the batch and ends all its commands, with time to clean up.
    pub async fn stop_batch(&self, name: &BatchName) -> Result<ChangedBatch, ClientError> {
        self.post(&batch_path(name, "/stop"), &()).await
    }

    /// Pauses the batch and kills all its commands.
    pub async fn kill_batch(&self, name: &BatchName) -> Result<ChangedBatch, ClientError> {
        self.post(&batch_path(name, "/kill"), &()).await
    }

    /// Relaunches all its failed tasks.
    pub async fn retry_batch(&self, name: &BatchName) -> Result<ChangedBatch, ClientError> {
        self.post(&batch_path(name, "/retry"), &()).await
    }

    pub async fn delete_batch(
        &self,
        name: &BatchName,
        delete: DeleteBatch,
    ) -> Result<ChangedBatch, ClientError> {
        self.post(&batch_path(name, "/delete"), &delete).await
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

    pub async fn import_tasks(&self, tasks: &ImportTasks) -> Result<ImportedIds, ClientError> {
        self.post("/api/v2/import/tasks", tasks).await
    }

    pub async fn import_worker(&self, worker: &ImportedWorker) -> Result<(), ClientError> {
        self.post_quietly("/api/v2/import/worker", worker).await
    }

    pub async fn delete_token(&self, id: TokenId) -> Result<(), ClientError> {
        self.delete(&format!("{TOKENS}/{id}")).await
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.transport.json(self.transport.get(path)).await
    }

    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.transport.json(self.transport.get(path).query(query)).await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.transport.json(self.transport.change(Method::POST, path)?.json(body)).await
    }

    /// A change whose answer has no body.
    pub(super) async fn post_quietly(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<(), ClientError> {
        let request = self.transport.change(Method::POST, path)?.json(body);
        self.transport.send(request).await.map(|_| ())
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), ClientError> {
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

/// The path of a batch, whose name may have any characters in it.
pub(super) fn batch_path(name: &BatchName, verb: &str) -> String {
    let name = utf8_percent_encode(name.as_str(), NON_ALPHANUMERIC);
    format!("{BATCHES}/{name}{verb}")
}

/// Leaves the server the time that the request asks it to wait.
pub(super) fn patient(request: RequestBuilder, wait_seconds: u32) -> RequestBuilder {
    request.timeout(ANSWER_LIMIT + Duration::from_secs(wait_seconds.into()))
}
