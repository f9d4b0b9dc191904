//! Agents that run nothing: what the server alone can do.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::{FutureExt, SinkExt, StreamExt};
use rustc_hash::FxHashMap;
use scitq::api::link::{
    Down, HEARTBEAT_SECONDS, Heartbeat, Hello, PROTOCOL, Report, ReportEvent, Up, Verdict,
};
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
use super::table::{Table, mebibytes, millis, per_task, rate};

/// What is measured.
const SWARMS: [Swarm; 5] = [
    Swarm { agents: 100, slots: 8, prefetch: 0, tasks: 50_000 },
    Swarm { agents: 100, slots: 8, prefetch: 8, tasks: 50_000 },
    Swarm { agents: 1, slots: 2, prefetch: 0, tasks: 10_000 },
    Swarm { agents: 1, slots: 2, prefetch: 4, tasks: 20_000 },
    Swarm { agents: 1, slots: 64, prefetch: 0, tasks: 50_000 },
];
/// Agents that have nothing to do.
const IDLE_AGENTS: u32 = 10_000;
/// So long the server is watched while they have nothing to do.
const IDLE_TIME: Duration = Duration::from_secs(20);
/// Agents that dial at the same time.
const DIALS: usize = 64;
/// Time between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(HEARTBEAT_SECONDS);
/// Time that all tasks may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// Agents that share a queue.
#[derive(Debug, Clone, Copy)]
pub struct Swarm {
    pub agents: u32,
    pub slots: u32,
    pub prefetch: u32,
    pub tasks: u64,
}

/// Ends of tasks that the server has acknowledged.
#[derive(Default)]
struct Ends {
    wanted: u64,
    count: AtomicU64,
    all: Notify,
}

/// One agent's end of its link.
struct Agent {
    socket: WebSocketStream<TcpStream>,
    ends: Arc<Ends>,
    /// Tells it from others.
    id: u32,
    /// Reports for the next frame.
    reports: Vec<Report>,
    /// What each frame on its way reported.
    sent: FxHashMap<u64, Vec<Report>>,
    number: u64,
}

pub async fn measure(program: &Path, table: &mut Table) -> anyhow::Result<()> {
    for swarm in SWARMS {
        let scene = Scene::start(program, None).await?;
        let task = r#"{"command":["true"]}"#;
        let tasks = vec![task; usize::try_from(swarm.tasks)?];
        scene.queue(format!(r#"{{"tasks":[{}]}}"#, tasks.join(",")), "all").await?;
        let cpu = scene.server_cpu()?;
        let start = Instant::now();
        swarm.work(&scene).await?;
        let time = start.elapsed();
        let cpu = scene.server_cpu()?.saturating_sub(cpu);
        table.alone(
            format!("{swarm}: {} tasks, dialled to succeeded", swarm.tasks),
            rate(swarm.tasks, time).0,
        );
        table.alone(format!("{swarm}: server's CPU per task"), per_task(cpu, swarm.tasks));
    }
    idle(program, table).await
}

/// What it costs the server that agents are there.
async fn idle(program: &Path, table: &mut Table) -> anyhow::Result<()> {
    let scene = Scene::start(program, None).await?;
    let ends = Arc::new(Ends::default());
    let swarm = Swarm { agents: IDLE_AGENTS, slots: 8, prefetch: 0, tasks: 0 };
    let scene_of_dials = &scene;
    let dials = futures_util::stream::iter(0..IDLE_AGENTS)
        .map(|number| Agent::dial(scene_of_dials, number, swarm, Arc::clone(&ends)))
        .buffer_unordered(DIALS);
    let mut dials = std::pin::pin!(dials);
    let mut agents = tokio::task::JoinSet::new();
    let start = Instant::now();
    while let Some(agent) = dials.next().await {
        agents.spawn(agent?.run());
    }
    let what = format!("{IDLE_AGENTS} simulated agents");
    table.alone(format!("{what} dial and are welcomed"), millis(start.elapsed()));
    let cpu = scene.server_cpu()?;
    let start = Instant::now();
    tokio::select! {
        Some(ended) = agents.join_next() => bail!("an agent ended: {ended:?}"),
        () = tokio::time::sleep(IDLE_TIME) => {}
    }
    let share =
        scene.server_cpu()?.saturating_sub(cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    table.alone(format!("{what}, idle: server's CPU"), format!("{:.1} % of a core", share * 100.0));
    table.alone(format!("{what}, idle: server's memory"), mebibytes(scene.memory()?));
    Ok(())
}

impl Swarm {
    /// Lets the agents do so many tasks, which are queued.
    pub async fn work(self, scene: &Scene) -> anyhow::Result<()> {
        let ends = Arc::new(Ends { wanted: self.tasks, ..Ends::default() });
        let mut agents = tokio::task::JoinSet::new();
        for number in 0..self.agents {
            let agent = Agent::dial(scene, number, self, Arc::clone(&ends)).await?;
            agents.spawn(agent.run());
        }
        tokio::select! {
            () = ends.all.notified() => Ok(()),
            Some(ended) = agents.join_next() => bail!("an agent ended: {ended:?}"),
            () = tokio::time::sleep(PATIENCE) => {
                bail!("only {} of {} tasks ended", ends.count.load(Ordering::Relaxed), self.tasks)
            }
        }
    }
}

impl fmt::Display for Swarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agents, slots, prefetch, .. } = self;
        write!(f, "{agents} simulated agents x {slots} slots, prefetch {prefetch}")
    }
}

impl Agent {
    async fn dial(
        scene: &Scene,
        number: u32,
        swarm: Swarm,
        ends: Arc<Ends>,
    ) -> anyhow::Result<Self> {
        let host = scene.address.trim_start_matches("http://");
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        let mut request = format!("ws://{host}/api/v2/agent/link").into_client_request()?;
        let token = HeaderValue::from_str(&format!("Bearer {}", scene.token))?;
        request.headers_mut().insert("authorization", token);
        let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
        let mut agent = Self {
            socket,
            ends,
            id: number,
            reports: Vec::new(),
            sent: FxHashMap::default(),
            number: 0,
        };
        let Swarm { slots: concurrency, prefetch, .. } = swarm;
        let settings = WorkerSettings { batch: BatchName::default(), concurrency, prefetch };
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
        let welcome = agent.socket.next().await.context("the link was closed")??;
        agent.hear(welcome)?;
        Ok(agent)
    }

    /// Takes what comes until the link ends.
    async fn run(mut self) -> anyhow::Result<()> {
        // Spread over the time, as agents that were started by people are.
        let first =
            tokio::time::Instant::now() + HEARTBEAT.mul_f64(f64::from(self.id % 1000) / 1000.0);
        let mut heartbeats = tokio::time::interval_at(first, HEARTBEAT);
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
                        pulls: Vec::new(),
                        draining: false,
                        lease_seconds: None,
                        orphans: Vec::new(),
                        transfers: Vec::new(),
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
                let outcome = Outcome { exit_code: Some(0), ..Outcome::good() };
                let ended_at = Some(SystemClock.now().wall);
                let output = OutputSizes::default();
                let event = ReportEvent::Finished { outcome, output, ended_at, cached: None };
                self.tell(report.execution, report.task, event);
            }
            ReportEvent::Finished { .. } => {
                if self.ends.count.fetch_add(1, Ordering::Relaxed) + 1 == self.ends.wanted {
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
