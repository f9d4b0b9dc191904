//! What stands for all that an execution is given.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::agent::workdir::TaskDirs;
use crate::api::cache::CacheKey;
use crate::domain::byte_string::ByteString;
use crate::domain::task::{Command, TaskSpec};
use crate::domain::uri::Uri;
use crate::storage::{self, EntryKind, Listing, StorageError, Transfer};

use super::error::StageError;
use super::movement::run_blocking;
use super::sums::{KnownSums, sha256_of};

/// Goes into each key: keys of another kind never meet these.
const KIND: &str = "scitq cache 1";

/// The part of a specification on which the outputs depend.
#[derive(Serialize)]
struct Given<'a> {
    kind: &'static str,
    command: &'a Command,
    shell: Option<&'a str>,
    container: Option<&'a str>,
    container_options: Option<&'a str>,
    env: &'a BTreeMap<String, String>,
    uid: Option<u32>,
    gid: Option<u32>,
    stdin: Option<&'a ByteString>,
}

/// The key of an execution whose inputs and resources are in their folders.
/// Reads all of the inputs, and the resources that nobody has read yet.
pub async fn content_key(
    spec: &TaskSpec,
    dirs: &TaskDirs,
    known: &KnownSums,
    transfer: &Transfer,
) -> Result<CacheKey, StageError> {
    let given = Given {
        kind: KIND,
        command: &spec.command,
        shell: spec.shell.as_deref(),
        container: spec.container.as_deref(),
        container_options: spec.container_options.as_deref(),
        env: &spec.env,
        uid: spec.uid,
        gid: spec.gid,
        stdin: spec.stdin.as_ref(),
    };
    let given = serde_json::to_vec(&given)
        .map_err(|error| StageError::Internal { reason: error.to_string() })?;
    let inputs = list(&dirs.input(), transfer).await?;
    let resources = list(&dirs.resource(), transfer).await?;
    let (known, cancel) = (known.clone(), transfer.cancel.clone());
    run_blocking(move || {
        let mut sum = Sha256::new();
        add(&mut sum, &given);
        add_files(&mut sum, &inputs, |path| sha256_of(path, &cancel))?;
        add_files(&mut sum, &resources, |path| known.find(path, &cancel))?;
        Ok(CacheKey(storage::hexadecimal(&sum.finalize())))
    })
    .await
}

/// A folder of this machine as an address.
pub(super) fn folder_uri(folder: &Path) -> Uri {
    Uri {
        protocol: "file".to_owned(),
        options: Vec::new(),
        path: format!("{}/", folder.display()),
        actions: Vec::new(),
    }
}

async fn list(folder: &Path, transfer: &Transfer) -> Result<Listing, StorageError> {
    storage::list_directory(&folder_uri(folder), folder, transfer).await
}

/// Blocks.
fn add_files(
    sum: &mut Sha256,
    listing: &Listing,
    sum_up: impl Fn(&Path) -> std::io::Result<[u8; 32]>,
) -> Result<(), StageError> {
    add(sum, &listing.entries().count().to_le_bytes());
    for (name, entry) in listing.entries() {
        add(sum, name.as_os_str().as_bytes());
        match entry.kind {
            EntryKind::Folder => sum.update(b"d"),
            EntryKind::File(facts) => {
                sum.update(if facts.is_executable() { b"x" } else { b"f" });
                let content = sum_up(&entry.source);
                sum.update(content.map_err(StageError::folder("read", &entry.source))?);
            }
        }
    }
    Ok(())
}

/// With its length, so that no two rows of parts look the same.
fn add(sum: &mut Sha256, part: &[u8]) {
    sum.update(part.len().to_le_bytes());
    sum.update(part);
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::domain::ExecutionId;

    use super::*;

    async fn key(spec: &str, input: &[(&str, &str)], resource: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let dirs = TaskDirs::new(folder.path(), ExecutionId(1));
        dirs.create((None, None)).unwrap();
        for (folder, files) in [(dirs.input(), input), (dirs.resource(), resource)] {
            for (name, content) in files {
                fs::write(folder.join(name), content).unwrap();
            }
        }
        let spec = serde_json::from_str(spec).unwrap();
        let (known, transfer) = (KnownSums::default(), Transfer::default());
        content_key(&spec, &dirs, &known, &transfer).await.unwrap().0
    }

    #[tokio::test]
    async fn a_key_tells_what_outputs_depend_on_and_nothing_else() {
        let plain = r#"{"command":"true","input":["file:///x"],"name":"a"}"#;
        let first = key(plain, &[("x", "1")], &[("r", "2")]).await;
        let renamed = r#"{"command":"true","input":["file:///y"],"name":"b","retry":3}"#;
        assert_eq!(key(renamed, &[("x", "1")], &[("r", "2")]).await, first);
        for (spec, input, resource) in [
            (r#"{"command":"false"}"#, ("x", "1"), ("r", "2")),
            (r#"{"command":"true","shell":"sh"}"#, ("x", "1"), ("r", "2")),
            (r#"{"command":"true","container":"i"}"#, ("x", "1"), ("r", "2")),
            (r#"{"command":"true","env":{"A":"1"}}"#, ("x", "1"), ("r", "2")),
            (r#"{"command":"true","stdin":"x"}"#, ("x", "1"), ("r", "2")),
            (plain, ("x", "2"), ("r", "2")),
            (plain, ("y", "1"), ("r", "2")),
            (plain, ("x", "1"), ("r", "3")),
            (plain, ("r", "2"), ("x", "1")),
        ] {
            assert_ne!(key(spec, &[input], &[resource]).await, first, "{spec} {input:?}");
        }
        assert_ne!(key(plain, &[], &[("r", "2")]).await, first);
    }
}
