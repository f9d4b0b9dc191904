//! Behaviour of downloads and uploads, on real files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::agent::cache::ResourceCache;
use crate::agent::workdir::TaskDirs;
use crate::clock::SystemClock;
use crate::domain::ExecutionId;
use crate::domain::task::TaskSpec;
use crate::storage::Transfer;

use super::movement::download_with;
use super::retry::Retry;
use super::*;

const IMPATIENT: Retry = Retry { tries: 2, first_wait: Duration::ZERO };

struct Scene {
    folder: TempDir,
    cache: ResourceCache,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = ResourceCache::open(folder.path(), Arc::new(SystemClock)).unwrap();
        Self { folder, cache }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn dirs(&self) -> TaskDirs {
        TaskDirs::new(self.folder.path(), ExecutionId(7))
    }

    fn uri(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    fn uris(&self, names: &[&str]) -> Vec<String> {
        names
            .iter()
            .map(|name| {
                let slash = if name.ends_with('/') { "/" } else { "" };
                format!("{}{slash}", self.uri(name.trim_end_matches('/')))
            })
            .collect()
    }

    fn spec(&self, input: &[&str], resource: &[&str]) -> TaskSpec {
        let mut spec: TaskSpec = serde_json::from_str(r#"{"command":["true"]}"#).unwrap();
        spec.input = self.uris(input);
        spec.resource = self.uris(resource);
        spec
    }

    async fn download(&self, input: &[&str], resource: &[&str]) -> Result<Staged, StageError> {
        let spec = self.spec(input, resource);
        download_with(IMPATIENT, &spec, &self.dirs(), &self.cache, &Transfer::default()).await
    }

    /// Names of all files and folders below a folder.
    fn names(&self, folder: &str) -> Vec<String> {
        let top = self.path(folder);
        let mut names = Vec::new();
        let mut pending = vec![top.clone()];
        while let Some(folder) = pending.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                names.push(path.strip_prefix(&top).unwrap().display().to_string());
                if path.is_dir() {
                    pending.push(path);
                }
            }
        }
        names.sort();
        names
    }
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

#[tokio::test]
async fn inputs_and_resources_come_into_their_folders() {
    let scene = Scene::new();
    for (name, content) in [("reads/a.fq", "aa"), ("reads/b.fq", "b"), ("db/x/index", "iii")] {
        scene.file(name, content);
    }
    let staged = scene.download(&["reads/a.fq", "reads/b.fq"], &["db/"]).await.unwrap();
    assert_eq!((staged.files, staged.bytes), (3, 6));
    assert_eq!(scene.names("tasks/7/input"), ["a.fq", "b.fq"]);
    assert_eq!(scene.names("tasks/7/resource"), ["x", "x/index"]);
    assert_eq!(fs::metadata(scene.path("tasks/7/resource")).unwrap().mode() & 0o777, 0o755);
}

#[tokio::test]
async fn a_task_without_data_gets_empty_folders() {
    let scene = Scene::new();
    assert_eq!(scene.download(&[], &[]).await.unwrap(), Staged::default());
    assert_eq!(scene.names("tasks/7"), ["input", "resource"]);
}

#[tokio::test]
async fn after_an_edit_the_folders_hold_what_the_task_names_now() {
    let scene = Scene::new();
    for name in ["one/a", "two/b", "three/b/c", "r/x", "r/y"] {
        scene.file(name, name);
    }
    scene.download(&["one/a", "two/b"], &["r/x", "r/y"]).await.unwrap();
    let before = inode(&scene.path("tasks/7/input/a"));
    scene.file("tasks/7/input/.scitq-left-by-a-kill", "half");
    scene.download(&["one/a", "three/"], &["r/y"]).await.unwrap();
    assert_eq!(scene.names("tasks/7/input"), ["a", "b", "b/c"]);
    assert_eq!(scene.names("tasks/7/resource"), ["y"]);
    assert_eq!(inode(&scene.path("tasks/7/input/a")), before);
}

#[tokio::test]
async fn folders_merge_and_a_file_may_be_named_twice() {
    let scene = Scene::new();
    for name in ["one/s/a", "two/s/b", "two/c"] {
        scene.file(name, name);
    }
    let staged = scene.download(&["one/", "two/", "two/c", "two/*", "two/"], &[]).await.unwrap();
    assert_eq!(scene.names("tasks/7/input"), ["c", "s", "s/a", "s/b"]);
    assert_eq!(staged.files, 3);
}

#[tokio::test]
async fn two_inputs_of_one_name_collide() {
    let scene = Scene::new();
    for name in ["one/a", "two/a", "three/a/b"] {
        scene.file(name, name);
    }
    for (input, slash) in [(["one/a", "two/a"], ""), (["one/a", "three/"], "/")] {
        let error = scene.download(&input, &[]).await.unwrap_err();
        let second = scene.uri(input[1].trim_end_matches('/'));
        assert_eq!(
            error.to_string(),
            format!("the inputs `{}` and `{second}{slash}` both have a `a`", scene.uri("one/a"))
        );
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn later_resources_replace_earlier_ones() {
    let scene = Scene::new();
    scene.file("one/x", "one");
    scene.file("two/x", "two");
    scene.download(&[], &["one/x", "two/x"]).await.unwrap();
    assert_eq!(fs::read_to_string(scene.path("tasks/7/resource/x")).unwrap(), "two");
    scene.download(&[], &["two/x", "one/x"]).await.unwrap();
    assert_eq!(fs::read_to_string(scene.path("tasks/7/resource/x")).unwrap(), "one");
}

#[tokio::test]
async fn what_cannot_be_had_is_an_error_that_names_it() {
    let scene = Scene::new();
    scene.file("a", "");
    for (input, resource) in [(&["a", "missing"][..], &[][..]), (&["a"], &["missing"])] {
        let error = scene.download(input, resource).await.unwrap_err();
        assert!(error.to_string().contains("there is no `"), "{error}");
        assert!(error.to_string().contains("missing"), "{error}");
    }
    let mut spec = scene.spec(&[], &[]);
    spec.resource = vec!["nowhere://key".to_owned()];
    let error =
        download(&spec, &scene.dirs(), &scene.cache, &Transfer::default()).await.unwrap_err();
    assert!(error.to_string().contains("`nowhere://key`: `nowhere` is neither"), "{error}");
}

#[tokio::test]
async fn a_download_can_be_cancelled_and_sent_to_another_thread() {
    let scene = Arc::new(Scene::new());
    scene.file("a", "");
    let transfer = Transfer::default();
    transfer.cancel.cancel();
    let owned = Arc::clone(&scene);
    let task = tokio::spawn(async move {
        let spec = owned.spec(&["a"], &["a"]);
        download(&spec, &owned.dirs(), &owned.cache, &transfer).await
    });
    assert!(task.await.unwrap().unwrap_err().is_cancelled());
}

#[tokio::test]
async fn outputs_are_sent_and_sent_again_without_harm() {
    let scene = Scene::new();
    scene.file("tasks/7/output/a", "aa");
    scene.file("tasks/7/output/b/c", "c");
    let uri = scene.uri("results");
    let transfer = Transfer::default();
    let uploaded = upload(&scene.dirs(), &uri, &transfer).await.unwrap();
    assert_eq!((uploaded.files, uploaded.bytes), (2, 3));
    assert_eq!(scene.names("results"), ["a", "b", "b/c"]);
    assert_eq!(upload(&scene.dirs(), &uri, &transfer).await.unwrap(), uploaded);
    assert_eq!(transfer.progress.bytes(), 3);
}

#[tokio::test]
async fn outputs_of_others_in_the_same_folder_stay() {
    let scene = Scene::new();
    scene.file("tasks/7/output/s/mine", "");
    scene.file("results/s/theirs", "");
    upload(&scene.dirs(), &scene.uri("results"), &Transfer::default()).await.unwrap();
    assert_eq!(scene.names("results"), ["s", "s/mine", "s/theirs"]);
}

#[tokio::test]
async fn a_wrong_output_address_is_an_error() {
    let scene = Scene::new();
    scene.file("tasks/7/output/a", "");
    for (uri, reason) in [("no-address", "is no URI"), ("nowhere://x/", "`nowhere` is neither")] {
        let sent = upload(&scene.dirs(), uri, &Transfer::default()).await;
        let error = sent.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
        assert!(!error.is_transient());
    }
}
