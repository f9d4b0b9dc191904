//! An agent with its supervisor, and the server's end of its link.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use crate::agent::{AgentConfig, AgentError, Departure, Secret, Stop, run};
use crate::api::link::{
    Down, Edit, Heartbeat, Hello, OutputChunk, Report, ReportEvent, Start, Up, Verdict, Welcome,
};
use crate::domain;
use crate::domain::execution::{Outcome, OutputSizes, Stream, Suspension};
use crate::domain::worker::{WantedState, WorkerSettings};
use crate::domain::{BatchName, Epoch, ExecutionId, StoreId, TaskId, WorkerId};

const DEADLINE: Duration = Duration::from_secs(30);

/// A workdir, a program that supervises, and a server's socket.
pub struct Bench {
    folder: tempfile::TempDir,
    pub workdir: PathBuf,
    program: PathBuf,
    listener: TcpListener,
    pub token: Option<Secret>,
    pub keep_failed: Duration,
}

/// An agent at work.
pub struct Agent {
    task: JoinHandle<Result<Departure, AgentError>>,
    stops: Sender<Stop>,
}

/// The server's end of one link.
pub struct Session {
    socket: WebSocketStream<TcpStream>,
    /// What the agent showed for a token.
    pub authorization: Option<String>,
    pub hello: Hello,
    /// Whether reports are acknowledged as they come.
    pub acknowledges: bool,
    pub reports: Vec<Report>,
    pub output: BTreeMap<(u64, Stream), Vec<u8>>,
    /// The outcomes, each with the sizes that the agent told.
    pub ends: BTreeMap<u64, (Outcome, OutputSizes)>,
    pub heartbeats: u64,
    pub last_heartbeat: Option<Heartbeat>,
    pub evicted: Option<String>,
}

impl Bench {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("scitq");
        // This test program, started once more, lives the supervisor's life.
        let script = format!(
            "#!/bin/sh\nSCITQ_TEST_SUPERVISE=\"$3\" exec '{}' --exact \
             agent::supervisor::tests::as_a_supervisor --nocapture\n",
            std::env::current_exe().unwrap().display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self {
            workdir: folder.path().join("work"),
            folder,
            program,
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            token: None,
            keep_failed: Duration::from_hours(1),
        }
    }

    /// A folder for the data of a test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn task_folder(&self, execution: u64) -> PathBuf {
        self.workdir.join("tasks").join(execution.to_string())
    }

    pub fn start_agent(&self) -> Agent {
        let (stops, receiver) = channel(1);
        Agent { task: tokio::spawn(run(self.config(), receiver)), stops }
    }

    pub fn config(&self) -> AgentConfig {
        AgentConfig {
            server: format!("http://{}", self.listener.local_addr().unwrap()).parse().unwrap(),
            token: self.token.clone(),
            name: "w".to_owned(),
            settings: settings(2),
            workdir: self.workdir.clone(),
            kind: crate::agent::telemetry::MachineKind::default(),
            keep_failed: self.keep_failed,
            bandwidth: None,
            max_used_percent: 100.0,
            upload_patience: Duration::from_mins(1),
            notice: None,
            cgroup: None,
            program: self.program.clone(),
        }
    }

    pub fn kill_supervisor(&self) {
        kill_process(self.supervisor().unwrap(), Signal::KILL).unwrap();
    }

    fn supervisor(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.workdir.join("journal/supervisor.lock")).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// The agent's next dial, refused with this HTTP status.
    pub async fn refuse(&self, status: u16) {
        let (stream, _) = timeout(DEADLINE, self.listener.accept()).await.unwrap().unwrap();
        #[expect(clippy::result_large_err, reason = "the form that the library calls")]
        let refuse = |_: &Request, _: Response| {
            let mut reply = ErrorResponse::new(None);
            *reply.status_mut() = status.try_into().unwrap();
            Err(reply)
        };
        assert!(tokio_tungstenite::accept_hdr_async(stream, refuse).await.is_err());
    }

    /// The agent's next link, before it is welcomed.
    pub async fn greet(&self) -> Session {
        let (stream, _) = timeout(DEADLINE, self.listener.accept()).await.unwrap().unwrap();
        let mut authorization = None;
        #[expect(clippy::result_large_err, reason = "the form that the library calls")]
        let accept = |request: &Request, response: Response| {
            assert_eq!(request.uri().path(), "/api/v2/agent/link");
            let value = request.headers().get("authorization");
            authorization = value.map(|value| value.to_str().unwrap().to_owned());
            Ok(response)
        };
        let mut socket = tokio_tungstenite::accept_hdr_async(stream, accept).await.unwrap();
        let hello = match timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap() {
            Message::Text(text) => match serde_json::from_str(&text).unwrap() {
                Up::Hello(hello) => *hello,
                other => panic!("{other:?} before the hello"),
            },
            other => panic!("{other:?} before the hello"),
        };
        Session {
            socket,
            authorization,
            hello,
            acknowledges: true,
            reports: Vec::new(),
            output: BTreeMap::new(),
            ends: BTreeMap::new(),
            heartbeats: 0,
            last_heartbeat: None,
            evicted: None,
        }
    }

    /// The agent's next link, welcomed; everything that it holds is kept, and
    /// of its output the server has nothing.
    pub async fn welcome(&self) -> Session {
        let mut session = self.greet().await;
        let mut reply = welcome();
        let held = session.hello.held.iter();
        reply.verdicts = held.map(|held| (held.execution, Verdict::Keep)).collect();
        session.send(Down::Welcome(Box::new(reply))).await;
        session
    }
}

