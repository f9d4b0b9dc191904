//! One stream: its size, what of it is kept, and where the newest bytes are.
//!
//! Pure: bytes are written by [`super::segments`] and rows by [`super::index`].

use super::settings::OutputSettings;
use crate::domain::Timestamp;

/// Bytes that come within so many microseconds have the time of the first.
const MOMENT: i64 = 100_000;

/// A run of bytes of a stream that lie in one piece in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Offset in the stream of the first byte.
    pub offset: u64,
    pub length: u64,
    pub segment: u32,
    /// Offset in the segment of the first byte.
    pub position: u64,
    /// When its first byte came, where that is known.
    pub at: Option<Timestamp>,
}

/// Bytes that the limit has dropped: from `from`, up to and without `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    pub from: u64,
    pub to: u64,
}

/// What is known of a stream without its extents in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct StreamRow {
    /// Length of the original stream so far.
    pub size: u64,
    pub hole: Option<Hole>,
}

/// A stream in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamState {
    pub row: StreamRow,
    /// Bytes before this offset are found through the index, those from it on
    /// through `pending`.
    pub indexed: u64,
    /// Extents that the index does not have yet, in order and without gaps.
    pub pending: Vec<Extent>,
    /// Whether the hole has grown since the index was told.
    pub hole_moved: bool,
}

impl Extent {
    /// Offset in the stream of the first byte after it.
    pub const fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// The part of it within `from..to`, if there is one.
    pub fn clip(&self, from: u64, to: u64) -> Option<Self> {
        let start = self.offset.max(from);
        let end = self.end().min(to);
        (start < end).then(|| Self {
            offset: start,
            length: end - start,
            segment: self.segment,
            position: self.position + (start - self.offset),
            at: self.at,
        })
    }
}

impl Hole {
    /// Whether all of an extent lies in it.
    const fn covers(&self, extent: &Extent) -> bool {
        self.from <= extent.offset && extent.end() <= self.to
    }

    const fn length(&self) -> u64 {
        self.to - self.from
    }
}

/// Whether the time of the one will do for the other.
fn is_same_moment(first: Option<Timestamp>, later: Option<Timestamp>) -> bool {
    match (first, later) {
        (Some(first), Some(later)) => (later.0 - first.0).abs() < MOMENT,
        (None, None) => true,
        _ => false,
    }
}

impl StreamState {
    /// A stream of which all is in the index.
    pub const fn indexed(row: StreamRow) -> Self {
        Self { row, indexed: row.size, pending: Vec::new(), hole_moved: false }
    }

    /// Whether the index does not know all of it.
    pub const fn is_dirty(&self) -> bool {
        self.row.size != self.indexed || self.hole_moved
    }

    /// Takes in bytes that were just written, and drops what the limit forbids.
    /// The extent begins where the stream ended.
    pub fn extend(&mut self, written: Extent, settings: &OutputSettings) {
        let mut rest = written;
        while rest.length > 0 {
            rest = self.extend_by_one_extent(rest, settings.longest_extent);
        }
        self.apply_limit(settings.limit_per_stream);
    }

    /// Puts as much as fits into the last extent or into a new one, and gives
    /// back what is left.
    fn extend_by_one_extent(&mut self, written: Extent, longest: u64) -> Extent {
        let taken = match self.pending.last_mut() {
            Some(last)
                if last.segment == written.segment
                    && last.position + last.length == written.position
                    && last.length < longest
                    && is_same_moment(last.at, written.at) =>
            {
                let taken = written.length.min(longest - last.length);
                last.length += taken;
                taken
            }
            _ => {
                let taken = written.length.min(longest.max(1));
                self.pending.push(Extent { length: taken, ..written });
                taken
            }
        };
        self.row.size += taken;
        Extent {
            offset: written.offset + taken,
            length: written.length - taken,
            segment: written.segment,
            position: written.position + taken,
            at: written.at,
        }
    }

    fn apply_limit(&mut self, limit: u64) {
        let dropped = self.row.hole.map_or(0, |hole| hole.length());
        if self.row.size - dropped <= limit {
            return;
        }
        let head = limit / 2;
        let tail = limit - head;
        let from = self.row.hole.map_or(head, |hole| hole.from);
        let to = (self.row.size - tail).max(self.row.hole.map_or(from, |hole| hole.to));
        let hole = Hole { from, to };
        self.pending.retain(|extent| !hole.covers(extent));
        self.row.hole = Some(hole);
        self.hole_moved = true;
    }

