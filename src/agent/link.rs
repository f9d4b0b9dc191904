//! The agent's end of the link: dials, dials again, carries frames.
//!
//! What the frames mean is not known here but for three things: a welcome says
//! that the link is good, a refusal that it is not, and a token is used from
//! the next dial on.

mod carrier;

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use thiserror::Error;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request, StatusCode};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::api::client::ServerAddress;
use crate::api::error::ErrorBody;
use crate::api::fingerprint::secret_of;
use crate::api::link::{Down, RefusedLink, Up};
use crate::api::ssh::Tunnel;
use crate::domain::ExecutionId;
use crate::domain::execution::OutputSizes;

use super::fsm::{Event, Secret};
use super::token::Tokens;
use super::waits::Waits;
use carrier::{Carrier, CarrierError, connect};

/// Where the server takes links.
pub const PATH: &str = "/api/v2/agent/link";

/// How long the other side is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a connection and the opening of the WebSocket.
    pub dial: Duration,
    /// A link that brought nothing for so long is dead: heartbeats are
    /// acknowledged every 5 s.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { dial: Duration::from_secs(3), silence: Duration::from_secs(15) }
    }
}

/// Room for one read, in bytes. All of it is cleared before each, and most
/// frames are short.
const READ_BUFFER: usize = 8 << 10;

/// How long a dial by way of SSH may take.
const SSH_LIMIT: Duration = Duration::from_secs(30);

/// Waits between two dials.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// The wait after a refusal that only a person can change.
const REFUSED_WAIT: Duration = Duration::from_secs(30);

/// For the link's writer.
#[derive(Debug)]
pub enum ToLink {
    /// Send it, if the link of this number is the present one.
    Frame { link: u64, frame: Up },
    /// Close the link of this number and dial again at once.
    Redial { link: u64 },
}

/// A piece of output for the link of that number, already framed, or the word
/// that nothing more comes.
#[derive(Debug)]
pub enum OutputFrame {
    Chunk { link: u64, frame: Vec<u8> },
    End { link: u64, execution: ExecutionId, sizes: OutputSizes },
}

/// Why there can never be a link.
#[derive(Debug, Error)]
pub enum LinkError {
    #[error("the server at {server} does not take this agent's token: {message}")]
    Unauthorized { server: Box<ServerAddress>, message: String },
    #[error("the server at {server} refuses this agent: {message}")]
    Refused { server: Box<ServerAddress>, message: String },
}

/// The link and all that it needs.
#[derive(Debug)]
pub struct Link {
    server: ServerAddress,
    /// The way to a server that is reached by SSH.
    tunnel: Option<Tunnel>,
    tokens: Tokens,
    frames: UnboundedReceiver<ToLink>,
    output: Receiver<OutputFrame>,
    events: UnboundedSender<Event>,
    /// Number of the present or last link.
    number: u64,
    /// Some server has welcomed this agent: it has work that must not be left.
    was_welcomed: bool,
    waits: Waits,
    patience: Patience,
}

/// The link's ends inside the agent.
#[derive(Debug)]
pub struct Channels {
    pub frames: UnboundedReceiver<ToLink>,
    pub output: Receiver<OutputFrame>,
    pub events: UnboundedSender<Event>,
}

/// Why a conversation ended.
#[derive(Debug)]
enum End {
    /// The agent leaves.
    Detached,
    Redial,
    Silent,
    Closed,
    Refused {
        reason: RefusedLink,
        message: String,
    },
    Broken(Box<tungstenite::Error>),
}

#[derive(Debug, Error)]
enum DialError {
    #[error("the server refuses the token: {0}")]
    Unauthorized(String),
    #[error("no connection in time")]
    TimedOut,
    #[error(transparent)]
    Connect(#[from] CarrierError),
    #[error(transparent)]
    WebSocket(Box<tungstenite::Error>),
}

type Socket = WebSocketStream<Box<dyn Carrier>>;

impl Link {
    pub fn new(
        server: ServerAddress,
        tokens: Tokens,
        patience: Patience,
        channels: Channels,
    ) -> Self {
        let waits = Waits::new(FIRST_WAIT, LONGEST_WAIT);
        let Channels { frames, output, events } = channels;
        Self {
            server,
            tunnel: None,
            tokens,
            frames,
            output,
            events,
            number: 0,
            was_welcomed: false,
            waits,
            patience,
        }
    }

    /// Goes through this tunnel.
    #[must_use]
    pub fn through(mut self, tunnel: Option<Tunnel>) -> Self {
        self.tunnel = tunnel;
        self
    }

