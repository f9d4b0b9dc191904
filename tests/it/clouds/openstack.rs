//! One scenario of hiring from an OpenStack, which the real one and ours both pass; and the
//! official client's look at ours.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use scitq::server::hiring::provider::{ErrorClass, MachineStatus, Provider};
use serde_json::{Value, json};

use super::desk::{self, JOIN_TOKEN, Notes, block, hired, order, tag};
use super::nova::Cloud;
use super::whole::PREPARE;
use crate::world::{Ran, World, until};

/// The keys of `server.toml` that fit both clouds.
pub const KEYS: &str = "image = \"Ubuntu 24.04\"\nnetwork = \"Ext-Net\"\n";

/// A cloud that the scenario can run against.
pub struct Stage {
    pub world: Arc<World>,
    pub variables: BTreeMap<String, String>,
    pub region: String,
    /// Seconds between two looks at a machine.
    pub poll: f64,
    /// The folder of a machine, by its name.
    pub machines: PathBuf,
}

impl Stage {
    pub fn of(world: &Arc<World>, cloud: &Cloud, region: &str) -> Self {
        Self {
            world: Arc::clone(world),
            variables: cloud.variables(),
            region: region.to_owned(),
            poll: 0.1,
            machines: world.path().join("machines"),
        }
    }

    pub fn provider(&self, keys: &str) -> Arc<dyn Provider> {
        self.provider_as(keys, &self.variables)
    }

    pub fn provider_as(
        &self,
        keys: &str,
        variables: &BTreeMap<String, String>,
    ) -> Arc<dyn Provider> {
        let poll = if keys.contains("poll_seconds") {
            String::new()
        } else {
            format!("poll_seconds = {:?}\n", self.poll)
        };
        let keys = format!("{PREPARE}{KEYS}{poll}{keys}");
        desk::provider("openstack", self.world.path(), &keys, variables, &[&self.region]).unwrap()
    }

    /// An administrator's request, past the provider.
    pub async fn administer(&self, method: reqwest::Method, path: &str, body: Value) -> Value {
        let http = client();
        let url = format!("{}/auth/tokens", self.variables["OS_AUTH_URL"]);
        let domain = json!({"id": "default"});
        let login = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "admin", "domain": domain, "password": self.variables["OS_PASSWORD"],
            }}},
            "scope": {"project": {"name": "admin", "domain": domain}},
        }});
        let reply = http.post(url).json(&login).send().await.unwrap();
        let token = reply.headers()["x-subject-token"].to_str().unwrap().to_owned();
        let body_of_token: Value = reply.json().await.unwrap();
        let url = path
            .replace("{identity}", &self.variables["OS_AUTH_URL"])
            .replace("{compute}", &self.endpoint(&body_of_token["token"]["catalog"]))
            .replace("{project}", body_of_token["token"]["project"]["id"].as_str().unwrap())
            .replace("{user}", body_of_token["token"]["user"]["id"].as_str().unwrap());
        let request = http.request(method, url).header("x-auth-token", token).json(&body);
        let reply = request.send().await.unwrap();
        assert!(reply.status().is_success(), "{reply:?}");
        reply.json().await.unwrap()
    }

    fn endpoint(&self, catalogue: &Value) -> String {
        let services = catalogue.as_array().unwrap();
        let compute = services.iter().find(|service| service["type"] == "compute").unwrap();
        let endpoints = compute["endpoints"].as_array().unwrap();
        let fits = |endpoint: &&Value| {
            endpoint["region_id"] == *self.region && endpoint["interface"] == "public"
        };
        endpoints.iter().find(fits).unwrap()["url"].as_str().unwrap().to_owned()
    }
}

