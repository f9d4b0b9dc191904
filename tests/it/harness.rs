//! A server with its agents, for a test: the real programs, started and ended as a person or a
//! service manager would.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub use crate::world::{Ran, World, until, until_within};

/// The program under test.
pub const SCITQ: &str = env!("CARGO_BIN_EXE_scitq");

/// A server, its agents and its data.
///
/// Dropped, it kills all that it started; in a test that fails it first shows the logs.
#[derive(Debug)]
pub struct Server {
    world: World,
    process: Option<Child>,
    serve_options: Vec<String>,
    scheme: String,
    serve_env: BTreeMap<String, String>,
    address: String,
    agents: Vec<Agent>,
}

/// How an agent is started.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    pub name: String,
    pub concurrency: u32,
    pub batch: Option<String>,
    /// The variables say where the server is, and no option does.
    pub by_variable: bool,
    /// A program with arguments that starts the agent.
    pub launcher: Vec<String>,
    /// Another address than the server's own.
    pub server: Option<String>,
    /// Variables on top of those that every program of a test has.
    pub env: BTreeMap<String, String>,
}

/// The number of an agent within its [`Server`].
#[derive(Debug, Clone, Copy)]
pub struct AgentId(usize);

#[derive(Debug)]
struct Agent {
    options: AgentOptions,
    process: Option<Child>,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            name: "worker".to_owned(),
            concurrency: 2,
            batch: None,
            by_variable: false,
            server: None,
            launcher: Vec::new(),
            env: BTreeMap::new(),
        }
    }
}

impl Server {
    /// A server on a free port, with no agent.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server on a free port with further options of `scitq serve`.
    pub fn start_with(options: &[&str]) -> Self {
        Self::start_in(World::new(), options)
    }

    /// The same in a world that was made before.
    pub fn start_in(world: World, options: &[&str]) -> Self {
        Self::start_in_at(world, "127.0.0.1:0", options, BTreeMap::new())
    }

    /// The same on a given address and port.
    pub fn start_at(address: &str, options: &[&str]) -> Self {
        Self::start_in_at(World::new(), address, options, BTreeMap::new())
    }

    /// In a world that was made before, with further variables.
    pub fn start_with_env(world: World, options: &[&str], env: BTreeMap<String, String>) -> Self {
        Self::start_in_at(world, "127.0.0.1:0", options, env)
    }

    /// With all that can be chosen.
    pub fn start_in_at(
        world: World,
        address: &str,
        options: &[&str],
        env: BTreeMap<String, String>,
    ) -> Self {
        let mut server = Self {
            world,
            process: None,
            serve_options: options.iter().map(ToString::to_string).collect(),
            scheme: "http".to_owned(),
            serve_env: env,
            address: address.to_owned(),
            agents: Vec::new(),
        };
        server.run();
        server
    }

    /// A server that the test has started itself in this world.
    pub fn of(world: World, address: &str) -> Self {
        let address = address.to_owned();
        let (serve_options, serve_env) = (Vec::new(), BTreeMap::new());
        let (process, scheme, agents) = (None, "http".to_owned(), Vec::new());
        Self { world, process, serve_options, scheme, serve_env, address, agents }
    }

    pub fn world(&self) -> &World {
        &self.world
    }

    /// The folder of this test, for files of its own.
    pub fn path(&self) -> &Path {
        self.world.path()
    }

    /// The server's data directory.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The first administrator's token.
    pub fn admin_token(&self) -> String {
        fs::read_to_string(self.data().join("admin.token")).unwrap().trim().to_owned()
    }

    /// Any program, in the administrator's environment.
    pub fn program(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.world.command(program);
        command
            .env("SCITQ_SERVER", self.url())
            .env("SCITQ_TOKEN_FILE", self.data().join("admin.token"));
        command
    }