impl Drop for Bench {
    /// Ends the supervisor and what runs under it.
    fn drop(&mut self) {
        let Some(supervisor) = self.supervisor() else { return };
        let _ = kill_process(supervisor, Signal::KILL);
        for pid in session_of(supervisor.as_raw_nonzero().get()) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The processes of a session.
fn session_of(session: i32) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid: &i32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            rest.split(' ').nth(3) == Some(&session.to_string())
        })
        .filter_map(Pid::from_raw)
        .collect()
}

/// The kernel's letter for what the process does: `T` is stopped.
pub fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Waits for what no frame tells.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let waited = timeout(DEADLINE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain: {what}");
}

pub fn settings(concurrency: u32) -> WorkerSettings {
    WorkerSettings { batch: BatchName::default(), concurrency, prefetch: 0 }
}

pub fn welcome() -> Welcome {
    Welcome {
        worker: WorkerId(1),
        token: None,
        store: StoreId("s".to_owned()),
        epoch: Epoch(1),
        known: true,
        settings: settings(2),
        wanted: WantedState::Running,
        lost_after_seconds: Some(600),
        verdicts: Vec::new(),
        output: Vec::new(),
        storage: None,
    }
}

impl Agent {
    /// As `kill -9` would.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    pub async fn stop(self, stop: Stop) -> Result<Departure, AgentError> {
        // It may have left by itself.
        let _ = self.stops.send(stop).await;
        self.end().await
    }

    pub async fn end(self) -> Result<Departure, AgentError> {
        timeout(DEADLINE, self.task).await.expect("the agent leaves in time").unwrap()
    }
}

impl Session {
    pub async fn send(&mut self, frame: Down) {
        let text = serde_json::to_string(&frame).unwrap();
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends what an agent that has just left need not get.
    async fn answer(&mut self, frame: Down) {
        let text = serde_json::to_string(&frame).unwrap();
        let _ = self.socket.send(Message::text(text)).await;
    }

    pub async fn start(&mut self, execution: u64, spec: &serde_json::Value) {
        let start = Start {
            execution: ExecutionId(execution),
            task: TaskId(execution + 100),
            attempt: 1,
            revision: 0,
            spec: serde_json::value::to_raw_value(spec).unwrap(),
        };
        self.send(Down::Start(Box::new(start))).await;
    }

    pub async fn edit(&mut self, execution: u64, revision: u32, spec: &serde_json::Value) {
        let execution = ExecutionId(execution);
        let spec = serde_json::value::to_raw_value(spec).unwrap();
        self.send(Down::Edit(Box::new(Edit { execution, revision, spec }))).await;
    }

    pub async fn suspend(&mut self, execution: u64, suspension: Suspension) {
        self.send(Down::Suspend { execution: ExecutionId(execution), suspension }).await;
    }

    pub async fn signal(&mut self, execution: u64, signal: domain::signal::Signal) {
        self.send(Down::Signal { execution: ExecutionId(execution), signal }).await;
    }

    /// Changes nothing but what the worker is wanted to do.
    pub async fn want(&mut self, wanted: WantedState) {
        let frame = Down::Settings { settings: settings(2), wanted, lost_after_seconds: Some(600) };
        self.send(frame).await;
    }

    pub async fn order(&mut self, execution: u64, verdict: Verdict) {
        self.send(Down::Order { execution: ExecutionId(execution), verdict }).await;
    }

    /// Takes frames until the condition holds.
    pub async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let waited = timeout(DEADLINE, async {
            while !condition(self) {
                assert!(self.take().await, "the agent hung up before: {what}");
            }
        });
        let in_time = waited.await.is_ok();
        assert!(in_time, "waited in vain: {what}; reports: {:#?}", self.reports);
    }

