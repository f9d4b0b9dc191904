//! What an administrator sees and sets: logs, retention, room on the disk, figures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{AgentOptions, Ran, SCITQ, Server, World, until};

/// A file or figure of the server, fetched with the administrator's token.
fn fetch(server: &Server, path: &str) -> Ran {
    let mut command = server.world().command("curl");
    command.args(["-sS", "-D", "-", "-m", "20", "-H"]);
    command.arg(format!("authorization: Bearer {}", server.admin_token()));
    command.arg(format!("{}{path}", server.url()));
    Ran::of(command).ok()
}

#[test]
fn a_log_has_one_object_for_each_line_with_the_request_and_is_opened_anew_on_hang_up() {
    let world = World::new();
    let log = world.path().join("server.log");
    let options = ["--log-format", "json", "--log-file", log.to_str().unwrap()];
    let env = BTreeMap::from([("SCITQ_LOG".to_owned(), "debug".to_owned())]);
    let server = Server::start_with_env(world, &options, env);
    let objects = |path: &Path| -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect()
    };
    let answer = fetch(&server, "/api/v2/tasks/77");
    let text = answer.text().to_owned();
    let id = text.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap();
    let told = until("the request in the log", || {
        let mut lines = objects(&log).into_iter();
        lines.find(|line| line["message"] == "answered" && line["span"]["id"] == *id)
    });
    assert_eq!((&told["level"], &told["status"]), (&"DEBUG".into(), &404.into()), "{told}");
    assert_eq!(told["span"]["path"], "/api/v2/tasks/77");
    assert!(told["timestamp"].is_string());
    // As logrotate does it.
    let old = server.path().join("server.log.1");
    fs::rename(&log, &old).unwrap();
    server.signal(Signal::HUP);
    until("the new file", || fs::metadata(&log).is_ok_and(|file| file.len() > 0).then_some(()));
    let before = fs::metadata(&old).unwrap().len();
    fetch(&server, "/api/v2/tasks/78");
    until("the next request in the new file", || {
        fs::read_to_string(&log).unwrap().contains("/api/v2/tasks/78").then_some(())
    });
    assert_eq!(fs::metadata(&old).unwrap().len(), before);
    let mut broken = Server::serve_command(server.world(), "127.0.0.1:0", &server.path().join("x"));
    broken.args(["--log-file", "/nowhere/log"]);
    Ran::of(broken).refused(78, "cannot log to `/nowhere/log`");
    assert!(!server.path().join("x").exists(), "it began before it could log");
}

