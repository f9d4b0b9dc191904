//! Behaviour of listing, fetching and sending, on real files.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use tempfile::TempDir;

use crate::domain::uri::Uri;

use super::*;

/// A folder with what a test needs; paths are relative to it.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn link(&self, to: &str, name: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(to, path).unwrap();
    }

    fn uri(&self, name: &str) -> Uri {
        format!("file://{}/{name}", self.0.path().display()).parse().unwrap()
    }

    async fn fetch(&self, name: &str, to: &str) -> Result<Moved, StorageError> {
        let transfer = Transfer::default();
        let listing = list(&self.uri(name), &transfer).await?;
        fetch(Arc::new(listing), &self.path(to), Placement::Input, &transfer).await
    }

    async fn fetch_error(&self, name: &str) -> String {
        let error = self.fetch(name, "unused").await.unwrap_err();
        assert!(!error.is_transient(), "{error}");
        error.to_string().replace(&self.0.path().display().to_string(), "")
    }

    async fn send(&self, folder: &str, to: &str) -> Result<Moved, StorageError> {
        send(&self.path(folder), &self.uri(to), &Transfer::default()).await
    }

    /// Names below a folder, folders with a final slash.
    fn names(&self, folder: &str) -> Vec<String> {
        let tree = read_tree(&self.path(folder));
        let show = |(name, node): (PathBuf, Node)| match node {
            Node::Folder => format!("{}/", name.display()),
            Node::File { .. } => name.display().to_string(),
        };
        tree.into_iter().map(show).collect()
    }
}

/// What must survive a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Folder,
    File { content: Vec<u8>, modified: SystemTime, is_executable: bool },
}

