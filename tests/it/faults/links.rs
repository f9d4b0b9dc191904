//! The wire between agents and the server, and between people and the server:
//! slow, held up, cut, saying things twice, losing replies.

use std::time::{Duration, Instant};

use super::chance::{Size, pass, rounds};
use super::checks::{Allowed, LOST_AFTER};
use super::launcher::Sends;
use super::proxy::{Proxy, Trick, Way};
use super::scene::Scene;
use crate::harness::{AgentOptions, Server, until};

const SMALL: Size = Size { tasks: 160, faults: 3 };
const LARGE: Size = Size { tasks: 2_000, faults: 12 };

/// The shortest leases that a server takes.
const SHORT: [&str; 4] = ["--offline-after", "10s", "--lost-after", "10s"];

/// A network on the other side of a country.
const LATENCY: Duration = Duration::from_millis(5);

/// Two agents, the first of which is behind a proxy.
fn behind_a_proxy(options: &[&str]) -> (Scene, Proxy) {
    let mut scene = Scene::new(Server::start_with(options));
    let proxy = Proxy::before(scene.server.address(), LATENCY, Trick::None);
    scene.agent(AgentOptions {
        name: "far".to_owned(),
        server: Some(format!("http://{}", proxy.address())),
        ..AgentOptions::default()
    });
    scene.agent(AgentOptions { name: "near".to_owned(), ..AgentOptions::default() });
    (scene, proxy)
}

#[test]
fn links_cut_and_stalled_for_less_than_the_leases_change_nothing() {
    rounds("links_cut_and_stalled_for_less", SMALL, LARGE, |chance, size| {
        let (mut scene, proxy) = behind_a_proxy(&[]);
        scene.launch_many(size.tasks);
        for _ in 0..size.faults {
            scene.progress(chance, size);
            let way = if chance.below(2) == 0 { Way::Cut } else { Way::Stalled };
            proxy.set(way);
            chance.pause(Duration::from_secs(2));
            proxy.set(Way::Open);
        }
        // No silence excuses anything.
        scene.finish(&Allowed::default());
    });
}

/// What a worker holds that is away for longer than the leases is run by
/// another, and what it has to say when it comes back changes nothing.
fn away_for_longer(way: Way) -> impl Fn(&mut super::chance::Chance, Size) {
    move |chance, size| {
        let (mut scene, proxy) = behind_a_proxy(&SHORT);
        let held = scene.launch_waiting("held", 6, Sends::Results);
        let runs = "SELECT id FROM execution WHERE state = 'running'";
        scene.until_rows("the tasks to run", held.len(), runs);
        scene.launch_many(size.tasks);
        scene.progress(chance, size);
        proxy.set(way);
        let begun = Instant::now();
        let lost = "SELECT id FROM execution WHERE failure = 'lost'";
        scene.until_rows("its executions to be lost", 1, lost);
        assert!(begun.elapsed().as_secs_f64() > LOST_AFTER / 2.0, "it was lost too soon");
        let ended = scene.ledger().lines().count();
        let go_on = chance.below(2) == 0;
        if go_on {
            // What it runs ends while it is away: the results wait for leave.
            scene.go();
            until("commands to end", || (scene.ledger().lines().count() > ended).then_some(()));
        }
        proxy.set(Way::Open);
        if !go_on {
            chance.pause(Duration::from_secs(1));
            scene.go();
        }
        let silences = proxy.silences("far");
        scene.finish(&Allowed { silences });
    }
}

#[test]
fn a_link_stalled_for_longer_than_the_leases_gives_its_work_to_others() {
    rounds("a_link_stalled_for_longer", SMALL, LARGE, away_for_longer(Way::Stalled));
}

#[test]
fn a_link_cut_for_longer_than_the_leases_gives_its_work_to_others() {
    rounds("a_link_cut_for_longer", SMALL, LARGE, away_for_longer(Way::Cut));
}

#[test]
fn requests_that_come_again_and_again_queue_once() {
    rounds("requests_that_come_again", SMALL, LARGE, |chance, size| {
        let mut scene = Scene::start();
        let proxy = Proxy::before(scene.server.address(), Duration::ZERO, Trick::SayAgain);
        scene.launch_over(proxy.address(), size.tasks, 10);
        scene.progress(chance, size);
        scene.server.kill9();
        scene.server.restart();
        let tasks = size.tasks;
        scene.finish(&Allowed::default());
        assert!(proxy.keyed_requests() >= tasks / 10);
    });
}

#[test]
fn a_reply_that_is_lost_after_the_commit_queues_nothing_twice() {
    rounds("a_reply_that_is_lost", SMALL, LARGE, |chance, size| {
        let mut scene = Scene::start();
        let proxy = Proxy::before(scene.server.address(), Duration::ZERO, Trick::LoseReply);
        scene.launch_over(proxy.address(), size.tasks, 20);
        scene.progress(chance, size);
        // The repetition may come to another process than the request did.
        scene.server.kill9();
        pass(Duration::from_millis(chance.below(300)));
        scene.server.restart();
        let tasks = size.tasks;
        scene.finish(&Allowed::default());
        assert!(proxy.keyed_requests() >= tasks / 20);
    });
}
