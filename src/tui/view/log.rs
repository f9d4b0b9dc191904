//! What a command wrote.

use jiff::tz::TimeZone;

use super::canvas::Canvas;
use crate::domain::execution::Stream;
use crate::tui::state::{LogLine, LogScreen, Pane, Piece, Shown, State};
use crate::tui::text::{bytes, clean, day_and_time, fit, width};
use crate::tui::theme::Tone;

pub fn draw(canvas: &mut Canvas<'_>, state: &State) {
    let Some(log) = &state.log else { return };
    let sheet = Sheet { log, zone: &state.zone, needle: log.search.to_lowercase() };
    let mut y = 0;
    let (wide, height) = (canvas.width(), canvas.height());
    if log.shown == Shown::Merged {
        sheet.draw_merged(canvas);
        return;
    }
    for (stream, lines) in log.layout(height) {
        let mut part = canvas.part(0, y, wide, lines + 1);
        sheet.draw_pane(&mut part, stream);
        y += lines + 1;
    }
}

/// What all lines have in common.
struct Sheet<'a> {
    log: &'a LogScreen,
    zone: &'a TimeZone,
    needle: String,
}

impl Sheet<'_> {
    fn draw_pane(&self, canvas: &mut Canvas<'_>, stream: Stream) {
        let pane = self.log.pane(stream);
        draw_heading(canvas, self.log, pane);
        let mut y = 1;
        let mut sub = pane.sub;
        for line in pane.lines.iter().skip(pane.first) {
            if y >= canvas.height() {
                break;
            }
            y = self.draw_line(canvas, y, (stream, line), sub);
            sub = 0;
        }
    }

    fn draw_merged(&self, canvas: &mut Canvas<'_>) {
        let note = match (self.log.stdout.is_loaded, self.log.stderr.is_loaded) {
            (true, true) => "as their lines came",
            _ => "reading …",
        };
        let is_complete = self.log.stdout.is_complete && self.log.stderr.is_complete;
        let text =
            format!("── stdout and ! stderr ── {note} ── {} ", end_of(self.log, is_complete));
        draw_rule(canvas, &text);
        let mut y = 1;
        let spot = self.log.merged.spot;
        let mut sub = spot.row;
        for position in spot.line..self.log.merged.order.len() {
            let Some(line) = self.log.merged_line(position) else { break };
            if y >= canvas.height() {
                break;
            }
            y = self.draw_line(canvas, y, line, sub);
            sub = 0;
        }
    }

    /// Draws the rows of a line from one of them on, and tells where the next
    /// line begins.
    fn draw_line(
        &self,
        canvas: &mut Canvas<'_>,
        mut y: usize,
        (stream, line): (Stream, &LogLine),
        sub: usize,
    ) -> usize {
        let log = self.log;
        let pane = log.pane(stream);
        let margin = log.margin();
        let columns = canvas.width().saturating_sub(margin).max(1);
        let has_needle = |piece: &Piece| piece.text.to_lowercase().contains(&self.needle);
        let is_hit = !self.needle.is_empty() && line.pieces.iter().any(has_needle);
        let rows = if log.wraps { line.width.div_ceil(columns).max(1) } else { 1 };
        for row in sub..rows {
            if y >= canvas.height() {
                break;
            }
            if row == 0 {
                self.draw_margin(canvas, y, (stream, line));
            }
            let from = if log.wraps { row * columns } else { pane.shift };
            let (wide, tone) = (canvas.width(), canvas.tone(Tone::Warning));
            let is_second = log.shown == Shown::Merged && stream == Stream::Stderr;
            let mut text = canvas.part(margin, y, wide.saturating_sub(margin), 1);
            draw_row(&mut text, &line.pieces, from, columns);
            if is_second {
                text.buffer.set_style(text.area, tone);
            }
            if is_hit {
                let hit = canvas.tone(Tone::Key);
                canvas.style_line(y, hit);
            }
            y += 1;
        }
        y
    }

    /// The time of a line and the sign of its stream.
    fn draw_margin(&self, canvas: &mut Canvas<'_>, y: usize, (stream, line): (Stream, &LogLine)) {
        let faint = canvas.tone(Tone::Faint);
        if self.log.shows_times {
            let at = self.log.pane(stream).time_of(line.offset);
            let text = at.map_or_else(|| "-".to_owned(), |at| day_and_time(at, self.zone));
            canvas.text(0, y, &text, faint);
        }
        if self.log.shown == Shown::Merged && stream == Stream::Stderr {
            let tone = canvas.tone(Tone::Warning);
            canvas.text(self.log.margin().saturating_sub(2), y, "!", tone);
        }
    }
}

/// Draws the columns of a line from `from` on.
fn draw_row(canvas: &mut Canvas<'_>, pieces: &[Piece], from: usize, columns: usize) {
    let mut before = 0;
    let mut x = 0;
    for piece in pieces {
        let wide = width(&piece.text);
        if before + wide > from && x < columns {
            let text = skip_columns(&piece.text, from.saturating_sub(before));
            let room = columns - x;
            let shown = take_columns(text, room);
            x = canvas.text(x, 0, shown, piece.style);
        }
        before += wide;
    }
}

fn skip_columns(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        if used >= columns {
            return text.get(at..).unwrap_or_default();
        }
        used += width(c.encode_utf8(&mut [0; 4]));
    }
    ""
}

fn take_columns(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += width(c.encode_utf8(&mut [0; 4]));
        if used > columns {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

fn draw_heading(canvas: &mut Canvas<'_>, log: &LogScreen, pane: &Pane) {
    let mut note = match (&pane.error, pane.is_loaded) {
        (Some(error), _) => clean(error).into_owned(),
        (None, false) => "reading …".to_owned(),
        (None, true) if pane.size == 0 && pane.is_complete => "nothing was written".to_owned(),
        (None, true) if pane.size == 0 => "nothing yet".to_owned(),
        (None, true) => {
            let at = pane.lines.get(pane.first).map_or(0, |line| line.offset);
            format!("{} of {}", bytes(at), bytes(pane.size))
        }
    };
    if log.is_searching {
        note.push_str(", searching …");
    }
    let text = format!("── {} ── {note} ── {} ", pane.stream, end_of(log, pane.is_complete));
    draw_rule(canvas, &text);
}

/// Whether more will come, and whether it will be seen.
fn end_of(log: &LogScreen, is_complete: bool) -> &'static str {
    match (is_complete, log.follows) {
        (true, _) => "complete",
        (false, true) => "following",
        (false, false) => "not following",
    }
}

/// A line across, with a text in it.
fn draw_rule(canvas: &mut Canvas<'_>, text: &str) {
    let wide = canvas.width();
    let text = fit(text, wide).into_owned();
    let rest = "─".repeat(wide.saturating_sub(width(&text)));
    let style = canvas.tone(Tone::Accent);
    canvas.text(0, 0, &format!("{text}{rest}"), style);
}
