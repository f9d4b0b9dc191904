//! Hosts that exist, over ssh.

use std::fs;
use std::sync::Arc;

use scitq::server::hiring::provider::{ErrorClass, MachineStatus};

use super::bench::{Log, hire, hired, is_running, order, provider, until_worker};
use super::sshd::Sshds;
use crate::harness::{Server, until};

const NODE: (&str, &str) = ("node", "lab");

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_hired_works_and_is_given_back() {
    let Some(sshds) = Sshds::start(1) else { return };
    let server = Server::start();
    let lab = provider("ssh", sshds.world().path(), &sshds.keys("id", &sshds.all())).unwrap();
    let flavors = lab.flavors().await.unwrap();
    assert_eq!((flavors[0].name.as_str(), flavors[0].region.as_str()), NODE);
    assert_eq!((flavors[0].cpu, flavors[0].ram), (2, Some(4.0)));

    let order = order(&server, "lab-node1", NODE);
    let log = Log::default();
    let machine = hire(&*lab, &order, &log).await;
    assert_eq!(machine.0, sshds.host(0));
    log.says("copying the program");
    log.says("it has joined");
    log.has_progress_up_to(100);
    assert!(!log.text().contains(order.agent.token.expose()), "{}", log.text());
    let worker = until_worker(&server, "lab-node1", "running");
    let told = &worker["machine"];
    assert_eq!((&told["provider"], &told["flavor"]), (&"lab".into(), &"node".into()));

    let id = server.launch(&["--", "echo", "hello"]);
    server.wait_for(&id, &["succeeded"]);
    let hired = hired(&order, Some(machine));
    assert!(is_running(&*lab, &hired).await);
    assert_eq!(lab.list(&order.tag).await.unwrap(), [hired.clone()]);

    let running = server.launch(&["--shell", "--", "sleep 1000; true"]);
    server.wait_for(&running, &["running"]);
    let log = Log::default();
    lab.destroy(&hired, &log).await.unwrap();
    log.says("its files are gone");
    assert!(!sshds.directory().join("lab-node1").exists());
    let left: Vec<String> = sshds.world().command_lines();
    assert!(
        !left.iter().any(|line| line.contains("sleep 1000") || line.contains(" agent ")),
        "{left:?}"
    );
    assert_eq!(lab.list(&order.tag).await.unwrap(), []);
    assert_eq!(lab.status(&hired).await.unwrap(), MachineStatus::Gone);
    lab.destroy(&hired, &Log::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hosts_are_hired_each_once() {
    let Some(mut sshds) = Sshds::start(3) else { return };
    let server = Server::start();
    sshds.shut_down(0);
    let keys = sshds.keys("id", &sshds.all());
    let lab = provider("ssh", sshds.world().path(), &keys).unwrap();
    let orders = ["n1", "n2", "n3"].map(|name| order(&server, name, NODE));
    let log = Log::default();
    let (one, two) = tokio::join!(lab.create(&orders[0], &log), lab.create(&orders[1], &log));
    let mut machines = [one.unwrap().0, two.unwrap().0];
    machines.sort();
    let mut others = [sshds.host(1), sshds.host(2)];
    others.sort();
    assert_eq!(machines, others);
    log.says("cannot be reached");
    let error = lab.create(&orders[2], &log).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Capacity);
    assert!(
        error.message.contains("none of the 3 hosts of `node` can be had: 2 are in use"),
        "{error}"
    );
    // A server that was killed finds what it has claimed.
    let again = provider("ssh", sshds.world().path(), &keys).unwrap();
    assert_eq!(again.list(&orders[0].tag).await.unwrap().len(), 2);
    let claimed = again.create(&orders[1], &Log::default()).await.unwrap();
    assert!(others.contains(&claimed.0));
    let nothing = hired(&orders[1], None);
    again.destroy(&nothing, &Log::default()).await.unwrap();
    assert_eq!(again.create(&orders[2], &Log::default()).await.unwrap(), claimed);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_host_from_being_hired_is_told_apart() {
    let Some(mut sshds) = Sshds::start(1) else { return };
    let server = Server::start();
    let order = order(&server, "n1", NODE);
    let folder = sshds.world().path().to_owned();
    let refusal = async |key: &str, sshds: &Sshds| {
        let lab = provider("ssh", &folder, &sshds.keys(key, &sshds.all())).unwrap();
        let error = lab.create(&order, &Log::default()).await.unwrap_err();
        assert_eq!(lab.list(&order.tag).await.unwrap(), [], "nothing is left claimed");
        (error.class, error.message)
    };

    let (class, message) = refusal("other", &sshds).await;
    assert_eq!(class, ErrorClass::Authentication);
    assert!(message.contains("refuses the keys of the head"), "{message}");
    assert!(message.contains("passwords are never asked for"), "{message}");

    // 10 MiB are free.
    sshds.tool("df", "echo head; echo /dev/x 1 1 10240 1% /");
    let (class, message) = refusal("id", &sshds).await;
    assert_eq!(class, ErrorClass::Capacity);
    assert!(message.contains("its disk is full: 10 MiB are free"), "{message}");

    sshds.install_anew(0);
    let (class, message) = refusal("id", &sshds).await;
    assert_eq!(class, ErrorClass::Authentication);
    assert!(message.contains("shows another key than the one that is known"), "{message}");

    fs::write(folder.join("known_hosts"), "").unwrap();
    let (class, message) = refusal("id", &sshds).await;
    assert_eq!(class, ErrorClass::Authentication);
    assert!(message.contains("is not known: see that it is the right one"), "{message}");

    sshds.know_all();
    sshds.shut_down(0);
    let (class, message) = refusal("id", &sshds).await;
    assert_eq!(class, ErrorClass::Transient);
    assert!(message.contains("cannot be reached: ") && message.contains("refused"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_while_the_program_is_copied_is_an_error_that_says_so() {
    let Some(sshds) = Sshds::start(1) else { return };
    let Some(_small) = SmallDisk::mount(&sshds.directory()) else { return };
    // It seemed to have room.
    sshds.tool("df", "echo head; echo /dev/x 1 1 10240000 1% /");
    let server = Server::start();
    let order = order(&server, "n1", NODE);
    let lab = provider("ssh", sshds.world().path(), &sshds.keys("id", &sshds.all())).unwrap();
    let machine = lab.create(&order, &Log::default()).await.unwrap();
    let error = lab.deploy(&order, &machine, &Log::default()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Capacity, "{error}");
    assert!(
        error.message.contains("its disk is full: ") && error.message.contains("No space left"),
        "{error}"
    );
    lab.destroy(&hired(&order, Some(machine)), &Log::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_upgraded_while_its_commands_go_on() {
    let Some(sshds) = Sshds::start(1) else { return };
    let server = Server::start();
    let lab = provider("ssh", sshds.world().path(), &sshds.keys("id", &sshds.all())).unwrap();
    let order = order(&server, "n1", NODE);
    let machine = hire(&*lab, &order, &Log::default()).await;
    let go = server.path().join("go");
    let command =
        format!("echo begun; until [ -e {} ]; do sleep 0.05; done; echo done", go.display());
    let id = server.launch(&["--retry", "0", "--shell", "--", &command]);
    server.wait_for(&id, &["running"]);

    let log = Log::default();
    lab.deploy(&order, &machine, &log).await.unwrap();
    log.says("skipped: it is there, version");
    log.says("skipped: it runs");

    // Another build of the program: a byte more.
    let newer = sshds.world().path().join("scitq-newer");
    let mut bytes = fs::read(super::bench::small_program()).unwrap();
    bytes.push(0);
    fs::write(&newer, bytes).unwrap();
    fs::set_permissions(&newer, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let keys = sshds.keys("id", &sshds.all());
    let old = super::bench::small_program().display().to_string();
    let keys = keys.replace(&old, &newer.display().to_string());
    let lab = provider("ssh", sshds.world().path(), &keys).unwrap();
    let before = agent_pid(&sshds);
    let log = Log::default();
    lab.deploy(&order, &machine, &log).await.unwrap();
    log.says("its commands go on while it is replaced");
    assert_ne!(agent_pid(&sshds), before);
    let installed = sshds.directory().join("n1/bin/scitq");
    assert_eq!(fs::metadata(installed).unwrap().len(), fs::metadata(&newer).unwrap().len());
    fs::write(&go, "").unwrap();
    let task = server.wait_for(&id, &["succeeded", "failed"]);
    assert_eq!((&task["state"], &task["attempts"]), (&"succeeded".into(), &1.into()), "{task}");
    assert_eq!(server.stdout(&id), b"begun\ndone\n");
    lab.destroy(&hired(&order, Some(machine)), &Log::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_cannot_join_is_told_with_its_last_words() {
    let Some(sshds) = Sshds::start(1) else { return };
    let server = Server::start();
    let lab = provider("ssh", sshds.world().path(), &sshds.keys("id", &sshds.all())).unwrap();
    let mut order = order(&server, "n1", NODE);
    order.agent.token = scitq::server::hiring::provider::Secret::new("scitq_wrong".to_owned());
    let machine = lab.create(&order, &Log::default()).await.unwrap();
    let log = Log::default();
    let deployed = lab.deploy(&order, &machine, &log).await;
    let error = deployed.unwrap_err();
    assert!(error.message.contains("does not take this agent's token"), "{error}");
    let told = format!("{error:?} {}", log.text());
    assert!(!told.contains("scitq_wrong"), "{told}");
    let hired = hired(&order, Some(machine));
    lab.destroy(&hired, &Log::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_deployment_ends_soon_and_is_undone() {
    let Some(sshds) = Sshds::start(1) else { return };
    let server = Server::start();
    let lab = provider("ssh", sshds.world().path(), &sshds.keys("id", &sshds.all())).unwrap();
    let order = order(&server, "n1", NODE);
    let machine = lab.create(&order, &Log::default()).await.unwrap();
    // Something that takes for ever.
    sshds.tool("mv", "exec sleep 1000");
    let log = Log::default();
    let cancel = log.cancel.clone();
    let deploying = tokio::spawn({
        let (lab, order, machine) = (Arc::clone(&lab), order.clone(), machine.clone());
        async move { lab.deploy(&order, &machine, &log).await }
    });
    until("the deployment to be under way", || {
        let lines = sshds.world().command_lines();
        lines.iter().any(|line| line.contains("sleep 1000")).then_some(())
    });
    cancel.cancel();
    assert_eq!(deploying.await.unwrap().unwrap_err().class, ErrorClass::Cancelled);
    let hired = hired(&order, Some(machine));
    lab.destroy(&hired, &Log::default()).await.unwrap();
    assert!(!sshds.directory().join("n1").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_another_worker_is_left_alone() {
    let Some(sshds) = Sshds::start(1) else { return };
    let server = Server::start();
    let lab = provider("ssh", sshds.world().path(), &sshds.keys("id", &sshds.all())).unwrap();
    let order = order(&server, "n1", NODE);
    let folder = sshds.directory().join("n1");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("hired"), "head-2 n1\n").unwrap();
    let machine = lab.create(&order, &Log::default()).await.unwrap();
    let error = lab.deploy(&order, &machine, &Log::default()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unsupported);
    assert!(error.message.contains("belongs to another worker: head-2 n1"), "{error}");
    let error = lab.destroy(&hired(&order, Some(machine)), &Log::default()).await.unwrap_err();
    assert!(error.message.contains("does not belong to n1 of head-1"), "{error}");
    assert!(folder.join("hired").exists());
}

#[test]
fn settings_that_make_no_sense_are_refused_with_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |keys: &str| provider("ssh", folder.path(), keys).unwrap_err().to_string();
    for (keys, part) in [
        ("", "`flavors` is missing"),
        (
            "[flavors.node]\nhosts = \"n[1-2\"\ncpu = 1",
            "`flavors.node`: `n[1-2` has a `[` without a `]`",
        ),
        ("[flavors.node]\nhosts = []\ncpu = 1", "`hosts` names none"),
        ("[flavors.node]\nhosts = \"a\"\ncpu = 0", "`cpu` is 0"),
        ("[flavors.node]\nhosts = \"a\"", "missing field `cpu`"),
        (
            "[flavors.x]\nhosts = \"a\"\ncpu = 1\n[flavors.y]\nhosts = \"a\"\ncpu = 1",
            "host a is named twice",
        ),
        ("pasword = \"x\"", "unknown field `pasword`"),
        ("directory = \"here\"\n[flavors.x]\nhosts = \"a\"\ncpu = 1", "it is an absolute path"),
    ] {
        let reason = refused(keys);
        assert!(reason.contains("provider `lab`") && reason.contains(part), "{keys}: {reason}");
    }
}

fn agent_pid(sshds: &Sshds) -> String {
    fs::read_to_string(sshds.directory().join("n1/agent.pid")).unwrap()
}

/// A file system of 8 MiB. Unmounted when dropped.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: &std::path::Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let mut command = std::process::Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(at);
        if command.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(at.to_owned()));
        }
        eprintln!("SKIPPED: only root mounts a small disk");
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
