//! The conversation over one welcome link: orders go down, reports come up and
//! are acknowledged when they are on disk.
//!
//! Two halves that do not wait for each other: one reads, and may have to wait
//! for the output store; the other writes.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use futures_util::stream::{FuturesOrdered, SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use rustc_hash::FxHashMap;
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::api::cache::CacheKey;
use crate::api::link::{Down, Heartbeat, OutputChunk, Report, Up, Welcome};
use crate::domain::{ExecutionId, WorkerId};

use super::super::engine::service::LinkMessage;
use super::super::engine::state::LinkId;
use super::super::link::{self, Answer, Conversation, OutputMissing};
use super::super::output::OutputError;
use super::super::store::OwnLimit;
use super::App;
use super::gate::Caller;
use super::site_storage::StorageFile;

/// Orders that are put into one write.
const MOST_AT_ONCE: usize = 256;

/// One link.
#[derive(Debug)]
pub(super) struct Session {
    reader: Reader,
    orders: mpsc::UnboundedReceiver<LinkMessage>,
}

#[derive(Debug)]
struct Reader {
    app: Arc<App>,
    conversation: Conversation,
    storage: StorageFile,
    mine: Mine,
}

/// The agent at the other end.
#[derive(Debug)]
pub(super) struct Speaker {
    pub caller: Caller,
    pub worker: WorkerId,
    pub link: LinkId,
    pub storage: StorageFile,
}

/// The executions for which this agent may send output, and how much of it is
/// kept where they have a limit of their own.
type Mine = Arc<Mutex<FxHashMap<ExecutionId, OwnLimit>>>;

/// Why a link cannot go on.
enum End {
    /// The other side is gone, or will come back.
    Closed,
    /// What it says makes no sense.
    Malformed(String),
}

impl Session {
    pub(super) fn new(
        app: &Arc<App>,
        speaker: Speaker,
        orders: mpsc::UnboundedReceiver<LinkMessage>,
        mine: FxHashMap<ExecutionId, OwnLimit>,
    ) -> Self {
        let mine = Arc::new(Mutex::new(mine));
        let Speaker { caller, worker, link, storage } = speaker;
        let conversation =
            Conversation { engine: app.engine.clone(), actor: caller.name, worker, link };
        let reader = Reader { app: Arc::clone(app), conversation, storage, mine };
        Self { reader, orders }
    }

    pub(super) const fn worker(&self) -> WorkerId {
        self.reader.conversation.worker
    }

    pub(super) const fn link(&self) -> LinkId {
        self.reader.conversation.link
    }

    /// Talks until one side leaves.
    pub(super) async fn run(self, socket: WebSocket, welcome: &Welcome) {
        let worker = self.worker();
        let Ok(text) = serde_json::to_string(&Down::Welcome(Box::new(welcome.clone()))) else {
            return;
        };
        let (mut sink, stream) = socket.split();
        if sink.send(Message::Text(text.into())).await.is_err() {
            return;
        }
        let (answers, incoming) = mpsc::unbounded_channel();
        let app = Arc::clone(&self.reader.app);
        let mine = Arc::clone(&self.reader.mine);
        let ended = tokio::select! {
            ended = self.reader.read(stream, answers) => ended,
            ended = write(&mut sink, self.orders, incoming, &mine) => ended,
            () = app.stop_asked() => End::Closed,
        };
        if let End::Malformed(problem) = ended {
            tracing::warn!(%worker, %problem, "malformed frame; the link ends");
        }
        // The other side may be gone.
        let _ = sink.close().await;
    }
}

/// Sends orders and answers down, as many in one write as there are.
async fn write(
    sink: &mut SplitSink<WebSocket, Message>,
    mut orders: mpsc::UnboundedReceiver<LinkMessage>,
    mut incoming: mpsc::UnboundedReceiver<Answer>,
    mine: &Mine,
) -> End {
    let mut answers: FuturesOrdered<Answer> = FuturesOrdered::new();
    let mut batch = Vec::with_capacity(MOST_AT_ONCE);
    loop {
        let mut frames = Vec::new();
        tokio::select! {
            // What was ordered before an answer was on disk is said before it:
            // an agent lets go on what it is not told to hold back by then.
            biased;
            count = orders.recv_many(&mut batch, MOST_AT_ONCE) => {
                if count == 0 {
                    return End::Closed;
                }
                for order in batch.drain(..) {
                    match order_frame(order, mine) {
                        Ok(frame) => frames.push(frame),
                        Err(end) => return end,
                    }
                }
            }
            Some(answer) = incoming.recv() => {
                answers.push_back(answer);
                continue;
            }
            Some(answer) = answers.next() => match answer.map(|down| serde_json::to_string(&down)) {
                Ok(Ok(frame)) => frames.push(frame),
                Ok(Err(error)) => return End::Malformed(error.to_string()),
                Err(refusal) => {
                    tracing::debug!(%refusal, "the link ends");
                    return End::Closed;
                }
            },
        }
        for frame in frames {
            if sink.feed(Message::Text(frame.into())).await.is_err() {
                return End::Closed;
            }
        }
        if sink.flush().await.is_err() {
            return End::Closed;
        }
    }
}

