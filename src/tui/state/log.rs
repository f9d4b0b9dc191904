//! What a command wrote: a window into each stream, of which the whole may be
//! far larger than memory.

use std::collections::BTreeMap;

use ratatui::style::Style;

use super::merged::Merged;
use super::spot::{Spot, last_spot, moved_spot};
use crate::domain::execution::Stream;
use crate::domain::{ExecutionId, TaskId, Timestamp};
use crate::tui::ansi;
use crate::tui::effect::{OutputFrom, OutputReply};

/// Bytes that one request asks for.
pub const CHUNK: u64 = 256 << 10;

/// Bytes of one stream that are held.
const HELD: u64 = 2 << 20;

/// A line longer than this is shown as several.
const LONGEST_LINE: usize = 16 << 10;

/// Moments that are held of one stream.
const MOST_TIMES: usize = 100_000;

/// Columns that the time of a line takes: `11-25 14:05:12 `.
const TIME: usize = 15;

/// Columns of the sign in front of a line that tells its stream.
const SIGN: usize = 2;

/// Which streams are on screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// One below the other.
    Both,
    Only(Stream),
    /// As one, in the order in which their lines came.
    Merged,
}

/// Text in one style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub text: String,
    pub style: Style,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where it begins in the stream.
    pub offset: u64,
    /// Bytes in the stream, its end included.
    pub length: u64,
    pub pieces: Vec<Piece>,
    /// Columns that it takes in one row.
    pub width: usize,
}

/// The window into one stream.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Pane {
    pub stream: Stream,
    pub lines: Vec<LogLine>,
    /// The bytes of the last line, which may go on.
    last: Vec<u8>,
    pub size: u64,
    pub is_complete: bool,
    /// None: nothing has come yet.
    pub is_loaded: bool,
    /// The first line on screen, and its first row on screen.
    pub first: usize,
    pub sub: usize,
    pub shift: usize,
    /// Requests under way: for a piece that is there, and for one to come.
    pub is_reading: bool,
    pub is_following: bool,
    pub error: Option<String>,
    /// The stream offset of the last hit.
    pub hit: Option<u64>,
    /// Where to read from, and what to show, instead of the end.
    pub goal: Option<(u64, u64)>,
    /// From which offset on bytes came when.
    pub times: BTreeMap<u64, Timestamp>,
    /// Answers to what an earlier window asked for are none for this one.
    pub epoch: u64,
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct LogScreen {
    pub task: TaskId,
    pub execution: ExecutionId,
    pub title: String,
    pub shown: Shown,
    pub stdout: Pane,
    pub stderr: Pane,
    pub merged: Merged,
    pub follows: bool,
    pub wraps: bool,
    pub shows_times: bool,
    pub search: String,
    pub is_searching: bool,
    epochs: u64,
}

impl LogScreen {
    #[must_use]
    pub fn new(task: TaskId, execution: ExecutionId, title: String) -> Self {
        Self {
            task,
            execution,
            title,
            shown: Shown::Both,
            stdout: Pane::new(Stream::Stdout),
            stderr: Pane::new(Stream::Stderr),
            merged: Merged::default(),
            follows: true,
            wraps: true,
            shows_times: false,
            search: String::new(),
            is_searching: false,
            epochs: 0,
        }
    }

    /// Whether it matters when lines came.
    #[must_use]
    pub fn wants_times(&self) -> bool {
        self.shows_times || self.shown == Shown::Merged
    }

    /// Columns in front of each line, for its time and for the sign of its stream.
    #[must_use]
    pub fn margin(&self) -> usize {
        let time = if self.shows_times { TIME } else { 0 };
        time + if self.shown == Shown::Merged { SIGN } else { 0 }
    }

    /// Begins a new window: at the end, or where the goal says (the offset to
    /// read from, and the one to show).
    pub fn reopen(&mut self, stream: Stream, goal: Option<(u64, u64)>) {
        self.epochs += 1;
        *self.pane_mut(stream) = Pane { goal, epoch: self.epochs, ..Pane::new(stream) };
    }

    /// Reads the windows anew that were read without their times.
    pub fn add_times(&mut self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let pane = self.pane(stream);
            if self.wants_times() && pane.times.is_empty() && !pane.lines.is_empty() {
                let shown = pane.lines.get(pane.first).map_or(0, |line| line.offset);
                let goal = (!self.follows).then_some((pane.begin(), shown));
                self.reopen(stream, goal);
            }
        }
    }

    pub fn pane_mut(&mut self, stream: Stream) -> &mut Pane {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    #[must_use]
    pub const fn pane(&self, stream: Stream) -> &Pane {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }

    /// The streams on screen, from top to bottom, with their heights.
    #[must_use]
    pub fn layout(&self, height: usize) -> Vec<(Stream, usize)> {
        let body = |height: usize| height.saturating_sub(1);
        match self.shown {
            Shown::Only(stream) => vec![(stream, body(height))],
            // One view of both: each is as high as that.
            Shown::Merged => {
                vec![(Stream::Stdout, body(height)), (Stream::Stderr, body(height))]
            }
            Shown::Both => {
                // An empty stream leaves its room to the other.
                let below = match (self.stdout.lines.len(), self.stderr.lines.len()) {
                    (_, few) if few + 1 < height / 2 => few + 1,
                    (few, _) if few + 1 < height / 2 => height - few - 1,
                    _ => height / 2,
                };
                let below = below.max(1).min(height);
                vec![(Stream::Stdout, body(height - below)), (Stream::Stderr, body(below))]
            }
        }
    }

    /// The stream that the keys scroll and search.
    #[must_use]
    pub fn focus(&self) -> Stream {
        match self.shown {
            Shown::Only(stream) => stream,
            Shown::Both | Shown::Merged
                if self.stdout.is_loaded && self.stdout.lines.is_empty() =>
            {
                Stream::Stderr
            }
            Shown::Both | Shown::Merged => Stream::Stdout,
        }
    }
}

