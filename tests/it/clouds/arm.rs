//! An Azure that is made here: login, Resource Manager, price list and resource graph. Each
//! request is held to its shape (`arm_shapes`), and its machines are processes of this
//! machine.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::arm_lists;
use super::arm_shapes::{self as shapes, fault_of};
use super::machine::Machine;
use super::web::{Answer, Asked, Web};
use crate::world::World;

pub const CLIENT_SECRET: &str = "sesame~of.the~principal";
const TENANT: &str = "tenant-1";
const CLIENT: &str = "client-1";
const SUBSCRIPTION: &str = "subscription-1";

/// The cloud, which serves until it is dropped.
pub struct Arm {
    web: Web,
    state: Arc<Mutex<State>>,
}

/// What it has and what it is to do next.
#[derive(Debug)]
pub struct State {
    world: Arc<World>,
    url: String,
    tokens: Vec<String>,
    made_tokens: usize,
    /// By their paths in small letters, since those of Azure are the same in any.
    resources: BTreeMap<String, Value>,
    machines: BTreeMap<String, Machine>,
    /// Operations that go on, with the number of looks until they are done and what then is.
    operations: Vec<Operation>,
    /// Each answers one request to the Resource Manager in the place of what it would get.
    pub next: VecDeque<Answer>,
    /// What is answered from the next order of a machine on.
    pub after_order: VecDeque<Answer>,
    /// What the next order of a machine comes to, once it was taken.
    pub next_failure: Option<(&'static str, &'static str)>,
    /// What the next order of a machine is refused with.
    pub next_refusal: Option<(u16, &'static str, &'static str)>,
    pub login_refusal: Option<&'static str>,
    /// What machines hear of what is about to happen to them.
    pub events: Vec<Value>,
    pub looks_until_done: u32,
    /// What was asked in a shape that Azure does not take.
    pub breaches: Vec<String>,
    pub asked: Vec<String>,
}

#[derive(Debug)]
struct Operation {
    looks: u32,
    path: String,
    then: Then,
}

#[derive(Debug, Clone)]
enum Then {
    Succeed,
    Fail(&'static str, &'static str),
    /// The resource group goes with all that is in it.
    Vanish,
}