fn order_frame(order: LinkMessage, mine: &Mine) -> Result<String, End> {
    if let LinkMessage::Start { execution, spec, .. } = &order {
        let limit = OwnLimit(output_limit(spec));
        mine.lock().unwrap_or_else(PoisonError::into_inner).insert(*execution, limit);
    }
    let frame = link::order_frame(order).ok_or(End::Closed)?;
    frame.map_err(|error| End::Malformed(error.to_string()))
}

impl Reader {
    async fn read(
        self,
        mut stream: SplitStream<WebSocket>,
        answers: mpsc::UnboundedSender<Answer>,
    ) -> End {
        while let Some(Ok(message)) = stream.next().await {
            let answer = match message {
                Message::Text(text) => self.on_text(&text).await,
                Message::Binary(frame) => self.on_output(&frame).await,
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Close(_) => return End::Closed,
            };
            match answer {
                Ok(Some(answer)) => {
                    if answers.send(answer).is_err() {
                        return End::Closed;
                    }
                }
                Ok(None) => {}
                Err(end) => return end,
            }
        }
        End::Closed
    }

    async fn on_text(&self, text: &str) -> Result<Option<Answer>, End> {
        match serde_json::from_str(text).map_err(|error| End::Malformed(error.to_string()))? {
            Up::Hello(_) => Err(End::Malformed("a second hello".to_owned())),
            Up::Evicted { reason } => {
                self.conversation.on_evicted(reason);
                Ok(None)
            }
            Up::Heartbeat(heartbeat) => Ok(Some(self.on_heartbeat(*heartbeat))),
            Up::Reports { number, reports } => self.on_reports(number, reports).await.map(Some),
            Up::FindCached { execution, key } => Ok(Some(self.on_find_cached(execution, key))),
        }
    }

    /// The answer tells what is new about the site's storage, too.
    fn on_heartbeat(&self, heartbeat: Heartbeat) -> Answer {
        let storage = self.storage.news();
        let answer = self.conversation.on_heartbeat(heartbeat);
        Box::pin(async move {
            Ok(match answer.await? {
                Down::HeartbeatAck { number, .. } => Down::HeartbeatAck { number, storage },
                other => other,
            })
        })
    }

    /// Looks for outputs that an execution can take over.
    fn on_find_cached(&self, execution: ExecutionId, key: CacheKey) -> Answer {
        let readers = Arc::clone(&self.app.store.readers);
        Box::pin(async move {
            let found = readers.find_cached(key).await.unwrap_or_else(|error| {
                tracing::error!(%error, "cannot look for outputs to take over");
                Vec::new()
            });
            Ok(Down::Cached { execution, found })
        })
    }

    /// Passes reports on. What they say has ended has its output on disk first:
    /// an end that is recorded promises complete output.
    async fn on_reports(&self, number: u64, reports: Vec<Report>) -> Result<Answer, End> {
        let ended = link::ended(&reports);
        let mut safe = FxHashMap::default();
        if !ended.is_empty() {
            let sizes = self.app.output.sync_all(ended.clone()).await;
            let sizes = sizes.map_err(|error| store_failed(&error))?;
            safe.extend(ended.iter().copied().zip(sizes));
        }
        let is_mine = |execution| self.limit_of(execution).is_some();
        let received =
            link::receive(reports, &safe, is_mine).map_err(|OutputMissing(execution)| {
                tracing::warn!(%execution, "output is missing; the link starts over");
                End::Closed
            })?;
        for execution in ended {
            self.mine.lock().unwrap_or_else(PoisonError::into_inner).remove(&execution);
        }
        Ok(self.conversation.on_reports(number, received))
    }

    /// Stores a piece of output of an execution of this worker.
    async fn on_output(&self, frame: &Bytes) -> Result<Option<Answer>, End> {
        let chunk = OutputChunk::decode(frame)
            .ok_or_else(|| End::Malformed("an output frame without header".to_owned()))?;
        let OutputChunk { execution, stream, offset, bytes } = chunk;
        let Some(OwnLimit(limit)) = self.limit_of(execution) else {
            // Late output of an execution that is over, or somebody else's.
            return Ok(None);
        };
        match self.app.output.append(execution, stream, offset, bytes, limit).await {
            Ok(_) => Ok(None),
            Err(OutputError::Gap { .. }) => {
                let have =
                    self.app.output.sizes(execution).await.map_err(|error| store_failed(&error))?;
                Ok(Some(Box::pin(async move { Ok(Down::OutputFrom { execution, have }) })))
            }
            Err(error) => Err(store_failed(&error)),
        }
    }

    /// None: it is not this agent's.
    fn limit_of(&self, execution: ExecutionId) -> Option<OwnLimit> {
        self.mine.lock().unwrap_or_else(PoisonError::into_inner).get(&execution).copied()
    }
}

/// The limit on output that a specification names. Few do, so most are not parsed.
fn output_limit(spec: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Limit {
        output_limit: Option<u64>,
    }
    if !spec.contains("\"output_limit\"") {
        return None;
    }
    serde_json::from_str::<Limit>(spec).ok()?.output_limit
}

fn store_failed(error: &OutputError) -> End {
    tracing::error!(%error, "output cannot be stored");
    End::Closed
}