    /// A command of the CLI as the administrator types it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(SCITQ);
        command.args(arguments);
        command
    }

    /// Runs it to its end.
    pub fn scitq(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments))
    }

    /// The same with another token, or with none.
    pub fn scitq_as(&self, token: Option<&str>, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        // Elsewhere than where the server leaves word of itself and of the administrator's token.
        command.env_remove("SCITQ_TOKEN_FILE").env("XDG_RUNTIME_DIR", self.path().join("tmp"));
        if let Some(token) = token {
            command.env("SCITQ_TOKEN", token);
        }
        Ran::of(command)
    }

    /// Queues a task and returns its id.
    #[track_caller]
    pub fn launch(&self, arguments: &[&str]) -> String {
        let ran = self.scitq(&[&["launch"], arguments].concat()).ok();
        assert!(ran.text().parse::<u64>().is_ok(), "no id: {ran}");
        ran.text().to_owned()
    }

    /// All about one task.
    #[track_caller]
    pub fn task(&self, id: &str) -> Value {
        self.scitq(&["manage", "task", "show", id, "--json"]).ok().json()
    }

    /// Waits until the task is in one of these states, and returns all about it.
    #[track_caller]
    pub fn wait_for(&self, id: &str, states: &[&str]) -> Value {
        until(&format!("task {id} to be {states:?}"), || {
            let task = self.task(id);
            states.contains(&task["state"].as_str()?).then_some(task)
        })
    }

    /// What the task's latest execution wrote to stdout.
    pub fn stdout(&self, id: &str) -> Vec<u8> {
        self.scitq(&["manage", "task", "output", id, "--stdout"]).ok().stdout
    }

    /// Starts an agent and waits until the server sees it.
    pub fn agent(&mut self, options: AgentOptions) -> AgentId {
        let id = AgentId(self.agents.len());
        self.agents.push(Agent { options, process: None });
        self.start_agent(id);
        id
    }

    /// Starts an agent that was killed or has ended.
    pub fn start_agent(&mut self, id: AgentId) {
        let options = self.agents[id.0].options.clone();
        let words: Vec<&str> = options.launcher.iter().map(String::as_str).chain([SCITQ]).collect();
        let mut command = self.world.command(words[0]);
        command
            .args(&words[1..])
            .args(["agent", "--name", &options.name])
            .args(["--concurrency", &options.concurrency.to_string()])
            .arg("--workdir")
            .arg(self.workdir(id))
            .env("SCITQ_TOKEN_FILE", self.data().join("admin.token"))
            .envs(&options.env);
        if !options.by_variable {
            command.args(["--server", &options.server.unwrap_or_else(|| self.url())]);
        }
        if let Some(batch) = &options.batch {
            command.args(["--batch", batch]);
        }
        self.agents[id.0].process = Some(self.world.spawn(&options.name, command));
        until(&format!("agent {} to be seen", options.name), || {
            let list = self.scitq(&["manage", "worker", "list", "--json"]);
            let list: Value = serde_json::from_slice(&list.stdout).ok()?;
            let is_seen =
                |worker: &Value| worker["name"] == *options.name && worker["seen"] == "online";
            list.as_array()?.iter().any(is_seen).then_some(())
        });
    }

    /// Changes how an agent is started the next time.
    pub fn set_agent_variable(&mut self, id: AgentId, name: &str, value: &str) {
        self.agents[id.0].options.env.insert(name.to_owned(), value.to_owned());
    }

    /// The agent's work folder.
    pub fn workdir(&self, id: AgentId) -> PathBuf {
        self.path().join("work").join(&self.agents[id.0].options.name)
    }

    /// Sends a signal to an agent, and to nothing else.
    pub fn signal_agent(&self, id: AgentId, signal: Signal) {
        let process = self.agents[id.0].process.as_ref().expect("the agent runs");
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    /// Kills an agent, and nothing else, at once.
    pub fn kill9_agent(&mut self, id: AgentId) {
        let mut process = self.agents[id.0].process.take().expect("the agent runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Ends an agent as a service manager does.
    pub fn stop_agent(&mut self, id: AgentId) -> ExitStatus {
        let process = self.agents[id.0].process.take().expect("the agent runs");
        terminate(process)
    }

    /// Kills the server, and nothing else, at once.
    pub fn kill9(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Ends the server as a service manager does.
    pub fn stop(&mut self) -> ExitStatus {
        terminate(self.process.take().expect("the server runs"))
    }

    /// Sends a signal to the server, and to nothing else.
    pub fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the server runs");
        kill_process(Pid::from_child(process), signal).unwrap();
    }

    /// The process of the server, for a look at what the system knows of it.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server runs").id()
    }

    /// Changes the options with which the server is started the next time.
    pub fn set_options(&mut self, options: &[&str]) {
        self.serve_options = options.iter().map(ToString::to_string).collect();
    }

    /// Starts the server again, on the same data and port.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the server runs");
        self.run();
    }

    /// `scitq serve` on the given data directory, ready to be started.
    pub fn serve_command(world: &World, address: &str, data: &Path) -> Command {
        let mut command = world.command(SCITQ);
        command.args(["serve", "--listen", address, "--data"]).arg(data);
        command
    }

    fn run(&mut self) {
        let file = self.data().join("server.json");
        // Left by a server that was killed, it would name an address of the past.
        let _ = fs::remove_file(&file);
        let mut command = Self::serve_command(&self.world, &self.address, &self.data());
        command.args(&self.serve_options).envs(&self.serve_env);
        let mut process = self.world.spawn("server", command);
        (self.scheme, self.address) = until("the server to say where it listens", || {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("the server ended with {status}");
            }
            let text = fs::read(&file).ok()?;
            let value: Value = serde_json::from_slice(&text).ok()?;
            let (scheme, address) = value["address"].as_str()?.split_once("://")?;
            Some((scheme.to_owned(), address.to_owned()))
        });
        self.process = Some(process);
    }
}

fn terminate(mut process: Child) -> ExitStatus {
    kill_process(Pid::from_child(&process), Signal::TERM).unwrap();
    until("a process to end after SIGTERM", || process.try_wait().unwrap())
}
