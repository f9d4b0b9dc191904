//! What becomes of containers when engines, agents and servers come and go.

use std::fs;

use rustix::process::Signal;

use super::Place;
use crate::engine::{Engine, IMAGE};
use crate::harness::{AgentOptions, Server};

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
    let Some(engine) = Engine::of_its_own(server.world()) else { return };
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
