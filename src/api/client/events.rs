//! Following the server's events as they come, and what is looked at beside them.

use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

use super::error::ClientError;
use super::routes::Client;
use crate::api::event::{Event, FollowEvents};
use crate::api::glance::{OutputTails, ReadTails, WorkerSamples, samples_path};
use crate::domain::{ExecutionId, WorkerId};

/// The server says something at least every 10 seconds: longer silence means
/// that the connection is dead, whatever the system believes.
const SILENCE_LIMIT: Duration = Duration::from_secs(25);

/// How long a stream may live. The library knows no "for ever".
const LIFE: Duration = Duration::from_hours(24 * 365);

/// Longest event that is taken, bytes. None of ours comes near it.
const MAX_EVENT: usize = 1 << 20;

/// The events of one server from some moment on.
#[derive(Debug)]
pub struct EventStream {
    response: Response,
    address: String,
    frames: Frames,
}

/// Takes the text of server-sent events apart.
#[derive(Debug, Default)]
struct Frames {
    buffer: Vec<u8>,
    last_id: Option<String>,
}

impl Client {
    /// Opens a stream of events. Where `last_event_id` is given, it goes on behind
    /// that event; where the server no longer can, the first event is a reset.
    pub async fn follow_events(
        &self,
        filter: &FollowEvents,
        last_event_id: Option<&str>,
    ) -> Result<EventStream, ClientError> {
        let mut request = self.transport().get("/api/v2/events").query(filter).timeout(LIFE);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = self.transport().open(request).await?;
        Ok(EventStream {
            response,
            address: self.address().to_string(),
            frames: Frames { buffer: Vec::new(), last_id: last_event_id.map(str::to_owned) },
        })
    }
}

impl Client {
    /// The last lines of what these executions wrote.
    pub async fn output_tails(
        &self,
        executions: &[ExecutionId],
    ) -> Result<OutputTails, ClientError> {
        let ids: Vec<String> = executions.iter().map(ToString::to_string).collect();
        self.list("/api/v2/tails", &ReadTails { executions: ids.join(",") }).await
    }

    /// The figures of a worker in the last hour.
    pub async fn worker_samples(&self, id: WorkerId) -> Result<WorkerSamples, ClientError> {
        self.get(&samples_path(id)).await
    }
}

impl EventStream {
    /// The next events, as soon as there are some; none where the server only
    /// said that it lives.
    ///
    /// # Errors
    /// The stream has ended or broken: open another one behind [`Self::last_id`].
    pub async fn next(&mut self) -> Result<Vec<Event>, ClientError> {
        let lost = |cause: &str| ClientError::Lost {
            address: self.address.clone(),
            cause: cause.to_owned(),
        };
        let chunk = match timeout(SILENCE_LIMIT, self.response.chunk()).await {
            Err(_) => return Err(lost("it is silent")),
            Ok(Err(error)) => {
                return Err(ClientError::from_transport(self.address.clone(), &error));
            }
            Ok(Ok(None)) => return Err(lost("the server ended the stream of events")),
            Ok(Ok(Some(chunk))) => chunk,
        };
        self.frames
            .take(&chunk)
            .map_err(|reason| ClientError::Protocol { address: self.address.clone(), reason })
    }

    /// The id of the last event that was read.
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.frames.last_id.as_deref()
    }
}

impl Frames {
    fn take(&mut self, chunk: &[u8]) -> Result<Vec<Event>, String> {
        self.buffer.extend_from_slice(chunk);
        let mut events = Vec::new();
        let mut done = 0;
        while let Some(length) = self.buffer.get(done..).and_then(end_of_frame) {
            let frame = self.buffer.get(done..done + length).unwrap_or_default();
            let text = String::from_utf8_lossy(frame).into_owned();
            done += length;
            self.take_frame(&text, &mut events)?;
        }
        self.buffer.drain(..done);
        if self.buffer.len() > MAX_EVENT {
            return Err("an event without an end".to_owned());
        }
        Ok(events)
    }

    fn take_frame(&mut self, text: &str, events: &mut Vec<Event>) -> Result<(), String> {
        let mut data = String::new();
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.last_id = Some(value.to_owned()),
                "data" => data.push_str(value),
                // A comment, or what this version does not know.
                _ => {}
            }
        }
        if data.is_empty() {
            return Ok(());
        }
        let value: serde_json::Value = serde_json::from_str(&data)
            .map_err(|error| format!("an event cannot be read: {error}"))?;
        // A kind that a later server sends is none of our business.
        events.extend(serde_json::from_value(value));
        Ok(())
    }
}

/// The length of the first whole frame, its empty line included.
fn end_of_frame(bytes: &[u8]) -> Option<usize> {
    bytes.windows(2).position(|pair| pair == b"\n\n").map(|position| position + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = ": alive\n\nid: 5-1\ndata: {\"kind\":\"reset\"}\n\nid: 5-2\ndata: {\"kind\":\"later\"}\n\nid: 5-3\ndata: {\"kind\":\"batchdeleted\",\"name\":\"a\"}\n\n";
        for size in 1..text.len() {
            let mut frames = Frames::default();
            let mut events = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                events.extend(frames.take(chunk).unwrap());
            }
            let gone = Event::BatchDeleted { name: "a".parse().unwrap() };
            assert_eq!(events, [Event::Reset, gone]);
            assert_eq!(frames.last_id.as_deref(), Some("5-3"));
        }
    }
}
