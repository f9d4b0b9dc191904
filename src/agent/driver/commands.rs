//! Commands, through the supervisor.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal as SystemSignal;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::sleep;

use crate::agent::fsm::{CommandEnd, CommandState, Event, Exit, NotStarted, Order};
use crate::agent::runner::docker::KILL_SIGNAL;
use crate::agent::runner::group::TaskGroups;
use crate::agent::runner::{Job, WorkerFacts, process};
use crate::agent::supervisor::{
    EndRecord, Exit as ProcessExit, KnownExecution, SignalError, SignalRefusal, SpawnError,
    SpawnRefusal, SpawnRequest, SupervisorClient, SupervisorClientError, SupervisorEvent,
    connect_or_start,
};
use crate::agent::telemetry::OomCounter;
use crate::agent::waits::Waits;
use crate::agent::workdir::TaskDirs;
use crate::domain::ExecutionId;
use crate::domain::signal::Signal;
use crate::domain::task::TaskSpec;

use super::containers::Containers;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The agent's hold on its commands.
#[derive(Debug)]
pub struct Commands {
    workdir: PathBuf,
    program: PathBuf,
    facts: WorkerFacts,
    events: UnboundedSender<Event>,
    /// None while there is no supervisor.
    client: Option<Arc<SupervisorClient>>,
    /// A new supervisor is being looked for.
    connecting: Option<UnboundedReceiver<Connected>>,
    told: UnboundedReceiver<SupervisorEvent>,
    oom: OomCounter,
    containers: Containers,
    /// None: commands run without groups of their own.
    groups: Option<TaskGroups>,
}

type Connected = (SupervisorClient, Vec<KnownExecution>, UnboundedReceiver<SupervisorEvent>);

impl Commands {
    /// Connects to the supervisor of the workdir, which is started if there is
    /// none, and gives all that it knows.
    ///
    /// # Errors
    /// There is no supervisor to be had.
    pub async fn connect(
        workdir: PathBuf,
        program: PathBuf,
        facts: WorkerFacts,
        groups: Option<TaskGroups>,
        events: UnboundedSender<Event>,
    ) -> Result<(Self, Event), SupervisorClientError> {
        let (client, known, told) = connect_or_start(&workdir, &program).await?;
        let client = Some(Arc::new(client));
        let oom = OomCounter::start();
        let containers = Containers::new(workdir.clone());
        let mut commands = Self {
            workdir,
            program,
            facts,
            events,
            client,
            connecting: None,
            told,
            oom,
            containers,
            groups,
        };
        let event = commands.known(known);
        Ok((commands, event))
    }

    /// What the supervisor tells next; when it is gone, another one is looked
    /// for. May be dropped and called again at any time.
    pub async fn next_event(&mut self) -> Event {
        loop {
            if let Some(connecting) = &mut self.connecting {
                let Some((client, known, told)) = connecting.recv().await else {
                    self.reconnect();
                    continue;
                };
                self.connecting = None;
                self.client = Some(Arc::new(client));
                self.told = told;
                return self.known(known);
            }
            let told = self.told.recv().await.unwrap_or(SupervisorEvent::Gone);
            return self.on_told(&told);
        }
    }

    /// An event of the supervisor that is there already.
    pub fn ready_event(&mut self) -> Option<Event> {
        let told = self.told.try_recv().ok()?;
        Some(self.on_told(&told))
    }

    pub fn spawn(&mut self, order: &Order, concurrency: u32) {
        self.facts.concurrency = concurrency;
        let execution = order.execution;
        let dirs = TaskDirs::new(&self.workdir, execution);
        let job = Job {
            execution,
            task: order.task,
            attempt: order.attempt,
            spec: &order.spec,
            dirs: &dirs,
            worker: &self.facts,
        };
        let events = self.events.clone();
        let request = if order.spec.container.is_some() {
            self.containers.spawn_request(&job, &order.store.0, &self.program)
        } else {
            process::spawn_request(&job)
                .map_err(|error| NotStarted { exit_code: Some(127), reason: error.to_string() })
        };
        let request = match request {
            Ok(request) => self.grouped(request, &order.spec),
            Err(failure) => {
                return tell_not_started(&events, execution, &dirs.stderr(), failure);
            }
        };
        // Without a supervisor the next one says that it knows nothing of it.
        let Some(client) = self.client.clone() else { return };
        tokio::spawn(async move { spawn(&client, request, &events).await });
    }