    /// Keeps a link up until the sender of the frames is dropped: then what is
    /// queued is sent and the link closed.
    ///
    /// # Errors
    /// The server refuses this agent, and has never taken it.
    pub async fn run(mut self) -> Result<(), LinkError> {
        loop {
            // ssh has a network of its own to cross, and perhaps several machines.
            let limit = if self.tunnel.is_some() { SSH_LIMIT } else { self.patience.dial };
            let dialled = timeout(limit, self.dial()).await;
            let wait = match dialled.unwrap_or(Err(DialError::TimedOut)) {
                Ok(socket) => {
                    self.number += 1;
                    let link = self.number;
                    drop(self.events.send(Event::LinkUp { link }));
                    let end = self.converse(socket).await;
                    drop(self.events.send(Event::LinkDown { link }));
                    match end {
                        End::Detached => return Ok(()),
                        end => self.on_end(end)?,
                    }
                }
                Err(error) => self.on_failed_dial(&error)?,
            };
            if self.is_detached_within(wait).await {
                return Ok(());
            }
        }
    }

    async fn dial(&self) -> Result<Socket, DialError> {
        let fingerprint = self.tokens.fingerprint();
        let stream = connect(&self.server, self.tunnel.as_ref(), fingerprint).await?;
        let request = self.request().map_err(|error| DialError::WebSocket(Box::new(error)))?;
        let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER);
        match tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(reply))
                if matches!(reply.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) =>
            {
                Err(DialError::Unauthorized(told_in(reply.body().as_deref())))
            }
            Err(error) => Err(DialError::WebSocket(Box::new(error))),
        }
    }

    fn request(&self) -> tungstenite::Result<Request<()>> {
        let mut request = self.server.websocket_url(PATH).into_client_request()?;
        if let Some(token) = self.tokens.current() {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", secret_of(&token.0)))
                .map_err(|error| tungstenite::Error::HttpFormat(error.into()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn converse(&mut self, socket: Socket) -> End {
        let (mut sink, mut stream) = socket.split();
        let mut reader = Reader {
            silence: self.patience.silence,
            link: self.number,
            events: &self.events,
            tokens: &mut self.tokens,
            waits: &mut self.waits,
            was_welcomed: &mut self.was_welcomed,
        };
        let mut writer = Writer {
            link: self.number,
            events: &self.events,
            frames: &mut self.frames,
            output: &mut self.output,
        };
        tokio::select! {
            end = reader.read(&mut stream) => end,
            end = writer.write(&mut sink) => end,
        }
    }

    /// Says how long to wait before the next dial.
    fn on_end(&mut self, end: End) -> Result<Duration, LinkError> {
        let server = &self.server;
        match end {
            End::Redial => return Ok(Duration::ZERO),
            End::Detached | End::Closed => tracing::info!(%server, "the link was closed"),
            End::Silent => tracing::warn!(%server, "the server is silent: dialling again"),
            End::Broken(error) => tracing::warn!(%server, %error, "the link broke"),
            End::Refused { reason, message } => return self.on_refused(reason, message),
        }
        Ok(self.waits.next_wait())
    }

    fn on_refused(&mut self, reason: RefusedLink, message: String) -> Result<Duration, LinkError> {
        let server = &self.server;
        match reason {
            RefusedLink::AlreadyConnected => {
                tracing::warn!(%server, "another agent speaks for this worker: {message}");
                Ok(self.waits.next_wait())
            }
            RefusedLink::UpgradeNeeded => {
                tracing::error!(
                    %server,
                    "this agent is too old for the server and keeps its tasks: {message}"
                );
                Ok(REFUSED_WAIT)
            }
            RefusedLink::Forbidden if self.tokens.refused() => {
                tracing::warn!(%server, "joining anew: {message}");
                Ok(self.waits.next_wait())
            }
            RefusedLink::Forbidden | RefusedLink::Invalid if self.was_welcomed => {
                tracing::error!(%server, "the server refuses this agent: {message}");
                Ok(REFUSED_WAIT)
            }
            RefusedLink::Forbidden | RefusedLink::Invalid => {
                Err(LinkError::Refused { server: server.clone().into(), message })
            }
        }
    }

    fn on_failed_dial(&mut self, error: &DialError) -> Result<Duration, LinkError> {
        let server = &self.server;
        if let Some(problem) = self.tunnel.as_ref().and_then(Tunnel::problem)
            && self.waits.is_first()
        {
            tracing::warn!(%server, "{problem}");
        }
        if let DialError::Unauthorized(message) = error {
            if self.tokens.refused() {
                tracing::warn!(%server, "the server does not take the worker's token: joining anew");
                return Ok(FIRST_WAIT);
            }
            if !self.was_welcomed {
                let message = message.clone();
                return Err(LinkError::Unauthorized { server: server.clone().into(), message });
            }
            tracing::error!(%server, "the server no longer takes the worker's token: {message}");
            return Ok(REFUSED_WAIT);
        }
        if self.waits.is_first() {
            tracing::warn!(%server, %error, "cannot reach the server; trying on");
        } else {
            tracing::debug!(%server, %error, "cannot reach the server");
        }
        Ok(self.waits.next_wait())
    }

    /// Waits, and says whether the agent leaves meanwhile. Frames for links
    /// that are gone are dropped.
    async fn is_detached_within(&mut self, wait: Duration) -> bool {
        let detached = async { while self.frames.recv().await.is_some() {} };
        timeout(wait, detached).await.is_ok()
    }
}

/// The half that listens.
struct Reader<'a> {
    silence: Duration,
    link: u64,
    events: &'a UnboundedSender<Event>,
    tokens: &'a mut Tokens,
    waits: &'a mut Waits,
    was_welcomed: &'a mut bool,
}

impl Reader<'_> {
    async fn read(&mut self, stream: &mut SplitStream<Socket>) -> End {
        loop {
            let Ok(message) = timeout(self.silence, stream.next()).await else {
                return End::Silent;
            };
            let text = match message {
                None | Some(Ok(Message::Close(_))) => return End::Closed,
                Some(Err(error)) => return End::Broken(Box::new(error)),
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(_)) => continue,
            };
            let frame: Down = match serde_json::from_str(text.as_str()) {
                Ok(frame) => frame,
                Err(error) => {
                    // A later version of the server may say more than we know.
                    tracing::warn!(%error, "skipped a frame that cannot be understood");
                    continue;
                }
            };
            match frame {
                Down::Refused { reason, message } => return End::Refused { reason, message },
                Down::Welcome(welcome) => {
                    *self.was_welcomed = true;
                    self.waits.reset();
                    if let Some(token) = &welcome.token {
                        self.tokens.bind(Secret(token.clone()));
                    }
                    self.tell(Down::Welcome(welcome));
                }
                frame => self.tell(frame),
            }
        }
    }

    fn tell(&self, frame: Down) {
        drop(self.events.send(Event::Frame { link: self.link, frame }));
    }
}

