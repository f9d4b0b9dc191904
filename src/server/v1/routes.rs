//! All routes of the original, each with what it asks of the caller.

use std::sync::Arc;

use axum::Router;
use axum::extract::RawPathParams;
use axum::http::header::{HOST, LOCATION};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};

use super::super::auth::Need;
use super::super::http::App;
use super::error::{V1Error, V1Result};
use super::{
    batches, executions, gate, output, recruiters, report, task_changes, tasks, worker_changes,
    worker_tasks, workers,
};

/// The collections, whose paths end in a slash.
const COLLECTIONS: [&str; 7] =
    ["/tasks", "/workers", "/executions", "/batch", "/requirement", "/recruiter", "/flavor"];

/// None where old clients are not served.
pub fn router(app: &Arc<App>) -> Option<Router> {
    app.v1.as_ref()?;
    let mut router = Router::new();
    for (routes, need) in
        [(reading(), Need::Read), (changing(), Need::Change), (working(), Need::JoinWorker)]
    {
        router = router.merge(gate::require(routes, app, need));
    }
    let mut router = router.method_not_allowed_fallback(no_method).with_state(Arc::clone(app));
    for path in COLLECTIONS {
        router = router.route(path, axum::routing::any(with_slash));
    }
    Some(router)
}

fn reading() -> Router<Arc<App>> {
    Router::new()
        .route("/tasks/", get(tasks::list))
        .route("/tasks/status", get(tasks::status))
        .route("/tasks/{id}", get(tasks::show))
        .route("/workers/", get(workers::list))
        .route("/workers/tasks", get(workers::tasks))
        .route("/workers/{id}", get(workers::show))
        .route("/workers/{id}/executions", get(worker_tasks::active))
        .route("/workers/{id}/executions/{status}", get(worker_tasks::in_status))
        .route("/executions/", get(executions::list))
        .route("/executions/{id}", get(executions::show))
        .route("/executions/{id}/output", get(output::read))
        .route("/batch/", get(batches::list))
        .route("/requirement/", get(tasks::requirements))
        .route("/recruiter/", get(recruiters::list))
        .route("/recruiter/match", get(recruiters::fitting))
        .route("/recruiter/{batch}/{rank}", get(recruiters::show))
        .route("/flavor/", get(recruiters::flavors))
        .route("/config/remote", get(recruiters::remote))
        .route("/config/rclone", get(recruiters::rclone))
}

fn changing() -> Router<Arc<App>> {
    Router::new()
        .route("/tasks/", post(tasks::create))
        .route("/tasks/{id}", put(task_changes::update).delete(task_changes::delete))
        .route("/workers/{id}", put(worker_changes::update).delete(worker_changes::delete))
        .route("/workers/deploy", put(recruiters::deploy))
        .route("/workers/{id}/signals", post(worker_changes::signal))
        .route("/executions/", post(executions::create))
        .route("/executions/{id}/delete", put(executions::delete))
        .route("/batch/{name}", axum::routing::delete(batches::delete))
        .route("/batch/{name}/stop", put(batches::stop))
        .route("/batch/{name}/go", put(batches::go))
        .route("/requirement/", post(task_changes::require))
        .route("/recruiter/", post(recruiters::create))
        .route("/recruiter/{batch}/{rank}", put(recruiters::update).delete(recruiters::delete))
}

/// What a worker does.
fn working() -> Router<Arc<App>> {
    Router::new()
        .route("/workers/", post(worker_changes::create))
        .route("/workers/{id}/ping", put(worker_tasks::ping))
        .route("/workers/{id}/callback", put(worker_tasks::callback))
        .route("/workers/{id}/signals", get(worker_tasks::signals))
        .route("/tasks/{id}/freeze/{execution}", get(report::freeze))
        .route("/executions/{id}", put(report::update))
        .route("/executions/{id}/output", put(output::write_output))
        .route("/executions/{id}/error", put(output::write_error))
        .route("/executions/{id}/output_files", put(report::output_files))
}

/// An id in the path. What is no number leads nowhere.
pub(super) fn id(parameters: &RawPathParams, name: &str) -> V1Result<u64> {
    let text = text(parameters, name)?;
    let id: Option<u64> = text.parse().ok().filter(|id| *id > 0 && i64::try_from(*id).is_ok());
    id.ok_or_else(|| V1Error::not_found(format!("there is no {name} `{text}`")))
}

/// A part of the path, decoded.
pub(super) fn text<'a>(parameters: &'a RawPathParams, name: &str) -> V1Result<&'a str> {
    let found = parameters.iter().find(|(parameter, _)| *parameter == name);
    found
        .map(|(_, value)| value)
        .ok_or_else(|| V1Error::not_found(format!("the path has no {name}")))
}

async fn with_slash(uri: Uri, headers: HeaderMap) -> Response {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let location = if host.is_empty() {
        format!("{}/", uri.path())
    } else {
        format!("http://{host}{}/", uri.path())
    };
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response()
}

async fn no_method(method: Method, uri: Uri) -> V1Error {
    V1Error::Told {
        status: StatusCode::METHOD_NOT_ALLOWED,
        message: format!("{} takes no {method}", uri.path()),
    }
}
