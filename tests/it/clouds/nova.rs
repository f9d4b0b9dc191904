//! An OpenStack that is made here: what a customer sees of Keystone, Nova, Glance and
//! Neutron, with the oddities that a test asks for. It says what the real one says: the
//! same scenario runs against both.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::machine::Machine;
use super::web::{Answer, Asked, Web};
use crate::world::World;

pub const PASSWORD: &str = "sesame-of-the-cloud";
const IMAGE: &str = "98a58853-bd11-4f2f-9dc8-3df7533a3066";
const NETWORK: &str = "0045960e-d81c-43d8-9f99-eff67b945624";

/// Name, cores, MiB, GiB and the extra specs of each flavor.
const FLAVORS: &[(&str, u32, u32, u32, &str)] = &[
    ("b2-7", 2, 7000, 50, ""),
    ("c2-15", 4, 15000, 100, ""),
    ("r2-30", 2, 30000, 50, ""),
    ("t1-45", 8, 45000, 400, "v100:1"),
    ("huge", 5000, 1024, 10, ""),
];

/// The cloud, which serves until it is dropped.
pub struct Cloud {
    web: Web,
    state: Arc<Mutex<State>>,
}

/// What it has and what it is to do next.
#[derive(Debug)]
pub struct State {
    world: Arc<World>,
    url: String,
    regions: Vec<&'static str>,
    tokens: Vec<String>,
    made_tokens: usize,
    servers: Vec<Server>,
    made_servers: usize,
    keys: BTreeMap<String, String>,
    applications: BTreeMap<String, String>,
    quota_cores: i64,
    /// Each answers one request to Nova in the place of what it would get.
    pub next: VecDeque<Answer>,
    /// The next machine is made, and its answer is this one.
    pub lost_answer: Option<Answer>,
    /// What Nova answers from the next order of a machine on.
    pub after_order: VecDeque<Answer>,
    /// Deletions are taken and not carried out, but by force.
    pub keeps_deleted: bool,
    /// So many looks at a machine until it is there.
    pub looks_to_build: u32,
    /// Nova's API is of before extra specs.
    pub is_old: bool,
    pub asked: Vec<String>,
}

#[derive(Debug)]
struct Server {
    region: String,
    id: String,
    name: String,
    status: &'static str,
    fault: Option<&'static str>,
    looks: u32,
    cores: i64,
    metadata: Value,
    created: String,
    flavor: String,
    key: Value,
    machine: Option<Machine>,
}

