//! The whole way of a worker from a cloud: hired from the command line, made by the cloud,
//! brought up by its user data, at work, idle, and given back.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::arm::{Arm, CLIENT_SECRET};
use super::nova::{Cloud, PASSWORD};
use crate::harness::{Server, until, until_within};
use crate::world::World;

/// What a server is told of machines.
pub fn settings(address: &str, keys: &str) -> String {
    format!("[hiring]\nname = \"lab\"\naddress = \"http://{address}\"\n{keys}\n")
}

/// Idle machines go soon, and each second it is looked what there is.
const QUICK: &str = "idle_minutes = 0.02\nsweep_minutes = 0.01";

/// What is done to a machine that is no machine: nothing but the agent.
pub const PREPARE: &str = "service = \"detached\"\nprepare = { scratch = false, swap = 0, engine = false, nvidia = false }\n";

/// `[providers.ovh]` for an OpenStack with this address and region.
pub fn openstack_keys(world: &World, auth_url: &str, region: &str, password: &str) -> String {
    let folder = world.path().join("etc");
    fs::create_dir(&folder).unwrap();
    let file = folder.join("clouds.yaml");
    let clouds = json!({"clouds": {"lab": {"auth": {
        "auth_url": auth_url, "username": "admin", "password": password, "project_name": "admin",
        "user_domain_name": "Default", "project_domain_name": "Default",
    }}}});
    // JSON is YAML, too.
    fs::write(&file, clouds.to_string()).unwrap();
    format!(
        "[providers.ovh]\nkind = \"openstack\"\nregions = [\"{region}\"]\ncloud = \"lab\"\n\
         clouds_file = \"{}\"\nimage = \"Ubuntu 24.04\"\nnetwork = \"Ext-Net\"\npoll_seconds = 0.5\n{PREPARE}",
        file.display()
    )
}

/// `[providers.azure]` for an Azure of ours.
fn azure_keys(world: &World, arm: &Arm) -> String {
    let path = |name: &str| world.path().join(name).display().to_string();
    fs::write(path("id.pub"), "ssh-ed25519 AAAA nobody\n").unwrap();
    fs::write(path("secret"), CLIENT_SECRET).unwrap();
    let events = arm.url().replace("http://", "");
    format!(
        "[providers.azure]\nkind = \"azure\"\nregions = [\"francecentral\"]\ntenant = \"tenant-1\"\n\
         client = \"client-1\"\nsubscription = \"subscription-1\"\nclient_secret_file = \"{}\"\n\
         public_key = \"{}\"\nscheduled_events = \"{events}\"\n{}{PREPARE}",
        path("secret"),
        path("id.pub"),
        arm.keys()
    )
}

/// A server with these providers, and the port that machines are told.
pub fn serve(world: &World, address: &str, toml: &str) -> Server {
    let file = world.path().join("server.toml");
    fs::write(&file, toml).unwrap();
    Server::start_at(address, &["--config", file.to_str().unwrap()])
}

pub fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

pub fn list(server: &Server, object: &str) -> Vec<Value> {
    let ran = server.scitq(&["manage", object, "list", "--json"]).ok();
    ran.json().as_array().unwrap().clone()
}

/// Machines of the tests need a mount of their own.
pub fn may_make_machines() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    super::openstack::missing::<()>("root, for machines with a place of their own");
    false
}

/// Deploys, works, waits until nothing is left; then looks for secrets in all that was told.
pub fn walks_the_whole_way(server: &Server, machines: &Path, deploy: &[&str], secrets: &[&str]) {
    await_flavors(server, deploy[1]);
    let task = server.launch(&["-b", "test", "sh", "-c", "echo at work on $(hostname)"]);
    let ran = server.scitq(&[&["manage", "worker", "deploy", "-b", "test"], deploy].concat()).ok();
    assert!(ran.stderr.contains("worker lab-node1 works"), "{ran}");
    let user_data = fs::read_to_string(machines.join("lab-node1/user-data")).unwrap();
    server.wait_for(&task, &["succeeded"]);
    assert!(server.stdout(&task).starts_with(b"at work on "));
    until("the idle worker to be gone", || list(server, "worker").is_empty().then_some(()));
    let told = server.scitq(&["manage", "job", "log", "1"]).ok();
    assert!(told.text().contains("the machine runs"), "{told}");
    let token = token_in(&user_data);
    for secret in secrets.iter().copied().chain([token.as_str()]) {
        assert_shown_nowhere(server, secret);
    }
}

/// Those of the head itself are known at once.
fn await_flavors(server: &Server, provider: &str) {
    until("the flavors to be known", || {
        let flavors = list(server, "flavor");
        flavors.iter().any(|flavor| flavor["provider"] == provider).then_some(())
    });
}

fn token_in(user_data: &str) -> String {
    let line = user_data.lines().find(|line| line.contains("join.token")).unwrap();
    shlex::split(line).unwrap()[2].clone()
}

