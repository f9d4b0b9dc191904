//! The whole way, from the command line: hire, install, register, run, idle, destroy.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use super::cluster::Cluster;
use super::lab::{HEAD, Lab};
use super::sshd::Sshds;
use crate::harness::{Server, World, until};
use crate::storage::peers::free_port;

/// A server that hires by these settings, and dismisses quickly.
fn server_with(provider: &str) -> Server {
    server_at(World::new(), ("http", &format!("127.0.0.1:{}", free_port())), provider, &[])
}

fn server_at(
    world: World,
    (scheme, address): (&str, &str),
    provider: &str,
    options: &[&str],
) -> Server {
    let file = world.path().join("server.toml");
    let text = format!(
        "[hiring]\nname = \"head\"\naddress = \"{scheme}://{address}\"\nidle_minutes = 0.02\n\
         sweep_minutes = 0.01\nlocal = false\n{provider}"
    );
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap().to_owned();
    let server = Server::start_in_at(
        world,
        address,
        &[&["--config", &file], options].concat(),
        BTreeMap::new(),
    );
    until("the flavors to be known", || (!list(&server, "flavor").is_empty()).then_some(()));
    server
}

/// A provider of this kind, of keys and of flavors that are tables of it.
fn table(name: &str, kind: &str, keys: &str) -> String {
    let keys = keys.replace("[flavors.", &format!("[providers.{name}.flavors."));
    format!("[providers.{name}]\nkind = \"{kind}\"\n{keys}")
}

fn list(server: &Server, object: &str) -> Vec<Value> {
    let ran = server.scitq(&["manage", object, "list", "--json"]).ok();
    ran.json().as_array().unwrap().clone()
}

fn until_nobody_is_hired(server: &Server) {
    until("all hired workers to be gone", || list(server, "worker").is_empty().then_some(()));
}

#[test]
fn a_host_is_hired_from_the_command_line_and_goes_when_it_has_nothing_to_do() {
    let Some(sshds) = Sshds::start(1) else { return };
    let server = server_with(&table("lab", "ssh", &sshds.keys("id", &sshds.all())));
    let task = server.launch(&["-b", "test", "--", "sh", "-c", "echo on $SCITQ_WORKER"]);
    let deploy =
        ["manage", "worker", "deploy", "-P", "lab", "--flavor", "auto:cpu>=2", "-b", "test"];
    let ran = server.scitq(&deploy).ok();
    assert!(ran.stderr.contains("worker head-node1 works"), "{ran}");
    server.wait_for(&task, &["succeeded"]);
    assert_eq!(server.stdout(&task), b"on head-node1\n");
    let log = server.scitq(&["manage", "job", "log", "1"]).ok();
    for line in ["answers, and is this worker's now", "copying the program", "it has joined"] {
        assert!(log.text().contains(line), "{line}\n{log}");
    }
    until_nobody_is_hired(&server);
    assert!(!sshds.directory().join("head-node1").exists());
    let left = sshds.world().command_lines();
    assert!(!left.iter().any(|line| line.contains(" agent ")), "{left:?}");
    // The host can be had again.
    server.scitq(&deploy).ok();
    server.launch(&["-b", "test", "--", "true"]);
    until_nobody_is_hired(&server);
    let script = server.scitq(&["manage", "provider", "script", "lab"]).ok();
    assert!(script.text().starts_with("#!/bin/sh\n"), "{script}");
}

#[test]
fn a_host_that_cannot_be_hired_leaves_a_job_that_says_why_and_no_worker() {
    let Some(sshds) = Sshds::start(1) else { return };
    let server = server_with(&table("lab", "ssh", &sshds.keys("other", &sshds.all())));
    let ran = server.scitq(&["manage", "worker", "deploy", "-P", "lab", "--flavor", "node"]);
    assert_ne!(ran.code(), 0, "{ran}");
    let job = until("the job to have failed", || {
        list(&server, "job").into_iter().find(|job| job["state"] == "failed")
    });
    assert!(job.to_string().contains("refuses the keys of the head"), "{job}");
    until_nobody_is_hired(&server);
}