/// Everything below a folder, links followed.
fn read_tree(folder: &Path) -> BTreeMap<PathBuf, Node> {
    let mut tree = BTreeMap::new();
    let mut pending = vec![PathBuf::new()];
    while let Some(name) = pending.pop() {
        for entry in fs::read_dir(folder.join(&name)).unwrap() {
            let name = name.join(entry.unwrap().file_name());
            let path = folder.join(&name);
            let metadata = fs::metadata(&path).unwrap();
            let node = if metadata.is_dir() {
                pending.push(name.clone());
                Node::Folder
            } else {
                Node::File {
                    content: fs::read(&path).unwrap(),
                    modified: metadata.modified().unwrap(),
                    is_executable: metadata.mode() & 0o111 != 0,
                }
            };
            tree.insert(name, node);
        }
    }
    tree
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

#[tokio::test]
async fn a_file_keeps_name_date_and_executable_bit() {
    let scene = Scene::new();
    let path = scene.file("a b%20'\"\n.sh", "echo\n");
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    set_modified(&path, UNIX_EPOCH - Duration::from_nanos(1_500_000_001));
    let moved = scene.fetch("a b%20'\"\n.sh", "in").await.unwrap();
    assert_eq!((moved.files, moved.bytes), (1, 5));
    let copy = fs::metadata(scene.path("in/a b%20'\"\n.sh")).unwrap();
    assert_eq!(copy.mode() & 0o777, 0o755);
    assert_eq!(copy.modified().unwrap(), fs::metadata(path).unwrap().modified().unwrap());
}

#[tokio::test]
async fn a_folder_keeps_its_structure_with_empty_files_and_folders() {
    let scene = Scene::new();
    scene.file("d/x/y/z.txt", "z");
    scene.file("d/.hidden", "");
    scene.folder("d/empty/er");
    scene.fetch("d/", "in").await.unwrap();
    assert_eq!(read_tree(&scene.path("in")), read_tree(&scene.path("d")));
    assert_eq!(fs::metadata(scene.path("in/empty/er")).unwrap().mode() & 0o777, 0o777);
}

#[tokio::test]
async fn the_final_slash_tells_a_folder_from_a_file() {
    let scene = Scene::new();
    scene.file("d/f", "");
    assert_eq!(
        scene.fetch_error("d").await,
        "`file:///d` is a folder: the URI of a folder ends in `/`"
    );
    assert_eq!(
        scene.fetch_error("d/f/").await,
        "`file:///d/f/` is no folder: only the URI of a folder ends in `/`"
    );
}

#[tokio::test]
async fn what_is_not_there_is_an_error_with_the_path() {
    let scene = Scene::new();
    scene.file("f", "");
    assert_eq!(scene.fetch_error("x").await, "`file:///x`: there is no `/x`");
    assert_eq!(scene.fetch_error("f/x").await, "`file:///f/x`: there is no `/f/x`");
    assert_eq!(scene.fetch_error("*.fq").await, "`file:///*.fq` matches no file");
    assert_eq!(scene.fetch_error("f*/").await, "`file:///f*/` matches no folder");
    assert_eq!(scene.fetch_error("x/*").await, "`file:///x/*` matches no file");
}

#[tokio::test]
async fn patterns_match_files_by_base_name_and_folders_by_content() {
    let scene = Scene::new();
    for name in ["run1/a.fq", "run1/b.fq", "run1/c.txt", "run2/d.fq", "run2/.e.fq", "run3/x/y"] {
        scene.file(name, name);
    }
    scene.folder("run1/folder.fq");
    scene.fetch("run?/*.fq", "files").await.unwrap();
    assert_eq!(scene.names("files"), ["a.fq", "b.fq", "d.fq"]);
    scene.fetch("run[!2]/", "folders").await.unwrap();
    assert_eq!(scene.names("folders"), ["a.fq", "b.fq", "c.txt", "folder.fq/", "x/", "x/y"]);
}

#[tokio::test]
async fn below_two_stars_the_structure_is_kept() {
    let scene = Scene::new();
    for name in ["d/a.fq", "d/s1/a.fq", "d/s2/t/a.fq", "d/s2/t/b.txt", "d/.git/a.fq", "e/a.fq"] {
        scene.file(name, name);
    }
    scene.link("../e", "d/linked");
    scene.fetch("d/**/a.fq", "in").await.unwrap();
    assert_eq!(scene.names("in"), ["a.fq", "s1/", "s1/a.fq", "s2/", "s2/t/", "s2/t/a.fq"]);
    scene.fetch("d/s2/**", "all").await.unwrap();
    assert_eq!(scene.names("all"), ["t/", "t/a.fq", "t/b.txt"]);
    scene.fetch("d/**/t/", "folders").await.unwrap();
    assert_eq!(scene.names("folders"), ["s2/", "s2/t/", "s2/t/a.fq", "s2/t/b.txt"]);
}

#[tokio::test]
async fn a_path_that_exists_wins_over_a_pattern() {
    let scene = Scene::new();
    scene.file("a[1].fq", "literal");
    scene.file("a1.fq", "matched");
    scene.fetch("a[1].fq", "in").await.unwrap();
    assert_eq!(scene.names("in"), ["a[1].fq"]);
}

#[tokio::test]
async fn two_files_of_one_base_name_collide() {
    let scene = Scene::new();
    scene.file("run1/a", "");
    scene.file("run2/a", "");
    assert_eq!(
        scene.fetch_error("run*/a").await,
        "`file:///run*/a` matches both `/run1/a` and `/run2/a`, which would become one `a`"
    );
}

#[tokio::test]
async fn links_of_inputs_are_followed() {
    let scene = Scene::new();
    scene.file("data/f", "content");
    scene.file("data/below/g", "");
    scene.link("../data/f", "d/file");
    scene.link("../data", "d/folder");
    scene.fetch("d/", "in").await.unwrap();
    assert_eq!(
        scene.names("in"),
        ["file", "folder/", "folder/below/", "folder/below/g", "folder/f"]
    );
    assert!(fs::symlink_metadata(scene.path("in/file")).unwrap().is_file());
}

#[tokio::test]
async fn links_that_lead_nowhere_or_round_are_errors() {
    let scene = Scene::new();
    scene.link("nowhere", "d/dangling");
    assert!(scene.fetch_error("d/").await.contains("the link `/d/dangling` leads nowhere"));
    assert!(scene.fetch_error("d/dangling").await.contains("leads nowhere"));
    assert!(scene.fetch_error("d/dang*").await.contains("leads nowhere"));
    scene.link("self", "e/self");
    assert!(scene.fetch_error("e/").await.contains("the link `/e/self` leads back"));
    assert!(scene.fetch_error("e/self").await.contains("the link `/e/self` leads back"));
    scene.link("../../h", "g/x/l");
    scene.link("../g", "h/l");
    assert!(scene.fetch_error("g/").await.contains("leads back"));
}

#[tokio::test]
async fn special_files_are_errors_when_named_and_else_noted() {
    let scene = Scene::new();
    scene.file("d/f", "");
    let fifo = scene.path("d/fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    assert!(scene.fetch_error("d/fifo").await.contains("`/d/fifo` is a FIFO"));
    for (uri, to) in [("d/", "whole"), ("d/*", "pattern")] {
        let moved = scene.fetch(uri, to).await.unwrap();
        assert_eq!(scene.names(to), ["f"]);
        assert_eq!(moved.notes.iter().map(|note| &note.path).collect::<Vec<_>>(), [&fifo]);
    }
    assert_eq!(scene.send("d", "sent").await.unwrap().notes.len(), 1);
}

#[tokio::test]
async fn outputs_go_to_a_folder_that_is_made() {
    let scene = Scene::new();
    let secret = scene.file("out/secret", "s");
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    scene.file("out/a/b", "b");
    scene.folder("out/empty");
    for to in ["with/new/parents/", "without/slash"] {
        let moved = scene.send("out", to).await.unwrap();
        assert_eq!((moved.files, moved.bytes), (2, 2));
        assert_eq!(read_tree(&scene.path(to)), read_tree(&scene.path("out")));
        assert_eq!(fs::metadata(scene.path(to).join("secret")).unwrap().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn links_of_outputs_are_followed_once() {
    let scene = Scene::new();
    scene.file("scratch/run/f", "f");
    scene.file("scratch/far/g", "g");
    scene.link("../far", "scratch/run/second");
    scene.link("f", "scratch/run/alias");
    scene.link("../scratch/run", "out/first");
    scene.link("nowhere", "out/dangling");
    scene.link("../out", "out/circle");
    let moved = scene.send("out", "sent/").await.unwrap();
    assert_eq!(scene.names("sent"), ["first/", "first/alias", "first/f"]);
    let mut noted: Vec<_> = moved.notes.iter().map(|note| note.path.file_name().unwrap()).collect();
    noted.sort();
    assert_eq!(noted, ["circle", "dangling", "second"]);
}

#[tokio::test]
async fn what_is_there_already_is_not_copied_again() {
    let scene = Scene::new();
    scene.file("out/same", "1");
    let changed = scene.file("out/changed", "2");
    scene.send("out", "sent/").await.unwrap();
    let inode = |name: &str| fs::metadata(scene.path(name)).unwrap().ino();
    let before = (inode("sent/same"), inode("sent/changed"));
    set_modified(&changed, UNIX_EPOCH);
    let moved = scene.send("out", "sent/").await.unwrap();
    assert_eq!(moved.files, 2);
    assert_eq!(inode("sent/same"), before.0);
    assert_ne!(inode("sent/changed"), before.1);
}

/// Something that happens to a file.
type Change = fn(&Path);

#[tokio::test]
async fn a_source_that_changed_since_it_was_listed_is_an_error() {
    let scene = Scene::new();
    let transfer = Transfer::default();
    let changes: [(&str, Change); 3] = [
        ("grown", |path| fs::write(path, "longer").unwrap()),
        ("touched", |path| set_modified(path, UNIX_EPOCH)),
        ("vanished", |path| fs::remove_file(path).unwrap()),
    ];
    for (name, change) in changes {
        let path = scene.file(name, "short");
        let listing = Arc::new(list(&scene.uri(name), &transfer).await.unwrap());
        change(&path);
        let error =
            fetch(listing, &scene.path("in"), Placement::Input, &transfer).await.unwrap_err();
        assert!(matches!(error, StorageError::Changed { .. }), "{error}");
        assert!(error.is_transient());
        assert!(scene.names("in").is_empty(), "{:?}", scene.names("in"));
    }
}

#[tokio::test]
async fn one_file_that_cannot_be_copied_does_not_keep_the_others_back() {
    let scene = Scene::new();
    for name in ["a", "b", "c"] {
        scene.file(&format!("out/{name}"), name);
    }
    scene.file("sent/b/in-the-way", "");
    let error = scene.send("out", "sent/").await.unwrap_err();
    assert!(matches!(&error, StorageError::Io { path, .. } if path.ends_with("b")), "{error}");
    assert_eq!(scene.names("sent"), ["a", "b/", "b/in-the-way", "c"]);
}

#[tokio::test]
async fn a_cancelled_transfer_leaves_no_half_file() {
    let scene = Scene::new();
    scene.file("d/f", "x");
    let transfer = Transfer::default();
    let listing = Arc::new(list(&scene.uri("d/"), &transfer).await.unwrap());
    transfer.cancel.cancel();
    let fetched = fetch(listing, &scene.path("in"), Placement::Input, &transfer).await;
    assert!(matches!(fetched, Err(StorageError::Cancelled { .. })));
    assert!(scene.names("in").is_empty());
    assert!(matches!(list(&scene.uri("d/"), &transfer).await, Err(StorageError::Cancelled { .. })));
}

#[tokio::test]
async fn a_large_file_is_left_in_the_middle() {
    let scene = Scene::new();
    File::create(scene.path("big")).unwrap().set_len(4 << 30).unwrap();
    let transfer = Transfer::default();
    let listing = Arc::new(list(&scene.uri("big"), &transfer).await.unwrap());
    let target = scene.path("in");
    let cancel_soon = async {
        while transfer.progress.bytes() == 0 {
            tokio::task::yield_now().await;
        }
        transfer.cancel.cancel();
    };
    let (fetched, ()) =
        tokio::join!(fetch(listing, &target, Placement::Input, &transfer), cancel_soon);
    assert!(matches!(fetched, Err(StorageError::Cancelled { .. })));
    assert!(transfer.progress.bytes() < 4 << 30);
    assert!(scene.names("in").is_empty());
}

#[tokio::test]
async fn a_transfer_that_is_dropped_stops() {
    let scene = Scene::new();
    File::create(scene.path("big")).unwrap().set_len(4 << 30).unwrap();
    let transfer = Transfer::default();
    let listing = Arc::new(list(&scene.uri("big"), &transfer).await.unwrap());
    let target = scene.path("in");
    let has_begun = async {
        while transfer.progress.bytes() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        fetched = fetch(listing, &target, Placement::Input, &transfer) => panic!("{fetched:?}"),
        () = has_begun => {}
    }
    // The thread removes its unfinished file when it notices.
    while !scene.names("in").is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(transfer.progress.bytes() < 4 << 30);
}

#[tokio::test]
async fn progress_counts_copied_bytes() {
    let scene = Scene::new();
    let big = File::create(scene.path("big")).unwrap();
    big.set_len(40 << 20).unwrap();
    let transfer = Transfer::default();
    let listing = Arc::new(list(&scene.uri("big"), &transfer).await.unwrap());
    assert_eq!(listing.bytes(), 40 << 20);
    fetch(Arc::clone(&listing), &scene.path("in"), Placement::Input, &transfer).await.unwrap();
    assert_eq!(transfer.progress.bytes(), 40 << 20);
    fetch(listing, &scene.path("in"), Placement::Input, &transfer).await.unwrap();
    assert_eq!(transfer.progress.bytes(), 40 << 20);
}

/// Names of one to twelve bytes, any but `/` and NUL.
fn any_name() -> impl Strategy<Value = OsString> {
    let byte = prop_oneof![Just(b' '), Just(b'\n'), Just(b'*'), 1_u8..=255];
    proptest::collection::vec(byte, 1..12)
        .prop_map(|bytes| bytes.into_iter().map(|b| if b == b'/' { b'_' } else { b }).collect())
        .prop_filter("a name", |bytes: &Vec<u8>| bytes != b"." && bytes != b"..")
        .prop_map(OsString::from_vec)
}

/// Something to make: the names that lead to it, the content of a file (none:
/// a folder), its date in seconds since 1970, and its executable bit.
type Planned = (Vec<OsString>, Option<Vec<u8>>, i32, bool);

fn any_tree() -> impl Strategy<Value = Vec<Planned>> {
    let path = proptest::collection::vec(any_name(), 1..4);
    let content = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50));
    proptest::collection::vec((path, content, any::<i32>(), any::<bool>()), 0..12)
}

/// Makes what fits: a file is not put where a folder is, nor the other way round.
fn build_tree(folder: &Path, tree: &[Planned]) {
    fs::create_dir_all(folder).unwrap();
    for (names, content, seconds, is_executable) in tree {
        let path = names.iter().fold(folder.to_owned(), |path, name| path.join(name));
        if fs::create_dir_all(path.parent().unwrap()).is_err() || path.is_dir() {
            continue;
        }
        let Some(content) = content else {
            let _ = fs::create_dir(&path);
            continue;
        };
        fs::write(&path, content).unwrap();
        let age = Duration::from_secs(u64::from(seconds.unsigned_abs()));
        let time = if *seconds < 0 { UNIX_EPOCH - age } else { UNIX_EPOCH + age };
        set_modified(&path, time + Duration::from_nanos(123_456_789));
        let mode = if *is_executable { 0o755 } else { 0o644 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_tree_comes_back_as_it_went(tree in any_tree()) {
        let scene = Scene::new();
        build_tree(&scene.path("original"), &tree);
        let original = read_tree(&scene.path("original"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            scene.send("original", "there").await.unwrap();
            scene.fetch("there/", "back").await.unwrap();
        });
        prop_assert_eq!(&read_tree(&scene.path("there")), &original);
        prop_assert_eq!(&read_tree(&scene.path("back")), &original);
    }
}

#[test]
fn names_are_compared_as_bytes() {
    let name = OsStr::from_bytes(b"\xff\xfe");
    let listing = {
        let scene = Scene::new();
        fs::create_dir(scene.path("d")).unwrap();
        fs::write(scene.path("d").join(name), "").unwrap();
        local::list_local(&scene.uri("d/"), &scene.path("d"), &Transfer::default()).unwrap()
    };
    assert!(listing.entries().map(|(name, _)| name).eq([Path::new(name)]));
}
