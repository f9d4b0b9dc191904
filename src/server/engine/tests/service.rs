//! The engine's thread with a real database.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use proptest::prelude::*;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::api::event::Event;
use crate::api::link::ReportEvent;
use crate::api::task::{Dependents, Unfit};
use crate::clock::SystemClock;
use crate::domain::execution::OutputSizes;
use crate::domain::time::{Clock, Now};
use crate::domain::{ExecutionId, StoreId, TaskId, TokenId, WorkerId};

use super::super::super::store::check::check;
use super::super::super::store::tests::open_limited;
use super::super::super::store::{Store, Writer};
use super::super::command::Received;
use super::super::service::{Audience, Engine, EngineThread, LinkMessage, RequestKey};
use super::super::state::{LinkId, Policy};
use super::super::{Command, Refusal, Reply};
use super::bench::{finished, hello, lasting, new_task};

#[derive(Debug, Default)]
pub(super) struct Ear {
    ended: Mutex<Vec<TaskId>>,
}

impl Audience for Ear {
    fn publish(&self, _: Vec<Event>) {}
    fn ended(&self, tasks: &[TaskId]) {
        self.ended.lock().unwrap().extend(tasks);
    }
    fn output_complete(&self, _: &[ExecutionId]) {}
    fn tokens_revoked(&self, _: &[TokenId]) {}
    fn output_garbage(&self, _: Vec<ExecutionId>) {}
    fn fatal(&self, reason: &str) {
        panic!("{reason}");
    }
}

/// A server without network, on a folder that goes with it.
struct Server {
    directory: tempfile::TempDir,
    engine: Engine,
    store: Arc<Store>,
    actor: Arc<str>,
    ear: Arc<Ear>,
    thread: Option<EngineThread>,
}

impl Server {
    fn start() -> Self {
        Self::with(|path| Store::open(path, &StoreId("store".to_owned())).unwrap())
    }

    fn with(open: impl FnOnce(&Path) -> (Store, Writer)) -> Self {
        Self::with_clock(Arc::new(SystemClock), open)
    }

    fn with_clock(clock: Arc<dyn Clock>, open: impl FnOnce(&Path) -> (Store, Writer)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (store, writer) = open(&directory.path().join("scitq.db"));
        let (store, ear) = (Arc::new(store), Arc::new(Ear::default()));
        let audience: Arc<dyn Audience> = Arc::<Ear>::clone(&ear);
        let (engine, thread) =
            Engine::start(Arc::clone(&store), writer, clock, audience, Policy::default()).unwrap();
        Self { directory, engine, store, actor: "tester".into(), ear, thread: Some(thread) }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("scitq.db")
    }

    async fn apply(&self, command: Command) -> Result<Reply, Refusal> {
        self.engine.apply(&self.actor, command, None).await
    }

    async fn keyed(&self, command: Command, key: &str, hash: u8) -> Result<Reply, Refusal> {
        let key = RequestKey { key: key.into(), request_hash: [hash; 32] };
        self.engine.apply(&self.actor, command, Some(key)).await
    }

    async fn connect(&self, slots: u32) -> (WorkerId, UnboundedReceiver<LinkMessage>) {
        let (sender, receiver) = unbounded_channel();
        let connect = Command::Connect(Box::new(hello(LinkId(1), "w", slots, 0)));
        let reply = self.engine.connect(&self.actor, connect, LinkId(1), sender).await.unwrap();
        let Reply::Connected(connected) = reply else { panic!("{reply:?}") };
        (connected.worker, receiver)
    }

    /// What the disk has equals what the engine has.
    async fn assert_on_disk(&self) {
        let live = self.engine.query(lasting).await.unwrap();
        let loaded = self.store.load(Policy::default(), SystemClock.now()).unwrap();
        assert_eq!(lasting(&loaded), live);
        assert_eq!(check(&self.path()).unwrap(), Vec::<String>::new());
        let violations = self.engine.query(super::super::State::violations).await.unwrap();
        assert_eq!(violations, []);
    }

    /// The report that an execution has ended well, by a worker with the link 1.
    fn success(worker: WorkerId, execution: ExecutionId, task: TaskId) -> Command {
        let report = crate::api::link::Report {
            execution,
            task,
            revision: 0,
            at: SystemClock.now().wall,
            event: finished(None),
        };
        let reports = vec![Received { report, output: OutputSizes::default() }];
        Command::Report { worker, link: LinkId(1), reports }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.thread = None;
        if !std::thread::panicking() {
            assert_eq!(check(&self.path()).unwrap(), Vec::<String>::new());
        }
    }
}

/// The system's clock, and so many seconds on top.
#[derive(Debug, Default)]
struct LaterClock(AtomicU64);

