//! Recruiters, flavors and what a site sets. This server recruits no workers: the
//! lists are empty, and what would have to recruit is refused.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawPathParams, State};
use serde_json::{Value, json};

use super::super::http::App;
use super::error::{V1Error, V1Result};
use super::routes;

const CANNOT_RECRUIT: &str = "this server does not recruit workers: start agents or workers for \
     the batch yourself, and set a workflow's max_step_workers to 0";

pub(super) async fn list() -> Json<Value> {
    Json(json!([]))
}

pub(super) async fn flavors() -> Json<Value> {
    Json(json!([]))
}

pub(super) async fn create() -> V1Error {
    V1Error::missing(CANNOT_RECRUIT)
}

pub(super) async fn deploy() -> V1Error {
    V1Error::missing(CANNOT_RECRUIT)
}

pub(super) async fn none(parameters: RawPathParams) -> V1Result<()> {
    let batch = routes::text(&parameters, "batch")?;
    let rank = routes::text(&parameters, "rank")?;
    Err(V1Error::not_found(format!("Recruiter batch {batch} rank {rank} doesn't exist")))
}

pub(super) async fn remote(State(app): State<Arc<App>>) -> Json<String> {
    Json(app.v1.as_ref().map(|v1| v1.settings.remote.clone()).unwrap_or_default())
}

/// The file as it is, where the site shares it: it has secrets in it.
pub(super) async fn rclone(State(app): State<Arc<App>>) -> V1Result<Json<String>> {
    let Some(path) = app.v1.as_ref().and_then(|v1| v1.settings.rclone.clone()) else {
        return Err(V1Error::not_found(
            "this server does not share its rclone.conf (see --v1-share-rclone)",
        ));
    };
    match tokio::fs::read_to_string(&path).await {
        Ok(text) => Ok(Json(text)),
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "cannot read the file to be shared");
            Err(V1Error::not_found("the server's rclone.conf cannot be read"))
        }
    }
}
