//! A real supervisor with real commands. The supervisor is this test program
//! itself, started once more by a script that stands for `scitq`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::domain::ExecutionId;
use crate::domain::argument::Argument;

const WORKDIR_VARIABLE: &str = "SCITQ_TEST_SUPERVISE";
const DEADLINE: Duration = Duration::from_secs(30);

/// No test: the life of a supervisor, when the script asks for it.
#[test]
fn as_a_supervisor() {
    if let Some(workdir) = std::env::var_os(WORKDIR_VARIABLE) {
        run(Path::new(&workdir)).unwrap();
    }
}

struct Bench {
    folder: TempDir,
    workdir: PathBuf,
    program: PathBuf,
}

impl Bench {
    fn new() -> Self {
        Self::below("")
    }

    /// The work directory lies this far down.
    fn below(path: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let workdir = folder.path().join(path).join("work");
        fs::create_dir_all(&workdir).unwrap();
        let program = folder.path().join("scitq");
        let test_program = std::env::current_exe().unwrap();
        let script = format!(
            "#!/bin/sh\n[ \"$1 $2\" = 'supervise --workdir' ] || exit 2\n\
             {WORKDIR_VARIABLE}=\"$3\" exec '{}' --exact agent::supervisor::tests::as_a_supervisor --nocapture\n",
            test_program.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder, workdir, program }
    }

    async fn connect(&self) -> (SupervisorClient, Vec<KnownExecution>, Events) {
        let (client, known, events) = connect_or_start(&self.workdir, &self.program).await.unwrap();
        (client, known, Events(events))
    }

