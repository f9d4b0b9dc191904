//! What is killed comes back, and nothing that was acknowledged is lost or done twice.

use std::collections::BTreeMap;
use std::fs;

use crate::harness::{AgentOptions, Server, until};

#[test]
fn commands_outlive_their_agent_and_report_to_the_next() {
    let mut server = Server::start();
    let agent = server.agent(AgentOptions::default());
    let go = server.path().join("go").display().to_string();
    let command = format!(
        "echo before; until [ -e {go} ]; do sleep 0.02; done; echo after; echo oops >&2; exit 5"
    );
    let running = server.launch(&["--shell", "--", &command]);
    let ended = server.launch(&["--shell", "--", &command]);
    for id in [&running, &ended] {
        server.wait_for(id, &["running"]);
        until("the first line to arrive", || (server.stdout(id) == b"before\n").then_some(()));
    }
    server.kill9_agent(agent);
    // Both end while no agent is there.
    fs::write(&go, "").unwrap();
    until("the commands to end", || {
        server.world().command_lines().iter().all(|line| !line.contains(&go)).then_some(())
    });
    server.start_agent(agent);
    for id in [&running, &ended] {
        let task = server.wait_for(id, &["failed", "succeeded"]);
        assert_eq!((&task["exit_code"], &task["attempts"]), (&5.into(), &1.into()), "{task}");
        assert_eq!(server.stdout(id), b"before\nafter\n");
    }
}

#[test]
fn commands_run_on_over_a_restart_of_their_agent() {
    let mut server = Server::start();
    let agent = server.agent(AgentOptions::default());
    let go = server.path().join("go").display().to_string();
    let command = format!("until [ -e {go} ]; do sleep 0.02; done; echo done");
    let id = server.launch(&["--shell", "--", &command]);
    server.wait_for(&id, &["running"]);
    assert!(server.stop_agent(agent).success());
    server.start_agent(agent);
    fs::write(&go, "").unwrap();
    let task = server.wait_for(&id, &["failed", "succeeded"]);
    assert_eq!((&task["state"], &task["attempts"]), (&"succeeded".into(), &1.into()));
    assert_eq!(server.stdout(&id), b"done\n");
}

#[test]
fn a_killed_server_knows_all_that_it_acknowledged() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let go = server.path().join("go").display().to_string();
    let command = format!("until [ -e {go} ]; do sleep 0.02; done; echo $SCITQ_TASK_ID");
    let running = server.launch(&["--shell", "--", &command]);
    server.wait_for(&running, &["running"]);
    let later = server.launch(&["--shell", "--after", &running, "--", "echo later"]);
    server.kill9();
    // The command ends while no server is there.
    fs::write(&go, "").unwrap();
    until("the command to end", || {
        server.world().command_lines().iter().all(|line| !line.contains(&go)).then_some(())
    });
    server.restart();
    let task = server.wait_for(&running, &["failed", "succeeded"]);
    assert_eq!((&task["state"], &task["attempts"]), (&"succeeded".into(), &1.into()));
    assert_eq!(server.stdout(&running), format!("{running}\n").as_bytes());
    server.wait_for(&later, &["succeeded"]);
}

#[test]
fn commands_whose_supervisor_died_run_again_and_use_no_retry() {
    let mut server = Server::start();
    let agent = server.agent(AgentOptions::default());
    let go = server.path().join("go").display().to_string();
    let command = format!("until [ -e {go} ]; do sleep 0.02; done; echo attempt $SCITQ_ATTEMPT");
    let id = server.launch(&["--shell", "--", &command]);
    server.wait_for(&id, &["running"]);
    let lost = server.task(&id)["execution"].clone();
    server.kill9_agent(agent);
    server.world().kill_those_of(" supervise ");
    server.start_agent(agent);
    until("another execution to run", || {
        let task = server.task(&id);
        (task["state"] == "running" && task["execution"] != lost).then_some(())
    });
    // The first command must not live beside the second.
    let is_command = |line: &String| line.contains(&go);
    assert_eq!(server.world().command_lines().into_iter().filter(is_command).count(), 1);
    fs::write(&go, "").unwrap();
    let task = server.wait_for(&id, &["failed", "succeeded"]);
    assert_eq!((&task["state"], &task["attempts"]), (&"succeeded".into(), &2.into()), "{task}");
    assert_eq!(server.stdout(&id), b"attempt 2\n");
}

/// Tasks are queued and run while server and agents are killed in turn; every task that was
/// acknowledged is then done, once, with its output.
#[test]
fn killed_over_and_over_every_acknowledged_task_is_done_once() {
    const TASKS: usize = 120;
    const KILL_EVERY: usize = 20;
    let mut server = Server::start();
    let agents = ["a", "b"].map(|name| {
        server.agent(AgentOptions { name: name.to_owned(), concurrency: 3, ..Default::default() })
    });
    let log = server.path().join("done.log");
    let command =
        format!("echo $SCITQ_TASK_ID >>{}; sleep 0.05; echo out $SCITQ_TASK_ID", log.display());
    let mut ids = Vec::new();
    for number in 0..TASKS {
        ids.push(server.launch(&["--shell", "--", &command]));
        if number % KILL_EVERY == KILL_EVERY / 2 {
            match number / KILL_EVERY % 3 {
                0 => {
                    server.kill9_agent(agents[0]);
                    server.start_agent(agents[0]);
                }
                1 => {
                    server.kill9();
                    server.restart();
                }
                _ => {
                    server.kill9_agent(agents[1]);
                    server.kill9();
                    server.restart();
                    server.start_agent(agents[1]);
                }
            }
        }
    }
    for id in &ids {
        let task = server.wait_for(id, &["succeeded", "failed"]);
        assert_eq!(task["state"], "succeeded", "{task}");
        assert_eq!(server.stdout(id), format!("out {id}\n").as_bytes());
    }
    let mut runs: BTreeMap<String, u32> = BTreeMap::new();
    for line in fs::read_to_string(&log).unwrap().lines() {
        *runs.entry(line.to_owned()).or_default() += 1;
    }
    let expected: BTreeMap<String, u32> = ids.iter().map(|id| (id.clone(), 1)).collect();
    assert_eq!(runs, expected);
}
