//! `/api/v2/executions/{id}/output/{stream}`

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;

use crate::api::error::{ErrorBody, ErrorCode};
use crate::api::output::{
    COMPLETE_HEADER, MAX_READ, MAX_TIMES, MAX_WAIT, OFFSET_HEADER, OutputTime, OutputTimes,
    ReadOutput, ReadTimes, SIZE_HEADER,
};
use crate::domain::ExecutionId;
use crate::domain::execution::Stream;

use super::super::output::Read;
use super::App;
use super::error::{ApiError, ApiResult};
use super::executions::find;
use super::request::{Id, Parameters};

/// Read the output of an execution
///
/// The body are the stream's bytes from `offset` on, as many as one reply
/// carries. `scitq-offset` is the first byte's offset, `scitq-size` the length
/// of the stream so far, `scitq-complete` is `true` once nothing will follow.
/// A read of bytes that the limit has dropped is a `conflict` that says where
/// to go on.
#[utoipa::path(get, path = "/api/v2/executions/{id}/output/{stream}", tag = "executions",
    params(("id" = ExecutionId, Path), ("stream" = Stream, Path), ReadOutput),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn read(
    State(app): State<Arc<App>>,
    Id((id, stream)): Id<(ExecutionId, Stream)>,
    Parameters(query): Parameters<ReadOutput>,
) -> ApiResult<Response> {
    let limit = query.limit.unwrap_or(MAX_READ).min(MAX_READ);
    if let Some(wait) = query.wait_seconds.filter(|wait| *wait > MAX_WAIT) {
        return Err(ApiError::invalid(format!("wait_seconds {wait} is more than {MAX_WAIT}")));
    }
    // The wait begins before the look at the state: an end in between wakes it.
    let more = app.output.wait_for_more(id, stream, query.offset);
    let mut view = find(&app, id).await?;
    let mut complete = view.state.is_final();
    if let Some(wait) = query.wait_seconds
        && !complete
    {
        tokio::select! {
            waited = more => waited?,
            () = tokio::time::sleep(Duration::from_secs(wait.into())) => {}
            () = app.stop_asked() => {}
        }
        view = find(&app, id).await?;
        complete = view.state.is_final();
    }
    match app.output.read(id, stream, query.offset, limit).await? {
        Read::Bytes { size: 0, .. } if complete && view.output.of(stream) > 0 => {
            Err(gone(id, stream))
        }
        Read::Bytes { offset, bytes, size } => Response::builder()
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(OFFSET_HEADER, offset)
            .header(SIZE_HEADER, size)
            .header(COMPLETE_HEADER, if complete { "true" } else { "false" })
            .body(Body::from(bytes))
            .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string())),
        Read::Hole { hole, .. } => Err(ApiError::new(
            ErrorCode::Conflict,
            format!(
                "bytes {} to {} of {stream} were dropped: the stream is longer than its limit",
                hole.from, hole.to
            ),
        )
        .hint(format!("go on at offset {}", hole.to))),
    }
}

/// Output that was deleted by its age.
fn gone(id: ExecutionId, stream: Stream) -> ApiError {
    ApiError::not_found(format!("{stream} of execution {id} is not kept any more"))
        .hint("output is kept for as long after the end as `serve --retain-output` says")
}

/// Tell when the output of an execution came
///
/// To a tenth of a second, as the server got it: what an agent could not send
/// while it was cut off comes later than it was written.
#[utoipa::path(get, path = "/api/v2/executions/{id}/output/{stream}/times", tag = "executions",
    params(("id" = ExecutionId, Path), ("stream" = Stream, Path), ReadTimes),
    responses((status = 200, body = OutputTimes), (status = "4XX", body = ErrorBody)))]
pub(super) async fn times(
    State(app): State<Arc<App>>,
    Id((id, stream)): Id<(ExecutionId, Stream)>,
    Parameters(query): Parameters<ReadTimes>,
) -> ApiResult<Json<OutputTimes>> {
    find(&app, id).await?;
    let limit = query.limit.unwrap_or(MAX_READ).min(MAX_READ);
    let range = query.offset..query.offset.saturating_add(limit);
    let times = app.output.times(id, stream, range, MAX_TIMES).await?;
    let times = times.into_iter().map(|(offset, at)| OutputTime { offset, at }).collect();
    Ok(Json(OutputTimes { times }))
}