#[test]
fn a_server_that_is_killed_while_it_hires_a_host_forgets_nothing() {
    let Some(sshds) = Sshds::start(1) else { return };
    let mut server = server_with(&table("lab", "ssh", &sshds.keys("id", &sshds.all())));
    let deploy = ["manage", "worker", "deploy", "-P", "lab", "--flavor", "node", "--no-wait"];
    server.scitq(&deploy).ok();
    until("the host to be worked on", || {
        sshds.directory().join("head-node1").exists().then_some(())
    });
    server.kill9();
    server.restart();
    // It works, and then goes: one worker, and nothing left of it.
    let task = server.launch(&["--", "true"]);
    server.wait_for(&task, &["succeeded"]);
    until_nobody_is_hired(&server);
    assert!(!sshds.directory().join("head-node1").exists());
}

#[test]
fn a_recruiter_hires_jobs_for_tasks_and_lets_them_go() {
    let Some(cluster) = Cluster::start(2, "") else { return };
    let keys = cluster.keys() + "[flavors.small]\ncpu = 1\nram = 0.25\n";
    let server = server_with(&table("hpc", "slurm", &keys));
    let go = server.path().join("go");
    let command = format!("until [ -e {} ]; do sleep 0.05; done", go.display());
    for _ in 0..3 {
        server.launch(&["-b", "assembly", "--shell", "--", &command]);
    }
    let recruiter = ["manage", "recruiter", "create", "-b", "assembly", "-f", "auto:cpu>=1"];
    let recruiter = [&recruiter[..], &["-P", "auto", "-r", "auto", "-C", "1", "-T", "1"]].concat();
    server.scitq(&[&recruiter[..], &["-W", "2"]].concat()).ok();
    until("two tasks to run on two jobs", || {
        let tasks = list(&server, "task");
        (tasks.iter().filter(|task| task["state"] == "running").count() == 2).then_some(())
    });
    let jobs = || cluster.run("squeue", &["-h", "-t", "R", "-o", "%j"]).text().lines().count();
    assert_eq!(jobs(), 2);
    assert_eq!(list(&server, "worker").len(), 2, "never above the limit");
    fs::write(&go, "").unwrap();
    until("all tasks to have succeeded", || {
        let tasks = list(&server, "task");
        tasks.iter().all(|task| task["state"] == "succeeded").then_some(())
    });
    until_nobody_is_hired(&server);
    until("the cluster to be empty", || (jobs() == 0).then_some(()));
}

#[test]
fn hosts_of_a_lab_are_hired_each_on_its_own_and_one_that_is_cut_off_is_not() {
    let Some(lab) = Lab::start(3) else { return };
    let world = World::behind(lab.entrance());
    // Encrypted: over a network a token is never sent in plain.
    let address = format!("{HEAD}:5000");
    let keys = table("lab", "ssh", &lab.keys());
    let server = server_at(world, ("https", &address), &keys, &["--tls", "self"]);
    lab.cut(2);
    let deploy = ["manage", "worker", "deploy", "-P", "lab", "--flavor", "node", "-b", "test"];
    server.scitq(&[&deploy[..], &["-N", "2"]].concat()).ok();
    let whose = "ip -o -4 addr show dev e0 | tr -s ' ' | cut -d ' ' -f 4; sleep 1";
    let tasks: Vec<String> =
        (0..2).map(|_| server.launch(&["-b", "test", "--shell", "--", whose])).collect();
    let mut addresses: Vec<Vec<u8>> = Vec::new();
    for task in &tasks {
        server.wait_for(task, &["succeeded"]);
        addresses.push(server.stdout(task));
    }
    addresses.sort();
    assert_eq!(addresses, [b"10.97.0.11/24\n".to_vec(), b"10.97.0.13/24\n".to_vec()]);
    let logs: String = list(&server, "job")
        .iter()
        .map(|job| {
            server.scitq(&["manage", "job", "log", &job["id"].to_string()]).text().to_owned()
        })
        .collect();
    assert!(logs.contains("host 10.97.0.12 cannot be reached"), "{logs}");
    until_nobody_is_hired(&server);
}
