//! The stream of events: opened again whenever it breaks.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;

use crate::api::event::FollowEvents;
use crate::api::{Client, ClientError};
use crate::tui::effect::{Action, StreamNews};

/// First and longest pause before the stream is opened again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3));

/// Follows the events that are wanted until nobody listens any more.
pub async fn follow_events(
    client: Client,
    mut wanted: watch::Receiver<FollowEvents>,
    actions: UnboundedSender<Action>,
) {
    let mut last_id: Option<String> = None;
    let mut pause = PAUSES.0;
    loop {
        let filter = wanted.borrow_and_update().clone();
        let error = tokio::select! {
            error = follow_once(&client, &filter, &mut last_id, &mut pause, &actions) => error,
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                // All is read again once the other stream is there, so nothing
                // has to be told that the one before left out.
                last_id = None;
                continue;
            }
        };
        if actions.send(Action::Stream(StreamNews::Down(error))).is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn follow_once(
    client: &Client,
    filter: &FollowEvents,
    last_id: &mut Option<String>,
    pause: &mut Duration,
    actions: &UnboundedSender<Action>,
) -> ClientError {
    let opened = client.follow_events(filter, last_id.as_deref()).await;
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(error) => return error,
    };
    // When nobody listens the caller finds out.
    let _ = actions.send(Action::Stream(StreamNews::Up));
    *pause = PAUSES.0;
    loop {
        match stream.next().await {
            Ok(events) => {
                *last_id = stream.last_id().map(str::to_owned);
                let _ = actions.send(Action::Stream(StreamNews::Events(events)));
            }
            Err(error) => return error,
        }
    }
}
