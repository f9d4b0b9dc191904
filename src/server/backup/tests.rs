//! Archives that are no backups, or only parts of one.

use std::fs;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::super::data_dir::DataDir;
use super::*;

const MANIFEST_TEXT: &str =
    r#"{"format":1,"version":"2.0.0","store":"s","epoch":1,"made_at":"2026-01-01T00:00:00Z"}"#;

/// Writes an archive of these entries.
fn archive(path: &Path, entries: &[(&str, &[u8])]) {
    let mut builder = Builder::new(fs::File::create(path).unwrap());
    for (name, bytes) in entries {
        let mut header = Header::new_gnu();
        // Written by hand: the library refuses some of these names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_entry_type(EntryType::Regular);
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.finish().unwrap();
}

/// What is in a directory but the lock and the empty database.
fn content(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["lock", "scitq.db"].contains(&name.as_str()))
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_whole_is_put_in_its_places() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backup.tar");
    archive(
        &path,
        &[
            (MANIFEST, MANIFEST_TEXT.as_bytes()),
            ("tls.crt", b"certificate"),
            ("scitq.db", b"database"),
            ("output/index.db", b"index"),
            ("output/segment-00000001", b"bytes"),
            (END, b""),
        ],
    );
    let data = directory.path().join("data");
    let data_dir = DataDir::open(&data).unwrap();
    let manifest = restore(&data_dir, &path).unwrap();
    assert_eq!(manifest.store.0, "s");
    assert_eq!(fs::read(data.join("scitq.db")).unwrap(), b"database");
    assert_eq!(fs::read(data.join("output/segment-00000001")).unwrap(), b"bytes");
    assert_eq!(content(&data), ["output", "tls.crt"]);
    let again = restore(&data_dir, &path).unwrap_err();
    assert!(matches!(again, BackupError::NotEmpty { .. }), "{again}");
}

#[test]
fn what_is_no_whole_backup_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backup.tar");
    let first = (MANIFEST, MANIFEST_TEXT.as_bytes());
    let other = (MANIFEST, &br#"{"format":2}"#[..]);
    let database = ("scitq.db", &b"database"[..]);
    let cases: [&[(&str, &[u8])]; 9] = [
        &[],
        &[first],
        &[first, database],
        &[first, (END, b"")],
        &[database, first, (END, b"")],
        &[other, database, (END, b"")],
        &[first, database, ("../escaped", b"x"), (END, b"")],
        &[first, database, ("/tmp/escaped", b"x"), (END, b"")],
        &[first, database, ("output/segment-../../x", b"x"), (END, b"")],
    ];
    for entries in cases {
        archive(&path, entries);
        let data_dir = DataDir::open(&directory.path().join("data")).unwrap();
        restore(&data_dir, &path).unwrap_err();
        assert!(content(data_dir.path()).is_empty(), "{entries:?}");
        assert_eq!(fs::metadata(data_dir.database()).unwrap().len(), 0);
        assert!(!directory.path().join("escaped").exists());
    }
}

#[test]
fn every_cut_of_an_archive_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("backup.tar");
    archive(
        &path,
        &[(MANIFEST, MANIFEST_TEXT.as_bytes()), ("scitq.db", &[7; 3_000]), (END, b"complete\n")],
    );
    let whole = fs::read(&path).unwrap();
    // Its last entry, and behind that only the end of the archive.
    let end = whole.windows(9).rposition(|part| part == b"complete\n").unwrap();
    for length in (0..end).step_by(97) {
        fs::write(&path, &whole[..length]).unwrap();
        let data_dir = DataDir::open(&directory.path().join("data")).unwrap();
        let restored = restore(&data_dir, &path);
        assert!(restored.is_err() || length + 512 > end, "a cut after {length} bytes");
        if restored.is_ok() {
            break;
        }
        assert!(content(data_dir.path()).is_empty(), "a cut after {length} bytes");
    }
}
