//! An old copy of the data directory is started under running tasks.

use std::fs;
use std::process::Command;

use super::chance::{Size, rounds};
use super::checks::Allowed;
use super::launcher::Sends;
use super::scene::{Scene, ask};

const SMALL: Size = Size { tasks: 80, faults: 1 };
const LARGE: Size = Size { tasks: 800, faults: 1 };

#[test]
fn an_old_copy_under_running_tasks_ends_none_and_doubles_none() {
    rounds("an_old_copy", SMALL, LARGE, |chance, size| {
        let mut scene = Scene::start();
        // Eight slots: some of these run when the copy is made, the others are
        // given out by the life that is forgotten.
        scene.server.scitq(&["manage", "batch", "pause", "Default"]).ok();
        let first = scene.launch_waiting("first", 4, Sends::Results);
        scene.server.scitq(&["manage", "batch", "go", "Default"]).ok();
        let runs = "SELECT id FROM execution WHERE state = 'running'";
        scene.until_rows("the first to run", first.len(), runs);
        scene.launch_waiting("second", 12, Sends::Results);
        // At some moment of giving them out.
        chance.pause(std::time::Duration::from_millis(50));
        scene.server.kill9();
        let (data, copy) = (scene.server.data(), scene.server.path().join("copy"));
        let copied = Command::new("cp").arg("-a").args([&data, &copy]).status();
        assert!(copied.unwrap().success());
        scene.server.restart();
        scene.until_rows("the slots to be taken", 8, runs);
        scene.server.kill9();
        let running: Vec<String> = ask(&data.join("scitq.db"), runs).unwrap();
        fs::remove_dir_all(&data).unwrap();
        fs::rename(&copy, &data).unwrap();
        scene.server.restart();
        scene.until_rows("all that runs to be known", running.len(), runs);
        let known: Vec<String> = scene.ask(runs).unwrap();
        assert_eq!(known, running, "what ran when the old copy was started");
        scene.go();
        scene.launch_many(size.tasks);
        scene.finish(&Allowed::default());
        let database = scene.server.data().join("scitq.db");
        let again = "SELECT id FROM task WHERE attempts > 1";
        assert_eq!(ask(&database, again).unwrap(), Vec::<String>::new(), "run again");
        let epoch = "SELECT value FROM meta WHERE key = 'epoch'";
        assert_eq!(ask(&database, epoch).unwrap(), ["2"]);
    });
}
