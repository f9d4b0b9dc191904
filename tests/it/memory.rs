//! Commands that are kept within their memory, by control groups of the real
//! kernel: of version 2, or of version 1 where that is what has the memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::harness::{AgentId, AgentOptions, Server, until};
use crate::storage::peers;

const MIB: u64 = 1 << 20;

/// A command that wants more than any limit here.
const GREEDY: &str = r#"awk 'BEGIN { s = "x"; while (length(s) < 400000000) s = s s }'"#;

/// A control group below which an agent may make others.
struct Group(PathBuf);

impl Group {
    /// None: this machine has no such groups, or only root may make them.
    fn make() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let mounts = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"].map(Path::new);
        let has_memory = |mount: &Path| {
            let controllers = fs::read_to_string(mount.join("cgroup.controllers"));
            mount.join("memory.use_hierarchy").exists()
                || controllers.is_ok_and(|names| names.split_whitespace().any(|n| n == "memory"))
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("scitq-test-{}-{number}", std::process::id());
        let group = mounts.into_iter().find(|mount| has_memory(mount))?.join(name);
        // Where it is switched on already, this changes nothing.
        let _ = fs::write(group.with_file_name("cgroup.subtree_control"), "+memory");
        if fs::create_dir(&group).is_err() {
            return peers::missing("leave to make control groups (root)");
        }
        Some(Self(group))
    }

    /// The groups of commands in it.
    fn commands(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).unwrap().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    /// How often the kernel has killed in it for want of memory.
    fn kills(&self) -> u64 {
        let count = |group: &PathBuf| {
            let files = ["memory.events", "memory.oom_control"].map(|name| group.join(name));
            let text = files.iter().find_map(|file| fs::read_to_string(file).ok())?;
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse::<u64>().ok())
        };
        self.commands().iter().filter_map(count).sum()
    }

    #[track_caller]
    fn is_empty(&self) {
        until("the groups of commands to go", || self.commands().is_empty().then_some(()));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for group in self.commands().into_iter().chain([self.0.clone()]) {
            until("a control group to go", || {
                (fs::remove_dir(&group).is_ok() || !group.exists()).then_some(())
            });
        }
    }
}

/// A server with an agent that has a group; dropped before the group is.
struct Place {
    server: Server,
    agent: AgentId,
    group: Group,
}

impl Place {
    fn new() -> Option<Self> {
        let group = Group::make()?;
        let env = [("SCITQ_AGENT_CGROUP".to_owned(), group.0.display().to_string())].into();
        let mut server = Server::start();
        let agent = server.agent(AgentOptions { env, ..AgentOptions::default() });
        Some(Self { server, agent, group })
    }

    fn run(&self, options: &[&str], script: &str) -> Value {
        let id = self.server.launch(&[options, &["--shell", "--", script]].concat());
        self.server.wait_for(&id, &["succeeded", "failed"])
    }
}

fn peak(task: &Value) -> u64 {
    task["executions"][0]["outcome"]["usage"]["peak_memory_bytes"].as_u64().unwrap()
}

#[test]
fn a_command_that_passes_its_memory_is_told_from_others_that_are_killed() {
    let Some(place) = Place::new() else { return };
    let task = place.run(&["--mem", "32M"], &format!("exec {GREEDY}"));
    assert_eq!((&task["failure"], &task["signal"]), (&"oom".into(), &9.into()), "{task}");
    assert!((16 * MIB..=32 * MIB).contains(&peak(&task)), "{task}");
    // A child counts as the command does.
    let task = place.run(&["--mem", "32M"], &format!("{GREEDY}; exit 5"));
    let is_killed = task["signal"] == 9 || task["state"] == "failed";
    assert!(is_killed && task["failure"] == "oom", "{task}");
    let task = place.run(&["--mem", "32M"], "kill -9 $$");
    assert_eq!((&task["failure"], &task["signal"]), (&"signal".into(), &9.into()), "{task}");
    let task = place.run(&["--mem", "256M"], "head -c 60m /dev/zero | tail -c 60m | wc -c");
    assert_eq!(task["state"], "succeeded", "{task}");
    assert!((60 * MIB..=256 * MIB).contains(&peak(&task)), "{task}");
    place.group.is_empty();
    let show = place.server.scitq(&["manage", "worker", "show", "worker"]).ok();
    assert!(show.text().contains("kept by the kernel"), "{show}");
}

#[test]
fn a_command_in_a_group_has_its_user_its_arguments_and_its_exit_code() {
    let Some(place) = Place::new() else { return };
    let launch = ["launch", "--follow", "--uid", "1234", "--gid", "1235", "--env", "X=a b", "--"];
    let script = "id -u; id -g; echo \"$0 $1 $X\"; grep -c scitq- /proc/self/cgroup; exit 7";
    let ran = place.server.scitq(&[&launch[..], &["sh", "-c", script, "na me", ""]].concat());
    assert_eq!((ran.code(), ran.text()), (7, "1234\n1235\nna me  a b\n1"));
    let ran = place.server.scitq(&["launch", "--follow", "--", "no-such-program"]);
    assert_eq!(ran.code(), 127);
    assert!(ran.stderr.contains("`no-such-program` not found"), "{ran}");
    place.group.is_empty();
}

#[test]
fn a_command_that_passes_its_memory_while_its_agent_is_away_is_told_by_the_next() {
    let Some(mut place) = Place::new() else { return };
    let go = place.server.path().join("go");
    let script =
        format!("echo up; while [ ! -e '{}' ]; do sleep 0.05; done; exec {GREEDY}", go.display());
    let id = place.server.launch(&["--mem", "32M", "--shell", "--", &script]);
    until("the command to run", || (place.server.stdout(&id) == b"up\n").then_some(()));
    place.server.kill9_agent(place.agent);
    fs::write(&go, "").unwrap();
    until("the kernel to kill it", || (place.group.kills() > 0).then_some(()));
    place.server.start_agent(place.agent);
    let task = place.server.wait_for(&id, &["failed"]);
    assert_eq!((&task["failure"], &task["attempts"]), (&"oom".into(), &1.into()), "{task}");
    place.group.is_empty();
}

#[test]
fn a_worker_without_groups_says_why() {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    let folder = server.path().display().to_string();
    let env = [("SCITQ_AGENT_CGROUP".to_owned(), folder.clone())].into();
    server.agent(AgentOptions { name: "folder".to_owned(), env, ..AgentOptions::default() });
    for (worker, reason) in [("worker", ""), ("folder", "is no control group for memory")] {
        let show = server.scitq(&["manage", "worker", "show", worker]).ok();
        let said = show.text().lines().find(|line| line.contains("memory limits")).unwrap();
        assert!(said.contains("not kept by the kernel: ") && said.contains(reason), "{said}");
    }
    let log = fs::read_to_string(server.path().join("logs/folder")).unwrap();
    assert!(log.contains(&format!("`{folder}` is no control group for memory")), "{log}");
    // Tasks that ask for memory run all the same.
    let id = server.launch(&["--mem", "32M", "--", "true"]);
    server.wait_for(&id, &["succeeded"]);
}
