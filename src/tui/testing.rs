//! Objects and states for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::json;

use super::config::{Config, Memory};
use super::effect::{Action, Effect};
use super::keymap::{Key, Keymap};
use super::state::{Access, Setup, State};
use super::theme::Theme;
use super::update::update;
use super::view;
use crate::api::batch::BatchView;
use crate::api::hiring::{FlavorView, JobView, RecruiterView};
use crate::api::task::TaskView;
use crate::api::worker::WorkerView;
use crate::domain::Timestamp;
use crate::domain::flavor::{Flavor, ProviderName, RegionName};
use crate::domain::time::{Monotonic, Now};

/// 2026-11-25 12:00:00 UTC.
pub fn now() -> Now {
    Now {
        wall: Timestamp(1_795_608_000_000_000),
        monotonic: Monotonic(Duration::from_secs(1_000_000)),
    }
}

pub fn later(seconds: u64) -> Now {
    let now = now();
    Now {
        wall: Timestamp(now.wall.0 + i64::try_from(seconds).unwrap() * 1_000_000),
        monotonic: now.monotonic.after(Duration::from_secs(seconds)),
    }
}

pub fn state(width: u16, height: u16) -> State {
    State::new(Setup {
        address: "http://127.0.0.1:5000".to_owned(),
        now: now(),
        zone: TimeZone::UTC,
        size: (width, height),
        access: Access::Full,
        config: Config::default(),
        keymap: Keymap::new(&BTreeMap::new()).unwrap(),
        theme: Theme::default(),
        memory: Memory::default(),
    })
}

/// A pending task.
pub fn task(id: u64) -> TaskView {
    serde_json::from_value(json!({
        "id": id, "batch": "test", "state": "pending", "command": "sort reads.txt",
        "attempts": 0, "created_at": "2026-11-25T11:00:00Z",
        "state_since": "2026-11-25T11:00:00Z", "priority": 0, "revision": 0,
        "created_by": "admin"
    }))
    .unwrap()
}

pub fn worker(id: u64, name: &str) -> WorkerView {
    serde_json::from_value(json!({
        "id": id, "name": name, "batch": "test", "state": "running", "wanted": "running",
        "seen": "online", "concurrency": 4, "prefetch": 1,
        "machine": {"hostname": name, "machine_id": "m", "cores": 8, "memory_bytes": 1_u64 << 34},
        "version": "2.0.0", "slots": {"taken": 3, "total": 4}, "assigned": 0, "accepted": 1,
        "running": 3, "succeeded": 120, "failed": 2,
        "registered_at": "2026-11-25T10:00:00Z", "last_contact": "2026-11-25T11:59:58Z",
        "created_by": "admin",
        "stats": {
            "cpu_user_percent": 71.5, "cpu_iowait_percent": 6.0, "memory_percent": 48.2,
            "load": [3.1, 2.8, 2.5], "disk_percent": {"/": 61.0, "/scratch": 92.5},
            "disk_read": {"bytes_per_second": 52_428_800.0, "total_bytes": 1_u64 << 36},
            "disk_write": {"bytes_per_second": 1_048_576.0, "total_bytes": 1_u64 << 33},
            "network_sent": {"bytes_per_second": 0.0, "total_bytes": 1_u64 << 20},
            "network_received": {"bytes_per_second": 262_144.0, "total_bytes": 1_u64 << 30}
        }
    }))
    .unwrap()
}

pub fn batch(name: &str, counts: &[(&str, u64)]) -> BatchView {
    let mut tasks = json!({
        "waiting": 0, "pending": 0, "assigned": 0, "accepted": 0, "running": 0, "paused": 0,
        "succeeded": 0, "failed": 0
    });
    for (state, count) in counts {
        tasks[state] = json!(count);
    }
    serde_json::from_value(json!({
        "name": name, "pause": "no", "tasks": tasks, "workers": {"running": 2, "offline": 1},
        "slots": {"taken": 6, "total": 8},
        "runtime": {"count": 120, "mean": 312.0, "minimum": 12.5, "maximum": 4_000.0,
            "median": 290.0, "percentile_95": 900.0},
        "throughput": 4.2, "remaining_seconds": 5_400.0
    }))
    .unwrap()
}

