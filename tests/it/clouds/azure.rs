//! Hiring from an Azure, and the official client's look at it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use scitq::server::hiring::provider::{ErrorClass, MachineStatus, Provider};
use serde_json::{Value, json};

use super::arm::{self, Arm};
use super::desk::{self, JOIN_TOKEN, Notes, block, hired, order, tag};
use super::openstack::missing;
use super::whole::PREPARE;
use crate::world::{World, until};

pub const REGION: &str = "francecentral";

/// An Azure of our own, and a head's settings for it.
pub struct Stage {
    pub world: Arc<World>,
    pub arm: Arm,
}

impl Stage {
    pub fn new() -> Self {
        let world = Arc::new(World::new());
        let arm = Arm::start(Arc::clone(&world));
        fs::write(world.path().join("id.pub"), "ssh-ed25519 AAAA nobody\n").unwrap();
        let script = "#!/bin/sh\n# {{worker}} {{token}}\necho up >started\nexec sleep 1000\n";
        fs::write(world.path().join("user-data"), script).unwrap();
        Self { world, arm }
    }

    pub fn keys(&self) -> String {
        let path = |name: &str| self.world.path().join(name).display().to_string();
        format!(
            "{}public_key = \"{}\"\nuser_data = \"{}\"\n",
            self.arm.keys(),
            path("id.pub"),
            path("user-data")
        )
    }

    pub fn provider(&self, keys: &str) -> Arc<dyn Provider> {
        self.provider_as(keys, &arm::variables())
    }

    pub fn provider_as(
        &self,
        keys: &str,
        variables: &BTreeMap<String, String>,
    ) -> Arc<dyn Provider> {
        let keys = format!("{PREPARE}{}{keys}", self.keys());
        desk::provider("azure", self.world.path(), &keys, variables, &[REGION]).unwrap()
    }

    /// Nothing was asked in a shape that Azure does not take.
    #[track_caller]
    pub fn has_no_breach(&self) {
        assert_eq!(self.arm.state().breaches, Vec::<String>::new());
    }
}

#[test]
fn a_spot_machine_is_made_watched_and_given_back_with_all_that_belongs_to_it() {
    let stage = Stage::new();
    let provider = stage.provider("ssh_from = [\"192.0.2.0/24\"]\nsystem_disk = 64\n");
    let notes = Notes::default();
    let asked = order("head-node1", "Standard_D2s_v3", REGION);
    let machine = block(provider.create(&asked, &notes)).unwrap();
    stage.has_no_breach();
    assert_eq!(machine.0, "scitq-head-node1-store1");
    assert_eq!(notes.percent(), 100, "{}", notes.text());
    let started = stage.world.path().join("machines/head-node1/started");
    until("the machine to run its user data", || started.exists().then_some(()));
    let made = |end: &str| stage.arm.state().resource(end).cloned().unwrap();
    let properties = &made("/virtualMachines/head-node1")["properties"];
    assert_eq!(properties["priority"], "Spot");
    assert_eq!(properties["evictionPolicy"], "Delete");
    assert_eq!(properties["storageProfile"]["osDisk"]["diskSizeGB"], 64);
    assert_eq!(properties["osProfile"]["computerName"], "head-node1");
    let rules = &made("/networkSecurityGroups/scitq")["properties"]["securityRules"];
    assert_eq!(rules[0]["properties"]["sourceAddressPrefix"], "192.0.2.0/24");

    let that = hired(&asked, Some(machine.clone()));
    let status = block(provider.status(&that)).unwrap();
    assert_eq!(status, MachineStatus::Running { addresses: vec!["198.51.100.9".to_owned()] });
    assert_eq!(block(provider.create(&asked, &notes)).unwrap(), machine, "it was made twice");
    assert_eq!(block(provider.list(&tag("store-1"))).unwrap(), std::slice::from_ref(&that));
    assert_eq!(block(provider.list(&tag("store-2"))).unwrap(), []);

    stage.arm.state().evict("head-node1");
    assert_eq!(block(provider.status(&that)).unwrap(), MachineStatus::Evicted);

    block(provider.destroy(&that, &notes)).unwrap();
    assert_eq!(stage.arm.state().resources(), 0);
    block(provider.destroy(&hired(&asked, None), &notes)).unwrap();
    assert_eq!(block(provider.status(&that)).unwrap(), MachineStatus::Gone);
    assert!(!notes.text().contains(JOIN_TOKEN), "{}", notes.text());
    stage.has_no_breach();
}

#[test]
fn flavors_have_their_prices_and_their_rates_of_eviction() {
    let stage = Stage::new();
    let flavors = block(stage.provider("").flavors()).unwrap();
    stage.has_no_breach();
    let names: Vec<&str> = flavors.iter().map(|flavor| flavor.name.as_str()).collect();
    let expected =
        ["Standard_D2s_v3", "Standard_D4s_v3", "Standard_NC4as_T4_v3", "Standard_L8s_v3"];
    assert_eq!(names, expected);
    let [small, medium, gpu, nvme] = &flavors[..] else { panic!("{flavors:?}") };
    assert_eq!((small.cpu, small.ram, small.disk), (2, Some(8.0), Some(30.0)));
    assert_eq!(
        (small.cost, small.currency.as_str(), small.eviction),
        (Some(0.02), "EUR", Some(5.0))
    );
    assert_eq!((medium.disk, medium.eviction), (Some(32.0), Some(10.0)));
    assert_eq!(
        (gpu.tags.as_str(), gpu.gpu.as_deref(), gpu.gpu_memory),
        ("G", Some("T4"), Some(16.0))
    );
    assert_eq!(gpu.eviction, Some(25.0));
    // No price is known of it, and it is not dropped.
    assert_eq!(
        (nvme.tags.as_str(), nvme.disk, nvme.cost, nvme.eviction),
        ("N", Some(1788.0), None, None)
    );

    let regular =
        block(stage.provider("priority = \"regular\"\ncurrency = \"USD\"\n").flavors()).unwrap();
    assert_eq!((regular[0].cost, regular[0].currency.as_str()), (Some(0.11), "USD"));
    assert_eq!(regular[0].eviction, Some(0.0));
}

