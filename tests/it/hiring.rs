//! Machines that the head hires, with agents on this machine as their stand-ins: from
//! the command line to a task that runs, and until nothing of it is left.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::{Ran, Server, World, until};

/// Settings under which everything is quick.
const QUICK: &str = "\
[hiring]
name = \"lab\"
idle_minutes = 0.02
sweep_minutes = 0.01
";

pub fn server_with(toml: &str) -> Server {
    let world = World::new();
    let file = world.path().join("server.toml");
    fs::write(&file, toml).unwrap();
    let file = file.to_str().unwrap().to_owned();
    Server::start_in(world, &["--config", &file])
}

pub fn list(server: &Server, object: &str) -> Vec<Value> {
    let ran = server.scitq(&["manage", object, "list", "--json"]).ok();
    ran.json().as_array().unwrap().clone()
}

/// Folders of machines.
fn places(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path()).collect()
}

fn until_nothing_is_left(server: &Server) {
    until_nothing_is_left_of(server, &server.data().join("hiring/local"));
}

/// Waits until there is no worker, and nothing in the folder of its machines.
pub fn until_nothing_is_left_of(server: &Server, folder: &Path) {
    until("all hired workers to be gone", || {
        (list(server, "worker").is_empty() && places(folder).is_empty()).then_some(())
    });
}

#[test]
fn a_worker_is_hired_works_and_goes_when_it_has_nothing_to_do() {
    let server = server_with(QUICK);
    let task = server.launch(&["-b", "test", "echo", "hello from here"]);
    let deploy = ["manage", "worker", "deploy", "--provider", "local"];
    let ran =
        server.scitq(&[&deploy[..], &["--flavor", "auto:cpu>=1", "-b", "test"]].concat()).ok();
    assert!(ran.stderr.contains("worker lab-node1 works"), "{ran}");
    assert_eq!(ran.text().trim(), "1", "the worker's id");
    server.wait_for(&task, &["succeeded"]);
    assert_eq!(server.stdout(&task), b"hello from here\n");
    let log = server.scitq(&["manage", "job", "log", "1"]).ok();
    assert!(log.text().contains("waiting for the agent to call"), "{log}");
    until_nothing_is_left(&server);
    let jobs = list(&server, "job");
    let told: Vec<String> = jobs
        .iter()
        .map(|job| {
            format!("{} {}", job["action"].as_str().unwrap(), job["state"].as_str().unwrap())
        })
        .collect();
    assert_eq!(told, ["deploy succeeded", "destroy succeeded"]);
    server.scitq(&["manage", "job", "delete", "1,2"]).ok();
    assert!(list(&server, "job").is_empty());
}

#[test]
fn a_hired_worker_outlives_its_server_and_is_destroyed_by_a_person() {
    let mut server = server_with("[hiring]\nname = \"lab\"\n");
    let deploy = ["manage", "worker", "deploy", "--flavor", "local-1", "-N", "2"];
    server.scitq(&deploy).ok();
    server.kill9();
    server.restart();
    until("both to be seen again", || {
        let workers = list(&server, "worker");
        let seen = workers.iter().filter(|worker| worker["last_contact"].is_string());
        (seen.count() == 2).then_some(())
    });
    let secrets = [fs::read_to_string(server.data().join("hiring/local/lab-node1/token")).unwrap()];
    for file in ["hiring/jobs/1.log", "hiring/local/lab-node1/agent.log"] {
        let text = fs::read_to_string(server.data().join(file)).unwrap();
        assert!(!text.contains(&secrets[0]), "{file} shows a token");
    }
    server.scitq(&["manage", "worker", "delete", "--yes", "lab-node1,lab-node2"]).ok();
    until_nothing_is_left(&server);
}

#[test]
fn what_cannot_be_hired_is_told_with_what_may_have_been_meant() {
    let server = server_with(QUICK);
    until("the flavors to be known", || (!list(&server, "flavor").is_empty()).then_some(()));
    for (arguments, told) in [
        (&["--flavor", "local-1", "--provider", "locl"][..], "did you mean local?"),
        (&["--flavor", "locall-1"], "did you mean local-1"),
        (&["--flavor", "local-1", "--region", "hre"], "did you mean here?"),
        (&["--flavor", "auto:ram>=100000"], "ram>=100000 alone leaves out"),
        (&["--flavor", "auto:cores>=1"], "`cores` at character 6"),
        (&["--flavor", "local-1", "--number", "0"], "0 is not in 1..=10000"),
        (&["--flavor", "local-1", "--number=-1"], "-1 is not in 1..=10000"),
        (&["--flavor", "local-1", "--number", "10000"], "cannot ask whether to hire 10000 workers"),
        (&[], "no flavor is named"),
    ] {
        let ran = server.scitq(&[&["manage", "worker", "deploy"][..], arguments].concat());
        assert_ne!(ran.code(), 0, "{arguments:?}");
        assert!(ran.stderr.contains(told), "{arguments:?}: {ran}");
    }
    assert!(list(&server, "worker").is_empty());
    assert!(list(&server, "job").is_empty());
}

