//! Standard input, and signals that do not end a command.

use rustix::process::Signal;

use super::*;

#[tokio::test]
async fn a_command_reads_the_bytes_that_it_was_given() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    let bytes = b"a\0b\xff\xfe\n no end".repeat(10_000);
    let path = bench.folder.path().join("in");
    fs::write(&path, &bytes).unwrap();
    let mut request = bench.request(1, &["cat"]);
    request.stdin = Some(path.clone());
    client.spawn(request).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
    assert_eq!(bench.stdout(1), bytes);

    let mut request = bench.request(2, &["cat"]);
    request.stdin = Some(bench.folder.path().join("none"));
    let error = client.spawn(request).await.unwrap_err();
    assert!(matches!(error, SpawnError::Refused(SpawnRefusal::Input { .. })), "{error:?}");
}

#[tokio::test]
async fn a_command_that_may_not_read_its_input_by_name_has_it_all_the_same() {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let bench = Bench::new();
    fs::set_permissions(bench.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (client, _, mut events) = bench.connect().await;
    let path = bench.folder.path().join("in");
    fs::write(&path, "secret").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut request = bench.request(1, &["cat"]);
    (request.stdin, request.uid) = (Some(path), Some(NOBODY));
    client.spawn(request).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Code(0));
    assert_eq!(bench.stdout(1), b"secret");
}

#[tokio::test]
async fn the_whole_group_stands_still_and_goes_on() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    // The second one does not listen to the polite word.
    let script = "sh -c 'trap : TSTP; echo $$; while [ ! -e go ]; do sleep 0.01; done' & \
                  echo $$; while [ ! -e go ]; do sleep 0.01; done; wait";
    client.spawn(bench.shell(1, script)).await.unwrap();
    let pids = bench.pids(1, 2).await;
    client.signal(ExecutionId(1), Signal::TSTP.as_raw()).await.unwrap();
    client.signal(ExecutionId(1), Signal::STOP.as_raw()).await.unwrap();
    // A shell that was just making a process waits for one that stands.
    let stands = |pid: &i32| matches!(state(*pid), Some('T' | 'D'));
    until("both stand", || pids.iter().all(stands)).await;
    fs::write(bench.folder.path().join("go"), "").unwrap();
    // Others start and end meanwhile.
    client.spawn(bench.request(2, &["true"])).await.unwrap();
    assert_eq!(events.end().await.execution, ExecutionId(2));
    assert!(pids.iter().all(stands));
    client.signal(ExecutionId(1), Signal::CONT.as_raw()).await.unwrap();
    let end = events.end().await;
    assert_eq!((end.execution, end.exit), (ExecutionId(1), Exit::Code(0)));
}

#[tokio::test]
async fn signals_come_in_the_order_in_which_they_were_asked_for() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    client.spawn(bench.shell(1, "echo $$; exec sleep 1000")).await.unwrap();
    let pid = bench.pids(1, 1).await[0];
    client.signal(ExecutionId(1), Signal::STOP.as_raw()).await.unwrap();
    until("it stands", || state(pid) == Some('T')).await;
    let term = client.signal(ExecutionId(1), Signal::TERM.as_raw());
    let cont = client.signal(ExecutionId(1), Signal::CONT.as_raw());
    cont.await.unwrap();
    term.await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Signal(15));
}

#[tokio::test]
async fn what_stands_still_can_be_killed() {
    let bench = Bench::new();
    let (client, _, mut events) = bench.connect().await;
    client.spawn(bench.shell(1, "echo $$; exec sleep 1000")).await.unwrap();
    let pid = bench.pids(1, 1).await[0];
    client.signal(ExecutionId(1), Signal::STOP.as_raw()).await.unwrap();
    until("it stands", || state(pid) == Some('T')).await;
    client.signal(ExecutionId(1), Signal::KILL.as_raw()).await.unwrap();
    assert_eq!(events.end().await.exit, Exit::Signal(9));
}
