//! Many agents that run nothing: what the server alone can do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::{FutureExt, SinkExt, StreamExt};
use rustc_hash::FxHashMap;
use scitq::api::link::{Down, Heartbeat, Hello, PROTOCOL, Report, ReportEvent, Up, Verdict};
use scitq::clock::SystemClock;
use scitq::domain::execution::{Outcome, OutputSizes};
use scitq::domain::time::Clock;
use scitq::domain::worker::{Machine, WorkerSettings, WorkerStats};
use scitq::domain::{BatchName, ExecutionId, TaskId};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::scene::Scene;
use super::table::{Table, per_task, rate};

const AGENTS: u32 = 100;
const SLOTS: u32 = 8;
const TASKS: u64 = 50_000;
/// Time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Time that all tasks may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// Ends of tasks that the server has acknowledged.
#[derive(Default)]
struct Ends {
    count: AtomicU64,
    all: Notify,
}

/// One agent's end of its link.
struct Agent {
    socket: WebSocketStream<TcpStream>,
    ends: Arc<Ends>,
    /// Reports for the next frame.
    reports: Vec<Report>,
    /// What each frame on its way reported.
    sent: FxHashMap<u64, Vec<Report>>,
    number: u64,
}

pub async fn measure(program: &Path, table: &mut Table) -> anyhow::Result<()> {
    for prefetch in [0, SLOTS] {
        let scene = Scene::start(program, None).await?;
        let tasks = vec![r#"{"command":["true"]}"#; usize::try_from(TASKS)?];
        let body = format!(r#"{{"tasks":[{}]}}"#, tasks.join(","));
        scene.queue(body, "all").await?;
        let ends = Arc::new(Ends::default());
        let cpu = scene.server_cpu()?;
        let start = Instant::now();
        let mut agents = tokio::task::JoinSet::new();
        for number in 0..AGENTS {
            let agent = Agent::dial(&scene, number, prefetch, Arc::clone(&ends)).await?;
            agents.spawn(agent.run());
        }
        tokio::select! {
            () = ends.all.notified() => {}
            Some(ended) = agents.join_next() => bail!("an agent ended: {ended:?}"),
            () = tokio::time::sleep(PATIENCE) => {
                bail!("only {} of {TASKS} tasks ended", ends.count.load(Ordering::Relaxed));
            }
        }
        let time = start.elapsed();
        let cpu = scene.server_cpu()?.saturating_sub(cpu);
        let how = format!("{AGENTS} simulated agents x {SLOTS} slots, prefetch {prefetch}");
        table.alone(format!("{how}: {TASKS} tasks, dialled to succeeded"), rate(TASKS, time).0);
        table.alone(format!("{how}: server's CPU per task"), per_task(cpu, TASKS));
    }
    Ok(())
}

impl Agent {
    async fn dial(
        scene: &Scene,
        number: u32,
        prefetch: u32,
        ends: Arc<Ends>,
    ) -> anyhow::Result<Self> {
        let host = scene.address.trim_start_matches("http://");
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{host}/api/v2/agent/link").into_client_request()?;
        let token = HeaderValue::from_str(&format!("Bearer {}", scene.token))?;
        request.headers_mut().insert("authorization", token);
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        let mut agent =
            Self { socket, ends, reports: Vec::new(), sent: FxHashMap::default(), number: 0 };
        let settings = WorkerSettings { batch: BatchName::default(), concurrency: SLOTS, prefetch };
        let hello = Hello {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: format!("simulated-{number}"),
            machine: Machine { hostname: format!("simulated-{number}"), ..Machine::default() },
            instance: format!("instance-{number}"),
            boot_id: "boot".to_owned(),
            settings,
            store: None,
            held: Vec::new(),
            draining: false,
            lease_seconds: None,
            orphans: Vec::new(),
        };
        agent.say(&Up::Hello(Box::new(hello))).await?;
        Ok(agent)
    }

    /// Takes what comes until the link ends.
    async fn run(mut self) -> anyhow::Result<()> {
        let mut heartbeats = tokio::time::interval(HEARTBEAT);
        loop {
            tokio::select! {
                message = self.socket.next() => {
                    self.hear(message.context("the link was closed")??)?;
                    // All that is there, then one frame with all that it leads to.
                    while let Some(message) = self.socket.next().now_or_never() {
                        self.hear(message.context("the link was closed")??)?;
                    }
                    self.report().await?;
                }
                _ = heartbeats.tick() => {
                    self.number += 1;
                    let heartbeat = Heartbeat {
                        number: self.number,
                        stats: WorkerStats::default(),
                        phases: Vec::new(),
                        transfers: Vec::new(),
                        draining: false,
                        lease_seconds: None,
                        orphans: Vec::new(),
                    };
                    self.say(&Up::Heartbeat(Box::new(heartbeat))).await?;
                }
            }
        }
    }

    fn hear(&mut self, message: Message) -> anyhow::Result<()> {
        let Message::Text(text) = message else { return Ok(()) };
        match serde_json::from_str(text.as_str())? {
            Down::Start(start) => {
                self.tell(start.execution, start.task, ReportEvent::Accepted);
            }
            Down::Ack { number, verdicts } => {
                // Settled is what the server says to an end that it has recorded.
                let refused = verdicts.iter().find(|(_, verdict)| *verdict != Verdict::Settled);
                if let Some(refused) = refused {
                    bail!("the server did not take a report: {refused:?}");
                }
                for report in self.sent.remove(&number).unwrap_or_default() {
                    self.acknowledged(&report);
                }
            }
            Down::Refused { message, .. } => bail!("refused: {message}"),
            _ => {}
        }
        Ok(())
    }

    /// An acknowledged acceptance leads to a start and an end.
    fn acknowledged(&mut self, report: &Report) {
        match &report.event {
            ReportEvent::Accepted => {
                self.tell(report.execution, report.task, ReportEvent::Started);
                let outcome =
                    Outcome { failure: None, exit_code: Some(0), signal: None, usage: None };
                let ended_at = Some(SystemClock.now().wall);
                let output = OutputSizes::default();
                let event = ReportEvent::Finished { outcome, output, ended_at };
                self.tell(report.execution, report.task, event);
            }
            ReportEvent::Finished { .. } => {
                if self.ends.count.fetch_add(1, Ordering::Relaxed) + 1 == TASKS {
                    self.ends.all.notify_one();
                }
            }
            ReportEvent::Started | ReportEvent::Uploading { .. } => {}
        }
    }

    fn tell(&mut self, execution: ExecutionId, task: TaskId, event: ReportEvent) {
        self.reports.push(Report {
            execution,
            task,
            revision: 0,
            at: SystemClock.now().wall,
            event,
        });
    }

    async fn report(&mut self) -> anyhow::Result<()> {
        if self.reports.is_empty() {
            return Ok(());
        }
        self.number += 1;
        let (number, reports) = (self.number, std::mem::take(&mut self.reports));
        self.sent.insert(number, reports.clone());
        self.say(&Up::Reports { number, reports }).await
    }

    async fn say(&mut self, frame: &Up) -> anyhow::Result<()> {
        Ok(self.socket.send(Message::text(serde_json::to_string(frame)?)).await?)
    }
}
