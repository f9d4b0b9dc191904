//! The worker of the original, in the same queue as our agents. It takes about twenty seconds
//! for each task, so each test gives it several at once.

use super::Old;
use crate::engine::{Engine, IMAGE};
use crate::harness::AgentOptions;
use crate::world::until;

impl Old {
    /// Starts an old worker and waits until it is seen.
    fn ready_worker(&self, name: &str, concurrency: u32, batch: &str) -> std::process::Child {
        let process = self.worker(name, concurrency, batch);
        until("the old worker to be seen", || {
            let list = self.server.scitq(&["manage", "worker", "list", "--json"]).ok().json();
            let workers = list.as_array().unwrap().clone();
            let seen =
                |worker: &serde_json::Value| worker["name"] == name && worker["stats"].is_object();
            workers.iter().any(seen).then_some(())
        });
        process
    }

    /// Queues a shell script and waits until it runs.
    fn running(&self, batch: &str, script: &str) -> String {
        let id = self.launch(&["-b", batch, "sh", "-c", script]);
        self.server.wait_for(&id, &["running"]);
        id
    }
}

#[test]
fn an_old_worker_runs_tasks_of_all_kinds_to_their_ends() {
    let Some(old) = Old::start() else { return };
    let engine = Engine::of_this_machine();
    let _worker = old.ready_worker("old", 8, "kinds");
    let results = old.server.path().join("results");
    let input = old.server.path().join("input.txt");
    std::fs::write(&input, "some data\n").unwrap();
    let (uri, out) =
        (format!("file://{}", input.display()), format!("file://{}/", results.display()));
    let copied = old.launch(&[
        "-b",
        "kinds",
        "-i",
        &uri,
        "-o",
        &out,
        "sh",
        "-c",
        "cat $INPUT/input.txt; cp $INPUT/* $OUTPUT; echo no >&2",
    ]);
    let failed = old.launch(&["-b", "kinds", "--retry", "1", "sh", "-c", "exit 3"]);
    let missing = old.launch(&["-b", "kinds", "-i", "file:///nowhere/at/all", "true"]);
    // Queued by our own client: the old worker is given one line that does the same.
    let ours = old.server.launch(&[
        "--batch",
        "kinds",
        "--env",
        "GREETING=hello",
        "--shell=sh",
        "--",
        "echo $GREETING | tr a-z A-Z",
    ]);
    let limited = old.launch(&["-b", "kinds", "--run-timeout", "8", "sleep", "1000"]);
    let contained = engine
        .as_ref()
        .map(|_| old.launch(&["-b", "kinds", "-d", IMAGE, "sh", "-c", "echo in a container"]));

    assert_eq!(old.server.wait_for(&copied, &["succeeded", "failed"])["state"], "succeeded");
    assert_eq!(old.server.stdout(&copied), b"some data\n");
    assert_eq!(std::fs::read_to_string(results.join("input.txt")).unwrap(), "some data\n");
    let listed = old.manage(&["execution", "list", "-i", &copied, "-L"]).ok();
    assert!(listed.text().contains("input.txt"), "{listed}");
    assert_eq!(old.server.wait_for(&ours, &["succeeded", "failed"])["state"], "succeeded");
    assert_eq!(old.server.stdout(&ours), b"HELLO\n");
    assert_eq!(old.server.wait_for(&missing, &["failed"])["failure"], "download");
    assert_eq!(old.server.wait_for(&limited, &["failed"])["failure"], "timeout");
    if let Some(contained) = contained {
        let task = old.server.wait_for(&contained, &["succeeded", "failed"]);
        assert_eq!(task["state"], "succeeded", "{task}");
        let out = old.server.stdout(&contained);
        assert_eq!(String::from_utf8_lossy(&out).trim(), "in a container");
    }
    let task = old.server.wait_for(&failed, &["failed"]);
    assert_eq!((&task["exit_code"], &task["attempts"]), (&3.into(), &2.into()));
}

#[test]
fn signals_deletions_and_pauses_reach_an_old_worker() {
    let Some(old) = Old::start() else { return };
    let _worker = old.ready_worker("old", 8, "signals");
    let traps = old.server.path().join("traps");
    std::fs::create_dir(&traps).unwrap();
    let trap = |name: &str| {
        format!(
            "trap 'echo TERM > {}/{name}; exit 7' TERM; while :; do sleep 0.2; done",
            traps.display()
        )
    };
    let ids: Vec<String> = ["stopped", "deleted"]
        .iter()
        .map(|name| old.launch(&["-b", "signals", "sh", "-c", &trap(name)]))
        .collect();
    let killed = old.launch(&["-b", "signals", "sleep", "1000"]);
    for id in ids.iter().chain([&killed]) {
        old.server.wait_for(id, &["running"]);
    }
    old.server.scitq(&["manage", "task", "stop", &ids[0], "--yes"]).ok();
    old.manage(&["task", "delete", "-i", &ids[1]]).ok();
    old.server.scitq(&["manage", "task", "kill", &killed, "--yes"]).ok();
    for name in ["stopped", "deleted"] {
        until(&format!("the {name} command to hear of it"), || {
            traps.join(name).exists().then_some(())
        });
    }
    assert_eq!(old.server.wait_for(&ids[0], &["failed"])["failure"], "cancelled");
    assert_eq!(old.server.wait_for(&killed, &["failed"])["failure"], "cancelled");
}

#[test]
fn an_old_worker_and_an_agent_share_a_batch_over_a_restart_of_the_server() {
    let Some(mut old) = Old::start() else { return };
    let _worker = old.ready_worker("old", 2, "shared");
    old.server.agent(AgentOptions { batch: Some("shared".to_owned()), ..AgentOptions::default() });
    let ids: Vec<String> = (0..4).map(|_| old.running("shared", "sleep 12; echo done")).collect();
    let workers: std::collections::BTreeSet<String> =
        ids.iter().map(|id| old.server.task(id)["worker_name"].to_string()).collect();
    assert_eq!(workers.len(), 2, "{workers:?}");
    old.server.kill9();
    old.server.restart();
    for id in &ids {
        let task = old.server.wait_for(id, &["succeeded", "failed"]);
        assert_eq!((&task["state"], &task["attempts"]), (&"succeeded".into(), &1.into()), "{task}");
        assert_eq!(old.server.stdout(id), b"done\n");
    }
}