/// What two providers would have.
pub fn flavors() -> Vec<FlavorView> {
    let flavor = |name: &str, provider: &str, region: &str, cpu: u32, cost: f64| {
        let (provider, region) = (ProviderName::new(provider), RegionName::new(region));
        let mut flavor = Flavor::new(name, &provider, &region, cpu);
        flavor.ram = Some(f64::from(cpu) * 3.75);
        flavor.disk = Some(50.0);
        flavor.cost = Some(cost);
        flavor.currency = "EUR".to_owned();
        flavor.eviction = Some(0.0);
        FlavorView { flavor, available: Some(12) }
    };
    let mut flavors = vec![
        flavor("b2-7", "ovh", "GRA11", 2, 0.09),
        flavor("b2-7", "ovh", "UK1", 2, 0.1),
        flavor("b2-30", "ovh", "GRA11", 8, 0.35),
        flavor("Standard_D8", "azure", "swedencentral", 8, 0.41),
    ];
    flavors[3].flavor.tags = "S".to_owned();
    flavors[3].flavor.eviction = Some(5.0);
    flavors
}

/// Jobs in all states.
pub fn jobs() -> Vec<JobView> {
    let job = |id: u64, action: &str, state: &str| {
        json!({
            "id": id, "action": action, "state": state, "worker": id, "batch": "test",
            "target": format!("lab-node{id}"), "provider": "ovh", "region": "GRA11",
            "flavor": "b2-7", "tries_left": 3, "created_by": "admin",
            "created_at": "2026-11-25T11:55:00Z", "since": "2026-11-25T11:58:00Z",
        })
    };
    let mut jobs = vec![
        job(1, "deploy", "succeeded"),
        job(2, "create", "failed"),
        job(3, "deploy", "running"),
        job(4, "destroy", "pending"),
    ];
    jobs[1]["reason"] = json!("quota of 8 cores is used up");
    jobs[2]["progress"] = json!(45);
    jobs[2]["line"] = json!("waiting for the agent to call");
    serde_json::from_value(json!(jobs)).unwrap()
}

/// A recruiter that hires and one that only takes over.
pub fn recruiters() -> Vec<RecruiterView> {
    serde_json::from_value(json!([
        {"batch": "test", "rank": 1, "flavor": "auto:cpu>=8", "provider": "auto",
         "region": "auto", "concurrency": {"workers": 4}, "prefetch": 1,
         "tasks_per_worker": 4, "maximum_workers": 20, "workers": 3},
        {"batch": "test", "rank": 2, "flavor": "b2-7",
         "concurrency": {"per_task": {"cpu": 2, "memory": 4.0}}, "prefetch": 0,
         "tasks_per_worker": 1, "workers": 3}
    ]))
    .unwrap()
}

/// Types keys as the configuration names them, with spaces between.
pub fn press(state: &mut State, keys: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for name in keys.split_whitespace() {
        let key = Key::parse(name).unwrap();
        let now = state.now;
        effects.extend(update(state, now, Action::Key(key, key.event())));
    }
    effects
}

/// Types a text letter by letter.
pub fn type_in(state: &mut State, text: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for letter in text.chars() {
        let code = crossterm::event::KeyCode::Char(letter);
        let event = crossterm::event::KeyEvent::from(code);
        let now = state.now;
        effects.extend(update(state, now, Action::Key(Key::of(event), event)));
    }
    effects
}

/// The frame as text.
pub fn frame(state: &State) -> String {
    let mut buffer = Buffer::empty(Rect::new(0, 0, state.size.0, state.size.1));
    view::draw(state, &mut buffer);
    super::run::text_of(&buffer)
}
