//! `/api/v2/agent/link`: an agent's link, from its hello to its end.
//! What is said over it is in [`crate::api::link`].

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::api::link::{Down, Hello, PROTOCOL, RefusedLink, Up, Verdict, Welcome};
use crate::api::token::Role;
use crate::domain::ExecutionId;

use super::super::auth::{Principal, Secret};
use super::super::engine::Refusal;
use super::super::engine::command::{Command, Connect, Connected, Reply};
use super::App;
use super::gate::Caller;
use super::link_session::Session;

/// How long a new link may take to say hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Largest frame that is taken, bytes.
pub(super) const MAX_FRAME: usize = 64 << 20;
/// Longest worker name, bytes.
pub(super) const MAX_NAME: usize = 255;

/// Why a link ended before it was welcome.
struct NotWelcome {
    reason: RefusedLink,
    message: String,
}

/// Open an agent's link (WebSocket)
#[utoipa::path(get, path = "/api/v2/agent/link", tag = "agents",
    responses((status = 101), (status = "4XX", body = crate::api::error::ErrorBody)))]
pub(super) async fn open(
    State(app): State<Arc<App>>,
    caller: Caller,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .max_frame_size(MAX_FRAME)
        .max_message_size(MAX_FRAME)
        .on_upgrade(move |socket| serve(app, caller, socket))
}

async fn serve(app: Arc<App>, caller: Caller, mut socket: WebSocket) {
    let hello = tokio::select! {
        hello = read_hello(&mut socket) => hello,
        () = app.stop_asked() => return,
    };
    let outcome = match hello {
        Some(Ok(hello)) => welcome(&app, &caller, hello).await,
        Some(Err(refused)) => Err(refused),
        None => return,
    };
    match outcome {
        Ok(Some((session, welcome))) => {
            let (worker, link) = (session.worker(), session.link());
            session.run(socket, &welcome).await;
            let command = Command::Disconnect { worker, link };
            // During an outage the links are cut anyway.
            let _ = app.engine.apply(&caller.name, command, None).await;
            tracing::info!(%worker, "link closed");
        }
        // The agent shall come back.
        Ok(None) => {}
        Err(NotWelcome { reason, message }) => {
            tracing::warn!(?reason, %message, "link refused");
            let down = Down::Refused { reason, message };
            if let Ok(text) = serde_json::to_string(&down) {
                // A closed socket needs no reason.
                let _ = socket.send(Message::Text(text.into())).await;
                let _ = socket.send(Message::Close(None)).await;
            }
        }
    }
}

/// The first frame of a link. None: it closed or stayed silent.
async fn read_hello(socket: &mut WebSocket) -> Option<Result<Hello, NotWelcome>> {
    let first = tokio::time::timeout(HELLO_WITHIN, socket.next()).await.ok()??.ok()?;
    let refuse = |reason: RefusedLink, message: String| Some(Err(NotWelcome { reason, message }));
    let Message::Text(text) = first else {
        return refuse(RefusedLink::Invalid, "the first frame is no hello".to_owned());
    };
    let hello = match serde_json::from_str(&text) {
        Ok(Up::Hello(hello)) => *hello,
        Ok(_) => return refuse(RefusedLink::Invalid, "the first frame is no hello".to_owned()),
        Err(error) => {
            let message = format!("the hello cannot be understood: {error}");
            return refuse(RefusedLink::Invalid, message);
        }
    };
    if hello.protocol != PROTOCOL {
        let message =
            format!("the agent speaks protocol {}, this server {PROTOCOL}", hello.protocol);
        let too_old = hello.protocol < PROTOCOL;
        let reason = if too_old { RefusedLink::UpgradeNeeded } else { RefusedLink::Invalid };
        return refuse(reason, message);
    }
    let length = hello.name.len();
    if length == 0 || length > MAX_NAME || hello.name.chars().any(char::is_control) {
        let message =
            format!("a worker's name is 1 to {MAX_NAME} bytes without control characters");
        return refuse(RefusedLink::Invalid, message);
    }
    Some(Ok(hello))
}

/// Brings the engine and the agent to the same view of the world. None: this
/// server cannot welcome anybody now.
async fn welcome(
    app: &Arc<App>,
    caller: &Caller,
    hello: Hello,
) -> Result<Option<(Session, Welcome)>, NotWelcome> {
    let link = app.next_link_id();
    let bound_to = caller.principal.worker;
    // An agent that joins gets a token that speaks for its worker only.
    let secret = if bound_to.is_some() { None } else { Secret::generate().ok() };
    let held: Vec<_> = hello.held.iter().map(|held| held.execution).collect();
    let name = hello.name.clone();
    let connect = Connect {
        link,
        bound_to,
        new_token: secret.as_ref().map(|secret| secret.hash().0),
        name: hello.name.into(),
        machine: hello.machine,
        version: hello.version,
        instance: hello.instance,
        settings: hello.settings,
        store: hello.store,
        held: hello.held,
        draining: hello.draining,
        orphans: hello.orphans,
    };
    let (sender, orders) = mpsc::unbounded_channel();
    let command = Command::Connect(Box::new(connect));
    let connected = match app.engine.connect(&caller.name, command, link, sender).await {
        Ok(Reply::Connected(connected)) => *connected,
        Ok(_) | Err(Refusal::Unavailable(_)) => return Ok(None),
        Err(refusal) => {
            let reason = match refusal {
                Refusal::AlreadyConnected(_) => RefusedLink::AlreadyConnected,
                _ => RefusedLink::Forbidden,
            };
            return Err(NotWelcome { reason, message: refusal.to_string() });
        }
    };
    tracing::info!(worker = %connected.worker, %name, known = connected.known, "worker connected");
    enter_token(app, &name, &connected, secret.as_ref());
    let kept: Vec<ExecutionId> = connected
        .verdicts
        .iter()
        .filter(|(_, verdict)| {
            matches!(
                verdict,
                Verdict::Keep | Verdict::Cancelled | Verdict::Killed | Verdict::GiveBack
            )
        })
        .map(|(id, _)| *id)
        .collect();
    let Ok(mine) = app.store.readers.output_limits(kept).await else { return Ok(None) };
    let session = Session::new(app, caller, connected.worker, link, orders, mine);
    let Ok(sizes) = app.output.sizes_of(held.clone()).await else { return Ok(None) };
    let identity = app.engine.query(|state| (state.store.clone(), state.epoch)).await;
    let Ok((store, epoch)) = identity else { return Ok(None) };
    let welcome = Welcome {
        worker: connected.worker,
        token: secret.map(|secret| app.handed_out(&secret)),
        store,
        epoch,
        known: connected.known,
        settings: connected.settings,
        wanted: connected.wanted,
        lost_after_seconds: connected.lost_after.map(|lost_after| lost_after.as_secs()),
        verdicts: connected.verdicts,
        output: held.into_iter().zip(sizes).collect(),
    };
    Ok(Some((session, welcome)))
}

/// Lets the new token in, and its predecessors no longer.
fn enter_token(app: &App, name: &str, connected: &Connected, secret: Option<&Secret>) {
    for token in &connected.revoked {
        app.tokens.remove(*token);
    }
    if let (Some(secret), Some(token)) = (secret, connected.token) {
        let principal = Principal {
            token: Some(token),
            name: name.to_owned(),
            role: Role::Agent,
            worker: Some(connected.worker),
        };
        app.tokens.insert(secret.hash(), principal);
    }
}