/// In no file that the server has written, and in nothing that it lists.
fn assert_shown_nowhere(server: &Server, secret: &str) {
    assert!(secret.len() > 10, "{secret} is no secret");
    let mut folders = vec![server.data(), server.path().join("logs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path: PathBuf = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap_or_default();
            let has = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            assert!(!has, "{} shows a secret", path.display());
        }
    }
    for object in ["job", "worker", "provider", "flavor"] {
        let ran = server.scitq(&["manage", object, "list", "--json"]);
        assert!(!ran.to_string().contains(secret), "the list of {object}s shows a secret");
    }
}

#[test]
fn a_worker_from_openstack_is_hired_works_and_is_given_back() {
    if !may_make_machines() {
        return;
    }
    let (world, address) = (Arc::new(World::new()), free_address());
    let cloud = Cloud::start(Arc::clone(&world), &["NORTH"]);
    let keys = openstack_keys(&world, &cloud.variables()["OS_AUTH_URL"], "NORTH", PASSWORD);
    let server = serve(&world, &address, &(settings(&address, QUICK) + &keys));
    let deploy = ["--provider", "ovh", "--flavor", "auto:cpu==2:ram<=10"];
    walks_the_whole_way(&server, &world.path().join("machines"), &deploy, &[PASSWORD]);
    assert_eq!(cloud.state().servers(), 0);
}

#[test]
fn a_worker_from_azure_is_hired_works_and_is_given_back() {
    if !may_make_machines() {
        return;
    }
    let (world, address) = (Arc::new(World::new()), free_address());
    let arm = Arm::start(Arc::clone(&world));
    let keys = azure_keys(&world, &arm);
    let server = serve(&world, &address, &(settings(&address, QUICK) + &keys));
    let deploy = ["--provider", "azure", "--flavor", "auto:cpu>=2"];
    walks_the_whole_way(&server, &world.path().join("machines"), &deploy, &[CLIENT_SECRET]);
    let state = arm.state();
    assert_eq!((state.resources(), &state.breaches), (0, &Vec::new()));
}

#[test]
fn what_runs_on_a_spot_machine_that_azure_takes_away_goes_to_another() {
    if !may_make_machines() {
        return;
    }
    let (world, address) = (Arc::new(World::new()), free_address());
    let arm = Arm::start(Arc::clone(&world));
    let keys = azure_keys(&world, &arm);
    let server = serve(&world, &address, &(settings(&address, "sweep_minutes = 0.01") + &keys));
    await_flavors(&server, "azure");
    let deploy = ["manage", "worker", "deploy", "-b", "test", "--flavor", "Standard_D2s_v3"];
    server.scitq(&deploy).ok();
    let task = server.launch(&["-b", "test", "--retry", "0", "sleep", "1000"]);
    server.wait_for(&task, &["running"]);
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    arm.state().events.push(json!({
        "EventId": "1", "EventType": "Preempt", "ResourceType": "VirtualMachine",
        "Resources": [machine], "EventStatus": "Scheduled", "NotBefore": "",
    }));
    server.wait_for(&task, &["pending"]);
    arm.state().evict("lab-node1");
    until_within(std::time::Duration::from_secs(90), "what is left of the machine to go", || {
        (arm.state().resources() == 0).then_some(())
    });
}

#[test]
fn a_server_that_is_killed_while_machines_come_and_go_makes_none_twice_and_forgets_none() {
    if !may_make_machines() {
        return;
    }
    let (world, address) = (Arc::new(World::new()), free_address());
    let cloud = Cloud::start(Arc::clone(&world), &["NORTH"]);
    let keys = openstack_keys(&world, &cloud.variables()["OS_AUTH_URL"], "NORTH", PASSWORD);
    let mut server = serve(&world, &address, &(settings(&address, "") + &keys));
    await_flavors(&server, "ovh");
    cloud.state().looks_to_build = u32::MAX;
    let deploy = ["manage", "worker", "deploy", "--no-wait", "--flavor", "b2-7"];
    server.scitq(&deploy).ok();
    until("the machine to be ordered", || (cloud.state().servers() == 1).then_some(()));
    server.kill9();
    server.restart();
    until("the machine to be found again", || {
        let log = server.scitq(&["manage", "job", "log", "1"]);
        String::from_utf8_lossy(&log.stdout).contains("found again: machine server-1").then_some(())
    });
    cloud.state().finish_builds();
    until("the worker to work", || {
        let workers = list(&server, "worker");
        workers.iter().any(|worker| worker["seen"] == "online").then_some(())
    });
    assert_eq!(cloud.state().servers(), 1);

    cloud.state().keeps_deleted = true;
    server.scitq(&["manage", "worker", "delete", "--yes", "lab-node1"]).ok();
    until("the machine to be deleted", || {
        let is_deletion = |asked: &String| asked.starts_with("DELETE ");
        cloud.state().asked.iter().any(is_deletion).then_some(())
    });
    server.kill9();
    cloud.state().keeps_deleted = false;
    server.restart();
    until("nothing to be left", || {
        (cloud.state().servers() == 0 && list(&server, "worker").is_empty()).then_some(())
    });
}
