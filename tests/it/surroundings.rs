//! What a command meets on a worker: data, environment, folders.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{AgentOptions, Server};

fn server_with_agent() -> Server {
    let mut server = Server::start();
    server.agent(AgentOptions::default());
    server
}

/// Makes a file of the test, and returns its address.
fn file(server: &Server, name: &str, content: &str) -> String {
    let path = server.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    format!("file://{}", path.display())
}

#[test]
fn inputs_and_resources_come_and_outputs_go() {
    let server = server_with_agent();
    let letter = file(&server, "in/letter.txt", "dear ");
    file(&server, "folder/a.txt", "A");
    file(&server, "folder/sub/b.txt", "B");
    let folder = format!("file://{}/folder/", server.path().display());
    let resource = file(&server, "shared/table.txt", "T");
    let output = format!("file://{}/out/", server.path().display());
    let command = "cat $INPUT/letter.txt $INPUT/a.txt $INPUT/sub/b.txt $RESOURCE/table.txt \
                   >$OUTPUT/all.txt && mkdir $OUTPUT/deep && echo x >'$OUTPUT/deep/with space'";
    let command = command.replace("'$OUTPUT/deep/with space'", "\"$OUTPUT/deep/with space\"");
    let wait = ["launch", "--wait", "--shell", "--input", &letter, "--input", &folder];
    let rest = ["--resource", &resource, "--output", &output, "--", &command];
    server.scitq(&[&wait[..], &rest].concat()).ok();
    let out = server.path().join("out");
    assert_eq!(fs::read_to_string(out.join("all.txt")).unwrap(), "dear ABT");
    assert_eq!(fs::read_to_string(out.join("deep/with space")).unwrap(), "x\n");
}

#[test]
fn outputs_of_a_failed_command_are_kept_too() {
    let server = server_with_agent();
    let output = format!("file://{}/out/", server.path().display());
    let command = "echo why >$OUTPUT/report.txt; exit 4";
    let ran = server.scitq(&["launch", "--wait", "--shell", "--output", &output, "--", command]);
    assert_eq!(ran.code(), 4);
    assert_eq!(fs::read_to_string(server.path().join("out/report.txt")).unwrap(), "why\n");
}

#[test]
fn a_resource_cannot_be_changed_by_a_task() {
    let server = server_with_agent();
    let resource = file(&server, "shared/table.txt", "as it was");
    // An administrator may write anywhere: what counts is that the mode forbids it.
    let command = "stat -c %a $RESOURCE/table.txt; cat $RESOURCE/table.txt";
    let launch = ["launch", "--follow", "--shell", "--resource", &resource, "--", command];
    let ran = server.scitq(&launch).ok();
    let (mode, content) = ran.text().split_once('\n').unwrap();
    let mode = u32::from_str_radix(mode, 8).unwrap();
    assert_eq!((mode & 0o222, content), (0, "as it was"));
    let mode = fs::metadata(server.path().join("shared/table.txt")).unwrap().permissions().mode();
    assert_ne!(mode & 0o200, 0, "the original is untouched");
}

#[test]
fn an_input_that_is_not_there_fails_the_download() {
    let server = server_with_agent();
    let id = server.launch(&["--input", "file:///no/such/file", "--retry", "1", "--", "true"]);
    let task = server.wait_for(&id, &["failed"]);
    assert_eq!((&task["failure"], &task["attempts"]), (&"download".into(), &2.into()));
    assert!(task["failure_reason"].as_str().unwrap().contains("/no/such/file"), "{task}");
}

#[test]
fn a_command_has_its_own_environment_and_not_the_agents() {
    let mut server = Server::start();
    let env = BTreeMap::from([("SECRET_OF_THE_AGENT".to_owned(), "x".to_owned())]);
    server.agent(AgentOptions { env, concurrency: 1, ..AgentOptions::default() });
    let launch = ["launch", "--follow", "--name", "look", "--env", "COLOUR=dark blue", "--", "env"];
    let ran = server.scitq(&launch).ok();
    let variables: BTreeMap<&str, &str> =
        ran.text().lines().filter_map(|line| line.split_once('=')).collect();
    for name in ["PATH", "HOME", "LANG", "USER", "CPU", "THREADS", "MEM", "SCITQ_EXECUTION_ID"] {
        assert!(variables.contains_key(name), "no {name}: {ran}");
    }
    for name in ["INPUT", "OUTPUT", "RESOURCE", "TEMP"] {
        let folder = variables[name];
        assert!(folder.starts_with('/') && !folder.ends_with('/'), "{name}={folder}");
    }
    let expected = [
        ("COLOUR", "dark blue"),
        ("SCITQ_TASK_ID", "1"),
        ("SCITQ_TASK_NAME", "look"),
        ("SCITQ_ATTEMPT", "1"),
        ("SCITQ_BATCH", "Default"),
        ("SCITQ_WORKER", "worker"),
    ];
    for (name, value) in expected {
        assert_eq!(variables.get(name), Some(&value), "{name}: {ran}");
    }
    assert!(!variables.contains_key("SECRET_OF_THE_AGENT"), "{ran}");
    assert!(!variables.contains_key("SCITQ_TOKEN"), "{ran}");
    assert!(!variables.contains_key("SCITQ_TOKEN_FILE"), "{ran}");
}

#[test]
fn a_command_runs_in_a_folder_of_its_own_that_goes_with_it() {
    let mut server = Server::start();
    let agent = server.agent(AgentOptions::default());
    let command = "pwd; echo x >here; ls; cat; ls -d $TEMP";
    let ran = server.scitq(&["launch", "--follow", "--shell", "--", command]).ok();
    let folder = ran.text().lines().next().unwrap().to_owned();
    assert!(folder.starts_with(server.workdir(agent).to_str().unwrap()), "{ran}");
    assert!(ran.text().contains("here"), "{ran}");
    crate::harness::until("the folder to be removed", || {
        (!std::path::Path::new(&folder).exists()).then_some(())
    });
}
