//! Tasks in containers, with a real engine: the one at `DOCKER_HOST`.
//!
//! `tests/run` runs the tests in [`core`] a second time, with Podman.

mod core;
mod life;

use crate::engine::{Engine, IMAGE};
use crate::harness::{AgentId, Ran, Server, until};

/// A server with an agent that uses the engine.
struct Place {
    server: Server,
    agent: AgentId,
    engine: Engine,
}

impl Place {
    fn new() -> Option<Self> {
        let engine = Engine::of_this_machine()?;
        Some(Self::with(Server::start(), engine))
    }

    fn with(mut server: Server, engine: Engine) -> Self {
        let agent = server.agent(engine.agent());
        Self { server, agent, engine }
    }

    /// Runs a task in a container to its end, with its output.
    fn follow(&self, options: &[&str], command: &[&str]) -> Ran {
        let launch = ["launch", "--follow", "--docker", IMAGE];
        self.server.scitq(&[&launch[..], options, &["--"], command].concat())
    }

    fn launch(&self, options: &[&str], script: &str) -> String {
        let launch = ["--docker", IMAGE];
        self.server.launch(&[&launch[..], options, &["--", "sh", "-c", script]].concat())
    }

    fn wait_for_output(&self, id: &str, text: &str) {
        until(&format!("task {id} to write {text}"), || {
            let out = self.server.stdout(id);
            String::from_utf8_lossy(&out).contains(text).then_some(())
        });
    }

    #[track_caller]
    fn nothing_is_left(&self) {
        until("all containers to be removed", || {
            (self.engine.count(self.server.world()) == 0).then_some(())
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for container in self.engine.containers(self.server.world()) {
            self.engine.docker(&["rm", "--force", &container]);
        }
        self.engine.end();
    }
}