    /// The same in a group of its own, where this worker has groups. Containers
    /// have groups of their engine.
    fn grouped(&self, mut request: SpawnRequest, spec: &TaskSpec) -> SpawnRequest {
        let Some(groups) = &self.groups else { return request };
        if spec.container.is_some() {
            return request;
        }
        let execution = request.execution;
        match groups.make(execution, spec.memory) {
            Ok(group) => request.group = Some(group),
            Err(error) => {
                let base = groups.base().display();
                tracing::error!(%execution, %error, %base, "a command runs without a limit on its memory");
            }
        }
        request
    }

    /// Signals are sent in the order of the calls.
    pub fn signal(&self, execution: ExecutionId, signal: Signal) {
        let Some(client) = &self.client else { return };
        tracing::info!(%execution, %signal, "signalling a command");
        let sent = if self.containers.has(execution) {
            number_for_watcher(signal)
        } else {
            number(signal).as_raw()
        };
        let outcome = client.signal(execution, sent);
        tokio::spawn(async move {
            match outcome.await {
                Ok(())
                | Err(SignalError::Gone | SignalError::Refused(SignalRefusal::NotRunning { .. })) =>
                    {}
                Err(error) => tracing::error!(%execution, %error, "cannot signal a command"),
            }
        });
    }

    pub fn forget(&mut self, execution: ExecutionId) {
        self.containers.forget(execution);
        if let Some(groups) = &mut self.groups {
            groups.remove(execution);
        }
        if let Some(client) = &self.client {
            client.forget(execution);
        }
    }

    /// Leaves the supervisor alone with the commands.
    pub async fn leave(self) {
        if let Some(client) = self.client.and_then(Arc::into_inner) {
            client.goodbye().await;
        }
    }

    fn known(&mut self, known: Vec<KnownExecution>) -> Event {
        self.containers.on_known(&known);
        if let Some(groups) = &mut self.groups {
            groups.sweep(&known.iter().map(KnownExecution::execution).collect());
        }
        let states = known.into_iter().map(|known| {
            let execution = known.execution();
            let state = match known {
                KnownExecution::Running { started_at, .. } => CommandState::Running { started_at },
                KnownExecution::Ended(end) => CommandState::Ended(self.end(&end)),
            };
            (execution, state)
        });
        Event::SupervisorUp(states.collect())
    }

    fn on_told(&mut self, told: &SupervisorEvent) -> Event {
        match told {
            SupervisorEvent::Ended(end) => {
                Event::Ended { execution: end.execution, end: self.end(end) }
            }
            SupervisorEvent::Gone => {
                self.client = None;
                self.reconnect();
                Event::SupervisorDown
            }
        }
    }

    fn end(&mut self, record: &EndRecord) -> CommandEnd {
        let mut end = command_end(record);
        if self.containers.has(record.execution) {
            return self.containers.end(record.execution, end);
        }
        let Some(figures) =
            self.groups.as_ref().and_then(|groups| groups.figures(record.execution))
        else {
            if let Exit::Signal { number, out_of_memory } = &mut end.exit {
                *out_of_memory = *number == SystemSignal::KILL.as_raw() && self.oom.has_moved();
            }
            return end;
        };
        if let (Some(usage), Some(peak)) = (&mut end.usage, figures.peak_bytes) {
            usage.peak_memory_bytes = peak;
        }
        end.exit = match end.exit {
            Exit::Code(code) if code != 0 && figures.kills > 0 => {
                Exit::OutOfMemory { code: Some(code), signal: None }
            }
            Exit::Signal { number, .. }
                if number == SystemSignal::KILL.as_raw() && figures.kills > 0 =>
            {
                Exit::OutOfMemory { code: None, signal: Some(number) }
            }
            exit => exit,
        };
        end
    }

