//! Reading a stream from any byte on, beside the writer.
//!
//! A reader takes a snapshot of where the bytes are and then reads the files.
//! In the meantime the limit or a deletion may take bytes away: then it looks
//! again, and finds a hole or a shorter stream.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use super::error::OutputError;
use super::segments::segment_path;
use super::shared::Shared;
use super::stream::{Extent, Hole, StreamRow};
use crate::domain::execution::Stream;
use crate::domain::{ExecutionId, Timestamp};

/// How often a reader looks again before it says that bytes are missing.
const ATTEMPTS: u32 = 4;

/// What is found at an offset of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// Bytes from `offset` on; none at the end of the stream. Fewer than asked
    /// for at the end and before a hole. `size` is the length of the stream so
    /// far, dropped bytes included.
    Bytes { offset: u64, bytes: Bytes, size: u64 },
    /// The limit has dropped the bytes there: go on at [`Hole::to`].
    Hole { hole: Hole, size: u64 },
}

/// Where the bytes of a range are.
#[derive(Debug)]
struct Snapshot {
    row: StreamRow,
    /// End of the range.
    to: u64,
    /// Up to here the index has to be asked.
    indexed: u64,
    pending: Vec<Extent>,
}

/// Reads up to `limit` bytes. Blocks on the disk.
pub(super) fn read_stream(
    shared: &Shared,
    execution: ExecutionId,
    stream: Stream,
    offset: u64,
    limit: u64,
) -> Result<Read, OutputError> {
    for _ in 0..ATTEMPTS {
        let snapshot = take_snapshot(shared, execution, stream, offset, limit)?;
        let size = snapshot.row.size;
        if let Some(hole) = snapshot.row.hole
            && (hole.from..hole.to).contains(&offset)
        {
            return Ok(Read::Hole { hole, size });
        }
        let extents = list_extents(shared, execution, stream, offset, &snapshot)?;
        if let Some(bytes) = read_extents(shared, &extents, offset, snapshot.to)? {
            return Ok(Read::Bytes { offset, bytes, size });
        }
    }
    Err(OutputError::Damaged { execution, stream, offset })
}

/// The runs of bytes of a range whose time is known, in order.
pub(super) fn list_times(
    shared: &Shared,
    execution: ExecutionId,
    stream: Stream,
    range: &Range<u64>,
    most: usize,
) -> Result<Vec<(u64, Timestamp)>, OutputError> {
    let length = range.end.saturating_sub(range.start);
    let snapshot = take_snapshot(shared, execution, stream, range.start, length)?;
    let extents = list_extents(shared, execution, stream, range.start, &snapshot)?;
    let times = extents.iter().filter_map(|extent| Some((extent.offset, extent.at?)));
    Ok(times.take(most).collect())
}

fn take_snapshot(
    shared: &Shared,
    execution: ExecutionId,
    stream: Stream,
    offset: u64,
    limit: u64,
) -> Result<Snapshot, OutputError> {
    if let Some(output) = shared.state().live.get(&execution) {
        let live = output.of(stream);
        let to = end_of_range(live.row, offset, limit);
        let pending = live.pending_within(offset, to);
        return Ok(Snapshot { row: live.row, to, indexed: live.indexed, pending });
    }
    let row = shared.find_indexed(execution, stream)?;
    let to = end_of_range(row, offset, limit);
    Ok(Snapshot { row, to, indexed: row.size, pending: Vec::new() })
}

/// Where a read from `offset` has to stop.
fn end_of_range(row: StreamRow, offset: u64, limit: u64) -> u64 {
    let stop = match row.hole {
        Some(hole) if offset < hole.from => hole.from,
        _ => row.size,
    };
    offset.saturating_add(limit).min(stop).max(offset)
}

fn list_extents(
    shared: &Shared,
    execution: ExecutionId,
    stream: Stream,
    offset: u64,
    snapshot: &Snapshot,
) -> Result<Vec<Extent>, OutputError> {
    let indexed_to = snapshot.to.min(snapshot.indexed);
    let mut extents = if offset < indexed_to {
        shared.readers.list_extents(execution, stream, offset, indexed_to)?
    } else {
        Vec::new()
    };
    extents.extend_from_slice(&snapshot.pending);
    Ok(extents)
}

/// The bytes of `from..to`, or none if some of them are gone.
fn read_extents(
    shared: &Shared,
    extents: &[Extent],
    from: u64,
    to: u64,
) -> Result<Option<Bytes>, OutputError> {
    let length = usize::try_from(to - from).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    let mut rest = bytes.as_mut_slice();
    let mut at = from;
    let mut open: Option<(u32, File)> = None;
    for part in extents.iter().filter_map(|extent| extent.clip(from, to)) {
        if part.offset != at {
            return Ok(None);
        }
        let length = usize::try_from(part.length).unwrap_or(usize::MAX);
        let (target, behind) = rest.split_at_mut(length);
        let file = match open.take() {
            Some((segment, file)) if segment == part.segment => file,
            _ => match open_segment(shared, part.segment)? {
                Some(file) => file,
                None => return Ok(None),
            },
        };
        match file.read_exact_at(target, part.position) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => {
                let path = segment_path(&shared.directory, part.segment);
                return Err(OutputError::file("read", &path, error));
            }
        }
        open = Some((part.segment, file));
        at = part.offset + part.length;
        rest = behind;
    }
    Ok((at == to).then(|| Bytes::from(bytes)))
}

/// The segment's file, or none if it was deleted.
fn open_segment(shared: &Shared, segment: u32) -> Result<Option<File>, OutputError> {
    let path = segment_path(&shared.directory, segment);
    match File::open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OutputError::file("open", &path, error)),
    }
}
