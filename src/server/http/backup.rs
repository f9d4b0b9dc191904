//! `/api/v2/server/backup`

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::api::error::{ErrorBody, ErrorCode};

use super::super::backup::{BackupError, Manifest, Snapshot};
use super::super::engine::command::Command;
use super::App;
use super::error::{ApiError, ApiResult};
use super::gate::Caller;

/// Bytes of an archive in one piece.
const PIECE: usize = 256 << 10;
/// Pieces that wait for the client.
const PIECES: usize = 4;

/// Take a backup
///
/// Everything that the server knows, as a tar archive, while it works on.
/// `serve --restore` takes it back.
#[utoipa::path(get, path = "/api/v2/server/backup", tag = "server",
    responses((status = 200, body = Vec<u8>, content_type = "application/x-tar"),
        (status = "4XX", body = ErrorBody), (status = 503, body = ErrorBody)))]
pub(super) async fn take(State(app): State<Arc<App>>, caller: Caller) -> ApiResult<Response> {
    let Ok(turn) = Arc::clone(&app.backup_turn).try_lock_owned() else {
        return Err(ApiError::new(ErrorCode::Conflict, "another backup is being taken")
            .hint("wait for its end"));
    };
    let note = Command::Note { action: "server.backup", detail: String::new() };
    app.engine.apply(&caller.name, note, None).await?;
    let (store, epoch) = app.engine.query(|state| (state.store.clone(), state.epoch)).await?;
    let manifest = Manifest {
        format: 1,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        store,
        epoch,
        made_at: app.clock.now().wall,
    };
    let from = Arc::clone(&app);
    let taken =
        spawn_blocking(move || Snapshot::take(&from.data_dir, &from.store, &from.output, manifest));
    let snapshot = taken.await.map_err(|_| stopping())?.map_err(refusal)?;
    let (pieces, receiver) = mpsc::channel(PIECES);
    spawn_blocking(move || {
        let to = BufWriter::with_capacity(PIECE, Pieces(pieces.clone()));
        if let Err(error) = snapshot.write_to(to) {
            tracing::warn!(%error, "a backup was not taken to its end");
            // The client may be the one who left.
            let _ = pieces.blocking_send(Err(error));
        }
        drop(snapshot);
        drop(turn);
    });
    let body = stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    Response::builder()
        .header(CONTENT_TYPE, "application/x-tar")
        .body(Body::from_stream(body))
        .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))
}

/// Hands what is written to it to the client, and waits where that is slow.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stopping() -> ApiError {
    ApiError::new(ErrorCode::Unavailable, "the server is stopping")
}

fn refusal(error: BackupError) -> ApiError {
    match error {
        BackupError::NoRoom { .. } => ApiError::new(ErrorCode::Unavailable, error.to_string())
            .hint("make room on the disk of the data directory; `scitq manage task prune` does"),
        error => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "a backup failed");
            ApiError::new(ErrorCode::Internal, error.to_string())
                .hint("the server's log has the cause")
        }
    }
}
