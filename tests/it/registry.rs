//! A registry of images that wants to know who asks.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::engine::{Engine, IMAGE};
use crate::harness::{World, until};

/// `scitq` with the password `pw`.
const USERS: &str = "scitq:$2y$05$bsQWYXmaOaveiy6eFCnMVOb9VVaaSUkQYRreD6B/ZGaDGYlS340fm\n";
const LOGIN: &str = "c2NpdHE6cHc=";

/// The registry, with one image in it.
#[derive(Debug)]
pub struct Registry {
    pub image: String,
    address: String,
    folder: PathBuf,
    process: Child,
}

impl Registry {
    /// None where the program is missing, which is said, and fails with `CI=true`.
    pub fn start(world: &World, engine: &Engine) -> Option<Self> {
        let there = Command::new("docker-registry").arg("--version").stdout(Stdio::null()).status();
        if there.is_err() {
            let said = "SKIPPED: docker-registry is not installed (tests/run does it)";
            let is_ci = std::env::var_os("CI").is_some_and(|value| value == "true");
            assert!(!is_ci, "{said}");
            eprintln!("{said}");
            return None;
        }
        let folder = world.path().join("registry");
        fs::create_dir(&folder).unwrap();
        // Free a moment ago: no other test takes ports by number.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let place = folder.display();
        fs::write(folder.join("users"), USERS).unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage:\n  filesystem: {{rootdirectory: \
             {place}/data}}\nhttp: {{addr: \"{address}\"}}\nauth:\n  htpasswd: {{realm: test, \
             path: {place}/users}}\n"
        );
        fs::write(folder.join("config.yml"), config).unwrap();
        let mut command = world.command("docker-registry");
        command.arg("serve").arg(folder.join("config.yml"));
        let process = world.spawn("registry", command);
        let image = format!("{address}/tools/busybox:1");
        let registry = Self { image, address, folder, process };
        until("the registry to listen", || std::net::TcpStream::connect(&registry.address).ok());
        let login = registry.login();
        let login = login.to_str().unwrap();
        engine.docker(&["tag", IMAGE, &registry.image]);
        engine.docker(&["--config", login, "push", "--quiet", &registry.image]);
        engine.docker(&["rmi", &registry.image]);
        Some(registry)
    }

    /// A folder as `docker login` leaves it.
    pub fn login(&self) -> PathBuf {
        let address = &self.address;
        self.config("login", &format!(r#"{{"auths": {{"{address}": {{"auth": "{LOGIN}"}}}}}}"#))
    }

    /// A folder that names a credential helper, which is a program in it.
    pub fn login_by_helper(&self) -> PathBuf {
        let address = &self.address;
        let config = format!(r#"{{"credHelpers": {{"{address}": "scitq-test"}}}}"#);
        let folder = self.config("helper", &config);
        let program = folder.join("docker-credential-scitq-test");
        let answer = r#"{"ServerURL": "x", "Username": "scitq", "Secret": "pw"}"#;
        fs::write(&program, format!("#!/bin/sh\ncat >/dev/null\necho '{answer}'\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    fn config(&self, name: &str, text: &str) -> PathBuf {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), text).unwrap();
        folder
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