#[test]
fn an_agent_logs_into_its_file_as_well() {
    let mut server = Server::start();
    let log = server.path().join("agent.log");
    let env = [
        ("SCITQ_AGENT_LOG_FILE".to_owned(), log.display().to_string()),
        ("SCITQ_AGENT_LOG_FORMAT".to_owned(), "json".to_owned()),
    ];
    let agent = server.agent(AgentOptions { env: env.into(), ..AgentOptions::default() });
    let lines = || fs::read_to_string(&log).unwrap_or_default();
    until("the agent's log", || lines().lines().next().map(|_| ()));
    assert!(lines().lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", lines());
    fs::remove_file(&log).unwrap();
    server.signal_agent(agent, Signal::HUP);
    until("the new file", || lines().contains("opened the log anew").then_some(()));
    let id = server.launch(&["--", "true"]);
    server.wait_for(&id, &["succeeded"]);
}

#[test]
fn output_and_tasks_go_when_their_time_is_over() {
    let mut server = Server::start_with(&["--retain-output", "1s"]);
    server.agent(AgentOptions::default());
    let id = server.launch(&["--", "echo", "short-lived"]);
    server.wait_for(&id, &["succeeded"]);
    let output = ["manage", "task", "output", &id, "--stdout"];
    let ran = until("the output to go", || {
        let ran = server.scitq(&output);
        (!ran.status.success()).then_some(ran)
    });
    ran.refused(1, "is not kept any more");
    assert_eq!(server.task(&id)["state"], "succeeded");
    let status = server.scitq(&["manage", "server", "status", "--json"]).ok().json();
    assert_eq!((&status["output_bytes"], &status["retain_output_seconds"]), (&0.into(), &1.into()));
    assert!(status["disk_total_bytes"].as_u64() >= status["disk_free_bytes"].as_u64());
    // With its tasks, but for one on which another waits.
    server.stop();
    server.set_options(&["--retain-output", "never", "--retain-finished", "1s"]);
    let last = server.path().join("go");
    server.restart();
    let needed = server.launch(&["--", "true"]);
    let wait = format!("until [ -e {} ]; do sleep 0.05; done", last.display());
    let running = server.launch(&["--shell", "--", &wait]);
    let waiting =
        server.launch(&["--after", &format!("{needed},{running}"), "--", "echo", "waited"]);
    let is_gone = |server: &Server, id: &str| {
        let show = server.scitq(&["manage", "task", "show", id]);
        show.stderr.contains("does not exist").then_some(())
    };
    until("the first task to go", || is_gone(&server, &id));
    assert_eq!(server.task(&needed)["state"], "succeeded");
    fs::write(&last, "").unwrap();
    for id in [&waiting, &needed, &running] {
        until("all tasks to go", || is_gone(&server, id));
    }
    let audit = ["manage", "server", "audit", "--who", "retention", "--json"];
    let entries = server.scitq(&audit).ok().json();
    assert!(!entries.as_array().unwrap().is_empty());
    server.stop();
    let mut check = server.world().command(SCITQ);
    check.args(["manage", "server", "check", "--data"]).arg(server.data());
    Ran::of(check).ok();
}

#[test]
fn a_disk_that_is_nearly_full_takes_no_new_tasks_and_ends_the_old_ones() {
    let world = World::new();
    let data = world.path().join("data");
    fs::create_dir(&data).unwrap();
    let mount =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=256m", "none"]).arg(&data).status();
    if !mount.is_ok_and(|status| status.success()) {
        let said = "SKIPPED: only root can mount a small disk";
        assert!(std::env::var_os("CI").is_none(), "{said}");
        eprintln!("{said}");
        return;
    }
    let mut server = Server::start_in(world, &["--least-free", "5"]);
    server.agent(AgentOptions::default());
    let go = server.path().join("go");
    let command = format!("until [ -e {} ]; do sleep 0.05; done; echo done", go.display());
    let running = server.launch(&["--shell", "--", &command]);
    server.wait_for(&running, &["running"]);
    // Less than a twentieth is left, and more than the server keeps for itself.
    let free = server.scitq(&["manage", "server", "status", "--json"]).ok().json();
    let free = usize::try_from(free["disk_free_bytes"].as_u64().unwrap()).unwrap();
    fs::write(data.join("ballast"), vec![0; free - (11 << 20)]).unwrap();
    let refused = until("a launch to be refused", || {
        let ran = server.scitq(&["launch", "--", "true"]);
        (!ran.status.success()).then_some(ran)
    });
    let refused = refused.refused(75, "no new task is taken: the disk is full but for");
    assert!(refused.stderr.contains("less than 5 %") && refused.stderr.contains("prune"));
    let status = server.scitq(&["manage", "server", "status"]).ok();
    assert!(status.text().contains("takes no new tasks"), "{status}");
    assert!(fetch(&server, "/metrics").text().contains("scitq_new_tasks_refused 1"));
    // What was taken before goes on, and its end is stored.
    fs::write(&go, "").unwrap();
    server.wait_for(&running, &["succeeded"]);
    assert_eq!(server.stdout(&running), b"done\n");
    fs::remove_file(data.join("ballast")).unwrap();
    until("tasks to be taken again", || {
        server.scitq(&["launch", "--", "true"]).status.success().then_some(())
    });
    drop(server);
    // The place goes with its last file.
    let _ = Command::new("umount").arg("--lazy").arg(&data).status();
}

/// The names and types of all figures, after a look at the form of the page.
fn families(page: &str) -> BTreeMap<String, String> {
    let mut families = BTreeMap::new();
    let mut helped = BTreeSet::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(helped.insert(name.to_owned()) && text.ends_with('.'), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(helped.contains(name) && ["gauge", "counter"].contains(&kind), "{line}");
            families.insert(name.to_owned(), kind.to_owned());
        } else {
            let name = line.split([' ', '{']).next().unwrap();
            assert!(families.contains_key(name), "{line} belongs to no family");
            let value = line.rsplit(' ').next().unwrap();
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
        }
    }
    families
}

#[test]
fn figures_follow_the_conventions_of_prometheus_and_the_dashboard_shows_them() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let id = server.launch(&["--", "true"]);
    server.wait_for(&id, &["succeeded"]);
    server.scitq_as(Some("scitq_wrong"), &["manage", "task", "list"]).refused(1, "token");
    let answer = fetch(&server, "/metrics");
    let text = answer.text().to_owned();
    let (head, page) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let families = families(page);
    for (name, kind) in &families {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        let is_plain = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        assert!(is_plain && (name.starts_with("scitq_") || name.starts_with("process_")), "{name}");
        // Base units only.
        for unit in ["_ms", "_milliseconds", "_minutes", "_kb", "_mib", "_percent"] {
            assert!(!name.contains(unit), "{name}");
        }
    }
    for line in [
        "scitq_tasks{state=\"succeeded\"} 1",
        "scitq_tasks_ended_total{state=\"succeeded\"} 1",
        "scitq_authentication_failures_total 1",
        "scitq_worker_slots{worker=\"worker\"} 2",
        "scitq_changes_refused 0",
    ] {
        assert!(page.lines().any(|other| other == line), "no `{line}` in {page}");
    }
    // Nobody sees them without a token.
    let mut bare = server.world().command("curl");
    bare.args(["-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}"]);
    bare.arg(format!("{}/metrics", server.url()));
    assert_eq!(Ran::of(bare).ok().text(), "401");
    let dashboard = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/dashboard.json");
    let dashboard: Value = serde_json::from_slice(&fs::read(dashboard).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut shown = BTreeSet::new();
    for target in panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap()) {
        let expression = target["expr"].as_str().unwrap();
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("scitq_") || word.starts_with("process_"))
        {
            assert!(families.contains_key(word), "the dashboard has `{word}`, the server has not");
            shown.insert(word);
        }
    }
    assert!(shown.len() > 10, "{shown:?}");
}
