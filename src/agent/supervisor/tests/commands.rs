//! What a command meets, and what is told of it.

use super::*;

#[tokio::test]
async fn exit_codes_and_signals_are_told() {
    let bench = Bench::new();
    let (client, known, mut events) = bench.connect().await;
    assert!(known.is_empty());
    let script = "echo out; echo err >&2; exit 7";
    let started_at = client.spawn(bench.shell(1, script)).await.unwrap().started_at;
    let end = events.end().await;
    assert_eq!((end.execution, end.exit), (ExecutionId(1), Exit::Code(7)));
    assert_eq!(end.started_at, started_at);
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
    let odd = ByteString::from(OsString::from_vec(b"a b\n'\"$x\xff\xfe".to_vec()));
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
async fn a_command_starts_with_a_clean_slate() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    let script = "while read -r line; do echo \"$line\"; done \
                  < /proc/self/status; ls -l /proc/self/fd";
    client.spawn(bench.shell(1, script)).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
    let text = String::from_utf8(bench.stdout(1)).unwrap();
    let mask = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!(mask("SigBlk:"), 0);
    // The C library ignores the two that it keeps for itself, 32 and 33.
    assert_eq!(mask("SigIgn:") & !0x1_8000_0000, 0);
    for ours in ["socket:", "eventfd", "supervisor."] {
        assert!(!text.contains(ours), "{text}");
    }
}

#[tokio::test]
async fn a_command_runs_as_the_user_that_was_asked_for() {
    const NOBODY: u32 = 65534;
    let bench = Bench::new();
    fs::set_permissions(bench.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (client, _, mut events) = bench.connect().await;
    let mut request = bench.shell(1, "id -u; id -g; id -G; echo more >> /dev/stdout");
    (request.uid, request.gid) = (Some(NOBODY), Some(NOBODY));
    if rustix::process::geteuid().is_root() {
        client.spawn(request).await.unwrap();
        assert_eq!(events.end().await.exit, Exit::Code(0));
        assert_eq!(bench.stdout(1), b"65534\n65534\n65534\nmore\n");
    } else {
        let error = client.spawn(request).await.unwrap_err();
        assert!(matches!(error, SpawnError::Refused(SpawnRefusal::Identity { .. })), "{error:?}");
    }
    let mut request = bench.request(2, &["no-such-program"]);
    request.gid = Some(rustix::process::getegid().as_raw());
    let error = client.spawn(request).await.unwrap_err();
    assert!(
        matches!(error, SpawnError::Refused(SpawnRefusal::ProgramNotFound { .. })),
        "{error:?}"
    );
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
async fn a_lock_tells_whether_anybody_may_still_write() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    let script = "setsid sh -c ': > up; while [ ! -e stop ]; do sleep 0.01; done' 2> /dev/null & \
                  while [ ! -e up ]; do sleep 0.01; done";
    client.spawn(bench.shell(1, script)).await.unwrap();
    events.end().await;
    let is_free = |name: &str| {
        let file = fs::File::open(bench.folder.path().join(name)).unwrap();
        file.try_lock().is_ok()
    };
    assert!(is_free("1.err"));
    assert!(!is_free("1.out"));
    fs::write(bench.folder.path().join("stop"), "").unwrap();
    until("the daemon is gone", || is_free("1.out")).await;
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
