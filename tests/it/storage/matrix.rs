//! What every protocol must do, for each of them.

use std::fs;
use std::path::{Path, PathBuf};

use scitq::storage::StorageError;

use super::peers::{self, Peer};
use super::tree::{Names, make_sparse, make_tree, names, read_tree};

/// How a protocol differs from the others.
struct Traits {
    names: Names,
    /// What must be in the error of somebody with wrong credentials.
    thief: Option<&'static str>,
    /// A file for the test of large ones.
    large_bytes: u64,
}

/// The size of large files: 5 GiB where `SCITQ_TEST_LARGE` is set, which takes
/// that much room several times, and minutes.
fn large() -> u64 {
    let is_wanted = std::env::var_os("SCITQ_TEST_LARGE").is_some();
    if is_wanted { 5 << 30 } else { 100 << 20 }
}

#[tokio::test]
async fn local_folders_keep_the_matrix() {
    let traits = Traits { names: Names::WithLineBreaks, thief: None, large_bytes: large() };
    check_all(&peers::local(), &traits).await;
}

#[tokio::test]
async fn s3_keeps_the_matrix() {
    let Some(peer) = peers::s3() else { return };
    let traits =
        Traits { names: Names::WithLineBreaks, thief: Some("no permission"), large_bytes: large() };
    check_all(&peer, &traits).await;
}

#[tokio::test]
async fn azure_keeps_the_matrix() {
    let Some(peer) = peers::azure() else { return };
    let traits = Traits {
        names: Names::WithLineBreaks,
        thief: Some("AuthorizationFailure"),
        large_bytes: large(),
    };
    check_all(&peer, &traits).await;
}

#[tokio::test]
async fn ftp_keeps_the_matrix() {
    let Some(peer) = peers::ftp() else { return };
    let traits =
        Traits { names: Names::WithoutLineBreaks, thief: Some("530"), large_bytes: large() };
    check_all(&peer, &traits).await;
    fs::write(peer.path("tree/line\nbreak"), "x").unwrap();
    let error = peer.send("tree", "lines/").await.unwrap_err().to_string();
    assert!(error.contains("FTP has no names with line breaks"), "{error}");
}

#[tokio::test]
async fn sftp_keeps_the_matrix() {
    let Some(peer) = peers::sftp() else { return };
    let traits = Traits {
        names: Names::WithLineBreaks,
        thief: Some("Permission denied"),
        large_bytes: large(),
    };
    check_all(&peer, &traits).await;
}

#[tokio::test]
async fn webdav_keeps_the_matrix() {
    let Some(peer) = peers::webdav() else { return };
    let traits = Traits { names: Names::WithLineBreaks, thief: Some("401"), large_bytes: large() };
    check_all(&peer, &traits).await;
}

#[tokio::test]
async fn what_only_rclone_speaks_keeps_the_matrix() {
    let Some(peer) = peers::rclone() else { return };
    let traits = Traits { names: Names::WithLineBreaks, thief: None, large_bytes: 20 << 20 };
    check_all(&peer, &traits).await;
}

#[tokio::test]
async fn sftp_with_passwords_goes_by_rclone() {
    let Some(peer) = peers::sftp_with_password() else { return };
    let names = Names::WithoutLineBreaks;
    let traits = Traits { names, thief: None, large_bytes: 20 << 20 };
    check_folders(&peer, &traits).await;
    check_replacing(&peer).await;
    check_deleting(&peer).await;
}

#[tokio::test]
async fn ftp_with_tls_goes_by_rclone() {
    let Some(peer) = peers::ftps() else { return };
    make_tree(&peer.folder.join("tree"), Names::WithoutLineBreaks);
    // That server does not show it.
    fs::remove_file(peer.folder.join("tree/.hidden")).unwrap();
    peer.fetch("tree/", "in").await.unwrap();
    assert_eq!(read_tree(&peer.path("in")), read_tree(&peer.folder.join("tree")));
    // The same server does not talk without TLS, and says so.
    let port = fs::read_to_string(peer.path("rclone.conf")).unwrap();
    let port = port.lines().find_map(|line| line.strip_prefix("port = ")).unwrap().to_owned();
    let uri = format!("ftp://127.0.0.1:{port}/tree/").parse().unwrap();
    let error = scitq::storage::list(&uri, &peer.transfer()).await.unwrap_err().to_string();
    assert!(error.contains("530") || error.contains("encryption"), "{error}");
}