    fn request(&self, execution: u64, arguments: &[&str]) -> SpawnRequest {
        SpawnRequest {
            execution: ExecutionId(execution),
            arguments: arguments.iter().map(|argument| Argument::from(*argument)).collect(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into())],
            directory: self.folder.path().to_owned(),
            stdout: self.folder.path().join(format!("{execution}.out")),
            stderr: self.folder.path().join(format!("{execution}.err")),
            uid: None,
            gid: None,
        }
    }

    fn shell(&self, execution: u64, script: &str) -> SpawnRequest {
        self.request(execution, &["sh", "-c", script])
    }

    fn stdout(&self, execution: u64) -> Vec<u8> {
        fs::read(self.folder.path().join(format!("{execution}.out"))).unwrap_or_default()
    }

    /// The process ids that the command wrote, one a line.
    async fn pids(&self, execution: u64, count: usize) -> Vec<i32> {
        let read = || {
            let text = String::from_utf8(self.stdout(execution)).unwrap();
            text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<i32>>()
        };
        until("the command tells its processes", || read().len() == count).await;
        read()
    }

    fn supervisor(&self) -> Option<Pid> {
        let text = fs::read_to_string(paths::lock(&self.workdir)).ok()?;
        Pid::from_raw(text.trim_end().parse().ok()?)
    }

    fn socket(&self) -> PathBuf {
        self.workdir.join("supervisor.sock")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let Some(supervisor) = self.supervisor() else { return };
        let session = supervisor.as_raw_nonzero().get();
        for process in recovery::list_processes().unwrap_or_default() {
            if process.session == session
                && let Some(pid) = Pid::from_raw(process.pid)
            {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}

struct Events(UnboundedReceiver<SupervisorEvent>);

impl Events {
    async fn next(&mut self) -> SupervisorEvent {
        tokio::time::timeout(DEADLINE, self.0.recv()).await.expect("an event in time").unwrap()
    }

    async fn end(&mut self) -> EndRecord {
        match self.next().await {
            SupervisorEvent::Ended(end) => end,
            SupervisorEvent::Gone => panic!("the supervisor is gone"),
        }
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether the process is there and not a zombie.
fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

fn exists(pid: i32) -> bool {
    test_kill_process(Pid::from_raw(pid).unwrap()).is_ok()
}

#[tokio::test]
async fn exit_codes_and_signals_are_told() {
    let bench = Bench::new();
    let (client, known, mut events) = bench.connect().await;
    assert!(known.is_empty());
    let started = client.spawn(bench.shell(1, "echo out; echo err >&2; exit 7")).await.unwrap();
    let end = events.end().await;
    assert_eq!((end.execution, end.exit), (ExecutionId(1), Exit::Code(7)));
    assert_eq!(end.started_at, started.started_at);
    assert!(end.ended_at >= end.started_at);
    assert!(end.usage.peak_memory_bytes > 0);
    assert_eq!(bench.stdout(1), b"out\n");
    assert_eq!(fs::read(bench.folder.path().join("1.err")).unwrap(), b"err\n");

    client.spawn(bench.shell(2, "kill -11 $$")).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Signal(11));
    // A signal for real time, which has no name.
    client.spawn(bench.shell(3, "kill -40 $$")).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Signal(40));
}

#[tokio::test]
async fn usage_is_that_of_the_command_and_those_it_waited_for() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    let script = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; \
                  head -c 50000000 /dev/zero | tail -n 1 | wc -c";
    client.spawn(bench.shell(1, script)).await.unwrap();
    let end = events.end().await;
    assert_eq!(end.exit, Exit::Code(0));
    assert!(end.usage.user_seconds > 0.0);
    assert!(end.usage.peak_memory_bytes > 50_000_000, "{end:?}");
    assert!(end.usage.peak_memory_bytes < 500_000_000, "{end:?}");
}

#[tokio::test]
async fn what_cannot_be_started_is_told_as_what_it_is() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    let folder = bench.folder.path();
    let write = |name: &str, text: &str, mode| {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    write("plain", "", 0o644);
    write("garbled", "no magic", 0o755);
    write("orphan", "#!/no/such/interpreter\n", 0o755);
    let mut execution = 0;
    let mut refusal = async |change: &dyn Fn(&mut SpawnRequest), arguments: &[&str]| {
        execution += 1;
        let mut request = bench.request(execution, arguments);
        change(&mut request);
        match client.spawn(request).await.unwrap_err() {
            SpawnError::Refused(refusal) => refusal,
            SpawnError::Gone => panic!("the supervisor is gone"),
        }
    };
    let none = |_: &mut SpawnRequest| {};
    for (arguments, code) in [
        (["no-such-program"].as_slice(), 127),
        (&["./no-such-program"], 127),
        (&[""], 127),
        (&[], 127),
        (&["./plain"], 126),
        (&["./garbled"], 126),
        (&["./orphan"], 126),
        (&["/etc"], 126),
    ] {
        let refusal = refusal(&none, arguments).await;
        assert_eq!(refusal.exit_code(), Some(code), "{arguments:?}: {refusal:?}");
    }
    let missing = refusal(&|request| request.directory = "/no/such".into(), &["true"]).await;
    assert!(matches!(missing, SpawnRefusal::Directory { .. }), "{missing:?}");
    let no_folder = refusal(&|request| request.directory = "/etc/passwd".into(), &["true"]).await;
    assert!(matches!(no_folder, SpawnRefusal::Directory { .. }), "{no_folder:?}");
    let output = refusal(&|request| request.stdout = "/no/such/out".into(), &["true"]).await;
    assert!(matches!(output, SpawnRefusal::Output { .. }), "{output:?}");
    let long = "x".repeat(200_000);
    let too_long = refusal(&none, &["echo", &long]).await;
    assert_eq!(too_long, SpawnRefusal::TooLong {});
    let nul = refusal(&none, &["echo", "a\0b"]).await;
    assert!(matches!(nul, SpawnRefusal::System { .. }), "{nul:?}");

    // After all that it still works, and an execution is started only once.
    client.spawn(bench.request(100, &["true"])).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
    let again = client.spawn(bench.request(100, &["true"])).await.unwrap_err();
    let known = SpawnRefusal::AlreadyKnown { execution: ExecutionId(100) };
    assert_eq!(again, SpawnError::Refused(known));
}

#[tokio::test]
async fn arguments_environment_and_directory_are_exact() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    let odd = Argument::from(OsString::from_vec(b"a b\n'\"$x\xff\xfe".to_vec()));
    let mut request = bench.request(1, &["printf", "%s|", "", "two words"]);
    request.arguments.push(odd.clone());
    client.spawn(request).await.unwrap();
    events.end().await;
    assert_eq!(bench.stdout(1), [b"|two words|", odd.as_bytes(), b"|"].concat());

    let mut request = bench.request(2, &["/usr/bin/env", "-0"]);
    request.environment = vec![("ODD".into(), odd.clone()), ("EMPTY".into(), "".into())];
    client.spawn(request).await.unwrap();
    events.end().await;
    assert_eq!(bench.stdout(2), [b"EMPTY=\0ODD=", odd.as_bytes(), b"\0"].concat());

    client.spawn(bench.shell(3, "pwd; cat; echo $0; umask")).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
    let folder = fs::canonicalize(bench.folder.path()).unwrap();
    let text = String::from_utf8(bench.stdout(3)).unwrap();
    assert!(text.starts_with(&format!("{}\nsh\n", folder.display())), "{text}");
}

