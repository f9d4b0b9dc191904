//! Control of a running queue from the command line: every verb against the
//! real server and a real agent.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{AgentOptions, Ran, Server, until};

/// Runs a verb of `manage task` on this task.
fn task(server: &Server, verb: &[&str]) -> Ran {
    server.scitq(&[&["manage", "task"], verb].concat())
}

/// Names of all tasks that a list with these options has.
fn names(server: &Server, options: &[&str]) -> Vec<String> {
    let list = task(server, &[&["list", "--json"], options].concat()).ok().json();
    let names = list.as_array().unwrap().iter().map(|task| task["name"].as_str().unwrap_or(""));
    names.map(str::to_owned).collect()
}

/// An editor that does as this shell script says with the file `$1`.
fn editor(server: &Server, script: &str) -> PathBuf {
    let path = server.path().join("editor");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn edit(server: &Server, script: &str, arguments: &[&str]) -> Ran {
    let mut command = server.command(&[&["manage", "task", "edit"], arguments].concat());
    command.env("EDITOR", editor(server, script));
    Ran::of(command)
}

/// Runs a command line with this text on its standard input.
fn with_input(server: &Server, arguments: &[&str], input: &str) -> Ran {
    let path = server.path().join("input");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(input.as_bytes()).unwrap();
    let mut command = server.command(arguments);
    command.stdin(Stdio::from(fs::File::open(&path).unwrap()));
    Ran::of(command)
}

#[test]
fn tasks_are_described_by_what_they_have_in_common() {
    let server = Server::start();
    for (name, batch, tag) in
        [("align-1", "qc", "soil"), ("align-2", "qc", "sea"), ("count-1", "other", "soil")]
    {
        let id = server.launch(&["--name", name, "--batch", batch, "--", "echo", name]);
        task(&server, &["update", &id, "--tag", &format!("project={tag}")]).ok();
    }
    assert_eq!(names(&server, &["--name", "align-*"]), ["align-1", "align-2"]);
    assert_eq!(names(&server, &["--batch", "other"]), ["count-1"]);
    assert_eq!(names(&server, &["--sort", "name:desc", "--limit", "2"]), ["count-1", "align-2"]);
    assert_eq!(names(&server, &["--command", "ount"]), ["count-1"]);
    assert_eq!(names(&server, &["--tag", "project=soil"]), ["align-1", "count-1"]);
    let columns = task(&server, &["list", "-H", "--columns", "name,id", "--batch", "qc"]).ok();
    assert_eq!(columns.text(), "align-1  1\nalign-2  2");
    let dry = task(&server, &["cancel", "--dry-run", "--name", "align-*"]).ok();
    assert_eq!(dry.text(), "1\n2");
    assert!(dry.stderr.contains("would cancel 2 tasks (pending): align-1, align-2"), "{dry}");
    assert_eq!(server.task("1")["state"], "pending");
    let cancelled = task(&server, &["cancel", "--yes", "--name", "align-*", "--tag", "project"]);
    assert_eq!(cancelled.ok().text(), "1\n2");
    let rest = with_input(&server, &["manage", "task", "cancel", "--yes", "-"], "3\n");
    assert_eq!(rest.ok().text(), "3");
    let bad = with_input(&server, &["manage", "task", "cancel", "--yes", "-"], "3\nx\n");
    bad.refused(2, "`x` is no id");
}

#[test]
fn a_held_task_starts_when_it_is_resumed() {
    let mut server = Server::start();
    let id = server.launch(&["--", "true"]);
    let after = server.launch(&["--after", &id, "--", "true"]);
    task(&server, &["hold", &id]).ok();
    task(&server, &["pause", &after]).ok();
    let held = server.task(&id);
    assert_eq!((&held["state"], &held["hold"]), (&json!("paused"), &json!("person")));
    task(&server, &["hold", &id]).refused(1, "paused already");
    server.agent(AgentOptions::default());
    let other = server.launch(&["--", "true"]);
    server.wait_for(&other, &["succeeded"]);
    assert_eq!(server.task(&id)["state"], "paused");
    task(&server, &["resume", "--yes", "--batch", "Default"]).ok();
    server.wait_for(&after, &["succeeded"]);
    task(&server, &["resume", &id]).refused(1, "not paused");
}

#[test]
fn a_command_is_suspended_signalled_and_ended() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let script = "trap 'echo got usr1' USR1; trap 'echo got term; exit 3' TERM; echo ready; \
                  while :; do sleep 0.1; done";
    let id = server.launch(&["--shell", "--retry", "3", "--", script]);
    until("the command to be ready", || (server.stdout(&id) == b"ready\n").then_some(()));
    task(&server, &["hold", &id]).refused(1, "runs already");
    task(&server, &["pause", &id]).ok();
    server.wait_for(&id, &["paused"]);
    task(&server, &["resume", &id]).ok();
    server.wait_for(&id, &["running"]);
    task(&server, &["signal", "sigusr1", &id]).ok();
    until("the signal to arrive", || {
        String::from_utf8_lossy(&server.stdout(&id)).contains("got usr1").then_some(())
    });
    task(&server, &["stop", &id]).refused(1, "cannot ask whether to stop task 1");
    task(&server, &["stop", "--yes", &id]).ok();
    let ended = server.wait_for(&id, &["failed"]);
    assert_eq!((&ended["failure"], &ended["attempts"]), (&json!("cancelled"), &json!(1)));
    assert!(String::from_utf8_lossy(&server.stdout(&id)).contains("got term"));
    let stubborn = server.launch(&["--shell", "--", "trap '' TERM; while :; do sleep 0.1; done"]);
    server.wait_for(&stubborn, &["running"]);
    task(&server, &["kill", "--yes", &stubborn]).ok();
    let ended = server.wait_for(&stubborn, &["failed"]);
    assert_eq!((&ended["failure"], &ended["signal"]), (&json!("cancelled"), &json!(9)));
}

