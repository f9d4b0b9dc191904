//! The scenario against a real OpenStack.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::desk::{Notes, block, order};
use super::openstack::{Stage, missing, official_client, scenario, shows_the_machine};
use crate::world::{World, until_within};

/// Its five services take half a minute to start on an idle machine of two cores.
const TO_START: Duration = Duration::from_mins(4);

#[test]
fn a_real_openstack_passes_the_scenario() {
    let Some(stage) = start() else { return };
    let asked = order("head-node1", "b2-7", &stage.region);
    let provider = stage.provider("");
    block(provider.create(&asked, &Notes::default())).unwrap();
    if let Some(program) = official_client() {
        shows_the_machine(&stage, program, &stage.region);
    }
    let that = super::desk::hired(&asked, None);
    block(provider.destroy(&that, &Notes::default())).unwrap();
    block(scenario(&stage));
}

/// One of its own for this test, which ends with it.
fn start() -> Option<Stage> {
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
    Some(Stage { world, variables, region, machines: folder.join("machines") })
}
