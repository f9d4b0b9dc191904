//! Behaviour of actions, on real archives.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use tempfile::TempDir;

use crate::domain::uri::Uri;

use super::super::error::StorageError;
use super::super::transfer::{Placement, Transfer};
use super::place::list_tree;
use super::run::act;

struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        fs::create_dir(scene.path("raw")).unwrap();
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &[u8]) {
        let path = self.path("raw").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    async fn act(&self, actions: &str) -> Result<Vec<String>, StorageError> {
        let uri: Uri = format!("file:///x{actions}").parse().unwrap();
        let (raw, done) = (self.path("raw"), self.path("done"));
        let steps = self.path("steps");
        act(&uri, &raw, &steps, &done, Placement::Resource, &Transfer::default()).await?;
        assert!(!steps.exists());
        let tree = list_tree(&done).unwrap().into_iter();
        Ok(tree
            .map(|(name, kind)| {
                let slash = if kind.is_dir() { "/" } else { "" };
                format!("{}{slash}", name.display())
            })
            .collect())
    }

    async fn error(&self, actions: &str) -> String {
        let error = self.act(actions).await.unwrap_err();
        assert!(!self.path("done").exists());
        error.to_string()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path("done").join(name)).unwrap()
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A tar archive of files; a name with a final slash is a folder, `a -> b` a
/// link, `a => b` a hard link.
fn tar(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_mode(if name.contains(".sh") { 0o755 } else { 0o600 });
        header.set_mtime(1_000_000_000);
        let (name, link) = match (name.split_once(" -> "), name.split_once(" => ")) {
            (Some((name, to)), _) => (name, Some((tar::EntryType::Symlink, to))),
            (_, Some((name, to))) => (name, Some((tar::EntryType::Link, to))),
            _ => (*name, None),
        };
        header.set_size(content.len() as u64);
        if let Some((kind, to)) = link {
            header.set_entry_type(kind);
            header.set_link_name_literal(to).unwrap();
        } else if name.ends_with('/') {
            header.set_entry_type(tar::EntryType::Directory);
        }
        // Written as it is: the library would refuse what a test is about.
        let field = &mut header.as_ustar_mut().unwrap().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn zip(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Deflated);
        writer.start_file(*name, options).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[tokio::test]
async fn files_are_unpacked_by_content_and_lose_their_ending() {
    let scene = Scene::new();
    let two = [gzip(b"one "), gzip(b"two")].concat();
    scene.file("d/a.fq.gz", &two);
    scene.file("b", &gzip(b"no ending"));
    scene.file("plain.gz", b"not packed");
    assert_eq!(scene.act("|gunzip").await.unwrap(), ["b", "d/", "d/a.fq", "plain.gz"]);
    assert_eq!(scene.read("d/a.fq"), "one two");
    assert_eq!(scene.read("b"), "no ending");
    let scene = Scene::new();
    scene.file("a.zst", &zstd::encode_all(&b"content"[..], 0).unwrap());
    assert_eq!(scene.act("|zstd").await.unwrap(), ["a"]);
    assert_eq!(scene.read("a"), "content");
}

#[tokio::test]
async fn archives_of_all_kinds_are_unpacked_where_they_lie() {
    let archive = tar(&[("./x/", ""), ("x/run.sh", "echo"), ("y", "why"), ("empty/", "")]);
    let mut bzip = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip.write_all(&archive).unwrap();
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::default()).unwrap();
    xz.write_all(&archive).unwrap();
    let packed = [
        archive.clone(),
        gzip(&archive),
        bzip.finish().unwrap(),
        xz.finish().unwrap(),
        zstd::encode_all(&archive[..], 0).unwrap(),
    ];
    for content in packed {
        let scene = Scene::new();
        scene.file("d/archive", &content);
        let names = scene.act("|untar").await.unwrap();
        assert_eq!(names, ["d/", "d/empty/", "d/x/", "d/x/run.sh", "d/y"]);
        assert_eq!(scene.read("d/y"), "why");
        let mode = |name: &str| {
            fs::metadata(scene.path("done").join(name)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("d/y"), mode("d/x/run.sh"), mode("d/x")), (0o444, 0o555, 0o755));
    }
    let scene = Scene::new();
    scene.file("a.zip", &zip(&[("x/y", "why"), ("z", "zed")]));
    assert_eq!(scene.act("|unzip").await.unwrap(), ["x/", "x/y", "z"]);
    assert_eq!(scene.read("x/y"), "why");
}

#[tokio::test]
async fn actions_are_done_one_after_the_other() {
    let scene = Scene::new();
    scene.file("a.tar.gz", &gzip(&tar(&[("genome.fa.gz", "")])));
    scene.file("a.tar.gz", &gzip(&tar(&[("genome.txt", "ACGT")])));
    let names = scene.act("|gunzip|untar|rename:g.fa|mv:ref/human").await.unwrap();
    assert_eq!(names, ["ref/", "ref/human/", "ref/human/g.fa"]);
    assert_eq!(scene.read("ref/human/g.fa"), "ACGT");
    assert!(scene.path("raw/a.tar.gz").exists());
    // Once more, over what is there.
    assert_eq!(scene.act("|untar").await.unwrap(), ["genome.txt"]);
}

#[tokio::test]
async fn a_folder_can_be_renamed_and_several_files_cannot() {
    let scene = Scene::new();
    scene.file("d/a", b"");
    scene.file("d/b", b"");
    assert_eq!(scene.act("|rename:e").await.unwrap(), ["e/", "e/a", "e/b"]);
    fs::remove_dir_all(scene.path("done")).unwrap();
    scene.file("c", b"");
    let message = scene.error("|rename:e").await;
    assert!(message.contains("2 files and folders, not one"), "{message}");
}

#[tokio::test]
async fn no_archive_writes_outside_its_folder() {
    for entries in [
        &[("../evil", "x")][..],
        &[("/tmp/evil", "x")],
        &[("a/../../evil", "x")],
        &[("a -> /etc/passwd", "")],
        &[("a/b -> ../../x", "")],
        &[("a -> .", ""), ("a/b -> ..", "")],
        &[("a => ../x", "")],
        &[("d -> e", ""), ("d/evil", "x")],
    ] {
        let scene = Scene::new();
        scene.file("x.tar", &tar(entries));
        let message = scene.error("|untar").await;
        assert!(message.starts_with("`file:///x|untar`: `|untar` cannot use `x.tar`"), "{message}");
        assert!(!scene.path("evil").exists() && !scene.path("steps/evil").exists());
    }
    for name in ["../evil", "/evil", "a\\..\\..\\evil"] {
        let scene = Scene::new();
        scene.file("x.zip", &zip(&[(name, "x")]));
        let message = scene.error("|unzip").await;
        assert!(message.contains("outside its folder"), "{message}");
    }
}

#[tokio::test]
async fn links_of_an_archive_become_the_files_that_they_lead_to() {
    let scene = Scene::new();
    let entries = [
        ("lib/a.so.1", "library"),
        ("lib/a.so -> a.so.1", ""),
        ("copy => lib/a.so.1", ""),
        ("other -> lib", ""),
    ];
    scene.file("x.tar", &tar(&entries));
    let names = scene.act("|untar").await.unwrap();
    let expected =
        ["copy", "lib/", "lib/a.so", "lib/a.so.1", "other/", "other/a.so", "other/a.so.1"];
    assert_eq!(names, expected);
    for name in ["copy", "lib/a.so", "other/a.so"] {
        let path = scene.path("done").join(name);
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{name}");
        assert_eq!(scene.read(name), "library");
    }
}

#[tokio::test]
async fn what_is_damaged_or_not_packed_says_so() {
    let whole = gzip(&tar(&[("a", &"content ".repeat(10_000))]));
    for (name, content, action) in [
        ("cut.tgz", &whole[..whole.len() / 2], "untar"),
        ("text.tar", &b"no archive"[..], "untar"),
        ("cut.gz", &whole[..whole.len() - 4], "gunzip"),
        ("text.gz", b"not packed", "gunzip"),
        ("text.zip", b"no archive", "unzip"),
        ("cut.zip", &zip(&[("a", "content")])[..30], "unzip"),
        ("empty", b"", "zstd"),
    ] {
        let scene = Scene::new();
        scene.file(name, content);
        let message = scene.error(&format!("|{action}")).await;
        let expected = format!("`file:///x|{action}`: `|{action}` cannot use `{name}`: ");
        assert!(message.starts_with(&expected), "{message}");
    }
}

#[tokio::test]
async fn two_archives_with_files_of_one_name_collide() {
    let scene = Scene::new();
    scene.file("1.tar", &tar(&[("a", "1")]));
    scene.file("2.tar", &tar(&[("a", "2")]));
    let message = scene.error("|untar").await;
    assert!(message.contains("two files would have one name"), "{message}");
}

#[tokio::test]
async fn a_cancelled_action_ends() {
    let scene = Scene::new();
    scene.file("a.gz", &gzip(b"content"));
    let transfer = Transfer::default();
    transfer.cancel.cancel();
    let uri: Uri = "file:///x|gunzip".parse().unwrap();
    let (raw, steps, done) = (scene.path("raw"), scene.path("steps"), scene.path("done"));
    let error = act(&uri, &raw, &steps, &done, Placement::Input, &transfer).await.unwrap_err();
    assert!(matches!(error, StorageError::Cancelled { .. }), "{error}");
}

#[tokio::test]
async fn what_a_kill_left_is_made_anew() {
    let scene = Scene::new();
    scene.file("a.gz", &gzip(b"content"));
    for folder in ["steps/0", "done"] {
        fs::create_dir_all(scene.path(folder)).unwrap();
        let path = scene.path(folder).join("half");
        File::create(&path).unwrap().set_permissions(Permissions::from_mode(0o444)).unwrap();
    }
    assert_eq!(scene.act("|gunzip").await.unwrap(), ["a"]);
    assert!(Path::new(&scene.path("raw/a.gz")).exists());
}