    fn reconnect(&mut self) {
        let (found, connecting) = tokio::sync::mpsc::unbounded_channel();
        self.connecting = Some(connecting);
        let (workdir, program) = (self.workdir.clone(), self.program.clone());
        tokio::spawn(async move {
            let mut waits = Waits::new(FIRST_WAIT, LONGEST_WAIT);
            loop {
                match connect_or_start(&workdir, &program).await {
                    Ok(connected) => return drop(found.send(connected)),
                    Err(error) => {
                        let wait = waits.next_wait();
                        tracing::error!(%error, ?wait, "there is no supervisor; trying again");
                        sleep(wait).await;
                    }
                }
                if found.is_closed() {
                    return;
                }
            }
        });
    }
}

async fn spawn(client: &SupervisorClient, request: SpawnRequest, events: &UnboundedSender<Event>) {
    let execution = request.execution;
    let stderr = request.stderr.clone();
    match client.spawn(request).await {
        Ok(spawned) => {
            drop(events.send(Event::Started { execution, at: spawned.started_at }));
        }
        Err(SpawnError::Refused(SpawnRefusal::AlreadyKnown { .. })) => {
            on_already_known(client, execution, events).await;
        }
        Err(SpawnError::Refused(refusal)) => {
            let failure =
                NotStarted { exit_code: refusal.exit_code(), reason: refusal.to_string() };
            tell_not_started(events, execution, &stderr, failure);
        }
        // What became of it shows when there is a supervisor again.
        Err(SpawnError::Gone) => {}
    }
}

/// A watcher cannot catch the signals that nobody can: others stand for them.
const fn number_for_watcher(signal: Signal) -> i32 {
    match signal {
        Signal::Kill => KILL_SIGNAL,
        Signal::Stop => SystemSignal::TSTP.as_raw(),
        signal => number(signal).as_raw(),
    }
}

/// Numbers of signals differ between machines.
const fn number(signal: Signal) -> SystemSignal {
    match signal {
        Signal::Hup => SystemSignal::HUP,
        Signal::Int => SystemSignal::INT,
        Signal::Quit => SystemSignal::QUIT,
        Signal::Abrt => SystemSignal::ABORT,
        Signal::Kill => SystemSignal::KILL,
        Signal::Usr1 => SystemSignal::USR1,
        Signal::Usr2 => SystemSignal::USR2,
        Signal::Alrm => SystemSignal::ALARM,
        Signal::Term => SystemSignal::TERM,
        Signal::Cont => SystemSignal::CONT,
        Signal::Stop => SystemSignal::STOP,
        Signal::Tstp => SystemSignal::TSTP,
        Signal::Winch => SystemSignal::WINCH,
    }
}

/// The agent before this one was killed right after it had asked for the same
/// start, so the supervisor did not name it when this one came.
async fn on_already_known(
    client: &SupervisorClient,
    execution: ExecutionId,
    events: &UnboundedSender<Event>,
) {
    let known = client.list().await.unwrap_or_default();
    let event =
        known.iter().find(|known| known.execution() == execution).map(|known| match known {
            KnownExecution::Running { started_at, .. } => {
                Event::Started { execution, at: *started_at }
            }
            KnownExecution::Ended(end) => Event::Ended { execution, end: command_end(end) },
        });
    if let Some(event) = event {
        drop(events.send(event));
    }
}

fn command_end(end: &EndRecord) -> CommandEnd {
    let exit = match end.exit {
        ProcessExit::Code(code) => Exit::Code(code),
        ProcessExit::Signal(number) => Exit::Signal { number, out_of_memory: false },
        ProcessExit::Lost => Exit::Lost {
            reason: "its supervisor died, and what was left of the command was killed".to_owned(),
        },
    };
    CommandEnd { exit, usage: Some(end.usage), started_at: end.started_at, ended_at: end.ended_at }
}

/// Says in the task's own stderr why there is no command, then to the agent.
fn tell_not_started(
    events: &UnboundedSender<Event>,
    execution: ExecutionId,
    stderr: &Path,
    failure: NotStarted,
) {
    if let Err(error) = append(stderr, &format!("scitq: {}\n", failure.reason)) {
        tracing::warn!(%execution, %error, "cannot write why a command was not started");
    }
    drop(events.send(Event::NotStarted { execution, failure }));
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}
