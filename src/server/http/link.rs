//! `/api/v2/agent/link`: an agent's link, from its hello to its end.
//! What is said over it is in [`crate::api::link`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::api::link::{Down, Hello, RefusedLink, Welcome};
use crate::api::token::Role;

use super::super::auth::{Principal, Secret};
use super::super::engine::command::{Command, Connected, Reply};
use super::super::link::{self, NotWelcome};
use super::App;
use super::gate::Caller;
use super::link_session::{Session, Speaker};
use super::site_storage::{Audience, StorageFile};

/// How long a new link may take to say hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Largest frame that is taken, bytes.
pub(super) const MAX_FRAME: usize = 64 << 20;
/// Room for one read, bytes. It is zeroed before each, and every link has one.
const READ_BUFFER: usize = 8 << 10;

/// Open an agent's link (WebSocket)
#[utoipa::path(get, path = "/api/v2/agent/link", tag = "agents",
    responses((status = 101), (status = "4XX", body = crate::api::error::ErrorBody)))]
pub(super) async fn open(
    State(app): State<Arc<App>>,
    caller: Caller,
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let audience = Audience::of_plain(peer.map(|Extension(ConnectInfo(address))| address));
    let storage = StorageFile::new(&app, audience);
    upgrade
        .read_buffer_size(READ_BUFFER)
        .max_frame_size(MAX_FRAME)
        .max_message_size(MAX_FRAME)
        .on_upgrade(move |socket| serve(app, caller, storage, socket))
}

async fn serve(app: Arc<App>, caller: Caller, storage: StorageFile, mut socket: WebSocket) {
    let hello = tokio::select! {
        hello = read_hello(&mut socket) => hello,
        () = app.stop_asked() => return,
    };
    let outcome = match hello {
        Some(Ok(hello)) => welcome(&app, &caller, storage, hello).await,
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
    let Message::Text(text) = first else {
        let message = "the first frame is no hello".to_owned();
        return Some(Err(NotWelcome { reason: RefusedLink::Invalid, message }));
    };
    Some(link::read_hello(&text))
}

/// Brings the engine and the agent to the same view of the world. None: this
/// server cannot welcome anybody now.
async fn welcome(
    app: &Arc<App>,
    caller: &Caller,
    storage: StorageFile,
    hello: Hello,
) -> Result<Option<(Session, Welcome)>, NotWelcome> {
    let link_id = app.next_link_id();
    let bound_to = caller.principal.worker;
    // An agent that joins gets a token that speaks for its worker only. Whether it
    // joins is for the engine to say.
    let secret = Secret::generate().ok();
    let held: Vec<_> = hello.held.iter().map(|held| held.execution).collect();
    let name = hello.name.clone();
    let hash = secret.as_ref().map(|secret| secret.hash().0);
    let (sender, orders) = mpsc::unbounded_channel();
    let command = Command::Connect(Box::new(link::connect(hello, link_id, bound_to, hash)));
    let connected = match app.engine.connect(&caller.name, command, link_id, sender).await {
        Ok(Reply::Connected(connected)) => *connected,
        Ok(_) => return Ok(None),
        Err(refusal) => return link::on_refusal(&refusal).map_or(Ok(None), Err),
    };
    tracing::info!(worker = %connected.worker, %name, known = connected.known, "worker connected");
    enter_token(app, &name, &connected, secret.as_ref());
    let wanted = link::still_wanted(&connected);
    let Ok(mine) = app.store.readers.output_limits(wanted).await else { return Ok(None) };
    let news = storage.news();
    let speaker =
        Speaker { caller: caller.clone(), worker: connected.worker, link: link_id, storage };
    let session = Session::new(app, speaker, orders, mine);
    let Ok(sizes) = app.output.sizes_of(held.clone()).await else { return Ok(None) };
    let identity = app.engine.query(|state| (state.store.clone(), state.epoch)).await;
    let Ok(identity) = identity else { return Ok(None) };
    let token = secret.filter(|_| connected.token.is_some()).map(|secret| app.handed_out(&secret));
    let output = held.into_iter().zip(sizes).collect();
    let welcome = Welcome { storage: news, ..link::welcome(connected, token, identity, output) };
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