/// The half that speaks.
struct Writer<'a> {
    link: u64,
    events: &'a UnboundedSender<Event>,
    frames: &'a mut UnboundedReceiver<ToLink>,
    output: &'a mut Receiver<OutputFrame>,
}

impl Writer<'_> {
    /// Frames go before output, so that no report waits behind a large file.
    async fn write(&mut self, sink: &mut SplitSink<Socket, Message>) -> End {
        loop {
            let outcome = tokio::select! {
                biased;
                frame = self.frames.recv() => match frame {
                    Some(frame) => self.send_frames(sink, frame).await,
                    None => return self.close(sink).await,
                },
                Some(output) = self.output.recv() => self.send_output(sink, output).await,
            };
            match outcome {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                Err(error) => return End::Broken(Box::new(error)),
            }
        }
    }

    /// Sends this frame and all others that are queued at once.
    async fn send_frames(
        &mut self,
        sink: &mut SplitSink<Socket, Message>,
        first: ToLink,
    ) -> tungstenite::Result<Option<End>> {
        let mut next = Some(first);
        while let Some(frame) = next {
            match frame {
                ToLink::Frame { link, frame } if link == self.link => {
                    if let Some(text) = encode(&frame) {
                        sink.feed(Message::text(text)).await?;
                    }
                }
                ToLink::Redial { link } if link == self.link => return Ok(Some(End::Redial)),
                // Meant for a link that is gone.
                ToLink::Frame { .. } | ToLink::Redial { .. } => {}
            }
            next = self.frames.try_recv().ok();
        }
        sink.flush().await?;
        Ok(None)
    }

    async fn send_output(
        &mut self,
        sink: &mut SplitSink<Socket, Message>,
        output: OutputFrame,
    ) -> tungstenite::Result<Option<End>> {
        match output {
            OutputFrame::Chunk { link, frame } if link == self.link => {
                sink.send(Message::binary(Bytes::from(frame))).await?;
            }
            OutputFrame::End { link, execution, sizes } if link == self.link => {
                drop(self.events.send(Event::OutputSent { execution, link, sizes }));
            }
            // Meant for a link that is gone.
            OutputFrame::Chunk { .. } | OutputFrame::End { .. } => {}
        }
        Ok(None)
    }

    async fn close(&self, sink: &mut SplitSink<Socket, Message>) -> End {
        if let Err(error) = sink.close().await {
            tracing::debug!(%error, "the link broke while it was closed");
        }
        End::Detached
    }
}

/// The message of an error reply.
fn told_in(body: Option<&[u8]>) -> String {
    let body = body.and_then(|body| serde_json::from_slice::<ErrorBody>(body).ok());
    body.map_or_else(|| "it does not say why".to_owned(), |body| body.message)
}

fn encode(frame: &Up) -> Option<String> {
    match serde_json::to_string(frame) {
        Ok(text) => Some(text),
        Err(error) => {
            tracing::error!(%error, "a frame has no JSON form");
            None
        }
    }
}

#[cfg(test)]
mod tests;