impl Cloud {
    pub fn start(world: Arc<World>, regions: &[&'static str]) -> Self {
        let state = State {
            world,
            url: String::new(),
            regions: regions.to_vec(),
            tokens: Vec::new(),
            made_tokens: 0,
            servers: Vec::new(),
            made_servers: 0,
            keys: BTreeMap::new(),
            applications: BTreeMap::new(),
            quota_cores: -1,
            next: VecDeque::new(),
            lost_answer: None,
            after_order: VecDeque::new(),
            keeps_deleted: false,
            looks_to_build: 1,
            is_old: false,
            asked: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let own = Arc::clone(&state);
        let web = Web::start(move |asked| own.lock().unwrap().answer(asked));
        state.lock().unwrap().url = web.url();
        Self { web, state }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn variables(&self) -> BTreeMap<String, String> {
        let url = format!("{}/v3", self.web.url());
        let pairs = [
            ("OS_AUTH_URL", url.as_str()),
            ("OS_USERNAME", "admin"),
            ("OS_PASSWORD", PASSWORD),
            ("OS_PROJECT_NAME", "admin"),
            ("OS_USER_DOMAIN_NAME", "Default"),
            ("OS_PROJECT_DOMAIN_NAME", "Default"),
        ];
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

impl State {
    /// No token counts any more.
    pub fn expire_tokens(&mut self) {
        self.tokens.clear();
    }

    /// All machines come up at the next look.
    pub fn finish_builds(&mut self) {
        self.servers.iter_mut().for_each(|server| server.looks = 0);
    }

    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    /// What the machine of that name was started with.
    pub fn user_data(&self, name: &str) -> String {
        let server = self.servers.iter().find(|server| server.name == name).unwrap();
        server.machine.as_ref().unwrap().user_data()
    }

    fn answer(&mut self, asked: &Asked) -> Answer {
        self.asked.push(format!("{} {}", asked.method, asked.path));
        let parts = asked.parts();
        let method = asked.method.as_str();
        if let ("POST", ["v3", "auth", "tokens"]) = (method, &parts[..]) {
            return self.log_in(&asked.json());
        }
        if parts.is_empty() || parts == ["v3"] {
            // Where the official client looks which versions there are.
            return Answer::json(200, &self.versions());
        }
        if !self.tokens.iter().any(|token| token == asked.header("x-auth-token")) {
            return refusal(401, "error", "The request you have made requires authentication.");
        }
        match (method, &parts[..]) {
            ("POST", ["v3", "users", _, "application_credentials"]) => {
                self.application(&asked.json())
            }
            (_, [region, "compute", rest @ ..]) => self.compute(asked, region, rest),
            ("GET", [region, "image"]) => {
                let link =
                    json!([{"rel": "self", "href": format!("{}/{region}/image/v2/", self.url)}]);
                let version = json!({"id": "v2.9", "status": "CURRENT", "links": link});
                Answer::json(300, &json!({"versions": [version]}))
            }
            ("GET", [_, "image", "v2", "images"]) => {
                let found = asked.query.get("name").is_none_or(|name| name == "Ubuntu 24.04");
                let images: Vec<Value> = found.then(image).into_iter().collect();
                Answer::json(200, &json!({"images": images}))
            }
            ("GET", [_, "image", "v2", "images", id]) if *id == IMAGE => {
                Answer::json(200, &image())
            }
            ("GET", [_, "network", "v2.0", "networks"]) => Answer::json(
                200,
                &json!({"networks": [{"id": NETWORK, "name": "Ext-Net", "status": "ACTIVE"}]}),
            ),
            _ => Answer::empty(404)
                .with("content-type", "text/html")
                .saying("<html><body>404 Not Found</body></html>"),
        }
    }

    fn versions(&self) -> Value {
        let link = json!([{"rel": "self", "href": format!("{}/v3/", self.url)}]);
        json!({"version": {"id": "v3.14", "status": "stable", "links": link}})
    }

    fn log_in(&mut self, body: &Value) -> Answer {
        let identity = &body["auth"]["identity"];
        let is_let_in = match identity["methods"][0].as_str() {
            Some("password") => {
                let user = &identity["password"]["user"];
                let scope = &body["auth"]["scope"]["project"];
                user["name"] == "admin"
                    && user["password"] == PASSWORD
                    && scope["name"] == "admin"
                    && !user["domain"].is_null()
                    && !scope["domain"].is_null()
            }
            Some("application_credential") => {
                let credential = &identity["application_credential"];
                let id = credential["id"].as_str().unwrap_or_default();
                // A scope beside it is an error in the real one, too.
                body["auth"]["scope"].is_null()
                    && self
                        .applications
                        .get(id)
                        .is_some_and(|secret| credential["secret"] == **secret)
            }
            _ => false,
        };
        if !is_let_in {
            return refusal(401, "error", "The request you have made requires authentication.");
        }
        self.made_tokens += 1;
        let token = format!("gAAAA-token-{}", self.made_tokens);
        self.tokens.push(token.clone());
        let body = json!({"token": {
            "methods": identity["methods"], "expires_at": "2036-01-01T00:00:00.000000Z",
            "user": {"id": "u1", "name": "admin", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p1", "name": "admin", "domain": {"id": "default", "name": "Default"}},
            "catalog": self.catalogue(),
        }});
        Answer::json(201, &body).with("X-Subject-Token", &token)
    }

    fn catalogue(&self) -> Value {
        let services = [("compute", "/v2.1"), ("image", ""), ("network", "")];
        let entries = services.map(|(kind, version)| {
            let endpoints = self.regions.iter().flat_map(|region| {
                ["public", "internal", "admin"].map(|interface| {
                    let url = format!("{}/{region}/{kind}{version}", self.url);
                    json!({"interface": interface, "region": region, "region_id": region, "url": url})
                })
            });
            json!({"type": kind, "name": kind, "endpoints": endpoints.collect::<Vec<_>>()})
        });
        let identity = json!({"interface": "public", "region": self.regions[0], "region_id": self.regions[0],
            "url": format!("{}/v3", self.url)});
        let identity = json!({"type": "identity", "name": "keystone", "endpoints": [identity]});
        entries.into_iter().chain([identity]).collect()
    }

    fn application(&mut self, body: &Value) -> Answer {
        let secret = body["application_credential"]["secret"].as_str().unwrap().to_owned();
        let id = format!("application-{}", self.applications.len() + 1);
        self.applications.insert(id.clone(), secret);
        Answer::json(201, &json!({"application_credential": {"id": id}}))
    }

    fn compute(&mut self, asked: &Asked, region: &str, rest: &[&str]) -> Answer {
        let [_, rest @ ..] = rest else { return not_found("no version") };
        let makes = asked.method == "POST" && rest == ["servers"];
        if let Some(answer) = self.next.pop_front() {
            return answer;
        }
        if makes && let Some(answer) = self.lost_answer.take() {
            self.make(region, &asked.json()["server"]);
            return answer;
        }
        let version = asked.header("x-openstack-nova-api-version").to_owned();
        if self.is_old && !version.is_empty() {
            return refusal(406, "computeFault", &format!("Version {version} is not supported"));
        }
        match (asked.method.as_str(), rest) {
            ("GET", []) => Answer::json(
                200,
                &json!({"version": {
                    "id": "v2.1", "status": "CURRENT", "version": "2.61", "min_version": "2.1",
                    "links": [{"rel": "self", "href": format!("{}/{region}/compute/v2.1/", self.url)}],
                }}),
            ),
            ("GET", ["flavors", "detail"]) => self.flavors(asked, region, version == "2.61"),
            ("GET", ["flavors", id]) => {
                match FLAVORS.iter().find(|flavor| id_of(flavor.0) == *id) {
                    Some(flavor) => {
                        Answer::json(200, &json!({"flavor": flavor_of(flavor, version == "2.61")}))
                    }
                    None => not_found(&format!("Flavor {id} could not be found.")),
                }
            }
            ("GET", ["servers", "detail"]) => self.list(asked, region),
            ("POST", ["servers"]) => self.make(region, &asked.json()["server"]),
            ("GET", ["servers", id]) => self.show(id),
            ("DELETE", ["servers", id]) => self.delete(id, self.keeps_deleted),
            ("POST", ["servers", id, "action"]) if asked.json().get("forceDelete").is_some() => {
                self.delete(id, false)
            }
            ("GET", ["os-keypairs", name]) => match self.keys.get(*name) {
                Some(key) => {
                    Answer::json(200, &json!({"keypair": {"name": name, "public_key": key}}))
                }
                None => not_found(&format!("Keypair {name} not found for user u1")),
            },
            ("POST", ["os-keypairs"]) => {
                let pair = asked.json()["keypair"].clone();
                let text = |key: &str| pair[key].as_str().unwrap().to_owned();
                self.keys.insert(text("name"), text("public_key"));
                Answer::json(200, &json!({"keypair": pair}))
            }
            ("PUT", ["os-quota-sets", _]) => {
                self.quota_cores = asked.json()["quota_set"]["cores"].as_i64().unwrap();
                Answer::json(200, &asked.json())
            }
            _ => not_found("The resource could not be found."),
        }
    }

    /// Two on each page.
    fn flavors(&self, asked: &Asked, region: &str, with_extra_specs: bool) -> Answer {
        let all: Vec<Value> =
            FLAVORS.iter().map(|flavor| flavor_of(flavor, with_extra_specs)).collect();
        self.page(asked, region, "flavors", &all)
    }

    fn list(&self, asked: &Asked, region: &str) -> Answer {
        let wanted = asked.query.get("name").map(|name| {
            name.strip_prefix('^').and_then(|name| name.strip_suffix('$')).unwrap_or(name)
        });
        let fits = |server: &&Server| {
            server.region == region && wanted.is_none_or(|wanted| server.name == wanted)
        };
        let all: Vec<Value> = self.servers.iter().filter(fits).map(Server::shown).collect();
        self.page(asked, region, "servers", &all)
    }

    fn page(&self, asked: &Asked, region: &str, key: &str, all: &[Value]) -> Answer {
        let begin = match asked.query.get("marker") {
            None => 0,
            Some(marker) => match all.iter().position(|item| item["id"] == **marker) {
                Some(position) => position + 1,
                None => return refusal(400, "badRequest", "marker not found"),
            },
        };
        let page = &all[begin..all.len().min(begin + 2)];
        let mut body = json!({key: page});
        if begin + 2 < all.len() {
            let last = page.last().unwrap()["id"].as_str().unwrap();
            // Under a name that leads nowhere, as clouds behind a proxy have it.
            let href = format!("http://{region}.inside/v2.1/{key}/detail?marker={last}");
            body[format!("{key}_links")] = json!([{"rel": "next", "href": href}]);
        }
        Answer::json(200, &body)
    }

    fn make(&mut self, region: &str, server: &Value) -> Answer {
        let text = |key: &str| server[key].as_str().unwrap_or_default().to_owned();
        let Some(flavor) = FLAVORS.iter().find(|flavor| id_of(flavor.0) == text("flavorRef"))
        else {
            return refusal(400, "badRequest", "Flavor could not be found.");
        };
        if text("imageRef") != IMAGE || server["networks"][0]["uuid"] != NETWORK {
            return refusal(400, "badRequest", "Image or network could not be found.");
        }
        let Ok(user_data) = STANDARD.decode(text("user_data")) else {
            return refusal(400, "badRequest", "Invalid input for field/attribute user_data.");
        };
        let metadata = server["metadata"].as_object().unwrap();
        if !metadata.values().all(Value::is_string) {
            return refusal(400, "badRequest", "Invalid input for field/attribute metadata.");
        }
        let key = server["key_name"].clone();
        if key.as_str().is_some_and(|key| !self.keys.contains_key(key)) {
            return refusal(400, "badRequest", "Invalid key_name provided.");
        }
        let (cores, name) = (i64::from(flavor.1), text("name"));
        let used: i64 = self.servers.iter().map(|server| server.cores).sum();
        if self.quota_cores >= 0 && used + cores > self.quota_cores {
            let said = format!(
                "Quota exceeded for cores: Requested {cores}, but already used {used} of {} cores",
                self.quota_cores
            );
            return refusal(403, "forbidden", &said);
        }
        let fault = match (cores, name.contains("no-boot")) {
            (5000, _) => Some("No valid host was found. "),
            (_, true) => Some("Build of instance aborted: the test wants it so"),
            _ => None,
        };
        self.made_servers += 1;
        self.next.append(&mut self.after_order);
        let id = format!("server-{}", self.made_servers);
        let machine = fault.is_none().then(|| Machine::start(&self.world, &name, &user_data));
        self.servers.push(Server {
            region: region.to_owned(),
            id: id.clone(),
            name,
            status: "BUILD",
            fault,
            looks: self.looks_to_build,
            cores,
            metadata: server["metadata"].clone(),
            created: format!(
                "2026-11-25T13:{:02}:{:02}Z",
                self.made_servers / 60,
                self.made_servers % 60
            ),
            flavor: flavor.0.to_owned(),
            key,
            machine,
        });
        let links = json!([{"rel": "self", "href": format!("{}/{region}/compute/v2.1/servers/{id}", self.url)}]);
        Answer::json(202, &json!({"server": {"id": id, "links": links, "adminPass": "s3cr3t"}}))
    }

    fn show(&mut self, id: &str) -> Answer {
        let Some(server) = self.servers.iter_mut().find(|server| server.id == id) else {
            return not_found(&format!("Instance {id} could not be found."));
        };
        if server.status == "BUILD" && server.looks > 0 {
            server.looks -= 1;
        } else if server.status == "BUILD" {
            server.status = if server.fault.is_some() { "ERROR" } else { "ACTIVE" };
        }
        Answer::json(200, &json!({"server": server.shown()}))
    }

    fn delete(&mut self, id: &str, is_kept: bool) -> Answer {
        let Some(position) = self.servers.iter().position(|server| server.id == id) else {
            return not_found(&format!("Instance {id} could not be found."));
        };
        if !is_kept {
            self.servers.remove(position);
        }
        Answer::empty(204)
    }
}

impl Server {
    fn shown(&self) -> Value {
        let addresses = match self.status {
            "ACTIVE" => {
                json!({"Ext-Net": [{"version": 4, "addr": "198.51.100.7", "OS-EXT-IPS:type": "fixed"}]})
            }
            _ => json!({}),
        };
        let mut shown = json!({
            "id": self.id, "name": self.name, "status": self.status, "metadata": self.metadata,
            "addresses": addresses, "created": self.created, "OS-EXT-STS:task_state": null,
            "flavor": {"id": id_of(&self.flavor), "links": []}, "key_name": self.key,
            "image": {"id": IMAGE, "links": []}, "tenant_id": "p1", "user_id": "u1", "links": [],
        });
        if let ("ERROR", Some(fault)) = (self.status, self.fault) {
            shown["fault"] = json!({"code": 500, "created": self.created, "message": fault});
        }
        shown
    }
}

fn flavor_of(flavor: &(&str, u32, u32, u32, &str), with_extra_specs: bool) -> Value {
    let (name, cores, memory, disk, gpu) = *flavor;
    let mut shown = json!({
        "id": id_of(name), "name": name, "vcpus": cores, "ram": memory, "disk": disk, "swap": "",
        "OS-FLV-EXT-DATA:ephemeral": 0, "OS-FLV-DISABLED:disabled": false, "links": [],
    });
    if with_extra_specs {
        shown["extra_specs"] =
            if gpu.is_empty() { json!({}) } else { json!({"pci_passthrough:alias": gpu}) };
    }
    shown
}

fn id_of(flavor: &str) -> String {
    format!("flavor-{flavor}")
}

fn image() -> Value {
    json!({"id": IMAGE, "name": "Ubuntu 24.04", "status": "active", "created_at": "2026-11-25T13:43:38Z"})
}

fn not_found(words: &str) -> Answer {
    refusal(404, "itemNotFound", words)
}

fn refusal(status: u16, key: &str, words: &str) -> Answer {
    Answer::json(status, &json!({key: {"code": status, "message": words}}))
}