#[test]
fn only_administrators_hire_agents_on_the_head_itself() {
    let server = server_with(QUICK);
    let token = server.scitq(&["manage", "token", "create", "--name", "u", "--role", "user"]).ok();
    let token = token.text().trim().to_owned();
    let ran = server.scitq_as(
        Some(&token),
        &["manage", "worker", "deploy", "--flavor", "local-1", "-P", "local"],
    );
    assert!(ran.stderr.contains("runs commands as the server itself"), "{ran}");
    let flavors = server.scitq_as(Some(&token), &["manage", "flavor", "list", "--json"]).ok();
    assert_eq!(flavors.json(), serde_json::json!([]));
}

#[test]
fn a_recruiter_hires_for_a_batch_and_says_why() {
    let server = server_with(QUICK);
    until("the flavors to be known", || (!list(&server, "flavor").is_empty()).then_some(()));
    let create = ["manage", "recruiter", "create", "-b", "test", "-f", "auto:cpu<=1"];
    server.scitq(&[&create[..], &["-P", "auto", "-r", "auto", "-T", "2", "-W", "2"]].concat()).ok();
    let why = server.scitq(&["manage", "recruiter", "explain", "test"]).ok();
    assert!(why.text().contains("1: no task is pending"), "{why}");
    let tasks: Vec<String> =
        (0..4).map(|number| server.launch(&["-b", "test", "echo", &number.to_string()])).collect();
    for task in &tasks {
        server.wait_for(task, &["succeeded"]);
    }
    until_nothing_is_left(&server);
    let hired = list(&server, "job").iter().filter(|job| job["action"] == "deploy").count();
    assert!((1..=2).contains(&hired), "{hired}");
    server.scitq(&["manage", "recruiter", "delete", "-b", "test"]).ok();
    assert!(list(&server, "recruiter").is_empty());
}

#[test]
fn a_mistake_in_server_toml_is_told_with_its_place() {
    let world = World::new();
    let file = world.path().join("server.toml");
    fs::write(&file, "[hiring]\nadress = \"http://head:5000\"\n").unwrap();
    let mut command = Server::serve_command(&world, "127.0.0.1:0", &world.path().join("data"));
    command.arg("--config").arg(&file);
    Ran::of(command).refused(78, "unknown field `adress`");
    // A provider that is wrong does not keep the others from working.
    let server = server_with(
        "[providers.one]\nkind = \"cloudy\"\n[providers.two]\nkind = \"command\"\nmake = [\"x\"]\n",
    );
    let providers = list(&server, "provider");
    let error = |name: &str| {
        let found = providers.iter().find(|provider| provider["name"] == name).unwrap();
        found["error"].as_str().unwrap_or_default().to_owned()
    };
    assert!(error("one").contains("`cloudy` is no kind of provider: local"), "{}", error("one"));
    assert!(error("two").contains("unknown field `make`"), "{}", error("two"));
    until("the others to be known", || (!list(&server, "flavor").is_empty()).then_some(()));
}

#[test]
fn prices_are_imported_for_what_a_provider_lists() {
    let server = server_with("[providers.local]\nkind = \"local\"\n");
    until("the flavors to be known", || (!list(&server, "flavor").is_empty()).then_some(()));
    let file = server.path().join("prices.csv");
    fs::write(&file, "provider,name,cost,currency\nlocal,local-1,0.25,EUR\n").unwrap();
    let path = file.to_str().unwrap();
    server.scitq(&["manage", "flavor", "import", path]).ok();
    let flavors = server.scitq(&["manage", "flavor", "list", "local-1", "--json"]).ok().json();
    assert_eq!((&flavors[0]["cost"], &flavors[0]["currency"]), (&0.25.into(), &"EUR".into()));
    fs::write(&file, "provider,name,cost\nlocla,local-1,0.25\n").unwrap();
    let refused = server.scitq(&["manage", "flavor", "import", path]);
    refused.refused(1, "did you mean local?");
}
