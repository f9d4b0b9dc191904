//! Gives out the content of one file of a remote, as it comes.

use std::cell::Cell;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc::Sender;
use tokio::time::timeout;

use super::super::listing::{FileFacts, RemoteFacts};
use super::backend::Remote;
use super::error::{RemoteError, Result};
use super::item::RemoteFile;
use super::net::STALL_LIMIT;

/// Sends the content piece by piece; a try that breaks off goes on where it was.
pub(in crate::storage) async fn pour_remote(
    remote: &Remote,
    path: &str,
    facts: FileFacts,
    told: &RemoteFacts,
    to: &Sender<Bytes>,
) -> Result<()> {
    let listed = RemoteFile {
        bytes: told.has_size.then_some(facts.bytes),
        modified: None,
        tag: told.tag.as_deref().map(str::to_owned),
        md5: None,
    };
    let sent = Cell::new(0_u64);
    remote.patiently(|| pour_from(remote, path, &listed, &sent, to)).await
}

async fn pour_from(
    remote: &Remote,
    path: &str,
    listed: &RemoteFile,
    sent: &Cell<u64>,
    to: &Sender<Bytes>,
) -> Result<()> {
    if listed.bytes == Some(sent.get()) {
        return Ok(());
    }
    let mut content = remote.read(path, sent.get(), listed).await?;
    // A server that cannot begin in the middle sends again what was had.
    let mut surplus = sent.get().saturating_sub(content.from);
    loop {
        let piece = timeout(STALL_LIMIT, content.pieces.next()).await;
        let piece = piece.map_err(|_| RemoteError::temporary("no data comes any more"))?;
        let Some(piece) = piece else { break };
        let mut piece = piece?;
        let skipped = usize::try_from(surplus).unwrap_or(usize::MAX).min(piece.len());
        surplus = surplus.saturating_sub(u64::try_from(skipped).unwrap_or(u64::MAX));
        let piece = piece.split_off(skipped);
        sent.set(sent.get() + u64::try_from(piece.len()).unwrap_or(0));
        if !piece.is_empty() && to.send(piece).await.is_err() {
            return Ok(());
        }
    }
    match listed.bytes {
        Some(bytes) if sent.get() < bytes => Err(RemoteError::ended_early()),
        _ => Ok(()),
    }
}