impl Pane {
    #[must_use]
    pub fn new(stream: Stream) -> Self {
        Self {
            stream,
            lines: Vec::new(),
            last: Vec::new(),
            size: 0,
            is_complete: false,
            is_loaded: false,
            first: 0,
            sub: 0,
            shift: 0,
            is_reading: false,
            is_following: false,
            error: None,
            hit: None,
            goal: None,
            times: BTreeMap::new(),
            epoch: 0,
        }
    }

    /// Where the window begins and ends in the stream.
    #[must_use]
    pub fn begin(&self) -> u64 {
        self.lines.first().map_or(0, |line| line.offset)
    }

    #[must_use]
    pub fn end(&self) -> u64 {
        self.lines.last().map_or(0, |line| line.offset + line.length)
    }

    /// Takes a piece that came: behind the window, before it, or in its place.
    pub fn take(&mut self, from: OutputFrom, reply: &OutputReply) {
        match from {
            OutputFrom::Follow(_) => self.is_following = false,
            _ => self.is_reading = false,
        }
        self.error = None;
        self.size = self.size.max(reply.size);
        self.is_complete = reply.is_complete;
        if self.times.len() > MOST_TIMES {
            // Far from the window, as it was not read in one go.
            self.times = self.times.split_off(&self.begin());
        }
        self.times.extend(reply.times.iter().copied());
        let end = reply.offset + reply.bytes.len() as u64;
        if reply.bytes.is_empty() {
            self.is_loaded = true;
            return;
        }
        if self.is_loaded && reply.offset == self.end() {
            self.append(&reply.bytes);
        } else if self.is_loaded && end == self.begin() {
            self.prepend(reply);
        } else {
            self.replace(reply);
        }
        self.is_loaded = true;
    }

    fn replace(&mut self, reply: &OutputReply) {
        let skipped = skipped_part(reply);
        self.lines.clear();
        self.last.clear();
        let bytes = reply.bytes.get(skipped..).unwrap_or_default();
        self.lines = lines_of(reply.offset + skipped as u64, bytes);
        self.keep_last(bytes);
        self.first = 0;
        self.sub = 0;
    }

    fn append(&mut self, bytes: &[u8]) {
        let mut whole = std::mem::take(&mut self.last);
        let begin = match self.lines.last() {
            Some(line) if !whole.is_empty() => {
                let begin = line.offset;
                self.lines.pop();
                begin
            }
            _ => self.end(),
        };
        whole.extend_from_slice(bytes);
        self.lines.extend(lines_of(begin, &whole));
        self.keep_last(&whole);
        let mut dropped = 0;
        while self.end() - self.lines.get(dropped).map_or(0, |line| line.offset) > HELD {
            dropped += 1;
        }
        self.lines.drain(..dropped);
        self.first = self.first.saturating_sub(dropped);
    }

    fn prepend(&mut self, reply: &OutputReply) {
        let skipped = skipped_part(reply);
        let bytes = reply.bytes.get(skipped..).unwrap_or_default();
        let mut lines = lines_of(reply.offset + skipped as u64, bytes);
        self.first += lines.len();
        lines.append(&mut self.lines);
        self.lines = lines;
        let begin = self.begin();
        let kept = self.lines.iter().position(|line| line.offset - begin > HELD);
        if let Some(kept) = kept.filter(|kept| *kept > self.first + 1_000) {
            self.lines.truncate(kept);
            self.last.clear();
        }
    }

    /// Remembers a last line that has no end yet.
    fn keep_last(&mut self, bytes: &[u8]) {
        self.last.clear();
        if let Some(line) = self.lines.last() {
            let length = usize::try_from(line.length).unwrap_or(0);
            let begin = bytes.len().saturating_sub(length);
            let last = bytes.get(begin..).unwrap_or_default();
            if last.last() != Some(&b'\n') {
                self.last.extend_from_slice(last);
            }
        }
    }

    /// Rows that a line takes on the screen.
    #[must_use]
    pub fn rows(&self, line: usize, columns: Option<usize>) -> usize {
        let width = self.lines.get(line).map_or(0, |line| line.width);
        columns.map_or(1, |columns| width.div_ceil(columns.max(1)).max(1))
    }

