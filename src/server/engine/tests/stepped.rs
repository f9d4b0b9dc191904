//! The engine's loop under a clock that is set by hand.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::domain::StoreId;
use crate::domain::task::TaskState;
use crate::domain::time::{Clock, Now};

use super::super::super::store::{SteppedWriter, Store};
use super::super::Command;
use super::super::service::{Audience, Engine};
use super::super::state::{LinkId, Policy};
use super::super::stepped::SteppedEngine;
use super::bench::{START, hello, new_task};
use super::service::Ear;

#[derive(Debug)]
struct SetClock(Mutex<Now>);

impl Clock for SetClock {
    fn now(&self) -> Now {
        *self.0.lock().unwrap()
    }
}

struct World {
    engine: Engine,
    stepped: SteppedEngine,
    writer: SteppedWriter,
    clock: Arc<SetClock>,
}

impl World {
    fn start(path: &Path) -> Self {
        let (store, writer, stepped_writer) =
            Store::open_stepped(path, &StoreId("store".to_owned())).unwrap();
        let clock = Arc::new(SetClock(Mutex::new(START)));
        let audience: Arc<dyn Audience> = Arc::<Ear>::default();
        let as_clock: Arc<dyn Clock> = Arc::<SetClock>::clone(&clock);
        let (engine, stepped) =
            SteppedEngine::start(Arc::new(store), writer, as_clock, audience, Policy::default())
                .unwrap();
        Self { engine, stepped, writer: stepped_writer, clock }
    }

    fn apply(&mut self, command: Command) {
        drop(self.engine.submit(&"tester".into(), command));
        self.turn();
    }

    fn turn(&mut self) {
        self.stepped.turn();
        while let Some(job) = self.writer.next_job() {
            self.writer.carry_out(job);
            self.stepped.turn();
        }
    }

    fn pass(&mut self, time: Duration) {
        let mut now = self.clock.0.lock().unwrap();
        now.monotonic = now.monotonic.after(time);
        drop(now);
        self.turn();
    }

    fn state(&self) -> TaskState {
        let mut tasks = self.stepped.state().tasks.iter();
        tasks.next().map(|(_, task)| task.life.state()).expect("one task")
    }
}

#[test]
fn a_server_that_stood_still_takes_no_worker_for_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::start(&folder.path().join("scitq.db"));
    world.apply(Command::CreateTasks(vec![new_task("Default", 0, &[])]));
    world.apply(Command::Connect(Box::new(hello(LinkId(1), "w", 1, 0))));
    assert_eq!(world.state(), TaskState::Assigned);
    world.pass(Duration::from_hours(1));
    assert_eq!(world.state(), TaskState::Assigned, "nobody could have been heard");
    for _ in 0..20 {
        world.pass(Duration::from_secs(1));
    }
    assert_eq!(world.state(), TaskState::Pending, "silent while the server listened");
}