#[test]
fn a_machine_with_a_gpu_starts_from_its_own_image_under_its_plan() {
    let stage = Stage::new();
    let provider =
        stage.provider("priority = \"regular\"\ngpu_image = \"nvidia:gpu:drivers:1.2.3\"\n");
    let asked = order("head-node1", "Standard_NC4as_T4_v3", REGION);
    block(provider.create(&asked, &Notes::default())).unwrap();
    stage.has_no_breach();
    let machine = stage.arm.state().resource("/virtualMachines/head-node1").cloned().unwrap();
    assert_eq!(
        machine["plan"],
        json!({"publisher": "nvidia", "product": "gpu", "name": "drivers"})
    );
    let properties = &machine["properties"];
    assert_eq!(properties["storageProfile"]["imageReference"]["version"], "1.2.3");
    assert_eq!(properties.get("priority"), None);
}

#[test]
fn the_official_client_reads_and_changes_our_azure() {
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/azure/bin/python");
    if !python.exists() {
        return missing("azure-mgmt-compute").unwrap_or(());
    }
    let stage = Stage::new();
    let provider = stage.provider("");
    let asked = order("head-node1", "Standard_D2s_v3", REGION);
    let group = block(provider.create(&asked, &Notes::default())).unwrap();
    let status = block(provider.status(&hired(&asked, Some(group.clone())))).unwrap();
    assert!(matches!(status, MachineStatus::Running { .. }));
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/azure/client.py");
    let mut command = stage.world.command(python);
    command.arg(script).args([&stage.arm.url(), &group.0, "head-node1"]);
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert!(stage.arm.state().has_token("eyJ0-token-1"));
    process.stdin.take().unwrap().write_all(b"eyJ0-token-1\n").unwrap();
    let output = process.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let saw: Value = serde_json::from_slice(&output.stdout).unwrap();
    stage.has_no_breach();
    assert_eq!(saw["skus"].as_array().unwrap().len(), 7);
    assert_eq!((&saw["size"], &saw["priority"]), (&json!("Standard_D2s_v3"), &json!("Spot")));
    assert_eq!((&saw["state"], &saw["made"]), (&json!("Succeeded"), &json!("Succeeded")));
    assert_eq!(saw["power"][1], "PowerState/running");
    assert_eq!(saw["tags"]["scitq-worker"], "head-node1");
    assert_eq!(saw["refused"], "PropertyChangeNotAllowed");
}

#[test]
fn what_is_missing_of_the_credentials_is_named() {
    let stage = Stage::new();
    let error = block(stage.provider_as("", &BTreeMap::new()).flavors()).unwrap_err();
    assert_eq!(error.class, ErrorClass::Authentication);
    assert!(error.message.contains("`AZURE_SUBSCRIPTION_ID`"), "{error}");
    let mut some = arm::variables();
    some.remove("AZURE_CLIENT_SECRET");
    some.remove("AZURE_TENANT_ID");
    let error = block(stage.provider_as("", &some).flavors()).unwrap_err();
    for name in ["`AZURE_TENANT_ID` (or the key `tenant`)", "`AZURE_CLIENT_SECRET`"] {
        assert!(error.message.contains(name), "{error}");
    }
    let secret = stage.world.path().join("secret");
    let keys = format!("client_secret_file = \"{}\"\ntenant = \"tenant-1\"\n", secret.display());
    let error = block(stage.provider_as(&keys, &some).flavors()).unwrap_err();
    assert!(error.message.contains("cannot read the `client_secret_file`"), "{error}");
    fs::write(&secret, format!("{}\n", arm::CLIENT_SECRET)).unwrap();
    assert_eq!(block(stage.provider_as(&keys, &some).flavors()).unwrap().len(), 4);
}

#[test]
fn bad_settings_are_refused() {
    let stage = Stage::new();
    let refused = |keys: &str, regions: &[&str]| {
        let keys = format!("{}{keys}", stage.keys());
        let made = desk::provider("azure", stage.world.path(), &keys, &arm::variables(), regions);
        made.unwrap_err().to_string()
    };
    assert!(refused("", &[]).contains("`regions` is missing"));
    let said = refused("image = \"ubuntu\"\n", &[REGION]);
    assert!(said.contains("not of the form publisher:offer:sku:version"), "{said}");
    assert!(refused("priority = \"cheap\"\n", &[REGION]).contains("spot"));
    assert!(refused("imgae = \"x\"\n", &[REGION]).contains("unknown field `imgae`"));
    let error = block(
        desk::provider("azure", stage.world.path(), &stage.keys(), &arm::variables(), &["frnace"])
            .unwrap()
            .flavors(),
    )
    .unwrap_err();
    assert!(error.message.contains("no machines in the region `frnace`"), "{error}");
}
