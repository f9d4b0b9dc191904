//! What becomes of containers when engines, agents and servers come and go.

use std::fs;
use std::os::unix::fs::MetadataExt;

use rustix::process::Signal;

use super::Place;
use crate::engine::{Engine, IMAGE};
use crate::harness::{AgentOptions, Server, until};
use crate::registry::Registry;

#[test]
fn a_container_goes_on_while_agent_and_server_are_away() {
    let Some(mut place) = Place::new() else { return };
    let options = format!("-v {}:/go", place.server.path().display());
    let script = "echo first; while ! cat /go/go 2>/dev/null; do sleep 0.1; done";
    let id = place.launch(&["-O", &options], script);
    place.wait_for_output(&id, "first");
    place.server.stop_agent(place.agent);
    place.server.start_agent(place.agent);
    place.server.kill9();
    fs::write(place.server.path().join("go"), "second").unwrap();
    place.nothing_is_left();
    place.server.restart();
    place.server.wait_for(&id, &["succeeded"]);
    assert_eq!(place.server.stdout(&id), b"first\nsecond");
}

#[test]
fn a_container_without_its_watcher_is_lost_and_removed() {
    let Some(place) = Place::new() else { return };
    let id = place.launch(&[], "echo $SCITQ_ATTEMPT; [ $SCITQ_ATTEMPT = 2 ] || exec sleep 1000");
    place.wait_for_output(&id, "1");
    place.server.world().kill_those_of("watch-container");
    let task = place.server.wait_for(&id, &["succeeded"]);
    assert_eq!(task["executions"][1]["outcome"]["failure"]["class"], "lost", "{task}");
    place.nothing_is_left();
}

#[test]
fn an_engine_that_is_restarted_has_lost_its_containers() {
    let server = Server::start();
    let Some(engine) = Engine::of_its_own(server.world(), &[]) else { return };
    let mut place = Place::with(server, engine);
    let id = place.launch(
        &["-O", "--network none"],
        "echo $SCITQ_ATTEMPT; [ $SCITQ_ATTEMPT = 2 ] || exec sleep 1000",
    );
    place.wait_for_output(&id, "1");
    place.engine.stop();
    place.engine.start(place.server.world());
    let task = place.server.wait_for(&id, &["succeeded"]);
    assert_eq!(task["executions"][1]["outcome"]["failure"]["class"], "lost", "{task}");
    place.nothing_is_left();
}

#[test]
fn an_engine_that_is_down_is_no_fault_of_the_task() {
    let mut server = Server::start();
    let mut options = AgentOptions::default();
    let nowhere = format!("unix://{}/nowhere", server.path().display());
    options.env.insert("DOCKER_HOST".to_owned(), nowhere);
    server.agent(options);
    let id = server.launch(&["--docker", IMAGE, "--", "true"]);
    let task = server.wait_for(&id, &["failed"]);
    assert_eq!(task["failure"], "internal", "{task}");
    assert!(task["failure_reason"].as_str().unwrap().contains("does not answer"), "{task}");
}

#[test]
fn an_agent_that_is_stopped_leaves_containers_alone() {
    let Some(mut place) = Place::new() else { return };
    let id = place.launch(&[], "echo up; exec sleep 1000");
    place.wait_for_output(&id, "up");
    place.server.signal_agent(place.agent, Signal::TERM);
    place.server.stop_agent(place.agent);
    assert_eq!(place.engine.count(place.server.world()), 1);
    place.server.start_agent(place.agent);
    place.server.scitq(&["manage", "task", "kill", "--yes", &id]).ok();
    place.server.wait_for(&id, &["failed"]);
    place.nothing_is_left();
}

