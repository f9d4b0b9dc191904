//! What a task meets in a container, whichever engine runs it.

use std::fs;

use super::Place;
use crate::engine::Engine;
use crate::harness::{Server, until};
use crate::registry::Registry;

#[test]
fn a_container_has_its_folders_and_variables() {
    let Some(place) = Place::new() else { return };
    let input = place.server.path().join("letter.txt");
    fs::write(&input, "dear").unwrap();
    let input = format!("file://{}", input.display());
    let output = format!("file://{}/out/", place.server.path().display());
    let script = "cat $INPUT/letter.txt; echo $INPUT $OUTPUT $RESOURCE $TEMP $SCITQ_TASK_NAME $X; \
                  cat /resource/letter.txt; echo made >$OUTPUT/it; touch /resource/no; touch /tmp/t";
    let options = ["-i", &input, "-r", &input, "-o", &output, "-n", "look", "--env", "X=a b"];
    let ran = place.follow(&options, &["sh", "-c", script]).ok();
    assert_eq!(ran.text(), "dear/input /output /resource /tmp look a b\ndear");
    assert!(ran.stderr.contains("Read-only file system"), "{ran}");
    assert_eq!(fs::read_to_string(place.server.path().join("out/it")).unwrap(), "made\n");
    place.nothing_is_left();
}

#[test]
fn exit_codes_and_bytes_come_through() {
    let Some(place) = Place::new() else { return };
    let ran = place.follow(&[], &["sh", "-c", "printf 'a\\377\\000b'; printf e >&2; exit 7"]);
    assert_eq!((ran.code(), &ran.stdout[..]), (7, &b"a\xff\0b"[..]));
    let missing = place.follow(&[], &["no-such-program"]);
    assert_eq!(missing.code(), 127);
    assert!(missing.stderr.contains("executable file not found"), "{missing}");
    let id = place.launch(&[], "dd if=/dev/zero bs=1000000 count=100 2>/dev/null; printf end");
    let task = place.server.wait_for(&id, &["succeeded"]);
    assert_eq!(task["executions"][0]["output"]["stdout"], 100_000_003, "{task}");
    place.nothing_is_left();
}

#[test]
fn a_container_reads_its_standard_input() {
    let Some(place) = Place::new() else { return };
    let file = place.server.path().join("stdin");
    fs::write(&file, "read me").unwrap();
    let ran = place.follow(&["--stdin", file.to_str().unwrap()], &["cat"]).ok();
    assert_eq!(ran.text(), "read me");
}

#[test]
fn options_reach_the_engine() {
    let Some(place) = Place::new() else { return };
    let folder = place.server.path().join("shared");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("f"), "shared").unwrap();
    let options = format!(
        "-v {}:/extra:ro -e COLOUR=blue --workdir /extra --hostname box --network none -u 7:8",
        folder.display()
    );
    let script =
        "cat f; echo $COLOUR $HOSTNAME; id -u; id -g; touch /output/x && stat -c %u /output/x";
    let ran = place.follow(&["-O", &options], &["sh", "-c", script]).ok();
    assert_eq!(ran.text(), "sharedblue box\n7\n8\n7");
    let by_number = place.follow(&["--uid", "5", "--gid", "6"], &["sh", "-c", "id -u; id -g"]).ok();
    assert_eq!(by_number.text(), "5\n6");
    let entry = place.follow(&["-O", "--entrypoint echo"], &["hello"]).ok();
    assert_eq!(entry.text(), "hello");
}

#[test]
fn an_unknown_option_is_refused_at_launch() {
    let Some(place) = Place::new() else { return };
    let ran = place.follow(&["-O", "--gpu all"], &["true"]);
    assert_eq!(ran.code(), 2);
    assert!(ran.stderr.contains("container option `--gpu` is not known"), "{ran}");
    let gpus = place.follow(&["-O", "--gpus all"], &["true"]);
    assert_eq!(gpus.code(), 125);
    assert!(gpus.stderr.contains("no GPUs for containers"), "{gpus}");
    place.nothing_is_left();
}

#[test]
fn an_image_that_is_not_there_fails_the_download() {
    let Some(place) = Place::new() else { return };
    for pull in ["never", "missing"] {
        let options = ["--docker", "127.0.0.1:9/none:1", "--pull", pull, "--", "true"];
        let id = place.server.launch(&options);
        let task = place.server.wait_for(&id, &["failed"]);
        assert_eq!(task["failure"], "download", "{task}");
        assert!(task["failure_reason"].as_str().unwrap().contains("127.0.0.1:9/none:1"), "{task}");
    }
}