    pub async fn until_ended(&mut self, execution: u64) -> Outcome {
        self.until("an end", |session| session.ends.contains_key(&execution)).await;
        let (outcome, sizes) = self.ends[&execution].clone();
        for (stream, size) in [(Stream::Stdout, sizes.stdout), (Stream::Stderr, sizes.stderr)] {
            let length = self.bytes(execution, stream).len() as u64;
            assert_eq!(length, size, "all of {stream} comes before the end");
        }
        outcome
    }

    pub async fn until_started(&mut self, execution: u64) {
        self.until("a start", |session| session.has(execution, &ReportEvent::Started)).await;
    }

    /// Takes frames until the agent closes the link.
    pub async fn until_closed(mut self) {
        timeout(DEADLINE, async { while self.take().await {} }).await.expect("a closed link");
    }

    pub fn has(&self, execution: u64, event: &ReportEvent) -> bool {
        let execution = ExecutionId(execution);
        self.reports.iter().any(|report| report.execution == execution && report.event == *event)
    }

    pub fn bytes(&self, execution: u64, stream: Stream) -> &[u8] {
        self.output.get(&(execution, stream)).map_or(&[], Vec::as_slice)
    }

    pub fn stdout(&self, execution: u64) -> String {
        String::from_utf8(self.bytes(execution, Stream::Stdout).to_vec()).unwrap()
    }

    pub fn stderr(&self, execution: u64) -> String {
        String::from_utf8(self.bytes(execution, Stream::Stderr).to_vec()).unwrap()
    }

    /// Takes one frame; false when the agent has closed the link.
    async fn take(&mut self) -> bool {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => self.on_frame(&text).await,
            Some(Ok(Message::Binary(bytes))) => self.on_output(&bytes),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return false,
            Some(Ok(_)) => {}
        }
        true
    }

    async fn on_frame(&mut self, text: &str) {
        match serde_json::from_str(text).unwrap() {
            Up::Hello(_) => panic!("a second hello"),
            Up::Heartbeat(heartbeat) => {
                self.heartbeats += 1;
                self.answer(Down::HeartbeatAck { number: heartbeat.number, storage: None }).await;
                self.last_heartbeat = Some(*heartbeat);
            }
            Up::Evicted { reason } => self.evicted = Some(reason),
            Up::Reports { number, reports } => {
                for report in &reports {
                    if let ReportEvent::Finished { outcome, output, .. } = &report.event {
                        self.ends.insert(report.execution.0, (outcome.clone(), *output));
                    }
                }
                self.reports.extend(reports);
                if self.acknowledges {
                    self.answer(Down::Ack { number, verdicts: Vec::new() }).await;
                }
            }
            Up::FindCached { execution, .. } => {
                self.answer(Down::Cached { execution, found: Vec::new() }).await;
            }
        }
    }

    fn on_output(&mut self, frame: &Bytes) {
        let chunk = OutputChunk::decode(frame).unwrap();
        let received = self.output.entry((chunk.execution.0, chunk.stream)).or_default();
        assert!(chunk.offset <= received.len() as u64, "a hole in {}", chunk.stream);
        received.truncate(usize::try_from(chunk.offset).unwrap());
        received.extend_from_slice(&chunk.bytes);
    }
}