/// Hires, is refused, and gives everything back.
/// `look` is called while a machine runs.
pub async fn scenario(stage: &Stage, look: impl Fn(&Stage)) {
    let key = stage.world.path().join("id.pub");
    fs::write(&key, PUBLIC_KEY).unwrap();
    let template = stage.world.path().join("user-data");
    fs::write(&template, "#!/bin/sh\n# {{worker}} {{token}}\necho up >started\nexec sleep 1000\n")
        .unwrap();
    let keys = format!(
        "key = \"people\"\npublic_key = \"{}\"\nuser_data = \"{}\"\n",
        key.display(),
        template.display()
    );
    let provider = stage.provider(&keys);
    flavors_come_in_pages(&*provider, &stage.region).await;
    let notes = Notes::default();
    let first = order("head-node1", "b2-7", &stage.region);
    let machine = provider.create(&first, &notes).await.unwrap();
    assert_eq!(notes.percent(), 100, "{}", notes.text());
    let started = stage.machines.join("head-node1/started");
    until("the machine to run its user data", || started.exists().then_some(()));
    let script = fs::read_to_string(stage.machines.join("head-node1/user-data")).unwrap();
    assert!(script.contains(&format!("# head-node1 {JOIN_TOKEN}")), "{script}");

    let that = hired(&first, Some(machine.clone()));
    let status = provider.status(&that).await.unwrap();
    let MachineStatus::Running { addresses } = &status else { panic!("{status:?}") };
    assert!(addresses[0].starts_with("198.51.100."), "{addresses:?}");
    assert_eq!(provider.create(&first, &notes).await.unwrap(), machine, "it was made twice");
    assert_eq!(provider.list(&tag("store-1")).await.unwrap(), std::slice::from_ref(&that));
    assert_eq!(provider.list(&tag("store-2")).await.unwrap(), []);

    look(stage);
    refusals_have_their_class(stage, &*provider).await;

    provider.destroy(&that, &notes).await.unwrap();
    provider.destroy(&that, &notes).await.unwrap();
    assert_eq!(provider.status(&that).await.unwrap(), MachineStatus::Gone);
    assert_eq!(provider.list(&tag("store-1")).await.unwrap(), []);
    assert!(!notes.text().contains(JOIN_TOKEN), "{}", notes.text());
    credentials_of_both_kinds(stage).await;
}

async fn flavors_come_in_pages(provider: &dyn Provider, region: &str) {
    let mut flavors = provider.flavors().await.unwrap();
    flavors.sort_by(|one, other| one.name.cmp(&other.name));
    let names: Vec<&str> = flavors.iter().map(|flavor| flavor.name.as_str()).collect();
    assert_eq!(names, ["b2-7", "c2-15", "huge", "r2-30", "t1-45"]);
    let (small, gpu) = (&flavors[0], &flavors[4]);
    assert_eq!((small.cpu, small.ram, small.disk), (2, Some(7000.0 / 1024.0), Some(50.0)));
    assert_eq!((small.region.as_str(), small.tags.as_str(), small.cost), (region, "", None));
    assert_eq!((gpu.tags.as_str(), gpu.gpu.as_deref()), ("G", Some("v100")));
}

async fn refusals_have_their_class(stage: &Stage, provider: &dyn Provider) {
    let notes = Notes::default();
    let refused = async |worker: &str, flavor: &str| {
        let asked = order(worker, flavor, &stage.region);
        let error = provider.create(&asked, &notes).await.unwrap_err();
        provider.destroy(&hired(&asked, None), &notes).await.unwrap();
        error
    };
    let set_quota = async |cores: i64| {
        let body = json!({"quota_set": {"cores": cores}});
        let path = "{compute}/os-quota-sets/{project}";
        stage.administer(reqwest::Method::PUT, path, body).await;
    };
    set_quota(3).await;
    let error = refused("head-node2", "b2-7").await;
    assert_eq!(error.class, ErrorClass::Quota, "{error}");
    assert!(error.message.contains("Quota exceeded for cores: Requested 2"), "{error}");
    set_quota(-1).await;

    let error = refused("head-node3", "huge").await;
    assert_eq!(error.class, ErrorClass::Capacity, "{error}");
    assert!(error.message.contains("No valid host"), "{error}");
    let error = refused("head-no-boot4", "b2-7").await;
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert!(error.message.contains("the test wants it so"), "{error}");
    let error = refused("head-node5", "b2-8").await;
    assert_eq!(error.class, ErrorClass::Unsupported, "{error}");
    assert!(error.message.contains("no flavor `b2-8` in the region"), "{error}");

    let asked = order("head-node6", "b2-7", "SOUTH");
    let error = provider.create(&asked, &notes).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unsupported, "{error}");
    assert!(error.message.contains("in the region `SOUTH`"), "{error}");
}

