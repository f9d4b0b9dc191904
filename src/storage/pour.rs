//! Gives out the contents of files, without a copy on this machine.

use bytes::Bytes;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc::Sender;

use crate::domain::uri::Uri;

use super::error::{StorageError, Subject};
use super::listing::{Entry, Listing};
use super::remote::{Opened, pour_remote};
use super::transfer::Transfer;

/// So much is read at once.
const PIECE: usize = 256 << 10;

/// Sends the contents of the files of a listing, one after the other, piece by
/// piece. Ends early when nobody takes them any more.
pub async fn pour(
    listing: &Listing,
    to: &Sender<Bytes>,
    transfer: &Transfer,
) -> Result<(), StorageError> {
    let uri = listing.uri();
    let opened = transfer.remotes.open(uri).await?;
    for (_, entry, facts) in listing.files() {
        match (&entry.remote, &opened) {
            (None, _) => pour_local(uri, entry, to).await?,
            (Some(told), Opened::Remote(remote, _)) => {
                let path = entry.source.to_string_lossy();
                let poured = pour_remote(remote, &path, facts, told, to);
                poured.await.map_err(|error| {
                    StorageError::of_remote(Subject(uri), "read", &path, remote.cleaned(error))
                })?;
            }
            (Some(_), Opened::Local(_)) => return Err(Subject(uri).changed(&entry.source)),
        }
        if to.is_closed() {
            return Ok(());
        }
    }
    Ok(())
}

async fn pour_local(uri: &Uri, entry: &Entry, to: &Sender<Bytes>) -> Result<(), StorageError> {
    let failed = |error| StorageError::io(uri, "read", &entry.source)(error);
    let mut file = tokio::fs::File::open(&entry.source).await.map_err(failed)?;
    loop {
        let mut piece = bytes::BytesMut::with_capacity(PIECE);
        let count = file.read_buf(&mut piece).await.map_err(failed)?;
        if count == 0 || to.send(piece.freeze()).await.is_err() {
            return Ok(());
        }
    }
}