#[test]
fn commands_are_edited_in_bulk_with_a_preview() {
    let server = Server::start();
    let line = server.launch(&["--name", "a", "--", "echo v1.2 v1.2"]);
    let vector = server.launch(&["--name", "b", "--", "echo", "v1.2 x", "y"]);
    let other = server.launch(&["--name", "c", "--", "echo", "other"]);
    let replace = ["update", "--name", "*", "--replace", "v1.2", "v$1"];
    let preview = task(&server, &[&replace[..], &["--dry-run"]].concat()).ok();
    assert_eq!(
        preview.text(),
        "1  command: echo [-v1.2-]{+v$1+} [-v1.2-]{+v$1+}\n2  command: echo [-'v1.2-]{+'v$1+} x' y"
    );
    let refused = task(&server, &replace).refused(1, "cannot ask whether to change 2 tasks");
    assert!(refused.stderr.contains("{+v$1+}"), "the change is shown first: {refused}");
    assert_eq!(task(&server, &[&replace[..], &["--yes"]].concat()).ok().text(), "1\n2");
    assert_eq!(server.task(&line)["spec"]["command"], "echo v$1 v$1");
    assert_eq!(server.task(&vector)["spec"]["command"], json!(["echo", "v$1 x", "y"]));
    assert_eq!(server.task(&other)["revision"], 0);
    let regex = ["update", "--yes", &vector, "--regex", r"v(\S+) (x)", "$2"];
    task(&server, &regex).ok();
    assert_eq!(server.task(&vector)["spec"]["command"], json!(["echo", "x", "y"]));
    task(&server, &["update", &line, "--regex", "(", "x"]).refused(2, "no regular expression");
}