#[tokio::test]
async fn programs_are_looked_up_in_the_path_of_the_request() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    let tools = bench.folder.path().join("tools");
    fs::create_dir_all(tools.join("decoy/tool")).unwrap();
    fs::write(tools.join("tool"), "#!/bin/sh\necho \"$0 $1\"\n").unwrap();
    fs::set_permissions(tools.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut request = bench.request(1, &["tool", "x"]);
    request.environment = vec![("PATH".into(), "/no/such:tools/decoy:tools".into())];
    client.spawn(request).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
    let expected = format!("{} x\n", tools.join("tool").display());
    assert_eq!(String::from_utf8(bench.stdout(1)).unwrap(), expected);
}

#[tokio::test]
async fn a_signal_reaches_the_whole_process_group() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    let script = "sleep 1000 & echo $!; echo $$; sleep 1000";
    client.spawn(bench.shell(1, script)).await.unwrap();
    let pids = bench.pids(1, 2).await;
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    client.signal(ExecutionId(1), 15).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Signal(15));
    until("both are dead", || pids.iter().all(|pid| !exists(*pid))).await;

    let late = client.signal(ExecutionId(1), 15).await.unwrap_err();
    let not_running = SignalRefusal::NotRunning { execution: ExecutionId(1) };
    assert_eq!(late, SignalError::Refused(not_running));
    let odd = client.signal(ExecutionId(1), 4000).await.unwrap_err();
    assert_eq!(odd, SignalError::Refused(SignalRefusal::NoSuchSignal { signal: 4000 }));
}

#[tokio::test]
async fn what_a_command_leaves_behind_is_killed_and_reaped() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    client.spawn(bench.shell(1, "sleep 1000 & echo $!")).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
    let left = bench.pids(1, 1).await[0];
    until("it is gone", || !exists(left)).await;
}

#[tokio::test]
async fn orphans_are_reaped() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    // A daemon: another session, and its parent ends while it lives.
    let script = "setsid sh -c 'echo $$; : > up; while [ ! -e stop ]; do sleep 0.01; done' & \
                  while [ ! -e up ]; do sleep 0.01; done";
    client.spawn(bench.shell(1, script)).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
    let daemon = bench.pids(1, 1).await[0];
    assert!(is_alive(daemon));
    fs::write(bench.folder.path().join("stop"), "").unwrap();
    until("it is reaped", || !exists(daemon)).await;
    client.spawn(bench.request(2, &["true"])).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
}

