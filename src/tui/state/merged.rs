//! Both streams as one, in the order in which their lines came.

use super::log::{LogLine, LogScreen, Pane, Shown};
use super::spot::{Spot, last_spot, moved_spot};
use crate::domain::Timestamp;
use crate::domain::execution::Stream;

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

/// The lines of both windows, as far as both are known.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    /// Streams and lines of their windows.
    pub order: Vec<(Stream, usize)>,
    pub spot: Spot,
    /// The line at the spot, by its place in its stream: windows move.
    anchor: Option<(Stream, u64)>,
    /// The line of the last hit, in `order`.
    pub hit: Option<usize>,
}

impl LogScreen {
    #[must_use]
    pub fn merged_line(&self, position: usize) -> Option<(Stream, &LogLine)> {
        let (stream, line) = *self.merged.order.get(position)?;
        Some((stream, self.pane(stream).lines.get(line)?))
    }

    /// Puts the lines of both windows in order. What one window does not reach
    /// is left out of the other: a line may be missing before it.
    pub fn merge(&mut self) {
        if self.shown != Shown::Merged {
            return;
        }
        let at = |pane: &Pane, line: usize| {
            let offset = pane.lines.get(line).map_or(0, |line| line.offset);
            pane.time_of(offset).unwrap_or(Timestamp(0))
        };
        let (mut from, mut to) = (Timestamp(i64::MIN), Timestamp(i64::MAX));
        for stream in STREAMS {
            let pane = self.pane(stream);
            if pane.begin() > 0 {
                from = from.max(at(pane, 0));
            }
            if !pane.lines.is_empty() && pane.end() < pane.size {
                to = to.min(at(pane, pane.lines.len() - 1));
            }
        }
        let mut lines: Vec<(Timestamp, Stream, usize)> = Vec::new();
        for stream in STREAMS {
            let pane = self.pane(stream);
            let all = (0..pane.lines.len()).map(|line| (at(pane, line), stream, line));
            lines.extend(all.filter(|(at, ..)| (from..=to).contains(at)));
        }
        // Stable: within a stream its own order holds.
        lines.sort_by_key(|(at, ..)| *at);
        self.merged.order = lines.into_iter().map(|(_, stream, line)| (stream, line)).collect();
        self.merged.hit = None;
        self.find_anchor();
    }

    fn find_anchor(&mut self) {
        let Some((stream, offset)) = self.merged.anchor else { return };
        let line = self.pane(stream).lines.partition_point(|line| line.offset < offset);
        let position = self.merged.order.iter().position(|place| *place == (stream, line));
        if let Some(position) = position {
            self.merged.spot.line = position;
        }
    }

    /// Scrolls; `columns` is the width at which lines break, if they do.
    pub fn scroll_merged(&mut self, step: i64, height: usize, columns: Option<usize>) {
        let spot = moved_spot(self.merged.spot, step, height, self.merged.order.len(), |line| {
            self.merged_rows(line, columns)
        });
        self.go_to_merged(spot);
    }

    pub fn scroll_merged_to_end(&mut self, height: usize, columns: Option<usize>) {
        let lines = self.merged.order.len();
        let spot = last_spot(height, lines, |line| self.merged_rows(line, columns));
        self.go_to_merged(spot);
    }

    /// Puts a line at the top, and tells both windows where they are looked at.
    pub fn go_to_merged(&mut self, spot: Spot) {
        self.merged.spot = spot;
        self.merged.anchor =
            self.merged_line(spot.line).map(|(stream, line)| (stream, line.offset));
        for stream in STREAMS {
            let shown = self.merged.order.iter().skip(spot.line);
            let first = shown.filter(|(other, _)| *other == stream).map(|(_, line)| *line).next();
            let pane = self.pane_mut(stream);
            pane.first = first.unwrap_or_else(|| pane.lines.len().saturating_sub(1));
        }
    }

    fn merged_rows(&self, position: usize, columns: Option<usize>) -> usize {
        let width = self.merged_line(position).map_or(0, |(_, line)| line.width);
        columns.map_or(1, |columns| width.div_ceil(columns.max(1)).max(1))
    }

    /// The stream whose window ends the view at its beginning, if one does, so
    /// that more of it has to be read.
    #[must_use]
    pub fn short_at_begin(&self) -> Option<Stream> {
        let first = |stream: &Stream| {
            let pane = self.pane(*stream);
            pane.time_of(pane.begin())
        };
        STREAMS.into_iter().filter(|stream| self.pane(*stream).begin() > 0).max_by_key(first)
    }

    /// The same at its end.
    #[must_use]
    pub fn short_at_end(&self) -> Option<Stream> {
        let last = |stream: &Stream| {
            let pane = self.pane(*stream);
            pane.time_of(pane.lines.last().map_or(0, |line| line.offset))
        };
        let is_short = |stream: &Stream| {
            let pane = self.pane(*stream);
            pane.end() < pane.size
        };
        STREAMS.into_iter().filter(is_short).min_by_key(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ExecutionId, TaskId};
    use crate::tui::effect::{OutputFrom, OutputReply};

    fn reply(offset: u64, text: &str, size: u64, times: &[(u64, i64)]) -> OutputReply {
        let times = times.iter().map(|(offset, at)| (*offset, Timestamp(*at))).collect();
        let bytes = text.as_bytes().to_vec();
        OutputReply { offset, bytes, size, is_complete: false, times }
    }

    fn screen() -> LogScreen {
        let mut log = LogScreen::new(TaskId(1), ExecutionId(1), String::new());
        log.shown = Shown::Merged;
        log
    }

    fn texts(log: &LogScreen) -> Vec<String> {
        let text = |(_, line): (Stream, &LogLine)| {
            line.pieces.iter().map(|piece| piece.text.as_str()).collect()
        };
        (0..log.merged.order.len()).filter_map(|at| log.merged_line(at)).map(text).collect()
    }

    #[test]
    fn lines_of_both_streams_are_in_the_order_in_which_they_came() {
        let mut log = screen();
        let out = reply(0, "a\nb\nc\n", 6, &[(0, 10), (2, 30), (4, 50)]);
        log.stdout.take(OutputFrom::End, &out);
        log.stderr.take(OutputFrom::End, &reply(0, "x\ny\n", 4, &[(0, 20), (2, 50)]));
        log.merge();
        assert_eq!(texts(&log), ["a", "x", "b", "c", "y"]);
        log.scroll_merged_to_end(2, None);
        assert_eq!(log.merged.spot.line, 3);
        // More of both: the view stays on its line.
        log.stderr.take(OutputFrom::Follow(4), &reply(4, "z\n", 6, &[(4, 60)]));
        log.merge();
        assert_eq!((texts(&log).len(), log.merged.spot.line), (6, 3));
    }

    #[test]
    fn where_one_stream_is_not_read_yet_the_other_is_not_shown_as_complete() {
        let mut log = screen();
        let out = reply(100, "b\nc\n", 104, &[(100, 30), (102, 50)]);
        // The piece does not begin at a line, so its first one is left out.
        log.stdout.take(OutputFrom::End, &out);
        log.stderr.take(OutputFrom::End, &reply(0, "x\ny\n", 4, &[(0, 20), (2, 60)]));
        log.merge();
        assert_eq!(texts(&log), ["c", "y"], "x came before what is known of the other");
        assert_eq!((log.short_at_begin(), log.short_at_end()), (Some(Stream::Stdout), None));
    }
}
