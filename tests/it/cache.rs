//! Outputs that are taken over from an execution that was given the same.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{AgentOptions, Server};
use crate::storage::peers;

/// Counts its runs beside the output, and makes a file and an empty folder.
const SCRIPT: &str =
    "echo run >>$RUNS; cat $INPUT/reads $RESOURCE/db >\"$OUTPUT/all reads\"; mkdir $OUTPUT/none";

struct Scene {
    server: Server,
    runs: String,
}

impl Scene {
    fn new() -> Self {
        Self::with(AgentOptions::default())
    }

    fn with(options: AgentOptions) -> Self {
        let mut server = Server::start();
        server.agent(options);
        let runs = server.path().join("runs").display().to_string();
        let scene = Self { server, runs };
        scene.write("1/reads", "ACGT");
        scene.write("shared/db", "index");
        scene
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.server.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn uri(&self, name: &str) -> String {
        format!("file://{}/{name}", self.server.path().display())
    }

    /// Runs the script on an input, with or without the cache.
    fn run(&self, input: &str, output: &str, more: &[&str]) -> Value {
        let env = format!("RUNS={}", self.runs);
        let (input, resource) = (self.uri(input), self.uri("shared/db"));
        let options =
            ["--shell", "--env", &env, "-i", &input, "-r", &resource, "-o", output, "--use-cache"];
        let task = self.server.launch(&[&options[..], more, &["--", SCRIPT]].concat());
        self.server.wait_for(&task, &["succeeded"])
    }

    /// How often the command has run.
    fn runs(&self) -> usize {
        fs::read_to_string(Path::new(&self.runs)).unwrap_or_default().lines().count()
    }
}

fn reused(task: &Value) -> Option<u64> {
    task["executions"][0]["outcome"]["reused"]["task"].as_u64()
}

#[test]
fn the_same_is_not_run_again() {
    let scene = Scene::new();
    let out = scene.uri("out/");
    let first = scene.run("1/reads", &out, &[]);
    assert_eq!((reused(&first), scene.runs()), (None, 1));
    // Another input of the same name and content, and options that change no output.
    scene.write("2/reads", "ACGT");
    let second = scene.run("2/reads", &out, &["--name", "again", "--retry", "2"]);
    assert_eq!((reused(&second), scene.runs()), (first["id"].as_u64(), 1));
    let shown = scene.server.scitq(&["manage", "task", "show", &second["id"].to_string()]).ok();
    let expected = format!("the outputs of task {}, execution", first["id"]);
    assert!(shown.text().contains(&expected), "{shown}");
    // Only who asks for it gets it.
    let task = scene.server.launch(&["--shell", "-o", &out, "--", "echo x >$OUTPUT/x"]);
    let task = scene.server.wait_for(&task, &["succeeded"]);
    assert_eq!(reused(&task), None);
    let refused = scene.server.scitq(&["launch", "--use-cache", "true"]);
    refused.refused(2, "makes sense with an output only");
}

#[test]
fn another_input_another_resource_or_another_command_is_run() {
    let scene = Scene::new();
    let out = scene.uri("out/");
    scene.run("1/reads", &out, &[]);
    scene.write("2/reads", "TTTT");
    assert_eq!(reused(&scene.run("2/reads", &out, &[])), None);
    assert_eq!(scene.runs(), 2);
    assert_eq!(reused(&scene.run("1/reads", &out, &["--env", "X=1"])), None);
    scene.write("shared/db", "another index");
    assert_eq!(reused(&scene.run("1/reads", &out, &[])), None);
    assert_eq!(scene.runs(), 4);
}

#[test]
fn outputs_that_changed_or_went_are_made_again() {
    let scene = Scene::new();
    let out = scene.uri("out/");
    scene.run("1/reads", &out, &[]);
    // Of the same size: the content counts.
    scene.write("out/all reads", "ACGTIndex");
    assert_eq!(reused(&scene.run("1/reads", &out, &[])), None);
    let made = fs::read_to_string(scene.server.path().join("out/all reads")).unwrap();
    assert_eq!((made.as_str(), scene.runs()), ("ACGTindex", 2));
    fs::remove_dir(scene.server.path().join("out/none")).unwrap();
    assert_eq!(reused(&scene.run("1/reads", &out, &[])), None);
    assert_eq!(scene.runs(), 3);
    // What others put there does not matter.
    scene.write("out/other", "x");
    assert!(reused(&scene.run("1/reads", &out, &[])).is_some());
    assert_eq!(scene.runs(), 3);
}

#[test]
fn outputs_are_copied_to_another_folder() {
    let scene = Scene::new();
    scene.run("1/reads", &scene.uri("out/"), &[]);
    scene.write("out/other", "of somebody else");
    let second = scene.run("1/reads", &scene.uri("elsewhere/deep/"), &[]);
    assert!(reused(&second).is_some());
    assert_eq!(scene.runs(), 1);
    let folder = scene.server.path().join("elsewhere/deep");
    assert_eq!(crate::storage::tree::names(&folder), ["all reads", "none/"]);
    assert_eq!(fs::read_to_string(folder.join("all reads")).unwrap(), "ACGTindex");
}

#[test]
fn outputs_are_taken_over_across_protocols() {
    let Some(store) = peers::s3() else { return };
    let conf = store.path("rclone.conf").display().to_string();
    let env = [("RCLONE_CONFIG".to_owned(), conf)].into();
    let scene = Scene::with(AgentOptions { env, ..AgentOptions::default() });
    scene.run("1/reads", &scene.uri("out/"), &[]);
    // From here to S3, within S3, and back from there.
    assert!(reused(&scene.run("1/reads", "store://bucket/a/", &[])).is_some());
    fs::remove_dir_all(scene.server.path().join("out")).unwrap();
    assert!(reused(&scene.run("1/reads", "store://bucket/a/", &[])).is_some());
    assert!(reused(&scene.run("1/reads", "store://bucket/b/", &[])).is_some());
    assert!(reused(&scene.run("1/reads", &scene.uri("back/"), &[])).is_some());
    assert_eq!(scene.runs(), 1);
    let folder = scene.server.path().join("back");
    assert_eq!(crate::storage::tree::names(&folder), ["all reads", "none/"]);
}

#[test]
fn what_was_made_is_known_after_a_restart_of_all() {
    let mut scene = Scene::new();
    let out = scene.uri("out/");
    scene.run("1/reads", &out, &[]);
    scene.server.stop();
    scene.server.restart();
    assert!(reused(&scene.run("1/reads", &out, &[])).is_some());
    assert_eq!(scene.runs(), 1);
}
