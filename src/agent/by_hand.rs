//! A task by hand: its data, container and command on this machine, at the
//! terminal of a person. The server learns nothing of it.

use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};

use super::cache::{CacheError, ResourceCache};
use super::runner::docker::here::{HereError, run_here};
use super::runner::docker::pull::PullProgress;
use super::runner::docker::{Address, Engine, EngineError, order};
use super::runner::process::{self, CommandError};
use super::runner::{Job, UserEnvironment, WorkerFacts};
use super::stage::{self, StageError, Staged};
use super::telemetry::{MachineKind, TelemetryError, detect_machine};
use super::workdir::{TaskDirs, WorkdirError};
use crate::clock::SystemClock;
use crate::domain::byte_string::ByteString;
use crate::domain::task::TaskSpec;
use crate::domain::{ExecutionId, StoreId, TaskId};
use crate::storage::Transfer;

/// In the folder of a task by hand: which task that is.
const MARK: &str = ".scitq-task";

/// Where the resources of a task by hand are kept, in its folder.
const KEPT: &str = ".resources";

/// No execution has this number.
const NO_EXECUTION: ExecutionId = ExecutionId(0);

/// A task that a person runs.
#[derive(Debug)]
pub struct ByHand {
    task: TaskId,
    spec: TaskSpec,
    /// Address of the server, for tasks that queue tasks.
    server: String,
    folder: PathBuf,
    dirs: TaskDirs,
}

#[derive(Debug, Error)]
pub enum ByHandError {
    #[error("`{}` is there, and is no folder of task {task}", folder.display())]
    Taken { folder: PathBuf, task: TaskId },
    #[error("cannot use the folder `{}`", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error(transparent)]
    Dirs(#[from] WorkdirError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error(transparent)]
    Data(#[from] StageError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Machine(#[from] TelemetryError),
    #[error("the task is no command")]
    Command(#[from] CommandError),
    #[error("cannot start `{program}`")]
    Start { program: String, source: io::Error },
    #[error(transparent)]
    Container(#[from] HereError),
}

impl ByHand {
    /// Makes the folder of a task, or goes on in the one that was made for it
    /// before.
    ///
    /// # Errors
    /// The folder belongs to something else, or cannot be made.
    pub fn begin(
        task: TaskId,
        spec: TaskSpec,
        server: String,
        folder: &Path,
    ) -> Result<Self, ByHandError> {
        let failed = |source| ByHandError::Folder { folder: folder.to_owned(), source };
        let absolute = std::path::absolute(folder).map_err(failed)?;
        let mark = absolute.join(MARK);
        let is_own = fs::read_to_string(&mark).is_ok_and(|text| text.trim() == task.to_string());
        let is_empty = fs::read_dir(&absolute).is_ok_and(|mut entries| entries.next().is_none());
        if absolute.exists() && !is_own && !is_empty {
            return Err(ByHandError::Taken { folder: absolute, task });
        }
        fs::create_dir_all(&absolute).map_err(failed)?;
        fs::write(&mark, format!("{task}\n")).map_err(failed)?;
        let dirs = TaskDirs::at(absolute.clone());
        let owner = (spec.uid, spec.gid);
        dirs.create(owner)?;
        if let Some(bytes) = &spec.stdin {
            dirs.write_stdin(bytes.as_bytes(), owner)?;
        }
        Ok(Self { task, spec, server, folder: absolute, dirs })
    }

    /// Where the task's folders are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Brings the task's inputs and resources, and its image.
    ///
    /// # Errors
    /// Something cannot be had.
    pub async fn fetch(
        &self,
        transfer: &Transfer,
        tell: &(dyn Fn(&PullProgress) + Send + Sync),
    ) -> Result<Staged, ByHandError> {
        let cache = ResourceCache::open(&self.folder.join(KEPT), Arc::new(SystemClock))?;
        let staged = stage::download(&self.spec, &self.dirs, &cache, transfer).await?;
        if let Some(image) = &self.spec.container {
            let engine = engine().await?;
            engine.fetch(image, self.spec.pull.unwrap_or_default(), tell).await?;
        }
        Ok(staged)
    }

    /// Runs the task's command, or a shell in its place, and gives its exit code.
    ///
    /// # Errors
    /// It was not run, or its end is not known.
    pub async fn run(&self, shell: Option<&str>) -> Result<i32, ByHandError> {
        let mut spec = self.spec.clone();
        if let Some(shell) = shell {
            let words = vec![ByteString::from(shell)];
            spec.command = crate::domain::task::Command::Arguments(words);
            (spec.shell, spec.stdin) = (None, None);
        }
        let machine = detect_machine(&self.folder, MachineKind::default())?;
        let worker = WorkerFacts {
            name: machine.hostname,
            server: self.server.clone(),
            cores: machine.cores,
            memory_bytes: machine.memory_bytes,
            concurrency: 1,
            user: UserEnvironment::of_this_process(),
        };
        let job = Job {
            execution: NO_EXECUTION,
            task: self.task,
            attempt: 1,
            spec: &spec,
            dirs: &self.dirs,
            worker: &worker,
        };
        if spec.container.is_some() {
            self.run_container(&job).await
        } else {
            run_process(&job).await
        }
    }

    async fn run_container(&self, job: &Job<'_>) -> Result<i32, ByHandError> {
        let address = Address::find().ok_or(EngineError::None)?;
        let engine = Engine::connect(&address).await?;
        let store = StoreId("by-hand".to_owned());
        let (_, mut order) = order::spawn_request(job, &store, &address, Path::new(""))?;
        order.name = format!("scitq-by-hand-{}-{}", self.task, std::process::id());
        // No agent shall take it for one of its own that nobody watches.
        order.labels.retain(|label, _| label != order::WORKDIR_LABEL);
        let folder = self.folder.to_string_lossy().into_owned();
        order.labels.insert(order::BY_HAND_LABEL.to_owned(), folder);
        Ok(run_here(&engine, &order).await?)
    }
}

async fn engine() -> Result<Engine, EngineError> {
    let address = Address::find().ok_or(EngineError::None)?;
    Engine::connect(&address).await
}

async fn run_process(job: &Job<'_>) -> Result<i32, ByHandError> {
    let request = process::spawn_request(job)?;
    let Some((program, arguments)) = request.arguments.split_first() else {
        return Err(CommandError::Empty.into());
    };
    let failed = |source| ByHandError::Start {
        program: program.as_os_str().to_string_lossy().into_owned(),
        source,
    };
    let stdin = match &request.stdin {
        Some(path) => fs::File::open(path).map(Stdio::from).map_err(failed)?,
        None => Stdio::inherit(),
    };
    let mut command = Command::new(program.as_os_str());
    command
        .args(arguments.iter().map(ByteString::as_os_str))
        .env_clear()
        .envs(request.environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())))
        .current_dir(&request.directory)
        .stdin(stdin);
    if let Some(gid) = request.gid {
        command.gid(gid);
    }
    if let Some(uid) = request.uid {
        command.uid(uid);
    }
    // Ctrl-C is for the command: this process hears of it and goes on.
    let _interrupts = signal(SignalKind::interrupt()).map_err(failed)?;
    let _quits = signal(SignalKind::quit()).map_err(failed)?;
    let ended = tokio::task::spawn_blocking(move || command.status()).await;
    let status = ended.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}