#[tokio::test]
async fn the_next_agent_sees_all_ends() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    let supervisor = bench.supervisor().unwrap();
    client.spawn(bench.shell(1, "exit 1")).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(1));
    client.spawn(bench.shell(2, "exit 2")).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(2));
    client.forget(ExecutionId(2));
    let script = "while [ ! -e go ]; do sleep 0.01; done; exit 3";
    client.spawn(bench.shell(3, script)).await.unwrap();
    let fourth = client.spawn(bench.request(4, &["sleep", "1000"])).await.unwrap();
    drop((client, events));

    fs::write(bench.folder.path().join("go"), "").unwrap();
    let journal = paths::journal(&bench.workdir);
    let ended = || fs::read_to_string(&journal).unwrap().contains(r#""exit":{"code":3}"#);
    until("the end is in the journal", ended).await;

    let (client, known, mut events) = bench.connect().await;
    assert_eq!(bench.supervisor(), Some(supervisor));
    let running = KnownExecution::Running {
        execution: ExecutionId(4),
        pid: fourth.pid,
        started_at: fourth.started_at,
    };
    assert!(known.contains(&running), "{known:?}");
    assert_eq!(ends(&known), [(1, Exit::Code(1)), (3, Exit::Code(3))].into());
    assert_eq!(client.list().await.unwrap().len(), 3);
    client.signal(ExecutionId(4), 9).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Signal(9));
}

#[tokio::test]
async fn a_newer_agent_takes_over() {
    let bench = Bench::new();
    let (first, _, mut first_events) = bench.connect().await;
    first.spawn(bench.request(1, &["sleep", "1000"])).await.unwrap();
    let (second, known, mut second_events) = bench.connect().await;
    assert_eq!(known.len(), 1);
    assert_eq!(first_events.next().await, SupervisorEvent::Gone);
    assert_eq!(first.signal(ExecutionId(1), 9).await, Err(SignalError::Gone));
    let refused = first.spawn(bench.request(2, &["true"])).await;
    assert_eq!(refused, Err(SpawnError::Gone));
    second.signal(ExecutionId(1), 9).await.unwrap();
    assert_eq!(second_events.end().await.exit, Exit::Signal(9));
}

#[tokio::test]
async fn commands_of_a_killed_supervisor_die_and_are_lost() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    client.spawn(bench.shell(1, "exit 5")).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(5));
    let script = "sleep 1000 & echo $!; echo $$; sleep 1000";
    client.spawn(bench.shell(2, script)).await.unwrap();
    let mut pids = bench.pids(2, 2).await;
    // The leader of this one is gone by the time of the recovery.
    client.spawn(bench.shell(3, "sleep 1000 & echo $!; echo $$; sleep 1000")).await.unwrap();
    let third = bench.pids(3, 2).await;
    pids.extend(&third);

    let dead = bench.supervisor().unwrap();
    kill_process(dead, Signal::KILL).unwrap();
    assert_eq!(events.next().await, SupervisorEvent::Gone);
    kill_process(Pid::from_raw(third[1]).unwrap(), Signal::KILL).unwrap();
    assert!(is_alive(third[0]));
    // The last line may be torn.
    let journal = paths::journal(&bench.workdir);
    let whole = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, format!("{whole}{{\"ended\":{{\"execution\":2,\"ex")).unwrap();

    let (client, known, mut events) = bench.connect().await;
    assert_ne!(bench.supervisor(), Some(dead));
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    let expected = [(1, Exit::Code(5)), (2, Exit::Lost), (3, Exit::Lost)].into();
    assert_eq!(ends(&known), expected);
    for execution in [1, 2, 3] {
        client.forget(ExecutionId(execution));
    }
    client.spawn(bench.request(2, &["true"])).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
}

