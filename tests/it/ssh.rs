//! `ssh://` addresses, against real SSH servers.
#![expect(clippy::zombie_processes, reason = "the world ends what lives in it")]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command};

use crate::harness::{AgentOptions, Ran, SCITQ, Server, World, until};
use crate::netns::{self, Network};
use crate::screen::Terminal;
use crate::storage::peers::{debian, free_port};

const LIST: [&str; 3] = ["manage", "task", "list"];

/// SSH servers and a client's configuration, all in one folder.
///
/// The client's own configuration is in the home of the user who runs the tests,
/// wherever `HOME` points: a program named `ssh` in front of the search path
/// names another one.
struct Ssh {
    folder: PathBuf,
    sshd: PathBuf,
}

impl Ssh {
    /// None where there is no sshd.
    fn new(world: &World) -> Option<Self> {
        let sshd = debian("sshd")?;
        let ssh = debian("ssh")?;
        let folder = world.path().join("ssh");
        fs::create_dir(&folder).unwrap();
        let this = Self { folder, sshd };
        for (key, passphrase) in [("id", ""), ("locked", "sesame")] {
            this.make_key(world, key, passphrase);
        }
        let both = ["id.pub", "locked.pub"].map(|key| fs::read(this.path(key)).unwrap()).concat();
        fs::write(this.path("authorized"), both).unwrap();
        let wrapper = format!(
            "#!/bin/sh\nexec {} -F {} \"$@\"\n",
            ssh.display(),
            this.path("config").display()
        );
        fs::write(this.path("bin-ssh"), wrapper).unwrap();
        fs::create_dir(this.path("bin")).unwrap();
        fs::rename(this.path("bin-ssh"), this.path("bin/ssh")).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(this.path("bin/ssh"), executable).unwrap();
        // sshd wants this folder, and no option names another.
        let _ = fs::create_dir_all("/run/sshd");
        Some(this)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn make_key(&self, world: &World, name: &str, passphrase: &str) {
        let _ = fs::remove_file(self.path(name));
        let mut command = world.command("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]).arg(self.path(name));
        Ran::of(command).ok();
    }

    /// What `ssh` knows of a host.
    fn know(&self, name: &str, address: &str, port: u16, more: &str) {
        let path = |name: &str| self.path(name).display().to_string();
        let (id, known) = (path("id"), path("known_hosts"));
        let section = format!(
            "Host {name}\n HostName {address}\n Port {port}\n IdentitiesOnly yes\n {more}\n \
             IdentityFile {id}\n UserKnownHostsFile {known}\n StrictHostKeyChecking accept-new\n"
        );
        let before = fs::read_to_string(self.path("config")).unwrap_or_default();
        fs::write(self.path("config"), before + &section).unwrap();
    }

    /// The configuration of an SSH server, with a host key of its own.
    fn sshd(&self, world: &World, name: &str, address: &str, port: u16) -> Vec<String> {
        self.make_key(world, &format!("host-{name}"), "");
        let path = |name: String| self.path(&name).display().to_string();
        let conf = format!(
            "ListenAddress {address}\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n",
            path(format!("host-{name}")),
            path("authorized".to_owned()),
        );
        fs::write(self.path(&format!("{name}.conf")), conf).unwrap();
        ["-D", "-e", "-f", &path(format!("{name}.conf"))].map(str::to_owned).to_vec()
    }

    fn start(&self, world: &World, arguments: &[String]) -> Child {
        let mut command = world.command(&self.sshd);
        command.args(arguments);
        world.spawn("sshd", command)
    }

    /// The same program, which finds our `ssh`, and the server by it.
    fn client(&self, mut command: Command, server: &str) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{}", self.path("bin").display(), path.display()));
        command.env("SCITQ_SERVER", server);
        command
    }
}

/// A server, and an SSH server on its machine, named `lab`.
fn lab(server: &Server) -> Option<(Ssh, Vec<String>, String)> {
    let ssh = Ssh::new(server.world())?;
    let port = free_port();
    ssh.know("lab", "127.0.0.1", port, "");
    let sshd = ssh.sshd(server.world(), "lab", "127.0.0.1", port);
    let address = format!("ssh://lab/{}", server.address().rsplit(':').next().unwrap());
    Some((ssh, sshd, address))
}

#[test]
fn people_and_agents_reach_a_server_by_ssh_and_again_when_it_was_away() {
    let mut server = Server::start();
    let Some((ssh, sshd, address)) = lab(&server) else { return };
    let run = |server: &Server, arguments: &[&str]| {
        Ran::of(ssh.client(server.command(arguments), &address))
    };
    let refused = run(&server, &LIST).refused(69, "cannot reach scitq at ssh://lab");
    assert!(
        refused.stderr.contains("refused") && refused.stderr.contains("`ssh lab`"),
        "{refused}"
    );
    let mut daemon = ssh.start(server.world(), &sshd);
    until("a way by ssh", || run(&server, &LIST).status.success().then_some(()));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = format!("{}:{}", ssh.path("bin").display(), path.display());
    let env = [("SCITQ_SERVER".to_owned(), address.clone()), ("PATH".to_owned(), path)].into();
    server.agent(AgentOptions { by_variable: true, env, ..AgentOptions::default() });
    let ran = run(&server, &["launch", "--follow", "--", "echo", "by ssh"]).ok();
    assert_eq!(ran.text(), "by ssh");
    // A terminal UI that is open all the while.
    let mut tui = server.command(&["tui", "--screen", "tasks"]);
    tui.env("TERM", "xterm-256color");
    let mut tui = Terminal::start(&ssh.client(tui, &address), (120, 30));
    tui.wait_for("by ssh");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    server.world().kill_those_of("-M -N -f");
    tui.wait_for("reconnecting");
    let id = server.launch(&["--name", "meanwhile", "--", "echo", "after"]);
    ssh.start(server.world(), &sshd);
    tui.wait_for("meanwhile");
    server.wait_for(&id, &["succeeded"]);
    tui.type_keys("q");
    // A server that is not there, behind an SSH server that is.
    assert!(server.stop().success());
    let ran = run(&server, &LIST).refused(69, "cannot reach scitq at ssh://lab");
    assert!(!ran.stderr.contains("panicked"), "{ran}");
}

#[test]
fn another_host_key_than_before_is_told_nothing() {
    let server = Server::start();
    let Some((ssh, sshd, address)) = lab(&server) else { return };
    let run = || Ran::of(ssh.client(server.command(&LIST), &address));
    let mut daemon = ssh.start(server.world(), &sshd);
    until("a way by ssh", || run().status.success().then_some(()));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    server.world().kill_those_of("-M -N -f");
    ssh.make_key(server.world(), "host-lab", "");
    ssh.start(server.world(), &sshd);
    until("the other key to be refused", || {
        let ran = run();
        assert_eq!(ran.code(), 69, "{ran}");
        ran.stderr.contains("Host key verification failed").then_some(())
    });
}

#[test]
fn what_ssh_wants_to_know_is_asked_on_the_terminal_once() {
    let server = Server::start();
    let Some((ssh, sshd, address)) = lab(&server) else { return };
    let config = fs::read_to_string(ssh.path("config")).unwrap();
    fs::write(ssh.path("config"), config.replace("/id\n", "/locked\n")).unwrap();
    ssh.start(server.world(), &sshd);
    let id = server.launch(&["--name", "asked", "--", "true"]);
    let list = || ssh.client(server.command(&LIST), &address);
    until("the SSH server", || {
        let ran = Ran::of(list());
        ran.stderr.contains("Permission denied").then_some(())
    });
    let mut terminal = Terminal::start(&list(), (120, 30));
    terminal.wait_for("Enter passphrase");
    terminal.type_keys("sesame\r");
    terminal.wait_for("asked");
    assert!(terminal.wait().success());
    // The connection is there, and nobody is asked any more.
    let ran = Ran::of(list()).ok();
    assert!(ran.text().contains(&id), "{ran}");
}

#[test]
fn a_server_behind_a_jump_host_is_reached() {
    let Some(network) = Network::with_client() else { return };
    let world = World::new();
    let Some(ssh) = Ssh::new(&world) else { return };
    let port = 2222;
    ssh.know("gate", netns::GATE_IP, port, "");
    ssh.know("far", netns::HEAD_IP, port, "ProxyJump gate");
    for (name, namespace, ip) in
        [("gate", network.worker(), netns::GATE_IP), ("far", network.head(), netns::HEAD_IP)]
    {
        let arguments = ssh.sshd(&world, name, ip, port);
        let mut command = Network::command(&world, namespace, ssh.sshd.to_str().unwrap());
        command.args(arguments);
        world.spawn(&format!("sshd-{name}"), command);
    }
    let data = world.path().join("data");
    let mut command = Network::command(&world, network.head(), SCITQ);
    command.args(["serve", "--listen", "127.0.0.1:5000", "--data"]).arg(&data);
    world.spawn("server", command);
    let token = until("the server", || fs::read_to_string(data.join("admin.token")).ok());
    let run = |server: &str, arguments: &[&str]| {
        let mut command = Network::command(&world, network.client(), SCITQ);
        command.args(arguments).env("SCITQ_TOKEN", token.trim());
        Ran::of(ssh.client(command, server))
    };
    until("a way through the jump host", || run("ssh://far", &LIST).status.success().then_some(()));
    let id = run("ssh://far", &["launch", "--", "true"]).ok();
    assert_eq!(id.text(), "1");
    // There is no other way.
    run(&format!("http://{}:{port}", netns::HEAD_IP), &LIST).refused(69, "cannot reach");
}
