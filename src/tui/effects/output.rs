//! Output of commands: pieces for the log view, search through all of it,
//! complete copies on disk.

use std::path::Path;

use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::api::output::{MAX_READ, ReadOutput, ReadTimes};
use crate::api::{Client, ClientError, ErrorCode};
use crate::domain::execution::Stream;
use crate::domain::{ExecutionId, TaskId};
use crate::tui::effect::{OutputFrom, OutputReply, OutputRequest, Search};

/// Seconds that a request waits for output to come.
const WAIT: u32 = 30;

/// An offset behind the end of every stream; SQLite keeps signed numbers.
const BEYOND: u64 = i64::MAX as u64;

pub(super) async fn read(
    client: &Client,
    request: OutputRequest,
) -> Result<OutputReply, ClientError> {
    let OutputRequest { execution, stream, from, limit, with_times, .. } = request;
    let (offset, wait_seconds) = match from {
        OutputFrom::Offset(offset) => (offset, None),
        OutputFrom::Follow(offset) => (offset, Some(WAIT)),
        OutputFrom::End => {
            let size = size(client, execution, stream).await?;
            (size.saturating_sub(limit), None)
        }
    };
    let query = ReadOutput { offset, limit: Some(limit), wait_seconds };
    let piece = match client.read_output(execution, stream, query).await {
        Err(error) => match beyond_hole(&error) {
            Some(offset) if offset < offset_limit(from, limit) => {
                let query = ReadOutput { offset, limit: Some(limit), wait_seconds: None };
                client.read_output(execution, stream, query).await?
            }
            _ => return Err(error),
        },
        Ok(piece) => piece,
    };
    let times = if with_times && !piece.bytes.is_empty() {
        let query = ReadTimes { offset: piece.offset, limit: Some(piece.bytes.len() as u64) };
        let found = client.output_times(execution, stream, query).await?.times;
        found.into_iter().map(|time| (time.offset, time.at)).collect()
    } else {
        Vec::new()
    };
    Ok(OutputReply {
        offset: piece.offset,
        bytes: piece.bytes.to_vec(),
        size: piece.size,
        is_complete: piece.complete,
        times,
    })
}

/// Where a piece that is read in front of a window has to end.
const fn offset_limit(from: OutputFrom, limit: u64) -> u64 {
    match from {
        OutputFrom::Offset(offset) => offset.saturating_add(limit),
        OutputFrom::End | OutputFrom::Follow(_) => u64::MAX,
    }
}

/// Where the bytes go on that were not dropped.
fn beyond_hole(error: &ClientError) -> Option<u64> {
    match error {
        ClientError::Refused { body } if body.code == ErrorCode::Conflict => {
            body.hint.as_deref()?.strip_prefix("go on at offset ")?.parse().ok()
        }
        _ => None,
    }
}

async fn size(client: &Client, id: ExecutionId, stream: Stream) -> Result<u64, ClientError> {
    let query = ReadOutput { offset: BEYOND, limit: Some(1), wait_seconds: None };
    Ok(client.read_output(id, stream, query).await?.size)
}

/// Looks through a stream, without regard to the case of plain letters.
pub(super) async fn search(client: &Client, search: &Search) -> Result<Option<u64>, ClientError> {
    let needle = search.needle.to_ascii_lowercase().into_bytes();
    let overlap = needle.len().saturating_sub(1) as u64;
    let mut from = search.from;
    loop {
        let (offset, limit) = if search.is_backwards {
            if from == 0 {
                return Ok(None);
            }
            let offset = from.saturating_sub(MAX_READ - overlap);
            (offset, from - offset + overlap)
        } else {
            (from, MAX_READ)
        };
        let query = ReadOutput { offset, limit: Some(limit), wait_seconds: None };
        let piece = match client.read_output(search.execution, search.stream, query).await {
            Ok(piece) => piece,
            Err(error) => match beyond_hole(&error) {
                Some(beyond) if !search.is_backwards => {
                    from = beyond;
                    continue;
                }
                _ => return Err(error),
            },
        };
        let lower = piece.bytes.to_ascii_lowercase();
        let mut places = lower.windows(needle.len().max(1));
        let found = if search.is_backwards {
            places.rposition(|part| part == needle)
        } else {
            places.position(|part| part == needle)
        };
        if let Some(place) = found {
            return Ok(Some(piece.offset + place as u64));
        }
        if search.is_backwards {
            from = offset;
        } else if piece.end() >= piece.size || piece.bytes.is_empty() {
            return Ok(None);
        } else {
            from = piece.end().saturating_sub(overlap).max(from + 1);
        }
    }
}

/// Writes all that the latest executions of tasks wrote into files.
pub(super) async fn download(
    client: &Client,
    tasks: &[TaskId],
    directory: &Path,
) -> Result<String, String> {
    let mut bytes = 0;
    let mut files = 0;
    for task in tasks {
        let detail = client.task(*task).await.map_err(|error| error.to_string())?;
        let Some(execution) = detail.task.execution else { continue };
        for stream in [Stream::Stdout, Stream::Stderr] {
            let path = directory.join(format!("task-{task}.{stream}"));
            bytes += save(client, execution, stream, &path).await?;
            files += 1;
        }
    }
    let folder = directory.display();
    Ok(format!("saved {files} files, {}, in {folder}", crate::tui::text::bytes(bytes)))
}

/// Writes one stream into a file; gives its size.
pub(in crate::tui) async fn save(
    client: &Client,
    execution: ExecutionId,
    stream: Stream,
    path: &Path,
) -> Result<u64, String> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let mut file = File::create(path).await.map_err(failed)?;
    let mut offset = 0;
    loop {
        let query = ReadOutput { offset, limit: None, wait_seconds: None };
        let piece = match client.read_output(execution, stream, query).await {
            Ok(piece) => piece,
            Err(error) => match beyond_hole(&error) {
                Some(beyond) => {
                    offset = beyond;
                    continue;
                }
                None => return Err(error.to_string()),
            },
        };
        file.write_all(&piece.bytes).await.map_err(failed)?;
        offset = piece.end();
        if piece.bytes.is_empty() || offset >= piece.size {
            file.flush().await.map_err(failed)?;
            return Ok(offset);
        }
    }
}