#[test]
fn fields_are_set_and_taken_away() {
    let server = Server::start();
    let id = server.launch(&["--name", "a", "--run-timeout", "1h", "--", "cat"]);
    fs::write(server.path().join("text"), "hello").unwrap();
    let set = [
        &["update", &id, "-N", "b", "--retry", "2", "--mem", "1.5G", "--cpu", "2"][..],
        &["--priority", "-3", "--env", "A=1", "--tag", "x=y", "--stdin", "text", "-b", "qc"],
        &["-j", "file:///data/in", "--unset", "run-timeout", "--output-limit", "1M"],
    ];
    task(&server, &set.concat()).ok();
    let spec = server.task(&id)["spec"].clone();
    assert_eq!(
        spec,
        json!({"command": ["cat"], "name": "b", "batch": "qc", "env": {"A": "1"},
            "input": ["file:///data/in"], "retry": 2, "priority": -3, "cpu": 2,
            "memory": 3 << 29, "output_limit": 1 << 20, "stdin": "hello", "tags": {"x": "y"}})
    );
    task(&server, &["update", &id, "--command", "echo 'a b'", "--shell"]).ok();
    let spec = server.task(&id)["spec"].clone();
    assert_eq!((&spec["command"], &spec["shell"]), (&json!("echo 'a b'"), &json!("sh")));
    let same = task(&server, &["update", &id, "--retry", "2"]).ok();
    assert_eq!(same.text(), "");
    task(&server, &["update", &id]).refused(2, "nothing is to be changed");
    task(&server, &["update", &id, "-S", "paused"]).ok();
    assert_eq!(server.task(&id)["state"], "paused");
    task(&server, &["update", &id, "-S", "running"]).ok();
    assert_eq!(server.task(&id)["state"], "pending");
}

#[test]
fn an_edit_of_an_ended_task_runs_it_again_unless_told_otherwise() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let id = server.launch(&["--shell", "--", "echo one; exit 1"]);
    server.wait_for(&id, &["failed"]);
    task(&server, &["update", &id, "--no-run", "--new-name", "x"]).ok();
    assert_eq!(server.task(&id)["state"], "failed");
    task(&server, &["update", &id, "--yes", "--replace", "exit 1", "exit 0"]).ok();
    assert_eq!(server.wait_for(&id, &["succeeded"])["attempts"], 2);
    let slow = server.launch(&["--shell", "--", "echo start; while :; do sleep 0.1; done"]);
    server.wait_for(&slow, &["running"]);
    let restart = ["update", &slow, "--restart-running", "--command", "echo again"];
    task(&server, &restart).refused(1, "1 running restarted");
    task(&server, &[&restart[..], &["--yes"]].concat()).ok();
    server.wait_for(&slow, &["succeeded"]);
    assert_eq!(server.stdout(&slow), b"again\n");
}

#[test]
fn a_task_is_edited_whole_in_an_editor() {
    let server = Server::start();
    let id = server.launch(&["--name", "old", "--", "echo", "a b"]);
    let edited =
        edit(&server, r#"sed -i 's/"old"/"new"/; s/^# retry = 2/retry = 5/' "$1""#, &[&id]);
    assert_eq!(edited.ok().text(), id);
    let spec = server.task(&id)["spec"].clone();
    assert_eq!(
        spec,
        json!({"command": ["echo", "a b"], "name": "new", "batch": "Default", "retry": 5})
    );
    let untouched = edit(&server, "true", &[&id]).ok();
    assert!(untouched.stderr.contains("nothing was changed"), "{untouched}");
    // The second time the message is on top, and the text is corrected.
    let twice = "if grep -q '^#! .*unknown field `retries`' \"$1\"; then\n\
                 sed -i -e '/^retries/d' -e 's/\"new\"/\"newer\"/' \"$1\"\n\
                 else sed -i '1i retries = 1' \"$1\"; fi";
    edit(&server, twice, &[&id]).ok();
    assert_eq!(server.task(&id)["spec"]["name"], "newer");
    let hopeless = edit(&server, "echo 'retries = 1' > \"$1\"", &[&id]);
    hopeless.refused(1, "unknown field `retries`");
    let failed = edit(&server, "exit 1", &[&id]).refused(1, "nothing was changed");
    assert!(failed.stderr.contains("hint: name another one in VISUAL or EDITOR"), "{failed}");
}

#[test]
fn an_edit_that_somebody_else_was_faster_with_is_refused_and_kept() {
    let server = Server::start();
    let id = server.launch(&["--name", "old", "--", "true"]);
    // While the file is open, another person edits the task.
    let program = crate::harness::SCITQ;
    let script = format!(
        "{program} manage task update {id} --retry 1 > /dev/null || exit 9\n\
         sed -i 's/\"old\"/\"mine\"/' \"$1\""
    );
    let late = edit(&server, &script, &[&id]).refused(1, "was edited since");
    let kept = late.stderr.split("your text is kept in ").nth(1).unwrap().trim().to_owned();
    assert!(fs::read_to_string(kept).unwrap().contains("name = \"mine\""));
    assert_eq!(server.task(&id)["spec"]["name"], "old");
}

#[test]
fn tasks_move_and_are_pruned_and_deleted() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let first = server.launch(&["--batch", "away", "--", "true"]);
    task(&server, &["move", &first, "--to", "Default"]).ok();
    server.wait_for(&first, &["succeeded"]);
    assert_eq!(server.task(&first)["batch"], "Default");
    let second = server.launch(&["--batch", "away", "--", "true"]);
    let third = server.launch(&["--batch", "away", "--after", &second, "--", "true"]);
    let none = task(&server, &["prune", "--yes", "--older-than", "1d"]);
    none.refused(1, "no task fits");
    until("a task that ended to be old enough", || {
        let old = ["prune", "--older-than", "0s", "--dry-run"];
        (task(&server, &old).text() == first).then_some(())
    });
    let pruned = task(&server, &["prune", "--older-than", "0s", "--yes"]).ok();
    assert_eq!(pruned.text(), first);
    task(&server, &["delete", "--yes", &second]).refused(1, &third);
    task(&server, &["delete", "--yes", "--detach", &second]).ok();
    task(&server, &["delete", "--yes", "--batch", "away"]).ok();
    assert_eq!(names(&server, &[]), Vec::<String>::new());
}