impl Clock for LaterClock {
    fn now(&self) -> Now {
        let now = SystemClock.now();
        let later = Duration::from_secs(self.0.load(Ordering::SeqCst));
        Now { monotonic: now.monotonic.after(later), ..now }
    }
}

fn create() -> Command {
    Command::CreateTasks(vec![new_task("Default", 0, &[])])
}

#[tokio::test]
async fn what_is_answered_is_on_disk() {
    let server = Server::start();
    for _ in 0..5 {
        let reply = server.apply(create()).await.unwrap();
        let Reply::Created { first, .. } = reply else { panic!("{reply:?}") };
        assert!(server.store.engine_reader().unwrap().find_task(first).unwrap().is_some());
    }
    server.assert_on_disk().await;
}

#[tokio::test]
async fn an_agent_gets_its_order_when_the_assignment_is_on_disk() {
    let server = Server::start();
    server.apply(create()).await.unwrap();
    let (worker, mut orders) = server.connect(2).await;
    server.apply(create()).await.unwrap();
    for attempt_of in [1, 2] {
        let message = orders.recv().await.unwrap();
        let LinkMessage::Start { execution, task, attempt: 1, revision: 0, spec } = message else {
            panic!("{message:?}")
        };
        assert_eq!(task, TaskId(attempt_of));
        assert!(spec.contains("\"command\""));
        let row = server.store.readers.find_execution(execution).await.unwrap().unwrap();
        assert_eq!((row.task, row.worker), (task, Some(worker)));
    }
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_reply_and_does_nothing() {
    let server = Server::start();
    // At once, while the first is still being written, and when it is on disk.
    let (first, second) =
        tokio::join!(server.keyed(create(), "key", 1), server.keyed(create(), "key", 1));
    let third = server.keyed(create(), "key", 1).await;
    let created = Ok(Reply::Created { first: TaskId(1), count: 1 });
    assert_eq!((&first, &second, &third), (&created, &created, &created));
    assert_eq!(server.keyed(create(), "key", 2).await, Err(Refusal::KeyReused));
    let (_, other) =
        tokio::join!(server.keyed(create(), "new", 1), server.keyed(create(), "new", 2));
    assert_eq!(other, Err(Refusal::KeyReused));
    assert_eq!(server.engine.query(|state| state.tasks.len()).await.unwrap(), 2);
}

#[tokio::test]
async fn ended_tasks_leave_the_memory_and_come_back_for_who_names_them() {
    let server = Server::start();
    let (worker, mut orders) = server.connect(1).await;
    server.apply(create()).await.unwrap();
    let Some(LinkMessage::Start { execution, task, .. }) = orders.recv().await else { panic!() };
    server.apply(Server::success(worker, execution, task)).await.unwrap();
    // The next command is answered after the eviction.
    server.apply(Command::Tick).await.unwrap();
    assert_eq!(server.engine.query(|state| state.tasks.len()).await.unwrap(), 0);
    assert_eq!(*server.ear.ended.lock().unwrap(), [task]);
    let refused =
        server.apply(Command::CancelTasks { tasks: vec![task], unfit: Unfit::Refuse }).await;
    assert!(matches!(refused, Err(Refusal::TaskEnded(..))), "{refused:?}");
    let after = Command::CreateTasks(vec![new_task("Default", 0, &[task])]);
    server.apply(after).await.unwrap();
    server.apply(Command::RelaunchTasks { tasks: vec![task], unfit: Unfit::Refuse }).await.unwrap();
    server.assert_on_disk().await;
}

#[tokio::test]
async fn a_deleted_task_is_gone_before_its_deletion_is_on_disk() {
    let server = Server::start();
    server.apply(create()).await.unwrap();
    server
        .apply(Command::CancelTasks { tasks: vec![TaskId(1)], unfit: Unfit::Refuse })
        .await
        .unwrap();
    server.apply(Command::Tick).await.unwrap();
    let delete = || Command::DeleteTasks {
        tasks: vec![TaskId(1)],
        dependents: Dependents::Refuse,
        unfit: Unfit::Refuse,
    };
    let (first, second, relaunch) = tokio::join!(
        server.apply(delete()),
        server.apply(delete()),
        server.apply(Command::RelaunchTasks { tasks: vec![TaskId(1)], unfit: Unfit::Refuse }),
    );
    assert!(first.is_ok());
    assert_eq!(second, Err(Refusal::NoTask(TaskId(1))));
    assert_eq!(relaunch, Err(Refusal::NoTask(TaskId(1))));
    server.assert_on_disk().await;
}

#[tokio::test]
async fn a_full_disk_refuses_and_forgets_nothing_that_was_answered() {
    let server = Server::with(|path| open_limited(path, 100));
    server.apply(create()).await.unwrap();
    let (_, mut orders) = server.connect(0).await;
    let mut large = new_task("Default", 0, &[]);
    large.spec = format!(r#"{{"command":"{}"}}"#, "x".repeat(1 << 20)).into();
    let refused = server.apply(Command::CreateTasks(vec![large])).await;
    assert!(matches!(refused, Err(Refusal::Unavailable(_))), "{refused:?}");
    // Whoever holds work must compare it with what is on disk.
    while !matches!(orders.recv().await, Some(LinkMessage::Close)) {}
    server.assert_on_disk().await;
    assert_eq!(server.engine.query(|state| state.tasks.len()).await.unwrap(), 1);
    // A commit of the owner's own shows that the disk takes changes again.
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while server.engine.outage().is_some() {
        looks.tick().await;
    }
    let reply = server.apply(create()).await;
    assert_eq!(reply, Ok(Reply::Created { first: TaskId(2), count: 1 }));
    server.assert_on_disk().await;
}

#[tokio::test]
async fn the_limit_of_a_silent_workers_command_is_read_and_enforced() {
    let clock = Arc::new(LaterClock::default());
    let later: Arc<dyn Clock> = Arc::<LaterClock>::clone(&clock);
    let server =
        Server::with_clock(later, |path| Store::open(path, &StoreId("store".to_owned())).unwrap());
    let (worker, _orders) = server.connect(2).await;
    for spec in [r#"{"command":"a","run_timeout":5}"#, r#"{"command":"b"}"#] {
        let mut task = new_task("Default", 0, &[]);
        task.spec = spec.into();
        server.apply(Command::CreateTasks(vec![task])).await.unwrap();
    }
    for number in [1, 2] {
        for event in [ReportEvent::Accepted, ReportEvent::Started] {
            let mut report = Server::success(worker, ExecutionId(number), TaskId(number));
            if let Command::Report { reports, .. } = &mut report {
                reports[0].report.event = event;
            }
            server.apply(report).await.unwrap();
        }
    }
    let mut looks = tokio::time::interval(Duration::from_millis(20));
    while server.ear.ended.lock().unwrap().is_empty() {
        // Bit by bit: a server that stood still for long takes no worker for silent.
        clock.0.fetch_add(2, Ordering::SeqCst);
        server.apply(Command::Tick).await.unwrap();
        looks.tick().await;
    }
    assert_eq!(*server.ear.ended.lock().unwrap(), [TaskId(1)]);
    let left = server.engine.query(|state| state.executions.len()).await.unwrap();
    assert_eq!(left, 1, "the other has no limit");
}

#[derive(Debug, Clone)]
enum Wish {
    Create(Vec<u8>),
    Cancel(u8),
    Relaunch(u8),
    Delete(u8, bool),
    Succeed(u8),
    /// Wait for all answers.
    Settle,
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..3).prop_map(Wish::Create),
        2 => any::<u8>().prop_map(Wish::Cancel),
        3 => any::<u8>().prop_map(Wish::Relaunch),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(task, cascade)| Wish::Delete(task, cascade)),
        4 => any::<u8>().prop_map(Wish::Succeed),
        2 => Just(Wish::Settle),
    ]
}

