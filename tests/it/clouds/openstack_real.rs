//! The scenario and the whole way of a worker against a real OpenStack. One test, since
//! that takes half a minute to start.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::desk::block;
use super::openstack::{Stage, missing, official_client, scenario, shows_the_machine};
use super::whole::{
    free_address, may_make_machines, openstack_keys, serve, settings, walks_the_whole_way,
};
use crate::world::{World, until_within};

/// Its five services take half a minute to start on an idle machine of two cores.
const TO_START: Duration = Duration::from_mins(4);

#[test]
fn a_real_openstack_passes_the_scenario_and_its_machines_become_workers() {
    let Some(stage) = start() else { return };
    block(scenario(&stage, |stage| {
        if let Some(program) = official_client() {
            shows_the_machine(stage, program, &stage.region);
        }
    }));
    let address = free_address();
    let (url, password) = (&stage.variables["OS_AUTH_URL"], &stage.variables["OS_PASSWORD"]);
    let keys = openstack_keys(&stage.world, url, &stage.region, password);
    let server =
        serve(&stage.world, &address, &(settings(&address, "idle_minutes = 0.02") + &keys));
    let deploy = ["--provider", "ovh", "--flavor", "auto:cpu==2:ram<=10"];
    walks_the_whole_way(&server, &stage.machines, &deploy, &[password]);
}

/// One of its own for this test, which ends with it.
fn start() -> Option<Stage> {
    if !may_make_machines() {
        return None;
    }
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    if !root.join("target/openstack/template/databases.sql").exists() {
        return missing("OpenStack");
    }
    let world = Arc::new(World::new());
    let folder = world.path().join("openstack");
    fs::create_dir(&folder).unwrap();
    let mut command = world.command(root.join("tests/openstack/start"));
    command.arg(&folder);
    let mut process = world.spawn("openstack", command);
    let variables = until_within(TO_START, "OpenStack to answer", || {
        assert!(process.try_wait().unwrap().is_none(), "it has ended");
        fs::read_to_string(folder.join("ready")).ok()
    });
    let pairs = variables.lines().filter_map(|line| line.split_once('='));
    let mut variables: BTreeMap<String, String> =
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let region = variables.remove("OS_REGION_NAME").unwrap();
    // More looks would slow down what they look at.
    Some(Stage { world, variables, region, poll: 1.0, machines: folder.join("machines") })
}