#[test]
fn a_container_goes_where_an_engine_is() {
    let Some(engine) = Engine::of_this_machine() else { return };
    let mut server = Server::start();
    let mut without = AgentOptions { name: "without".to_owned(), ..AgentOptions::default() };
    without.concurrency = 8;
    let nowhere = format!("unix://{}/nowhere", server.path().display());
    without.env.insert("DOCKER_HOST".to_owned(), nowhere);
    server.agent(without);
    let with = AgentOptions { name: "with".to_owned(), concurrency: 1, ..engine.agent() };
    server.agent(with);
    let ids: Vec<String> =
        (0..3).map(|_| server.launch(&["--docker", IMAGE, "--", "true"])).collect();
    for id in ids {
        let task = server.wait_for(&id, &["succeeded", "failed"]);
        assert_eq!((&task["state"], &task["worker_name"]), (&"succeeded".into(), &"with".into()));
    }
    let show = server.scitq(&["manage", "worker", "show", "with"]).ok();
    assert!(show.text().contains("containers"), "{show}");
}

#[test]
fn an_engine_with_live_restore_is_restarted_under_its_containers() {
    let server = Server::start();
    let Some(engine) = Engine::of_its_own(server.world(), &["--live-restore"]) else { return };
    let mut place = Place::with(server, engine);
    let options = format!("--network none -v {}:/go", place.server.path().display());
    let wait = |file: &str| format!("while ! cat /go/{file} 2>/dev/null; do sleep 0.1; done");
    let stays = format!("printf first; {}; printf -; {}; printf last", wait("go"), wait("end"));
    let stays = place.launch(&["-O", &options], &stays);
    let ends = place.launch(&["-O", &options], &format!("printf first; {}", wait("go")));
    place.wait_for_output(&stays, "first");
    place.wait_for_output(&ends, "first");
    place.engine.stop();
    fs::write(place.server.path().join("go"), "between").unwrap();
    place.engine.start(place.server.world());
    fs::write(place.server.path().join("end"), "end").unwrap();
    for id in [&stays, &ends] {
        let task = place.server.wait_for(id, &["succeeded", "failed"]);
        assert_eq!((&task["state"], &task["attempts"]), (&"succeeded".into(), &1.into()), "{task}");
    }
    assert_eq!(place.server.stdout(&stays), b"firstbetween-endlast");
    let said = place.server.scitq(&["manage", "task", "output", &ends, "--stderr"]).ok();
    assert!(said.text().contains("ended while its engine was restarted"), "{said}");
    place.nothing_is_left();
    let show = place.server.scitq(&["manage", "worker", "show", "worker"]).ok();
    assert!(show.text().contains("live restore"), "{show}");
}

#[test]
fn a_container_ends_while_the_server_is_away_and_is_told_later() {
    let Some(mut place) = Place::new() else { return };
    let options = format!("-v {}:/go", place.server.path().display());
    let script = "echo first; while ! cat /go/go 2>/dev/null; do sleep 0.1; done; \
                  echo made >$OUTPUT/it; exit 0";
    let output = place.server.path().join("out");
    let uri = format!("file://{}/", output.display());
    let id = place.launch(&["-O", &options, "-o", &uri], script);
    place.wait_for_output(&id, "first");
    place.server.kill9();
    fs::write(place.server.path().join("go"), "second").unwrap();
    place.nothing_is_left();
    assert!(!output.exists(), "outputs are sent with leave of the server only");
    place.server.restart();
    let task = place.server.wait_for(&id, &["succeeded", "failed"]);
    assert_eq!((&task["state"], &task["attempts"]), (&"succeeded".into(), &1.into()), "{task}");
    assert_eq!(place.server.stdout(&id), b"first\nsecond");
    assert_eq!(fs::read_to_string(output.join("it")).unwrap(), "made\n");
}

#[test]
fn files_of_other_users_are_given_back_to_the_agents_user() {
    let Some(engine) = Engine::of_this_machine() else { return };
    if !rustix::process::getuid().is_root() {
        eprintln!("SKIPPED: only root can start an agent as another user");
        return;
    }
    drop(check_files_are_given_back(Server::start(), engine));
}

#[test]
fn files_of_remapped_users_are_given_back_to_the_agents_user() {
    let server = Server::start();
    let Some(engine) = Engine::with_other_users(server.world()) else { return };
    drop(check_files_are_given_back(server, engine));
}

