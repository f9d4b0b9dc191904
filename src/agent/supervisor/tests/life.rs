//! Agents and supervisors that come, go and die.

use super::*;

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
    assert_eq!(refused.unwrap_err(), SpawnError::Gone);
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
async fn it_leaves_some_time_after_an_agent_that_vanished() {
    let bench = Bench::new();
    let (client, _, events) = bench.connect().await;
    let vanished = Instant::now();
    drop((client, events));
    until("it leaves", || !bench.socket().exists()).await;
    assert!(vanished.elapsed() > Duration::from_secs(5));
}

#[tokio::test]
async fn the_end_is_told_when_the_start_was_dealt_with() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    let first = client.spawn(bench.request(1, &["true"])).await.unwrap();
    // By the time that another command has ended, so has the first one.
    client
        .spawn(bench.shell(2, &format!("while [ -e /proc/{} ]; do :; done", first.pid)))
        .await
        .unwrap();
    assert_eq!(events.end().await.execution, ExecutionId(2));
    assert!(events.0.try_recv().is_err());
    drop(first);
    assert_eq!(events.end().await.execution, ExecutionId(1));
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
async fn forgetting_needs_no_other_request() {
    let bench = Bench::new();
    let listener = UnixListener::bind(bench.socket()).unwrap();
    let supervisor = std::thread::spawn(move || {
        let mut lines = greet(&listener, VERSION);
        lines.next().unwrap().unwrap()
    });
    let (client, ..) = bench.connect().await;
    client.forget(ExecutionId(7));
    client.forget(ExecutionId(8));
    until("it is told", || supervisor.is_finished()).await;
    assert_eq!(supervisor.join().unwrap(), r#"{"forget":{"executions":[7,8]}}"#);
}

/// A supervisor that was started before the agent was replaced by a newer one
/// knows nothing of standard input.
#[tokio::test]
async fn an_old_supervisor_is_made_to_give_a_command_its_input() {
    let bench = Bench::new();
    let listener = UnixListener::bind(bench.socket()).unwrap();
    let supervisor = std::thread::spawn(move || greet(&listener, VERSION).next().unwrap().unwrap());
    let (client, ..) = bench.connect().await;
    let mut request = bench.request(1, &["tail", "-n", "1"]);
    request.stdin = Some(bench.folder.path().join("in put"));
    fs::write(request.stdin.clone().unwrap(), "one\ntwo\n").unwrap();
    client.spawn(request).await.unwrap_err();
    let line = supervisor.join().unwrap();
    let Ok(protocol::ToSupervisor::Spawn { request, .. }) = serde_json::from_str(&line) else {
        panic!("{line}")
    };
    assert_eq!(request.stdin, None, "such a field means nothing to it");
    let words = request.arguments.iter().map(ByteString::as_os_str);
    let output = std::process::Command::new("/bin/sh").args(words.skip(1)).output().unwrap();
    assert_eq!(output.stdout, b"two\n");
}

/// A supervisor that only greets.
fn greet(listener: &UnixListener, version: &str) -> impl Iterator<Item = std::io::Result<String>> {
    let (mut stream, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with(r#"{"hello":"#));
    let welcome =
        FromSupervisor::Welcome { protocol: 1, version: version.to_owned(), known: Vec::new() };
    let mut line = Vec::new();
    protocol::push_line(&mut line, &welcome).unwrap();
    stream.write_all(&line).unwrap();
    lines
}

#[tokio::test]
async fn strangers_do_not_disturb_the_agent() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    for words in ["", "nonsense\n", "{\"goodbye\":{}}\n", "{\"hello\":{}}\n"] {
        let mut stream = UnixStream::connect(bench.socket()).unwrap();
        stream.write_all(words.as_bytes()).unwrap();
    }
    let mut ancient = UnixStream::connect(bench.socket()).unwrap();
    let hello = "{\"hello\":{\"protocol\":0,\"oldest\":0,\"version\":\"old\"}}\n";
    ancient.write_all(hello.as_bytes()).unwrap();
    let mut answer = String::new();
    ancient.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "{\"refused\":{\"protocol\":2,\"oldest\":1}}\n");
    let silent: Vec<_> = (0..40).map(|_| UnixStream::connect(bench.socket()).unwrap()).collect();
    client.spawn(bench.request(1, &["true"])).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
    drop(silent);
}

#[tokio::test]
async fn an_idle_supervisor_of_another_version_is_replaced() {
    let bench = Bench::new();
    let socket = bench.socket();
    let listener = UnixListener::bind(&socket).unwrap();
    let former = std::thread::spawn(move || {
        let mut lines = greet(&listener, "0");
        assert_eq!(lines.next().unwrap().unwrap(), "{\"goodbye\":{}}");
        fs::remove_file(socket).unwrap();
    });
    let (client, _, mut events) = bench.connect().await;
    former.join().unwrap();
    client.spawn(bench.request(1, &["true"])).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
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
