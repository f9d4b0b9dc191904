//! Outputs that cannot be sent, and are sent once more.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::harness::{AgentId, AgentOptions, Server};

/// A server with an agent, and a place to which nothing can be sent.
struct Scene {
    server: Server,
    agent: AgentId,
    blocked: PathBuf,
}

const SCRIPT: &str = "echo run >>$RUNS; echo result >$OUTPUT/result";

impl Scene {
    fn new() -> Self {
        let mut server = Server::start();
        let agent = server.agent(AgentOptions::default());
        let blocked = server.path().join("blocked");
        // A file where a folder is wanted.
        fs::write(&blocked, "").unwrap();
        Self { server, agent, blocked }
    }

    /// A task whose upload is refused.
    fn failed(&self) -> Value {
        let env = format!("RUNS={}", self.server.path().join("runs").display());
        let output = format!("file://{}/out/", self.blocked.display());
        let options = ["--shell", "--env", &env, "--output", &output, "--", SCRIPT];
        let task = self.server.launch(&options);
        let task = self.server.wait_for(&task, &["failed"]);
        assert_eq!(task["failure"], "upload");
        assert_eq!(task["exit_code"], 0);
        task
    }

    fn retry(&self, task: &Value) {
        self.server.scitq(&["manage", "task", "retry-upload", &task["id"].to_string()]).ok();
    }

    fn runs(&self) -> usize {
        fs::read_to_string(self.server.path().join("runs")).unwrap().lines().count()
    }
}

#[test]
fn a_refused_upload_fails_the_task_and_its_files_are_sent_on_demand() {
    let scene = Scene::new();
    let task = scene.failed();
    let execution = task["execution"].to_string();
    let kept = scene.server.workdir(scene.agent).join("tasks").join(&execution).join("output");
    assert_eq!(fs::read_to_string(kept.join("result")).unwrap(), "result\n");
    // Still refused, it fails again and keeps them.
    scene.retry(&task);
    let id = task["id"].to_string();
    let again = scene.server.wait_for(&id, &["failed"]);
    assert_eq!(again["failure"], "upload");
    assert!(kept.join("result").exists());
    fs::remove_file(&scene.blocked).unwrap();
    scene.retry(&task);
    let done = scene.server.wait_for(&id, &["succeeded"]);
    assert_eq!((&done["execution"], &done["attempts"]), (&task["execution"], &1.into()));
    assert_eq!(done["exit_code"], 0);
    assert_eq!(fs::read_to_string(scene.blocked.join("out/result")).unwrap(), "result\n");
    assert_eq!(scene.runs(), 1);
    crate::harness::until("the kept files to go", || (!kept.exists()).then_some(()));
    let text = ["manage", "task", "retry-upload", &id];
    scene.server.scitq(&text).refused(1, "there is nothing to send once more");
}

/// A task whose outputs are on their way for minutes.
fn slow_upload(server: &mut Server, more: &[&str]) -> String {
    let env = [("SCITQ_AGENT_BANDWIDTH".to_owned(), "1M".to_owned())].into();
    server.agent(AgentOptions { env, ..AgentOptions::default() });
    let output = format!("file://{}/out/", server.path().display());
    let script = "head -c 200M /dev/zero >$OUTPUT/big";
    let id = server.launch(&[&["--shell", "-o", &output][..], more, &["--", script]].concat());
    crate::harness::until("the upload to begin", || {
        (server.task(&id)["executions"][0]["phase"] == "uploading").then_some(())
    });
    id
}

#[test]
fn an_upload_that_takes_too_long_fails_and_keeps_its_files() {
    let mut server = Server::start();
    let id = slow_upload(&mut server, &["--upload-timeout", "1", "--run-timeout", "60"]);
    let task = server.wait_for(&id, &["failed"]);
    assert_eq!((&task["failure"], &task["exit_code"]), (&"upload".into(), &0.into()), "{task}");
    let reason = task["failure_reason"].as_str().unwrap();
    assert!(reason.contains("1 s, the upload limit"), "{reason}");
    let kept = server.path().join("work/worker/tasks").join(task["execution"].to_string());
    assert!(kept.join("output/big").exists());
    let shown = server.scitq(&["manage", "task", "show", &id]).ok();
    assert!(shown.text().contains("upload limit"), "{shown}");
}

#[test]
fn an_upload_is_ended_by_a_person() {
    let mut server = Server::start();
    let id = slow_upload(&mut server, &[]);
    server.scitq(&["manage", "task", "stop", "--yes", &id]).ok();
    let task = server.wait_for(&id, &["failed"]);
    assert_eq!(task["failure"], "cancelled", "{task}");
    assert!(!server.path().join("out/big").exists());
}

#[test]
fn outputs_can_be_sent_to_another_place_after_an_edit() {
    let scene = Scene::new();
    let task = scene.failed();
    let id = task["id"].to_string();
    let other = format!("file://{}/other/", scene.server.path().display());
    let update = ["manage", "task", "update", &id, "--output", &other, "--no-run", "--yes"];
    scene.server.scitq(&update).ok();
    scene.retry(&task);
    scene.server.wait_for(&id, &["succeeded"]);
    let sent = scene.server.path().join("other/result");
    assert_eq!(fs::read_to_string(sent).unwrap(), "result\n");
    assert_eq!(scene.runs(), 1);
}

#[test]
fn a_worker_that_is_away_or_has_lost_the_files_says_so() {
    let mut scene = Scene::new();
    let task = scene.failed();
    let id = task["id"].to_string();
    scene.server.stop_agent(scene.agent);
    crate::harness::until("the worker to be missed", || {
        let ran = scene.server.scitq(&["manage", "task", "retry-upload", &id]);
        (ran.code() == 1 && ran.stderr.contains("is not connected")).then_some(())
    });
    fs::remove_dir_all(scene.server.workdir(scene.agent).join("tasks")).unwrap();
    scene.server.start_agent(scene.agent);
    crate::harness::until("the worker to be heard again", || {
        let ran = scene.server.scitq(&["manage", "task", "retry-upload", &id]);
        (ran.code() == 0).then_some(())
    });
    let reason = "are no longer on this worker";
    let failed = crate::harness::until("the task to fail again", || {
        let task = scene.server.wait_for(&id, &["failed"]);
        task["failure_reason"].as_str()?.contains(reason).then_some(task)
    });
    assert_eq!(failed["failure"], "upload");
    assert_eq!(scene.runs(), 1);
}
