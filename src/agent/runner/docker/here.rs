//! A container at the terminal of a person who runs a task by hand.

use std::io::{self, IsTerminal, Read, Write};
use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, ResizeContainerTTYOptionsBuilder,
};
use futures_util::StreamExt;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use thiserror::Error as ThisError;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::sleep;

use super::body::lacking;
use super::engine::{Engine, told};
use super::give_back::give_back;
use super::order::ContainerOrder;
use crate::domain::container::OptionError;

/// How long the last output of a container that has ended may take to come.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// Exit code after Ctrl-C.
const INTERRUPTED: i32 = 130;

#[derive(Debug, ThisError)]
pub enum HereError {
    #[error(transparent)]
    Options(#[from] OptionError),
    #[error("the engine refuses the container: {message}")]
    Refused { message: String },
    #[error("the engine has hung up: {message}")]
    Broken { message: String },
    #[error("cannot use this terminal")]
    Terminal(#[from] io::Error),
    #[error("{message}")]
    GiveBack { message: String },
}

type Input = Pin<Box<dyn AsyncWrite + Send>>;

/// The terminal, as it was found; so it is left.
struct RawMode(Termios);

/// What a person does while the container runs.
struct Person {
    keys: UnboundedReceiver<Vec<u8>>,
    window: Signal,
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

/// Runs a container to its end with this process's terminal, or standard
/// streams, and removes it. Gives its exit code.
///
/// # Errors
/// It was not run, or its end is not known.
pub async fn run_here(engine: &Engine, order: &ContainerOrder) -> Result<i32, HereError> {
    let has_terminal =
        order.stdin.is_none() && io::stdin().is_terminal() && io::stdout().is_terminal();
    let body = order.body(engine.brand())?;
    if let Some(message) = lacking(&body, engine.brand()) {
        return Err(HereError::Refused { message: message.to_owned() });
    }
    let body = ContainerCreateBody {
        tty: Some(has_terminal),
        attach_stdin: Some(true),
        open_stdin: Some(true),
        stdin_once: Some(true),
        ..body
    };
    let person = Person::listen(order)?;
    let ran = run(engine, order, body, person).await;
    let given = give_back(engine, order).await;
    let removed = engine.remove(&order.name).await;
    let code = ran?;
    given.map_err(|message| HereError::GiveBack { message })?;
    removed.map_err(|error| HereError::Broken { message: told(&error) })?;
    Ok(code)
}

async fn run(
    engine: &Engine,
    order: &ContainerOrder,
    body: ContainerCreateBody,
    mut person: Person,
) -> Result<i32, HereError> {
    let refused = |error: Error| HereError::Refused { message: told(&error) };
    let (docker, name) = (engine.docker(), order.name.as_str());
    let has_terminal = body.tty == Some(true);
    let options = CreateContainerOptionsBuilder::default().name(name).build();
    docker.create_container(Some(options), body).await.map_err(refused)?;
    let options = AttachContainerOptionsBuilder::default();
    let options = options.stream(true).stdin(true).stdout(true).stderr(true).build();
    let attached = docker.attach_container(name, Some(options)).await.map_err(refused)?;
    let (mut output, mut input) = (attached.output, Some(attached.input));
    // Restored when this function is left, however that is.
    let _raw = if has_terminal { Some(RawMode::enter()?) } else { None };
    docker.start_container(name, None).await.map_err(refused)?;
    if has_terminal {
        resize(engine, name).await;
    }
    // Without a limit: people take their time.
    let patient = docker.clone().with_timeout(Duration::from_hours(24 * 365));
    let mut waiting = std::pin::pin!(patient.wait_container(name, None));
    let (mut is_open, mut code) = (true, None);
    loop {
        tokio::select! {
            biased;
            item = output.next(), if is_open => match item {
                Some(Ok(piece)) => show(piece)?,
                Some(Err(_)) | None => is_open = false,
            },
            keys = person.keys.recv(), if input.is_some() => pass(&mut input, keys).await,
            item = waiting.next(), if code.is_none() => code = Some(match item {
                Some(Ok(end)) => end.status_code,
                Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
                Some(Err(error)) => return Err(HereError::Broken { message: told(&error) }),
                None => return Err(HereError::Broken { message: "it says nothing".to_owned() }),
            }),
            _ = person.window.recv(), if has_terminal => resize(engine, name).await,
            _ = person.interrupt.recv() => return Ok(INTERRUPTED),
            _ = person.terminate.recv() => return Ok(INTERRUPTED),
            _ = person.hangup.recv() => return Ok(INTERRUPTED),
            () = sleep(LAST_OUTPUT), if code.is_some() => is_open = false,
        }
        if let Some(code) = code
            && !is_open
        {
            return Ok(i32::try_from(code).unwrap_or(i32::MAX));
        }
    }
}

impl Person {
    /// What the task reads comes first, where it reads anything; else the keys.
    fn listen(order: &ContainerOrder) -> io::Result<Self> {
        let (sender, keys) = unbounded_channel();
        let stdin = order.stdin.clone();
        // A thread of its own, which ends with the process: reads of a terminal
        // cannot be called off.
        std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
            let mut source: Box<dyn Read> = match stdin.map(std::fs::File::open) {
                Some(Ok(file)) => Box::new(file),
                Some(Err(_)) => Box::new(io::empty()),
                None => Box::new(io::stdin()),
            };
            let mut buffer = vec![0; 1 << 16];
            while let Ok(count @ 1..) = source.read(&mut buffer) {
                let keys = buffer.get(..count).unwrap_or_default().to_vec();
                if sender.send(keys).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self {
            keys,
            window: signal(SignalKind::window_change())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

impl RawMode {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // A terminal that is gone needs no mode.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Passes keys on; without any more, the container's input ends.
async fn pass(input: &mut Option<Input>, keys: Option<Vec<u8>>) {
    let Some(open) = input else { return };
    let passed = match keys {
        Some(keys) => open.write_all(&keys).await.is_ok() && open.flush().await.is_ok(),
        None => false,
    };
    if !passed {
        // The container may have ended, or closed its input.
        let _ = open.shutdown().await;
        *input = None;
    }
}

fn show(piece: LogOutput) -> io::Result<()> {
    let is_error = matches!(piece, LogOutput::StdErr { .. });
    let bytes = piece.into_bytes();
    if is_error {
        return io::stderr().write_all(&bytes);
    }
    let mut stdout = io::stdout();
    stdout.write_all(&bytes)?;
    stdout.flush()
}

/// Tells the container how large the terminal is. One that does not learn it
/// only draws worse.
async fn resize(engine: &Engine, name: &str) {
    let Ok(size) = tcgetwinsize(io::stdout()) else { return };
    let options = ResizeContainerTTYOptionsBuilder::default();
    let options = options.h(size.ws_row.into()).w(size.ws_col.into()).build();
    drop(engine.docker().resize_container_tty(name, options).await);
}