async fn credentials_of_both_kinds(stage: &Stage) {
    let mut wrong = stage.variables.clone();
    wrong.insert("OS_PASSWORD".to_owned(), "not-the-sesame".to_owned());
    let error = stage.provider_as("", &wrong).flavors().await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Authentication);
    assert!(error.message.contains("wrong or have expired: the variables `OS_*`"), "{error}");
    assert!(!error.message.contains("not-the-sesame"), "{error}");

    let secret = "application-secret-1";
    let body = json!({"application_credential": {"name": "scitq", "secret": secret}});
    let path = "{identity}/users/{user}/application_credentials";
    let made = stage.administer(reqwest::Method::POST, path, body).await;
    let id = made["application_credential"]["id"].as_str().unwrap();
    let file = stage.world.path().join("clouds.yaml");
    let text = format!(
        "clouds:\n  lab:\n    auth_type: v3applicationcredential\n    region_name: {}\n    auth:\n      \
         auth_url: {}\n      application_credential_id: {id}\n",
        stage.region, stage.variables["OS_AUTH_URL"]
    );
    fs::write(&file, text).unwrap();
    let secure =
        format!("clouds:\n  lab:\n    auth:\n      application_credential_secret: {secret}\n");
    fs::write(stage.world.path().join("secure.yaml"), secure).unwrap();
    let keys = format!("cloud = \"lab\"\nclouds_file = \"{}\"\n", file.display());
    let provider = stage.provider_as(&keys, &BTreeMap::new());
    assert_eq!(provider.flavors().await.unwrap().len(), 5);
    assert!(!format!("{provider:?}").contains(secret));
}

#[test]
fn our_openstack_passes_the_scenario_of_the_real_one() {
    let world = Arc::new(World::new());
    let cloud = Cloud::start(Arc::clone(&world), &["NORTH"]);
    block(scenario(&Stage::of(&world, &cloud, "NORTH"), |_| {}));
    assert_eq!(cloud.state().servers(), 0);
}

#[test]
fn the_official_client_reads_our_openstack() {
    let Some(program) = official_client() else { return };
    let world = Arc::new(World::new());
    let cloud = Cloud::start(Arc::clone(&world), &["NORTH"]);
    let stage = Stage::of(&world, &cloud, "NORTH");
    let asked = order("head-node1", "b2-7", "NORTH");
    block(stage.provider("").create(&asked, &Notes::default())).unwrap();
    shows_the_machine(&stage, program, "NORTH");
}

/// What `openstack server show` says of the machine `head-node1`.
pub fn shows_the_machine(stage: &Stage, program: PathBuf, region: &str) {
    let mut command = stage.world.command(program);
    command.args(["server", "show", "head-node1", "-f", "json"]);
    command
        .envs(&stage.variables)
        .env("OS_REGION_NAME", region)
        .env("OS_IDENTITY_API_VERSION", "3");
    let shown = Ran::of(command).ok().json();
    assert_eq!(shown["name"], "head-node1");
    assert_eq!(shown["status"], "ACTIVE");
    assert_eq!(shown["properties"]["scitq-head"], "store-1");
    assert_eq!(shown["properties"]["scitq-worker"], "head-node1");
}

/// `openstack`, as `tests/peers` installs it.
pub fn official_client() -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/openstack/venv/bin/openstack");
    if program.exists() { Some(program) } else { missing("python-openstackclient") }
}

/// Says what is missing; with `CI=true` that fails.
pub fn missing<T>(what: &str) -> Option<T> {
    let said = format!("SKIPPED: the tests of clouds need {what} (tests/run installs it)");
    let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
    assert!(!is_ci, "{said}");
    eprintln!("{said}");
    None
}

fn client() -> reqwest::Client {
    scitq::api::tls::install_crypto();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Of no private key that anybody has.
const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKX2t5Y3jJ0E7o1C0mHpD1k0mCqVv3V0Wm4pJvYxq6dB nobody\n";
