//! Web servers, which have files and no folders.

use std::fs;

use scitq::domain::uri::Uri;
use scitq::storage::{self, RemoteErrorKind, StorageError};

use super::peers;
use super::tree::{Names, make_sparse, make_tree, names, read_tree, write};

#[tokio::test]
async fn files_come_from_a_web_server() {
    let Some(peer) = peers::http() else { return };
    write(&peer.folder.join("a b.fq"), b"reads");
    write(&peer.folder.join("empty"), b"");
    peer.fetch("a%20b.fq?version=2#top", "in").await.unwrap();
    peer.fetch("empty", "in").await.unwrap();
    assert_eq!(names(&peer.path("in")), ["a b.fq", "empty"]);
    assert_eq!(fs::read(peer.path("in/a b.fq")).unwrap(), b"reads");
    let listing = peer.list("a%20b.fq").await.unwrap();
    let (_, entry) = listing.entries().next().unwrap();
    assert!(entry.remote.as_ref().unwrap().tag.is_some());
    let error = peer.fetch("none", "in").await.unwrap_err();
    assert!(matches!(error, StorageError::NotFound { .. }), "{error}");
    let error = peer.fetch("locked/x", "in").await.unwrap_err();
    assert!(matches!(error, StorageError::Remote { kind: RemoteErrorKind::Denied, .. }), "{error}");
}

#[tokio::test]
async fn a_server_without_ranges_is_asked_for_all_of_it() {
    let Some(peer) = peers::http() else { return };
    for folder in ["ranges", "noranges"] {
        make_sparse(&peer.folder.join(folder).join("big"), 50 << 20);
        let name = format!("{folder}/big");
        let first = peer.transfer();
        let (cancel, progress) = (first.cancel.clone(), first.progress.clone());
        let watch = tokio::spawn(async move {
            while progress.bytes() < 4 << 20 {
                tokio::task::yield_now().await;
            }
            cancel.cancel();
        });
        let _ = peer.fetch_with(&name, folder, &first).await;
        watch.abort();
        peer.fetch(&name, folder).await.unwrap();
        assert_eq!(names(&peer.path(folder)), ["big"]);
        assert_eq!(fs::metadata(peer.path(folder).join("big")).unwrap().len(), 50 << 20);
    }
}

#[tokio::test]
async fn folders_of_a_web_server_are_listed_by_rclone() {
    let Some(peer) = peers::http() else { return };
    if peers::debian("rclone").is_none() {
        return;
    }
    make_tree(&peer.folder.join("tree"), Names::WithoutLineBreaks);
    fs::remove_dir_all(peer.folder.join("tree/empty folder")).unwrap();
    // Not on the server's own page.
    fs::remove_file(peer.folder.join("tree/.hidden")).unwrap();
    peer.fetch("tree/", "in").await.unwrap();
    assert_eq!(read_tree(&peer.path("in")), read_tree(&peer.folder.join("tree")));
}

#[tokio::test]
async fn nothing_is_written_over_http() {
    let Some(peer) = peers::http() else { return };
    fs::create_dir(peer.path("out")).unwrap();
    fs::write(peer.path("out/x"), "x").unwrap();
    let error = peer.send("out", "x/").await.unwrap_err().to_string();
    assert!(error.contains("nothing can be written over HTTP"), "{error}");
    let uri: Uri = peer.uri("x/");
    let error = storage::check_output(&uri).unwrap_err().to_string();
    assert!(error.contains("cannot be an output"), "{error}");
}