#[test]
fn a_container_is_paused_resumed_signalled_and_stopped() {
    let Some(place) = Place::new() else { return };
    let script = "trap 'echo usr1' USR1; trap 'echo bye; exit 0' TERM; echo ready; \
                  while :; do sleep 0.1; done";
    let id = place.launch(&[], script);
    place.wait_for_output(&id, "ready");
    place.server.scitq(&["manage", "task", "signal", "USR1", &id]).ok();
    place.wait_for_output(&id, "usr1");
    let state = || {
        let container = place.engine.containers(place.server.world()).pop()?;
        Some(place.engine.docker(&["inspect", "-f", "{{.State.Status}}", &container]))
    };
    place.server.scitq(&["manage", "task", "pause", &id]).ok();
    until("the container to stand still", || (state()? == "paused").then_some(()));
    place.server.scitq(&["manage", "task", "resume", &id]).ok();
    until("the container to go on", || (state()? == "running").then_some(()));
    place.server.scitq(&["manage", "task", "stop", "--yes", &id]).ok();
    let task = place.server.wait_for(&id, &["failed"]);
    assert_eq!(task["failure"], "cancelled", "{task}");
    place.wait_for_output(&id, "bye");
    place.nothing_is_left();
}

#[test]
fn a_container_that_hears_nothing_is_killed() {
    let Some(place) = Place::new() else { return };
    let id = place.launch(&[], "trap '' TERM; echo ready; sleep 1000");
    place.wait_for_output(&id, "ready");
    place.server.scitq(&["manage", "task", "kill", "--yes", &id]).ok();
    let task = place.server.wait_for(&id, &["failed"]);
    assert_eq!(task["failure"], "cancelled", "{task}");
    let limited = place.launch(&["--run-timeout", "1"], "exec sleep 1000");
    let task = place.server.wait_for(&limited, &["failed"]);
    assert_eq!(task["failure"], "timeout", "{task}");
    place.nothing_is_left();
}

#[test]
fn too_much_memory_is_a_class_of_its_own() {
    let Some(place) = Place::new() else { return };
    let id = place.launch(&["-O", "--memory 20m --memory-swap 20m"], "tail -c 200m /dev/zero");
    let task = place.server.wait_for(&id, &["failed"]);
    assert_eq!(task["failure"], "oom", "{task}");
}

#[test]
fn a_container_outlives_its_agent_and_misses_nothing() {
    let Some(mut place) = Place::new() else { return };
    let go = place.server.path().join("go");
    let options = format!("-v {}:/go", place.server.path().display());
    let script = "printf first; while ! cat /go/go 2>/dev/null; do sleep 0.1; done; printf last";
    let id = place.launch(&["-O", &options], script);
    place.wait_for_output(&id, "first");
    place.server.kill9_agent(place.agent);
    fs::write(&go, "between").unwrap();
    place.nothing_is_left();
    place.server.start_agent(place.agent);
    place.server.wait_for(&id, &["succeeded"]);
    assert_eq!(place.server.stdout(&id), b"firstbetweenlast");
}

#[test]
fn a_registry_that_refuses_is_asked_with_a_login() {
    let mut server = Server::start();
    let Some(engine) = Engine::of_this_machine() else { return };
    let Some(registry) = Registry::start(server.world(), &engine) else { return };
    let (login, helper) = (registry.login(), registry.login_by_helper());
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = format!("{}:{}", helper.display(), path.to_string_lossy());
    for (batch, folder) in [("stranger", None), ("login", Some(login)), ("helper", Some(helper))] {
        let mut options = engine.agent();
        options.name = batch.to_owned();
        options.batch = Some(batch.to_owned());
        options.env.insert("PATH".to_owned(), path.clone());
        let folder = folder.map(|folder| folder.display().to_string());
        options.env.extend(folder.map(|folder| ("DOCKER_CONFIG".to_owned(), folder)));
        server.agent(options);
        let launch = ["--batch", batch, "--docker", &registry.image, "--", "echo", "in"];
        let id = server.launch(&launch);
        let task = server.wait_for(&id, &["succeeded", "failed"]);
        if batch == "stranger" {
            assert_eq!(task["failure"], "download", "{task}");
            let reason = task["failure_reason"].as_str().unwrap();
            assert!(reason.contains(&registry.image) && reason.contains("auth"), "{reason}");
        } else {
            assert_eq!(task["state"], "succeeded", "{task}");
            engine.docker(&["rmi", &registry.image]);
        }
    }
}