#[tokio::test]
async fn ftp_servers_that_list_like_ls_are_read() {
    let Some(peer) = peers::old_ftp() else { return };
    make_tree(&peer.folder.join("tree"), Names::WithoutLineBreaks);
    peer.fetch("tree/", "in").await.unwrap();
    assert_eq!(read_tree(&peer.path("in")), read_tree(&peer.folder.join("tree")));
    peer.fetch("tree/**/*.fq", "fq").await.unwrap();
    let expected = ["a.fq", "sub/", "sub/b.fq", "sub/deep/", "sub/deep/er/", "sub/deep/er/c.fq"];
    assert_eq!(names(&peer.path("fq")), expected);
    let error = peer.send("in", "new/").await.unwrap_err().to_string();
    assert!(error.contains("ermission denied"), "{error}");
    check_resume(&peer, &peer.folder.join("sparse"), "sparse").await;
}

async fn check_all(peer: &Peer, traits: &Traits) {
    check_folders(peer, traits).await;
    check_files_and_patterns(peer).await;
    check_what_is_missing(peer).await;
    check_replacing(peer).await;
    check_thief(peer, traits).await;
    check_large(peer, traits).await;
    check_deleting(peer).await;
}

/// A folder goes there and comes back as it was.
async fn check_folders(peer: &Peer, traits: &Traits) {
    make_tree(&peer.path("tree"), traits.names);
    let sent = peer.send("tree", "out/tree").await.unwrap();
    let tree = read_tree(&peer.path("tree"));
    assert_eq!(sent.files, tree.values().flatten().count() as u64);
    let listing = peer.list("out/tree/").await.unwrap();
    let listed: Vec<PathBuf> = listing.entries().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(listed, tree.keys().cloned().collect::<Vec<_>>());
    let again = peer.list("out/tree/").await.unwrap();
    assert_eq!(listing.fingerprint(), again.fingerprint());
    let moved = peer.fetch("out/tree/", "in").await.unwrap();
    assert_eq!((moved.files, moved.bytes), (sent.files, sent.bytes));
    assert_eq!(read_tree(&peer.path("in")), tree);
    // An empty folder on its own.
    fs::create_dir(peer.path("nothing")).unwrap();
    peer.send("nothing", "out/nothing/").await.unwrap();
    assert_eq!(peer.list("out/nothing/").await.unwrap().entries().count(), 0);
}

async fn check_files_and_patterns(peer: &Peer) {
    for (name, to, expected) in [
        ("out/tree/a.fq", "1", &["a.fq"][..]),
        ("out/tree/two  words", "2", &["two  words"]),
        ("out/tree/ünï/çödé ☃", "3", &["çödé ☃"]),
        ("out/tree/[brackets] {braces} *", "4", &["[brackets] {braces} *"]),
        ("out/tree/*.fq", "5", &["a.fq"]),
        ("out/tree/sub/*/", "6", &["er/", "er/c.fq"]),
        (
            "out/tree/**/[bc].fq",
            "7",
            &["sub/", "sub/b.fq", "sub/deep/", "sub/deep/er/", "sub/deep/er/c.fq"],
        ),
        ("out/tree/s?b/**", "8", &["b.fq", "deep/", "deep/er/", "deep/er/c.fq"]),
    ] {
        let to = format!("pattern{to}");
        peer.fetch(name, &to).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(names(&peer.path(&to)), expected, "{name}");
    }
}

async fn check_what_is_missing(peer: &Peer) {
    for name in ["out/tree/none", "out/none/", "out/tree/a.fq/x"] {
        let error = peer.fetch(name, "unused").await.unwrap_err();
        assert!(matches!(error, StorageError::NotFound { .. }), "{name}: {error}");
        assert!(!error.is_transient());
    }
    let error = peer.fetch("out/tree/*.bam", "unused").await.unwrap_err();
    assert!(matches!(error, StorageError::NothingMatched { .. }), "{error}");
    let error = peer.fetch("out/tree/sub", "unused").await.unwrap_err();
    assert!(matches!(error, StorageError::IsFolder { .. }), "{error}");
    let error = peer.fetch("out/tree/a.fq/", "unused").await.unwrap_err();
    let is_fitting =
        matches!(error, StorageError::IsNoFolder { .. } | StorageError::NotFound { .. });
    assert!(is_fitting, "{error}");
}