#[test]
fn waiting_tells_how_tasks_have_ended() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let good = server.launch(&["--name", "good", "--", "true"]);
    let bad = server.launch(&["--shell", "--", "exit 7"]);
    assert_eq!(task(&server, &["wait", &good]).code(), 0);
    assert_eq!(task(&server, &["wait", &bad]).code(), 7);
    let both = task(&server, &["wait", &good, &bad]);
    assert!(both.code() == 1 && both.stderr.contains("1 of 2 tasks failed"), "{both}");
    assert_eq!(task(&server, &["wait", "--batch", "Default", "--state", "succeeded"]).code(), 0);
    assert_eq!(task(&server, &["wait", "99"]).code(), 125);
}

#[test]
fn a_batch_is_paused_ended_and_set() {
    let mut server = Server::start();
    let batch =
        |server: &Server, verb: &[&str]| server.scitq(&[&["manage", "batch"], verb].concat());
    batch(&server, &["update", "qc", "--retry", "0", "--env", "A=1", "--lost-after", "30m"]).ok();
    batch(&server, &["update", "qc", "--env", "B=2", "--unset", "retry", "--output-limit", "1M"])
        .ok();
    let shown = batch(&server, &["show", "qc", "--json"]).ok().json();
    assert_eq!(
        shown["settings"],
        json!({"defaults": {"env": {"A": "1", "B": "2"}},
            "lost_after": {"seconds": 1800}, "output_limit": 1 << 20})
    );
    server.agent(AgentOptions { batch: Some("qc".to_owned()), ..AgentOptions::default() });
    let id =
        server.launch(&["-b", "qc", "--shell", "--", "echo $A$B; while :; do sleep 0.1; done"]);
    until("the command to run", || (server.stdout(&id) == b"12\n").then_some(()));
    batch(&server, &["pause", "--tasks", "qc"]).ok();
    let held = server.wait_for(&id, &["paused"]);
    assert_eq!(held["hold"], "batch");
    // As the original says it.
    batch(&server, &["go", "-n", "qc", "-N", "18"]).ok();
    server.wait_for(&id, &["running"]);
    let asked = batch(&server, &["stop", "qc"]).refused(1, "and pause the batch");
    assert!(asked.stderr.contains("stop 1 task of batch qc"), "{asked}");
    assert_eq!(batch(&server, &["kill", "--yes", "qc"]).ok().text(), "1");
    server.wait_for(&id, &["failed"]);
    assert_eq!(batch(&server, &["retry", "--yes", "qc"]).ok().text(), "1");
    let why = server.task(&id)["why"].as_str().unwrap().to_owned();
    assert!(why.contains("paused"), "{why}");
    let text = batch(&server, &["show", "qc"]).ok();
    for part in ["paused: no command is started", "1 pending", "default env", "worker (1), running"]
    {
        assert!(text.text().contains(part), "{part}: {text}");
    }
    batch(&server, &["go", "qc"]).ok();
    server.wait_for(&id, &["running"]);
    batch(&server, &["delete", "--yes", "--kill", "-n", "qc"]).ok();
    until("the tasks to be gone", || names(&server, &[]).is_empty().then_some(()));
}