#[tokio::test]
async fn it_leaves_after_a_goodbye_and_what_was_not_forgotten_stays() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    client.spawn(bench.shell(1, "exit 1")).await.unwrap();
    events.end().await;
    client.spawn(bench.shell(2, "while [ ! -e go ]; do sleep 0.01; done; exit 2")).await.unwrap();
    client.goodbye().await;
    assert!(bench.socket().exists());
    fs::write(bench.folder.path().join("go"), "").unwrap();
    until("it leaves", || !bench.socket().exists()).await;
    let (client, known, _events) = bench.connect().await;
    assert_eq!(ends(&known), [(1, Exit::Code(1)), (2, Exit::Code(2))].into());
    client.goodbye().await;
    until("it leaves", || !bench.socket().exists()).await;
}

#[tokio::test]
async fn many_commands_at_once_all_end_once() {
    const COUNT: u64 = 500;
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    let client = std::sync::Arc::new(client);
    let mut spawns = tokio::task::JoinSet::new();
    for execution in 1..=COUNT {
        let client = std::sync::Arc::clone(&client);
        let request = bench.shell(execution, "exit $((7 * 3))");
        spawns.spawn(async move { client.spawn(request).await.map(drop) });
    }
    let mut seen = BTreeSet::new();
    for _ in 0..COUNT {
        let end = events.end().await;
        assert_eq!(end.exit, Exit::Code(21));
        assert!(seen.insert(end.execution));
        client.forget(end.execution);
    }
    while let Some(outcome) = spawns.join_next().await {
        outcome.unwrap().unwrap();
    }
    assert_eq!(client.list().await.unwrap(), []);
    assert!(events.0.try_recv().is_err());
}

#[tokio::test]
async fn the_start_is_told_before_the_end() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    for execution in 1..=100 {
        let mut spawn = std::pin::pin!(client.spawn(bench.request(execution, &["true"])));
        tokio::select! {
            biased;
            event = events.next() => panic!("{event:?} came first"),
            outcome = &mut spawn => drop(outcome.unwrap()),
        }
        assert_eq!(events.end().await.execution, ExecutionId(execution));
    }
}

#[tokio::test]
async fn the_end_of_a_start_that_nobody_waits_for_is_told() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    for execution in 1..=50 {
        let mut spawn = Box::pin(client.spawn(bench.request(execution, &["true"])));
        tokio::select! {
            biased;
            _ = &mut spawn => panic!("no time has passed"),
            () = std::future::ready(()) => {}
        }
        drop(spawn);
        assert_eq!(events.end().await.execution, ExecutionId(execution));
    }
}

#[tokio::test]
async fn a_long_path_is_no_obstacle() {
    let bench = Bench::below(&format!("{}/{}", "a".repeat(120), "b".repeat(120)));
    let (client, _, mut events) = bench.connect().await;
    client.spawn(bench.request(1, &["true"])).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
    let mode = fs::metadata(bench.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    client.goodbye().await;
    until("it leaves", || !bench.socket().exists()).await;
}

#[tokio::test]
async fn agents_that_start_at_once_find_one_supervisor() {
    let bench = Bench::new();
    let connects = (0..4).map(|_| connect_or_start(&bench.workdir, &bench.program));
    let connected = futures_util::future::join_all(connects).await;
    assert!(connected.iter().all(Result::is_ok));
    assert!(bench.supervisor().is_some());
}

#[tokio::test]
async fn a_program_that_is_no_supervisor_is_an_error() {
    let bench = Bench::new();
    let error = connect_or_start(&bench.workdir, Path::new("/bin/false")).await.unwrap_err();
    assert!(error.to_string().contains("exit status: 1"), "{error}");
    let error = connect_or_start(&bench.workdir, Path::new("/no/such")).await.unwrap_err();
    assert!(matches!(error, SupervisorClientError::Launch { .. }), "{error:?}");
}

fn ends(known: &[KnownExecution]) -> std::collections::BTreeMap<u64, Exit> {
    known
        .iter()
        .filter_map(|known| match known {
            KnownExecution::Ended(end) => Some((end.execution.0, end.exit)),
            KnownExecution::Running { .. } => None,
        })
        .collect()
}
