//! `kill -9` of the server, of agents, and of both, while tasks are queued and run.

use super::chance::{Size, rounds};
use super::checks::Allowed;
use super::scene::Scene;

const SMALL: Size = Size { tasks: 200, faults: 3 };
const LARGE: Size = Size { tasks: 2_000, faults: 12 };

#[test]
fn killed_servers_lose_nothing() {
    rounds("killed_servers", SMALL, LARGE, |chance, size| {
        let mut scene = Scene::start();
        scene.launch_many(size.tasks);
        for _ in 0..size.faults {
            scene.progress(chance, size);
            scene.server.kill9();
            scene.server.restart();
        }
        scene.finish(&Allowed::default());
    });
}

#[test]
fn killed_agents_lose_nothing() {
    rounds("killed_agents", SMALL, LARGE, |chance, size| {
        let mut scene = Scene::start();
        scene.launch_many(size.tasks);
        for _ in 0..size.faults {
            scene.progress(chance, size);
            let agent = scene.agents[usize::try_from(chance.below(2)).unwrap()];
            scene.server.kill9_agent(agent);
            scene.server.start_agent(agent);
        }
        scene.finish(&Allowed::default());
    });
}

#[test]
fn killed_servers_and_agents_lose_nothing() {
    rounds("killed_servers_and_agents", SMALL, LARGE, |chance, size| {
        let mut scene = Scene::start();
        scene.launch_many(size.tasks);
        for _ in 0..size.faults {
            scene.progress(chance, size);
            let first = usize::try_from(chance.below(2)).unwrap();
            scene.server.kill9_agent(scene.agents[first]);
            scene.server.kill9();
            scene.server.kill9_agent(scene.agents[1 - first]);
            scene.server.restart();
            for agent in scene.agents.clone() {
                scene.server.start_agent(agent);
            }
        }
        scene.finish(&Allowed::default());
    });
}