    /// The index has everything now.
    pub fn on_indexed(&mut self) {
        self.indexed = self.row.size;
        self.pending.clear();
        self.hole_moved = false;
    }

    /// The pending extents that have bytes within `from..to`.
    pub fn pending_within(&self, from: u64, to: u64) -> Vec<Extent> {
        let first = self.pending.partition_point(|extent| extent.end() <= from);
        self.pending[first..].iter().take_while(|extent| extent.offset < to).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(limit: u64, longest_extent: u64) -> OutputSettings {
        OutputSettings { longest_extent, ..OutputSettings::new(limit) }
    }

    fn extent(offset: u64, length: u64, position: u64) -> Extent {
        Extent { offset, length, segment: 1, position, at: None }
    }

    #[test]
    fn neighbours_in_a_segment_are_one_extent_up_to_the_longest() {
        let settings = settings(1000, 8);
        let mut stream = StreamState::default();
        stream.extend(extent(0, 3, 100), &settings);
        stream.extend(extent(3, 9, 103), &settings);
        stream.extend(extent(12, 1, 500), &settings);
        assert_eq!(stream.pending, [extent(0, 8, 100), extent(8, 4, 108), extent(12, 1, 500)]);
        assert_eq!(stream.row.size, 13);
        assert!(stream.is_dirty());
        stream.on_indexed();
        assert!(!stream.is_dirty());
        assert_eq!(stream.indexed, 13);
    }

    #[test]
    fn a_stream_at_the_limit_is_whole_and_one_byte_more_makes_a_hole() {
        let settings = settings(10, 1);
        let mut stream = StreamState::default();
        stream.extend(extent(0, 10, 0), &settings);
        assert_eq!(stream.row.hole, None);
        stream.extend(extent(10, 1, 10), &settings);
        assert_eq!(stream.row.hole, Some(Hole { from: 5, to: 6 }));
        stream.extend(extent(11, 30, 11), &settings);
        assert_eq!(stream.row.hole, Some(Hole { from: 5, to: 36 }));
        let kept: Vec<u64> = stream.pending.iter().map(|extent| extent.offset).collect();
        assert_eq!(kept, [0, 1, 2, 3, 4, 36, 37, 38, 39, 40]);
    }

    #[test]
    fn extents_on_the_edges_of_the_hole_stay_whole() {
        let settings = settings(8, 6);
        let mut stream = StreamState::default();
        stream.extend(extent(0, 24, 0), &settings);
        assert_eq!(stream.row.hole, Some(Hole { from: 4, to: 20 }));
        assert_eq!(stream.pending, [extent(0, 6, 0), extent(18, 6, 18)]);
    }

    #[test]
    fn another_limit_moves_only_the_end_of_a_hole() {
        let mut stream =
            StreamState::indexed(StreamRow { size: 100, hole: Some(Hole { from: 5, to: 95 }) });
        stream.extend(extent(100, 10, 0), &settings(30, 6));
        assert_eq!(stream.row.hole, Some(Hole { from: 5, to: 95 }));
        stream.extend(extent(110, 10, 10), &settings(4, 6));
        assert_eq!(stream.row.hole, Some(Hole { from: 5, to: 118 }));
    }

    #[test]
    fn a_limit_of_nothing_keeps_nothing() {
        let mut stream = StreamState::default();
        stream.extend(extent(0, 7, 0), &settings(0, 4));
        assert_eq!(stream.row, StreamRow { size: 7, hole: Some(Hole { from: 0, to: 7 }) });
        assert!(stream.pending.is_empty());
        assert!(stream.is_dirty());
    }

    #[test]
    fn only_pending_extents_within_the_range_are_looked_at() {
        let mut stream = StreamState::default();
        stream.extend(extent(0, 12, 0), &settings(100, 4));
        let offsets = |from, to| -> Vec<u64> {
            stream.pending_within(from, to).iter().map(|extent| extent.offset).collect()
        };
        assert_eq!(offsets(0, 4), [0]);
        assert_eq!(offsets(3, 5), [0, 4]);
        assert_eq!(offsets(4, 100), [4, 8]);
        assert!(offsets(12, 100).is_empty());
        assert_eq!(extent(4, 4, 50).clip(5, 7), Some(extent(5, 2, 51)));
        assert_eq!(extent(4, 4, 50).clip(8, 9), None);
    }
}