    /// Scrolls; `columns` is the width at which lines break, if they do.
    pub fn scroll(&mut self, rows: i64, height: usize, columns: Option<usize>) {
        let from = Spot { line: self.first, row: self.sub };
        let lines = self.lines.len();
        let spot = moved_spot(from, rows, height, lines, |line| self.rows(line, columns));
        (self.first, self.sub) = (spot.line, spot.row);
    }

    /// Whether the end of the window is on screen.
    #[must_use]
    pub fn is_at_end(&self, height: usize, columns: Option<usize>) -> bool {
        (self.first, self.sub) >= self.last_position(height, columns)
    }

    pub fn scroll_to_end(&mut self, height: usize, columns: Option<usize>) {
        (self.first, self.sub) = self.last_position(height, columns);
    }

    /// Puts the line at a stream offset on the screen.
    pub fn show_offset(&mut self, offset: u64, height: usize) {
        let line = self.lines.partition_point(|line| line.offset + line.length <= offset);
        self.first = line.saturating_sub(height / 3);
        self.sub = 0;
    }

    /// The position at which the last row of the window is the last on screen.
    fn last_position(&self, height: usize, columns: Option<usize>) -> (usize, usize) {
        let spot = last_spot(height, self.lines.len(), |line| self.rows(line, columns));
        (spot.line, spot.row)
    }

    /// When the byte at this offset came, where that is known.
    #[must_use]
    pub fn time_of(&self, offset: u64) -> Option<Timestamp> {
        self.times.range(..=offset).next_back().map(|(_, at)| *at)
    }
}

/// Bytes of a line whose beginning is not in the piece.
fn skipped_part(reply: &OutputReply) -> usize {
    if reply.offset == 0 {
        return 0;
    }
    let end = reply.bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    // One line fills the whole piece: better a part of it than nothing.
    if end >= reply.bytes.len() { 0 } else { end }
}

fn lines_of(begin: u64, bytes: &[u8]) -> Vec<LogLine> {
    let mut lines = Vec::new();
    let mut offset = begin;
    for whole in bytes.split_inclusive(|byte| *byte == b'\n') {
        for part in whole.chunks(LONGEST_LINE) {
            let pieces = ansi::pieces(part.strip_suffix(b"\n").unwrap_or(part));
            let width = pieces.iter().map(|piece| crate::tui::text::width(&piece.text)).sum();
            lines.push(LogLine { offset, length: part.len() as u64, pieces, width });
            offset += part.len() as u64;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(offset: u64, text: &str, size: u64) -> OutputReply {
        OutputReply {
            offset,
            bytes: text.as_bytes().to_vec(),
            size,
            is_complete: false,
            times: Vec::new(),
        }
    }

    fn texts(pane: &Pane) -> Vec<String> {
        let text = |line: &LogLine| line.pieces.iter().map(|piece| piece.text.as_str()).collect();
        pane.lines.iter().map(text).collect()
    }

    #[test]
    fn pieces_are_put_together_whatever_comes_first() {
        let mut pane = Pane::new(Stream::Stdout);
        pane.take(OutputFrom::End, &reply(8, "c\nddd\nee", 16));
        assert_eq!(texts(&pane), ["ddd", "ee"], "the beginning of a line is missing");
        pane.take(OutputFrom::Follow(16), &reply(16, "e\nf", 19));
        assert_eq!(texts(&pane), ["ddd", "eee", "f"]);
        pane.take(OutputFrom::Offset(0), &reply(0, "aaa\nbbb\ncc", 19));
        assert_eq!(texts(&pane), ["aaa", "bbb", "cc", "ddd", "eee", "f"]);
        assert_eq!((pane.begin(), pane.end()), (0, 19));
    }

    #[test]
    fn a_gap_is_never_papered_over() {
        let mut pane = Pane::new(Stream::Stdout);
        pane.take(OutputFrom::Offset(0), &reply(0, "a\nb\n", 100));
        pane.take(OutputFrom::End, &reply(90, "x\ny\nz\n", 100));
        assert_eq!(texts(&pane), ["y", "z"]);
    }

    #[test]
    fn the_end_stays_on_screen_with_broken_lines() {
        let mut pane = Pane::new(Stream::Stdout);
        pane.take(OutputFrom::Offset(0), &reply(0, "short\nlonglonglong\nend\n", 23));
        pane.scroll_to_end(3, Some(5));
        assert_eq!((pane.first, pane.sub), (1, 1));
        pane.scroll(-1, 3, Some(5));
        assert_eq!((pane.first, pane.sub), (1, 0));
        pane.scroll(5, 3, Some(5));
        assert!(pane.is_at_end(3, Some(5)));
    }

    #[test]
    fn a_stream_without_line_ends_is_held_in_parts() {
        let mut pane = Pane::new(Stream::Stdout);
        let text = "x".repeat(100_000);
        pane.take(OutputFrom::Offset(0), &reply(0, &text, 200_000));
        pane.take(OutputFrom::Offset(100_000), &reply(100_000, &text, 200_000));
        assert_eq!(pane.end(), 200_000);
        assert!(pane.lines.iter().all(|line| line.width <= LONGEST_LINE));
    }
}
