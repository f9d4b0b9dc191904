//! Machines that their provider takes away: all they hold runs elsewhere, and costs
//! no retry.

use std::fs;

use rustix::process::Signal;

use crate::harness::{AgentOptions, Server, until};

/// An agent, told so, and another one that takes over.
fn taken_away(notice: Option<&str>, tell: impl FnOnce(&Server, crate::harness::AgentId)) {
    let mut server = Server::start();
    let mut options = named("doomed");
    if let Some(notice) = notice {
        let notice = notice.replace("HERE", &server.path().display().to_string());
        options.env.insert("SCITQ_AGENT_EVICTION_NOTICE".to_owned(), notice);
    }
    let doomed = server.agent(options);
    let go = server.path().join("go");
    let command = format!("until [ -e {} ]; do sleep 0.05; done", go.display());
    // No retry is left to be used.
    let id = server.launch(&["--retry", "0", "--shell", "--", &command]);
    server.wait_for(&id, &["running"]);
    tell(&server, doomed);
    let task = server.wait_for(&id, &["pending"]);
    let ended = &task["executions"][0];
    assert_eq!(ended["outcome"]["failure"]["class"], "evicted", "{ended}");
    until("the worker to show what became of it", || {
        let list = server.scitq(&["manage", "worker", "list", "--json"]).ok().json();
        (list[0]["state"] == "evicted").then_some(())
    });
    until("the agent to leave with all that it ran", || {
        let lines = server.world().command_lines();
        let is_left = |line: &String| line.contains("until [") || line.contains(" agent ");
        (!lines.iter().any(is_left)).then_some(())
    });
    server.agent(named("heir"));
    server.wait_for(&id, &["running"]);
    fs::write(&go, "").unwrap();
    assert_eq!(server.wait_for(&id, &["succeeded", "failed"])["state"], "succeeded");
}

#[test]
fn a_worker_that_gets_usr2_gives_back_what_it_runs_and_leaves() {
    taken_away(None, |server, agent| server.signal_agent(agent, Signal::USR2));
}

#[test]
fn a_worker_whose_notice_is_a_file_sees_it_appear() {
    taken_away(Some("file:HERE/notice"), |server, _| {
        fs::write(server.path().join("notice"), "maintenance at noon\n").unwrap();
    });
}

#[test]
fn a_worker_whose_notice_is_a_command_asks_it() {
    taken_away(Some("command:test -e HERE/notice && echo soon"), |server, _| {
        fs::write(server.path().join("notice"), "").unwrap();
    });
}

#[test]
fn a_job_of_a_batch_system_that_is_ended_gives_back_what_it_runs() {
    // As a batch system does: all processes get it, the command before the agent.
    taken_away(Some("slurm"), |server, agent| server.signal_agent(agent, Signal::TERM));
}

#[test]
fn a_notice_that_is_none_is_refused() {
    let server = Server::start();
    server
        .scitq(&["agent", "--eviction-notice", "pbs"])
        .refused(78, "`pbs` is no notice: write slurm, azure, file:PATH or command:COMMAND");
}

fn named(name: &str) -> AgentOptions {
    AgentOptions { name: name.to_owned(), ..AgentOptions::default() }
}