/// What is sent to a name that is there takes its place, and is seen as changed.
async fn check_replacing(peer: &Peer) {
    let before = peer.list("out/tree/a.fq").await.unwrap().fingerprint();
    fs::create_dir_all(peer.path("newer")).unwrap();
    fs::write(peer.path("newer/a.fq"), "other reads").unwrap();
    peer.send("newer", "out/tree/").await.unwrap();
    assert_ne!(peer.list("out/tree/a.fq").await.unwrap().fingerprint(), before);
    peer.fetch("out/tree/a.fq", "in").await.unwrap();
    assert_eq!(fs::read_to_string(peer.path("in/a.fq")).unwrap(), "other reads");
}

/// Wrong credentials are told, and never shown.
async fn check_thief(peer: &Peer, traits: &Traits) {
    let Some(expected) = traits.thief else { return };
    let protocol = peer.base.split("://").next().unwrap();
    let base = peer.base.replacen(protocol, "thief", 1);
    let uri = format!("{base}out/tree/a.fq").parse().unwrap();
    let error = scitq::storage::list(&uri, &peer.transfer()).await.unwrap_err();
    assert!(matches!(error, StorageError::Remote { .. }), "{error}");
    let text = format!("{error} {error:?}");
    assert!(text.contains(expected), "{text}");
    assert!(!error.is_transient(), "{text}");
    assert!(!text.contains("WRONGSECRET999"), "{text}");
}

async fn check_large(peer: &Peer, traits: &Traits) {
    make_sparse(&peer.path("large/big"), traits.large_bytes);
    peer.send("large", "out/large/").await.unwrap();
    let listing = peer.list("out/large/").await.unwrap();
    assert_eq!(listing.bytes(), traits.large_bytes);
    check_resume(peer, Path::new(""), "out/large/big").await;
    fs::remove_dir_all(peer.path("large")).unwrap();
}

/// A transfer that is cut goes on where it was. `seed` is made first, unless it is empty.
async fn check_resume(peer: &Peer, seed: &Path, name: &str) {
    if !seed.as_os_str().is_empty() {
        make_sparse(seed, large());
    }
    let first = peer.transfer();
    let (cancel, progress) = (first.cancel.clone(), first.progress.clone());
    let watch = tokio::spawn(async move {
        while progress.bytes() < 1 << 20 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    let cut = peer.fetch_with(name, "resumed", &first).await;
    watch.abort();
    if let Err(error) = cut {
        assert!(matches!(error, StorageError::Cancelled { .. }), "{error}");
    }
    let second = peer.transfer();
    let moved = peer.fetch_with(name, "resumed", &second).await.unwrap();
    let file = name.rsplit('/').next().unwrap();
    assert_eq!(fs::metadata(peer.path("resumed").join(file)).unwrap().len(), moved.bytes);
    assert!(second.progress.bytes() <= moved.bytes, "{} bytes", second.progress.bytes());
    assert_eq!(names(&peer.path("resumed")), [file]);
    fs::remove_dir_all(peer.path("resumed")).unwrap();
}

async fn check_deleting(peer: &Peer) {
    assert_eq!(peer.delete("out/tree/*.fq").await.unwrap(), 1);
    assert!(peer.list("out/tree/a.fq").await.is_err());
    let left = peer.list("out/tree/").await.unwrap().file_count();
    assert_eq!(peer.delete("out/tree/").await.unwrap(), left);
    let error = peer.list("out/tree/").await.unwrap_err();
    assert!(matches!(error, StorageError::NotFound { .. }), "{error}");
    let error = peer.delete("out/tree/").await.unwrap_err();
    assert!(matches!(error, StorageError::NotFound { .. }), "{error}");
}
