//! `/api/v2/events`

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};

use crate::api::error::ErrorBody;
use crate::api::event::{Event, FollowEvents};

use super::App;
use super::request::Parameters;

/// Pause after which the server says that it lives.
const ALIVE: Duration = Duration::from_secs(10);

/// Follow events as they happen
///
/// Server-sent events; `Last-Event-ID` goes on behind that event. The data of
/// each is an `Event`.
#[utoipa::path(get, path = "/api/v2/events", tag = "events",
    params(FollowEvents, ("last-event-id" = Option<String>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = Event),
        (status = "4XX", body = ErrorBody)))]
pub(super) async fn follow(
    State(app): State<Arc<App>>,
    Parameters(filter): Parameters<FollowEvents>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Frame, Infallible>>> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let events = app.events.subscribe(filter, last).into_stream();
    let frames = events.map(|(id, event)| {
        let frame = Frame::default().id(id.to_string());
        // An event is plain data and always becomes JSON.
        Ok(frame.json_data(&event).unwrap_or_default())
    });
    // Whoever follows learns from it that the connection lives.
    Sse::new(frames).keep_alive(KeepAlive::new().interval(ALIVE))
}