/// Hands wishes over without waiting, so that many fall between two commits.
async fn grant(wishes: Vec<Wish>) {
    let server = Server::start();
    let (worker, orders) = server.connect(2).await;
    let mut answers = Vec::new();
    let task = |number: u8| TaskId(u64::from(number) % 12 + 1);
    for wish in wishes {
        let command = match wish {
            Wish::Create(after) => {
                let after: Vec<TaskId> = after.into_iter().map(task).collect();
                Command::CreateTasks(vec![new_task("Default", 1, &after)])
            }
            Wish::Cancel(number) => {
                Command::CancelTasks { tasks: vec![task(number)], unfit: Unfit::Refuse }
            }
            Wish::Relaunch(number) => {
                Command::RelaunchTasks { tasks: vec![task(number)], unfit: Unfit::Refuse }
            }
            Wish::Delete(number, cascade) => Command::DeleteTasks {
                unfit: Unfit::Refuse,
                tasks: vec![task(number)],
                dependents: if cascade { Dependents::Cascade } else { Dependents::Detach },
            },
            Wish::Succeed(number) => {
                let nth = usize::from(number);
                let live = server.engine.query(move |state| {
                    let count = state.executions.len().max(1);
                    let live = state.executions.iter().nth(nth % count);
                    live.map(|(id, execution)| (*id, execution.row.task))
                });
                let Some((execution, task)) = live.await.unwrap() else { continue };
                Server::success(worker, execution, task)
            }
            Wish::Settle => {
                join_all(std::mem::take(&mut answers)).await;
                continue;
            }
        };
        answers.push(server.engine.submit(&server.actor, command));
    }
    join_all(answers).await;
    server.apply(create()).await.unwrap();
    server.assert_on_disk().await;
    drop(orders);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_disk_follows_the_live_state(wishes in prop::collection::vec(wish(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(grant(wishes));
    }
}