#[test]
fn a_worker_is_moved_paused_drained_and_deleted() {
    let mut server = Server::start();
    server.agent(AgentOptions { concurrency: 1, ..AgentOptions::default() });
    let worker =
        |server: &Server, verb: &[&str]| server.scitq(&[&["manage", "worker"], verb].concat());
    let shown = |server: &Server| worker(server, &["show", "worker", "--json"]).ok().json();
    worker(&server, &["update", "worker", "--concurrency", "+2", "--prefetch", "1"]).ok();
    worker(&server, &["update", "1", "-C", "-1"]).ok();
    assert_eq!(
        (&shown(&server)["concurrency"], &shown(&server)["prefetch"]),
        (&json!(2), &json!(1))
    );
    worker(&server, &["update", "1", "-p", "-2"]).refused(1, "cannot be changed by -2");
    let move_in = ["manage", "batch", "move", "qc", "--worker", "worker"];
    server.scitq(&move_in).ok();
    assert_eq!(shown(&server)["batch"], "qc");
    worker(&server, &["pause", "worker"]).ok();
    let id = server.launch(&["-b", "qc", "--", "true"]);
    let text = worker(&server, &["show", "worker"]).ok();
    assert!(text.text().contains("takes nothing  it is paused"), "{text}");
    worker(&server, &["resume", "worker"]).ok();
    server.wait_for(&id, &["succeeded"]);
    worker(&server, &["clean", "worker"]).refused(1, "kept files of ended tasks");
    worker(&server, &["clean", "--yes", "--resources", "worker"]).ok();
    worker(&server, &["adopt-orphans", "worker"]).ok();
    let busy = server.launch(&["-b", "qc", "--", "sleep", "1000"]);
    server.wait_for(&busy, &["running"]);
    worker(&server, &["restart", "worker"]).ok();
    let held = worker(&server, &["show", "worker"]).ok();
    assert!(
        held.text().contains("1 running, 0 accepted") && held.text().contains("PHASE"),
        "{held}"
    );
    let warned = worker(&server, &["delete", "worker"]).refused(1, "holds 1 execution (1 running)");
    assert!(warned.stderr.contains("registers again"), "{warned}");
    task(&server, &["cancel", "--yes", &busy]).ok();
    server.wait_for(&busy, &["failed"]);
    worker(&server, &["drain", "worker"]).ok();
    until("the drained agent to leave", || (shown(&server)["seen"] == "offline").then_some(()));
    worker(&server, &["delete", "--yes", "1"]).ok();
    assert_eq!(worker(&server, &["list", "--json"]).ok().json(), json!([]));
}

#[test]
fn all_about_a_task_is_on_one_page() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let first = server.launch(&["--name", "one", "--retry", "1", "--", "false"]);
    let second = server.launch(&["--after", &first, "--", "true"]);
    server.wait_for(&first, &["failed"]);
    let page = task(&server, &["show", &first]).ok();
    for part in ["0 of 1 left", "required by", "exit 1", "phases", "queued ", "running ", "TRY"] {
        assert!(page.text().contains(part), "{part}: {page}");
    }
    let attempts: Vec<&str> =
        page.text().lines().filter(|line| line.contains("failed  worker")).collect();
    assert_eq!(attempts.len(), 2, "{page}");
    let output = |number: &[&str]| {
        let output = ["manage", "execution", "output", "-i", &first];
        server.scitq(&[&output[..], number].concat())
    };
    output(&["-N", "-1"]).ok();
    output(&["-N", "-2"]).refused(1, "task 1 has had 2 executions");
    let blocked: Value = server.task(&second);
    assert!(blocked["why"].as_str().unwrap().contains(&first), "{blocked}");
}