#[test]
fn files_that_a_rootless_engine_made_are_given_back_to_the_agents_user() {
    let server = Server::start();
    let Some(engine) = Engine::rootless(server.world()) else { return };
    let place = check_files_are_given_back(server, engine);
    let show = place.server.scitq(&["manage", "worker", "show", "worker"]).ok();
    assert!(show.text().contains(", rootless"), "{show}");
}

#[test]
fn an_agent_that_is_root_sends_what_remapped_users_have_made() {
    let server = Server::start();
    let Some(engine) = Engine::with_other_users(server.world()) else { return };
    let place = Place::with(server, engine);
    let output = place.server.path().join("out");
    let uri = format!("file://{}/", output.display());
    let script = "id -u; mkdir /output/d; echo x >/output/d/x; chmod 700 /output/d";
    let ran = place.follow(&["-O", "--network none", "-o", &uri], &["sh", "-c", script]).ok();
    assert_eq!(ran.text(), "0");
    assert_eq!(fs::read_to_string(output.join("d/x")).unwrap(), "x\n");
    let show = place.server.scitq(&["manage", "worker", "show", "worker"]).ok();
    assert!(show.text().contains("users remapped"), "{show}");
    place.nothing_is_left();
}

/// Runs a container as a third user, with an agent that is not root.
fn check_files_are_given_back(mut server: Server, engine: Engine) -> Place {
    // Another user, who may reach all that the tests have made as root.
    let user = "--reuid 1234 --regid 1234 --clear-groups --inh-caps=+dac_override \
                --ambient-caps=+dac_override";
    let launcher = ["setpriv"].into_iter().chain(user.split_whitespace()).map(str::to_owned);
    let options = AgentOptions { launcher: launcher.collect(), ..engine.agent() };
    let agent = server.agent(options);
    let place = Place { server, agent, engine };
    let script = "mkdir /output/d; echo x >/output/d/x; chmod 700 /output/d; exit 3";
    let id = place.launch(&["-O", "-u 7:8 --network none"], script);
    let task = place.server.wait_for(&id, &["failed"]);
    assert_eq!(task["exit_code"], 3, "{task}");
    let tasks = place.server.workdir(agent).join("tasks");
    let folder = tasks.join(task["execution"].to_string()).join("output/d");
    for path in [folder.join("x"), folder] {
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (1234, 1234), "{}", path.display());
    }
    place.nothing_is_left();
    place
}

#[test]
fn an_image_that_no_task_uses_goes_when_the_disk_is_full() {
    let mut server = Server::start();
    let Some(engine) = Engine::of_this_machine() else { return };
    let Some(registry) = Registry::start(server.world(), &engine) else { return };
    let mut options = engine.agent();
    let login = registry.login().display().to_string();
    options.env.insert("DOCKER_CONFIG".to_owned(), login);
    let agent = server.agent(options);
    let mut place = Place { server, agent, engine };
    let ran =
        place.server.scitq(&["launch", "--follow", "--docker", &registry.image, "--", "true"]);
    let told = ran.ok().stderr;
    let fetching = format!("scitq: fetching the image {}\nscitq: fetched it in ", registry.image);
    assert!(told.contains(&fetching), "{told}");
    let is_there = |place: &Place, image: &str| {
        let images = place.engine.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        images.lines().any(|line| line == image)
    };
    assert!(is_there(&place, &registry.image));
    place.server.stop_agent(agent);
    place.server.set_agent_variable(agent, "SCITQ_AGENT_DISK_LIMIT", "0");
    place.server.start_agent(agent);
    until("the image to go", || (!is_there(&place, &registry.image)).then_some(()));
    assert!(is_there(&place, IMAGE), "an image that the agent has not fetched stays");
    let log = fs::read_to_string(place.server.path().join("logs/worker")).unwrap();
    assert!(log.contains("removed an image that no task uses: the disk is full"), "{log}");
    assert!(log.contains(&registry.image), "{log}");
}
