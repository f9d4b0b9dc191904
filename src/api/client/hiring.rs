//! Routes about machines that are hired.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;

use super::error::ClientError;
use super::routes::{Client, batch_path, patient};
use crate::api::hiring::{
    AskScript, DeployWorkers, DeployedWorkers, Explanation, FlavorList, ImportFlavors, JobIds,
    JobList, JobLog, JobView, ListFlavors, ProviderList, ProviderScript, ProviderView, ReadJobLog,
    RecruiterList, RecruiterView,
};
use crate::domain::recruiter::Recruiter;
use crate::domain::{BatchName, JobId, ProviderName};

const JOBS: &str = "/api/v2/jobs";
const FLAVORS: &str = "/api/v2/flavors";
const PROVIDERS: &str = "/api/v2/providers";

impl Client {
    /// Hires workers, all of them or none.
    pub async fn deploy_workers(
        &self,
        deploy: &DeployWorkers,
    ) -> Result<DeployedWorkers, ClientError> {
        self.post("/api/v2/workers/deploy", deploy).await
    }

    pub async fn list_jobs(&self) -> Result<JobList, ClientError> {
        self.get(JOBS).await
    }

    pub async fn job(&self, id: JobId) -> Result<JobView, ClientError> {
        self.get(&format!("{JOBS}/{id}")).await
    }

    /// Reads one piece of a job's log.
    pub async fn job_log(&self, id: JobId, read: ReadJobLog) -> Result<JobLog, ClientError> {
        let request = self.transport.get(&format!("{JOBS}/{id}/log")).query(&read);
        self.transport.json(patient(request, read.wait_seconds.unwrap_or(0))).await
    }

    pub async fn cancel_job(&self, id: JobId) -> Result<(), ClientError> {
        self.post_quietly(&format!("{JOBS}/{id}/cancel"), &()).await
    }

    pub async fn retry_job(&self, id: JobId) -> Result<(), ClientError> {
        self.post_quietly(&format!("{JOBS}/{id}/retry"), &()).await
    }

    /// Forgets jobs that have ended.
    pub async fn delete_jobs(&self, ids: Vec<JobId>) -> Result<(), ClientError> {
        self.post_quietly(&format!("{JOBS}/delete"), &JobIds { ids }).await
    }

    pub async fn list_flavors(&self, query: &ListFlavors) -> Result<FlavorList, ClientError> {
        self.list(FLAVORS, query).await
    }

    /// Has all providers asked what they offer.
    pub async fn refresh_flavors(&self) -> Result<ProviderList, ClientError> {
        self.slowly(&format!("{FLAVORS}/refresh")).await
    }

    pub async fn import_flavors(&self, flavors: &ImportFlavors) -> Result<(), ClientError> {
        self.post_quietly(&format!("{FLAVORS}/import"), flavors).await
    }

    pub async fn list_providers(&self) -> Result<ProviderList, ClientError> {
        self.get(PROVIDERS).await
    }

    /// Has one provider asked what it offers and which machines it has.
    pub async fn check_provider(&self, name: &str) -> Result<ProviderView, ClientError> {
        self.slowly(&format!("{}/check", provider_path(name))).await
    }

    /// The script that prepares machines of a provider.
    pub async fn provider_script(
        &self,
        name: &ProviderName,
        ask: &AskScript,
    ) -> Result<ProviderScript, ClientError> {
        self.list(&format!("{}/script", provider_path(name.as_str())), ask).await
    }

    pub async fn list_recruiters(&self) -> Result<RecruiterList, ClientError> {
        self.get("/api/v2/recruiters").await
    }

    /// What the recruiters of a batch do now, and why.
    pub async fn explain_recruiters(&self, batch: &BatchName) -> Result<Explanation, ClientError> {
        self.get(&batch_path(batch, "/recruiters")).await
    }

    pub async fn set_recruiter(
        &self,
        batch: &BatchName,
        rank: u32,
        recruiter: &Recruiter,
    ) -> Result<RecruiterView, ClientError> {
        let path = batch_path(batch, &format!("/recruiters/{rank}"));
        self.transport.json(self.transport.change(Method::PUT, &path)?.json(recruiter)).await
    }

    pub async fn delete_recruiter(&self, batch: &BatchName, rank: u32) -> Result<(), ClientError> {
        self.delete(&batch_path(batch, &format!("/recruiters/{rank}"))).await
    }

    /// A change for which the server may have to ask others.
    async fn slowly<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        /// As long as the server waits for its providers, seconds.
        const OTHERS: u32 = 600;
        let request = self.transport.change(Method::POST, path)?.json(&());
        self.transport.json(patient(request, OTHERS)).await
    }
}

fn provider_path(name: &str) -> String {
    format!("{PROVIDERS}/{}", utf8_percent_encode(name, NON_ALPHANUMERIC))
}