impl Arm {
    pub fn start(world: Arc<World>) -> Self {
        let state = State {
            world,
            url: String::new(),
            tokens: Vec::new(),
            made_tokens: 0,
            resources: BTreeMap::new(),
            machines: BTreeMap::new(),
            operations: Vec::new(),
            next: VecDeque::new(),
            next_failure: None,
            after_order: VecDeque::new(),
            next_refusal: None,
            login_refusal: None,
            events: Vec::new(),
            looks_until_done: 1,
            breaches: Vec::new(),
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

    pub fn url(&self) -> String {
        self.web.url()
    }

    /// The keys of `server.toml` that lead here.
    pub fn keys(&self) -> String {
        let url = self.url();
        format!(
            "management = \"{url}\"\nlogin = \"{url}\"\nprices = \"{url}\"\npoll_seconds = 0.05\n"
        )
    }
}

/// Those that a server is started with.
pub fn variables() -> BTreeMap<String, String> {
    let pairs = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", CLIENT),
        ("AZURE_CLIENT_SECRET", CLIENT_SECRET),
        ("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

impl State {
    pub fn expire_tokens(&mut self) {
        self.tokens.clear();
    }

    /// How many resources there are.
    pub fn resources(&self) -> usize {
        self.resources.len()
    }

    /// The one resource whose path ends so.
    pub fn resource(&self, end: &str) -> Option<&Value> {
        let end = end.to_lowercase();
        self.resources.iter().find(|(path, _)| path.ends_with(&end)).map(|(_, found)| found)
    }

    /// Takes a spot machine away.
    pub fn evict(&mut self, name: &str) {
        let end = format!("/virtualmachines/{name}");
        self.resources.retain(|path, _| !path.ends_with(&end));
        self.machines.retain(|path, _| !path.ends_with(&end));
    }

    /// Puts something there that others have made.
    pub fn plant(&mut self, path: &str, resource: Value) {
        self.resources.insert(path.to_lowercase(), resource);
    }

    pub fn has_token(&self, token: &str) -> bool {
        self.tokens.iter().any(|known| known == token)
    }

    fn answer(&mut self, asked: &Asked) -> Answer {
        self.asked.push(format!("{} {}", asked.method, asked.path));
        let parts = asked.parts();
        if parts == [TENANT, "oauth2", "v2.0", "token"] || parts.get(1) == Some(&"oauth2") {
            return self.log_in(asked);
        }
        if parts == ["api", "retail", "prices"] {
            return arm_lists::prices(asked, &self.url);
        }
        if parts == ["metadata", "scheduledevents"] && asked.header("metadata") == "true" {
            return Answer::json(200, &json!({"DocumentIncarnation": 1, "Events": self.events}));
        }
        let token = asked.header("authorization").trim_start_matches("Bearer ").to_owned();
        if !self.has_token(&token) {
            return refusal(401, "ExpiredAuthenticationToken", "The access token expired.");
        }
        if let Some(answer) = self.next.pop_front() {
            return answer;
        }
        let version = asked.query.get("api-version").map_or("", String::as_str);
        if version.len() != 10 || !version.starts_with("202") {
            return self.breach(asked, "no api-version");
        }
        let lower = asked.path.to_lowercase();
        let lower_parts: Vec<&str> = lower.split('/').filter(|part| !part.is_empty()).collect();
        match (asked.method.as_str(), &lower_parts[..]) {
            ("POST", ["providers", "microsoft.resourcegraph", "resources"]) => {
                match fault_of(&asked.json(), shapes::QUESTION) {
                    Some(fault) => self.breach(asked, &fault),
                    None => arm_lists::evictions(&asked.json()),
                }
            }
            (_, ["subscriptions", SUBSCRIPTION, rest @ ..]) => self.manage(asked, &lower, rest),
            _ => refusal(404, "SubscriptionNotFound", "The subscription could not be found."),
        }
    }

    fn log_in(&mut self, asked: &Asked) -> Answer {
        let form = format!("/?{}", String::from_utf8_lossy(&asked.body));
        let fields = Asked::of_query(&form).query;
        let field = |name: &str| fields.get(name).map_or("", String::as_str).to_owned();
        let login_error = |said: &str| {
            Answer::json(401, &json!({"error": "invalid_client", "error_description": said}))
        };
        if let Some(said) = self.login_refusal {
            return login_error(said);
        }
        if asked.header("content-type") != "application/x-www-form-urlencoded"
            || field("grant_type") != "client_credentials"
            || field("scope") != format!("{}/.default", self.url)
        {
            return self.breach(asked, "it is no request for a token");
        }
        if asked.parts()[0] != TENANT {
            return Answer::json(
                400,
                &json!({"error": "invalid_request",
                "error_description": "AADSTS90002: Tenant not found.\r\nTrace ID: 1"}),
            );
        }
        if field("client_id") != CLIENT || field("client_secret") != CLIENT_SECRET {
            return login_error("AADSTS7000215: Invalid client secret provided.\r\nTrace ID: 1");
        }
        self.made_tokens += 1;
        let token = format!("eyJ0-token-{}", self.made_tokens);
        self.tokens.push(token.clone());
        let body = json!({"token_type": "Bearer", "expires_in": 3599, "access_token": token});
        Answer::json(200, &body)
    }

    fn manage(&mut self, asked: &Asked, path: &str, rest: &[&str]) -> Answer {
        match (asked.method.as_str(), rest) {
            ("GET", ["providers", "microsoft.compute", "skus"]) => {
                arm_lists::skus(asked, &self.url)
            }
            ("GET", ["providers", "microsoft.compute", "locations", _, "operations", number]) => {
                self.operation(number.parse().unwrap())
            }
            ("GET", ["operationresults", number]) => self.operation_result(number.parse().unwrap()),
            ("GET", ["resourcegroups"]) => self.groups(asked),
            ("GET", ["resourcegroups", ..]) => match self.resources.get(path) {
                Some(resource) => Answer::json(200, &self.shown(path, resource)),
                None => not_found(path, rest),
            },
            ("DELETE", ["resourcegroups", _]) => self.delete_group(path),
            ("DELETE", ["resourcegroups", ..]) => self.delete(path),
            ("PUT", ["resourcegroups", ..]) => self.put(asked, path, rest),
            _ => self.breach(asked, "there is no such operation"),
        }
    }

    fn groups(&self, asked: &Asked) -> Answer {
        let filter = asked.query.get("$filter").map_or("", String::as_str);
        let words: Vec<&str> = filter.split('\'').collect();
        let [_, name, " and tagValue eq ", value, ""] = words[..] else {
            return refusal(400, "InvalidFilterInQueryString", filter);
        };
        let is_group = |path: &&String| path.matches('/').count() == 4;
        let all = self.resources.iter().filter(|(path, _)| is_group(path));
        let fit = all.filter(|(_, group)| group["tags"][name] == value);
        let items: Vec<Value> = fit.map(|(_, group)| group.clone()).collect();
        arm_lists::page(asked, &self.url, &items)
    }

    fn put(&mut self, asked: &Asked, path: &str, rest: &[&str]) -> Answer {
        let body = asked.json();
        let (shape, references): (&str, Vec<Option<&Value>>) = match rest[2..] {
            [] => (shapes::GROUP, vec![]),
            ["providers", "microsoft.network", "networksecuritygroups", _] => {
                (shapes::RULES, vec![])
            }
            ["providers", "microsoft.network", "publicipaddresses", _] => (shapes::ADDRESS, vec![]),
            ["providers", "microsoft.network", "virtualnetworks", _] => (
                shapes::NETWORK,
                vec![body.pointer("/properties/subnets/0/properties/networkSecurityGroup/id")],
            ),
            ["providers", "microsoft.network", "networkinterfaces", _] => (
                shapes::INTERFACE,
                vec![
                    body.pointer("/properties/networkSecurityGroup/id"),
                    body.pointer("/properties/ipConfigurations/0/properties/publicIPAddress/id"),
                ],
            ),
            ["providers", "microsoft.compute", "virtualmachines", _] => (
                shapes::MACHINE,
                vec![body.pointer("/properties/networkProfile/networkInterfaces/0/id")],
            ),
            _ => return self.breach(asked, "there is no such resource"),
        };
        if let Some(fault) = fault_of(&body, shape) {
            return self.breach(asked, &fault);
        }
        let group: Vec<&str> = path.split('/').take(5).collect();
        if rest.len() > 2 && !self.resources.contains_key(&group.join("/")) {
            return refusal(404, "ResourceGroupNotFound", "Resource group could not be found.");
        }
        for reference in references.into_iter().flatten() {
            let target = reference.as_str().unwrap().to_lowercase();
            if !self.resources.contains_key(&target) {
                return refusal(400, "InvalidResourceReference", &target);
            }
        }
        if shape == shapes::MACHINE {
            return self.put_machine(path, body);
        }
        let is_new = self.keep(asked, path, body, "Succeeded");
        let answer = Answer::json(if is_new { 201 } else { 200 }, &self.resources[path]);
        if rest.len() == 2 {
            return answer;
        }
        self.begin(path, Then::Succeed, answer)
    }

    fn put_machine(&mut self, path: &str, body: Value) -> Answer {
        if let Some((status, code, said)) = self.next_refusal.take() {
            return refusal(status, code, said);
        }
        if self.resources.contains_key(path) {
            return refusal(409, "PropertyChangeNotAllowed", "customData may not be changed.");
        }
        let Some(custom_data) = body.pointer("/properties/osProfile/customData") else {
            let kept = json!({"name": path.rsplit('/').next(), "location": body["location"],
                "properties": body["properties"]});
            return self.order(path, kept, &[]);
        };
        let Ok(custom_data) = STANDARD.decode(custom_data.as_str().unwrap()) else {
            return refusal(400, "InvalidParameter", "Custom data must be encoded in Base64.");
        };
        // Azure never gives it out again.
        let mut kept = body;
        kept["properties"]["osProfile"].as_object_mut().unwrap().remove("customData");
        self.order(path, kept, &custom_data)
    }

    fn order(&mut self, path: &str, mut machine: Value, custom_data: &[u8]) -> Answer {
        let name = path.rsplit('/').next().unwrap().to_owned();
        self.next.append(&mut self.after_order);
        let then = match self.next_failure.take() {
            Some((code, said)) => Then::Fail(code, said),
            None => Then::Succeed,
        };
        if matches!(then, Then::Succeed) && !custom_data.is_empty() {
            let started = Machine::start(&self.world, &name, custom_data);
            self.machines.insert(path.to_owned(), started);
        }
        machine["id"] = path.into();
        machine["name"] = name.into();
        machine["type"] = "Microsoft.Compute/virtualMachines".into();
        machine["properties"]["provisioningState"] = "Creating".into();
        self.resources.insert(path.to_owned(), machine.clone());
        self.begin(path, then, Answer::json(201, &machine))
    }

    /// Whether it is new.
    fn keep(&mut self, asked: &Asked, path: &str, mut body: Value, state: &str) -> bool {
        body["id"] = asked.path.as_str().into();
        body["name"] = asked.path.rsplit('/').next().into();
        body["properties"]["provisioningState"] = state.into();
        if path.contains("/publicipaddresses/") {
            body["properties"]["ipAddress"] = "198.51.100.9".into();
        }
        self.resources.insert(path.to_owned(), body).is_none()
    }

    fn delete(&mut self, path: &str) -> Answer {
        if self.resources.remove(path).is_none() {
            return Answer::empty(204);
        }
        self.machines.remove(path);
        self.begin(path, Then::Succeed, Answer::empty(202))
    }

    fn delete_group(&mut self, path: &str) -> Answer {
        let Some(group) = self.resources.get_mut(path) else {
            return refusal(404, "ResourceGroupNotFound", "Resource group could not be found.");
        };
        group["properties"]["provisioningState"] = "Deleting".into();
        let number = self.operations.len();
        let (looks, path) = (self.looks_until_done, path.to_owned());
        self.operations.push(Operation { looks, path, then: Then::Vanish });
        let place = format!(
            "{}/subscriptions/{SUBSCRIPTION}/operationresults/{number}?api-version=2021-04-01",
            self.url
        );
        Answer::empty(202).with("Location", &place).with("Retry-After", "0")
    }

    /// Says where the end of it can be learnt.
    fn begin(&mut self, path: &str, then: Then, answer: Answer) -> Answer {
        let number = self.operations.len();
        let (looks, path) = (self.looks_until_done, path.to_owned());
        self.operations.push(Operation { looks, path, then });
        let place = format!(
            "{}/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/francecentral/operations/{number}?api-version=2024-07-01",
            self.url
        );
        answer.with("Azure-AsyncOperation", &place).with("Retry-After", "0")
    }

    fn operation(&mut self, number: usize) -> Answer {
        let operation = &mut self.operations[number];
        if operation.looks > 0 {
            operation.looks -= 1;
            return Answer::json(200, &json!({"status": "InProgress"})).with("Retry-After", "0");
        }
        let (path, then) = (operation.path.clone(), operation.then.clone());
        let mut settle = |state: &str| {
            if let Some(resource) = self.resources.get_mut(&path) {
                resource["properties"]["provisioningState"] = state.into();
            }
        };
        match then {
            Then::Fail(code, said) => {
                settle("Failed");
                let error = json!({"code": code, "message": said});
                Answer::json(200, &json!({"status": "Failed", "error": error}))
            }
            _ => {
                settle("Succeeded");
                Answer::json(200, &json!({"status": "Succeeded"}))
            }
        }
    }

    fn operation_result(&mut self, number: usize) -> Answer {
        let operation = &mut self.operations[number];
        if operation.looks > 0 {
            operation.looks -= 1;
            return Answer::empty(202)
                .with("Location", &format!("{}/subscriptions/{SUBSCRIPTION}/operationresults/{number}?api-version=2021-04-01", self.url))
                .with("Retry-After", "0");
        }
        let path = operation.path.clone();
        let is_within = |other: &str| other == path || other.starts_with(&format!("{path}/"));
        self.resources.retain(|other, _| !is_within(other));
        self.machines.retain(|other, _| !is_within(other));
        Answer::empty(200)
    }

    fn shown(&self, path: &str, resource: &Value) -> Value {
        let mut shown = resource.clone();
        if path.contains("/virtualmachines/") {
            let power = match resource["properties"]["provisioningState"].as_str() {
                Some("Succeeded") => json!([{"code": "ProvisioningState/succeeded"},
                    {"code": "PowerState/running", "level": "Info", "displayStatus": "VM running"}]),
                Some("Failed") => {
                    json!([{"code": "ProvisioningState/failed/OSProvisioningTimedOut",
                    "level": "Error", "message": "It did not come up."}])
                }
                _ => json!([{"code": "ProvisioningState/creating", "level": "Info"}]),
            };
            shown["properties"]["instanceView"] = json!({"statuses": power});
        }
        shown
    }

    fn breach(&mut self, asked: &Asked, fault: &str) -> Answer {
        self.breaches.push(format!("{} {}: {fault}", asked.method, asked.path));
        refusal(400, "InvalidRequestContent", fault)
    }
}

pub fn refusal(status: u16, code: &str, said: &str) -> Answer {
    Answer::json(status, &json!({"error": {"code": code, "message": said}}))
}

fn not_found(path: &str, rest: &[&str]) -> Answer {
    let code = if rest.len() == 2 { "ResourceGroupNotFound" } else { "ResourceNotFound" };
    refusal(404, code, &format!("{path} could not be found."))
}
