//! What no client should send, sent to every route that the OpenAPI document
//! lists: each is refused with a useful error, and nothing is changed.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::harness::Server;

/// Longest body that the server takes, bytes, and one more.
const TOO_LONG: u64 = (256 << 20) + 1;

/// Routes whose reply has no end, or is no reply at all.
const ENDLESS: &[&str] = &["/api/v2/events", "/api/v2/agent/link"];

/// An answer that takes longer has not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// One route of the document.
struct Route {
    method: String,
    path: String,
    operation: Value,
}

/// A request that must be refused.
struct Bad {
    what: String,
    target: Vec<u8>,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
    /// The only status that will do; any of 400 to 499 if none.
    status: Option<u16>,
}

/// A running server with what its document says.
struct Contract {
    server: Server,
    token: String,
    document: Value,
}

#[test]
fn whatever_is_sent_is_refused_with_a_reason_and_changes_nothing() {
    let contract = Contract::new();
    let before = contract.everything();
    let mut complaints = String::new();
    for route in contract.routes() {
        let mut bad = contract.bad_paths(&route);
        bad.extend(contract.bad_queries(&route));
        bad.extend(contract.bad_bodies(&route));
        bad.extend(contract.bad_headers(&route));
        for request in bad {
            if let Err(complaint) = contract.is_refused(&route.method, &request) {
                let Route { method, path, .. } = &route;
                writeln!(complaints, "{method} {path}: {}: {complaint}", request.what).unwrap();
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
    assert_eq!(contract.everything(), before);
    contract.assert_quiet_log();
}

#[test]
fn what_a_task_cannot_be_is_refused_by_every_route_that_takes_one() {
    let contract = Contract::new();
    let before = contract.everything();
    let long = "x".repeat(100_000);
    let specs = [
        json!({"command": "echo a\u{0}b"}),
        json!({"command": ["echo", "a\u{0}b"]}),
        json!({"command": ["echo", {"bytes": [0]}]}),
        json!({"command": ["echo", {"bytes": [256]}]}),
        json!({"command": []}),
        json!({"command": ""}),
        json!({"command": "echo 'a"}),
        json!({"command": "true", "name": long}),
        json!({"command": "true", "name": "a\u{0}"}),
        json!({"command": "true", "batch": long}),
        json!({"command": "true", "batch": ""}),
        json!({"command": "true", "batch": "a/b"}),
        json!({"command": "true", "batch": "a\u{7}"}),
        json!({"command": "true", "env": {"": "x"}}),
        json!({"command": "true", "env": {"A=B": "x"}}),
        json!({"command": "true", "env": {"A": "\u{0}"}}),
        json!({"command": "true", "tags": {long.as_str(): "x"}}),
        json!({"command": "true", "input": ["no uri"]}),
        json!({"command": "true", "output": "file:relative"}),
        json!({"command": "true", "retry": -1}),
        json!({"command": "true", "retry": 4_294_967_296_u64}),
        json!({"command": "true", "priority": 2_000_000}),
        json!({"command": "true", "cpu": 0}),
        json!({"command": "true", "memory": 1e300}),
        json!({"command": "true", "run_timeout": 0}),
        json!({"command": "true", "after": [987_654_321]}),
        json!({"command": "true", "after_any": [0]}),
        json!({"command": "true", "stdin": "x".repeat((1 << 20) + 1)}),
        json!({"command": "x".repeat((2 << 20) + 1)}),
    ];
    for spec in specs {
        let text = spec.to_string();
        let what: String = text.chars().take(80).collect();
        for (path, body) in [
            ("/api/v2/tasks", json!({"tasks": [{"command": "true"}, spec]})),
            ("/api/v2/tasks/edit", json!({"edits": [{"id": 1, "spec": spec}]})),
        ] {
            let bad = Bad::new(&what, path).body(body.to_string());
            if let Err(complaint) = contract.is_refused("POST", &bad) {
                panic!("{path} with {what}: {complaint}");
            }
        }
    }
    assert_eq!(contract.everything(), before);
    contract.assert_quiet_log();
}

impl Contract {
    /// A server with tasks, a batch and tokens that nothing may change.
    fn new() -> Self {
        // Each route is asked with a wrong token.
        let server = Server::start_with(&["--wrong-tokens", "100000"]);
        server.launch(&["--batch", "kept", "--name", "one", "--", "true"]);
        server.launch(&["--after", "1", "--", "true"]);
        server.scitq(&["manage", "token", "create", "--name", "other", "--role", "read"]).ok();
        let token = server.admin_token();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
        let document = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        Self { server, token, document }
    }

    fn routes(&self) -> Vec<Route> {
        let mut routes = Vec::new();
        for (path, item) in self.document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                routes.push(Route {
                    method: method.to_uppercase(),
                    path: path.clone(),
                    operation: operation.clone(),
                });
            }
        }
        assert!(routes.len() > 20, "the document lists {} routes", routes.len());
        routes
    }

    /// All that can be read and does not move by itself.
    fn everything(&self) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        for route in self.routes() {
            // A backup leaves a line in the audit.
            let moving = ["/api/v2/server", "/api/v2/server/backup"];
            let path = route.path.as_str();
            let moves = ENDLESS.contains(&path) || moving.contains(&path);
            if route.method == "GET" && !moves {
                for id in ["1", "2"] {
                    let target = route.target(id, "kept");
                    let (_, body) = self.ask("GET", &Bad::new("", &target));
                    let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
                    if let Some(fields) = body.as_object_mut() {
                        fields.remove("request_id");
                        // The questions themselves are a use of a token.
                        for token in fields
                            .get_mut("tokens")
                            .and_then(Value::as_array_mut)
                            .into_iter()
                            .flatten()
                        {
                            token.as_object_mut().unwrap().remove("last_used_at");
                        }
                    }
                    found.push((target, body));
                }
            }
        }
        found
    }

    fn bad_paths(&self, route: &Route) -> Vec<Bad> {
        let good_body = self.body_schema(route).map(|schema| self.sample(&schema).to_string());
        let mut bad = Vec::new();
        if route.path.contains("{id}") {
            let long = "9".repeat(30_000);
            let ids = ["x", "-1", "1.5", "18446744073709551616", "%ff%fe", "%00", "1%20", &long];
            for id in ids {
                let target = route.target(id, "kept");
                bad.push(Bad::new("a bad id", &target).body(good_body.clone().unwrap_or_default()));
            }
            let target = route.target("987654321", "kept");
            let unknown = Bad::new("an unknown id", &target);
            bad.push(unknown.body(good_body.clone().unwrap_or_default()));
        }
        if route.path.contains("{name}") {
            for name in ["%ff", "a%2Fb", "%07", &"x".repeat(256)] {
                let target = route.target("1", name);
                bad.push(
                    Bad::new("a bad name", &target).body(good_body.clone().unwrap_or_default()),
                );
            }
        }
        if route.path.contains("{stream}") {
            bad.push(Bad::new("a bad stream", &route.path.replace("{id}", "1")));
        }
        bad
    }

    fn bad_queries(&self, route: &Route) -> Vec<Bad> {
        let target = route.target("1", "kept");
        let parameters = route.operation["parameters"].as_array().cloned().unwrap_or_default();
        let in_query: Vec<&Value> = parameters.iter().filter(|p| p["in"] == "query").collect();
        if in_query.is_empty() {
            return Vec::new();
        }
        let mut bad = vec![Bad::new("an unknown parameter", &format!("{target}?surprise=1"))];
        for parameter in in_query {
            let name = parameter["name"].as_str().unwrap();
            bad.push(Bad::new("bad UTF-8", &format!("{target}?{name}=%ff%fe")));
            let schema = self.resolved(&parameter["schema"]);
            let is_text = types(&schema).any(|kind| kind == "string") && schema["enum"].is_null();
            if !is_text {
                bad.push(Bad::new("a wrong type", &format!("{target}?{name}=some")));
                bad.push(Bad::new("a wrong type", &format!("{target}?{name}=")));
            }
            bad.push(Bad::new("twice", &format!("{target}?{name}=1&{name}=1")));
        }
        bad
    }

    fn bad_bodies(&self, route: &Route) -> Vec<Bad> {
        let Some(schema) = self.body_schema(route) else { return Vec::new() };
        let target = route.target("1", "kept");
        let new = |what: &str, body: Vec<u8>| Bad::new(what, &target).raw_body(body);
        let deep = "[".repeat(200_000);
        let mut bad = vec![
            new("no body", Vec::new()),
            new("half a body", b"{\"".to_vec()),
            new("no JSON", b"ids=1".to_vec()),
            new("bad UTF-8", b"{\"ids\": \"\xff\xfe\"}".to_vec()),
            new("a depth bomb", deep.clone().into_bytes()),
            new("an array", b"[]".to_vec()),
            new("a number", b"3".to_vec()),
            new("a text", b"\"x\"".to_vec()),
            new("two bodies", b"{} {}".to_vec()),
        ];
        let sample = self.sample(&schema);
        let fields = sample.as_object().cloned().unwrap_or_default();
        let with = |name: &str, value: Value| {
            let mut fields = fields.clone();
            fields.insert(name.to_owned(), value);
            Value::Object(fields).to_string().into_bytes()
        };
        bad.push(new("an unknown field", with("surprise", json!(1))));
        for name in schema["required"].as_array().into_iter().flatten() {
            let mut fields = fields.clone();
            fields.remove(name.as_str().unwrap());
            bad.push(new("a missing field", Value::Object(fields).to_string().into_bytes()));
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let property = self.resolved(property);
            let wrong = if types(&property).any(|kind| kind == "object")
                || property.get("oneOf").is_some()
            {
                json!(7)
            } else {
                json!({"x": [1]})
            };
            bad.push(new(&format!("a wrong type of {name}"), with(name, wrong)));
            let mut bomb = Value::Object(fields.clone()).to_string();
            bomb.truncate(bomb.len() - 1);
            let comma = if fields.is_empty() { "" } else { "," };
            bad.push(new("a deep field", format!("{bomb}{comma}\"{name}\":{deep}").into_bytes()));
        }
        bad
    }

    fn bad_headers(&self, route: &Route) -> Vec<Bad> {
        let target = route.target("1", "kept");
        let sample = self.body_schema(route).map(|schema| self.sample(&schema).to_string());
        let sample = sample.unwrap_or_default();
        let mut bad = Vec::new();
        for token in [&b""[..], b"Bearer", b"Bearer wrong", b"Basic YTpi", b"Bearer \xff"] {
            let request = Bad::new("a bad token", &target).body(sample.clone());
            bad.push(request.header("authorization", token).expect(401));
        }
        let parameters = route.operation["parameters"].as_array();
        if parameters.into_iter().flatten().any(|p| p["name"] == "idempotency-key") {
            let long = [b'k'; 129];
            for key in [&b""[..], b"a b", b"\xc3\xa9", &long] {
                let request = Bad::new("a bad key", &target).body(sample.clone());
                bad.push(request.header("idempotency-key", key).expect(400));
            }
        }
        if route.method != "GET" {
            let request = Bad::new("a huge body", &target);
            let length = TOO_LONG.to_string().into_bytes();
            bad.push(request.header("content-length", &length).expect(413));
        }
        bad
    }

    /// The schema of the route's body, if it takes one.
    fn body_schema(&self, route: &Route) -> Option<Value> {
        let schema = route.operation.pointer("/requestBody/content/application~1json/schema")?;
        Some(self.resolved(schema))
    }

    fn resolved(&self, schema: &Value) -> Value {
        match schema["$ref"].as_str() {
            Some(place) => {
                let found = self.document.pointer(place.trim_start_matches('#'));
                self.resolved(found.unwrap_or_else(|| panic!("no {place}")))
            }
            None => schema.clone(),
        }
    }

    /// The least that the schema allows, about things that are not there.
    fn sample(&self, schema: &Value) -> Value {
        let schema = self.resolved(schema);
        if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
            return first.clone();
        }
        if let Some(one) = schema["oneOf"].as_array() {
            let first = one.iter().find(|schema| schema["type"] != "null");
            return self.sample(first.unwrap());
        }
        match types(&schema).next().unwrap_or("object") {
            "integer" | "number" => json!(987_654_321),
            "boolean" => json!(false),
            "array" => json!([self.sample(&schema["items"])]),
            "string" => json!("nowhere"),
            _ => {
                let mut fields = Map::new();
                for name in schema["required"].as_array().into_iter().flatten() {
                    let name = name.as_str().unwrap();
                    fields.insert(name.to_owned(), self.sample(&schema["properties"][name]));
                }
                Value::Object(fields)
            }
        }
    }

    /// What is wrong with the answer to a request that must be refused.
    fn is_refused(&self, method: &str, bad: &Bad) -> Result<(), String> {
        let (status, body) = self.ask(method, bad);
        let text = String::from_utf8_lossy(&body).into_owned();
        let fits = bad.status.map_or((400..500).contains(&status), |only| only == status);
        if !fits {
            return Err(format!("answered {status}: {text}"));
        }
        let told: Value = serde_json::from_slice(&body).unwrap_or_default();
        for field in ["code", "message", "request_id"] {
            if told[field].as_str().is_none_or(str::is_empty) {
                return Err(format!("{status} without {field}: {text}"));
            }
        }
        if text.len() > 8_192 {
            return Err(format!("an error of {} bytes", text.len()));
        }
        Ok(())
    }

    /// Sends it, and returns the status and the body of the answer.
    fn ask(&self, method: &str, bad: &Bad) -> (u16, Vec<u8>) {
        let mut request = format!("{method} ").into_bytes();
        request.extend(&bad.target);
        request.extend(b" HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
        let names = |name: &str| bad.headers.iter().any(|(other, _)| *other == name);
        if !names("authorization") {
            request.extend(format!("authorization: Bearer {}\r\n", self.token).bytes());
        }
        if !names("content-length") {
            request.extend(format!("content-length: {}\r\n", bad.body.len()).bytes());
        }
        for (name, value) in &bad.headers {
            request.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        request.extend(b"\r\n");
        request.extend(&bad.body);
        let mut stream = TcpStream::connect(self.server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // A server that has refused already reads no further.
        let _ = stream.write_all(&request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let end = answer.windows(4).position(|part| part == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("{method} {}: no answer", bad.what));
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer[end + 4..].to_vec())
    }

    fn assert_quiet_log(&self) {
        let log = fs::read_to_string(self.server.path().join("logs/server")).unwrap();
        for word in ["panicked", "ERROR"] {
            assert!(!log.contains(word), "the server's log has {word}");
        }
    }
}

impl Route {
    /// The path with an id and a name put in.
    fn target(&self, id: &str, name: &str) -> String {
        let path = self.path.replace("{id}", id).replace("{name}", name);
        path.replace("{stream}", "stdout").replace("{rank}", "1")
    }
}

impl Bad {
    fn new(what: &str, target: &str) -> Self {
        Self {
            what: what.to_owned(),
            target: target.as_bytes().to_vec(),
            headers: Vec::new(),
            body: Vec::new(),
            status: None,
        }
    }

    fn body(self, body: String) -> Self {
        self.raw_body(body.into_bytes())
    }

    fn raw_body(self, body: Vec<u8>) -> Self {
        Self { body, ..self }
    }

    fn header(mut self, name: &'static str, value: &[u8]) -> Self {
        self.headers.push((name, value.to_vec()));
        self
    }

    fn expect(self, status: u16) -> Self {
        Self { status: Some(status), ..self }
    }
}

/// The types that a schema allows, but for null.
fn types(schema: &Value) -> impl Iterator<Item = &str> {
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        kind => kind.as_str().into_iter().collect::<Vec<_>>(),
    };
    kinds.into_iter().filter(|kind| *kind != "null")
}

#[test]
fn a_method_that_a_route_does_not_take_is_refused() {
    let contract = Contract::new();
    for route in contract.routes() {
        let target = route.target("1", "kept");
        for method in ["PUT", "TRACE", "BREW"] {
            if !contract.document["paths"][&route.path][method.to_lowercase()].is_null() {
                continue;
            }
            let request = Bad::new("a wrong method", &target).expect(405);
            if let Err(complaint) = contract.is_refused(method, &request) {
                panic!("{method} {target}: {complaint}");
            }
        }
    }
    contract.assert_quiet_log();
}
