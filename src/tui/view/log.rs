//! What a command wrote.

use super::canvas::Canvas;
use crate::domain::execution::Stream;
use crate::tui::state::{LogScreen, Pane, State};
use crate::tui::text::{bytes, clean, fit, width};
use crate::tui::theme::Tone;

pub fn draw(canvas: &mut Canvas<'_>, state: &State) {
    let Some(log) = &state.log else { return };
    let mut y = 0;
    let (wide, height) = (canvas.width(), canvas.height());
    for (stream, lines) in log.layout(height) {
        let mut part = canvas.part(0, y, wide, lines + 1);
        draw_pane(&mut part, log, stream);
        y += lines + 1;
    }
}

fn draw_pane(canvas: &mut Canvas<'_>, log: &LogScreen, stream: Stream) {
    let pane = log.pane(stream);
    draw_heading(canvas, log, pane);
    let height = canvas.height().saturating_sub(1);
    let columns = canvas.width().max(1);
    let needle = log.search.to_lowercase();
    let mut y = 1;
    let mut sub = pane.sub;
    for line in pane.lines.iter().skip(pane.first) {
        if y > height {
            break;
        }
        let is_hit = !needle.is_empty()
            && line.pieces.iter().any(|piece| piece.text.to_lowercase().contains(&needle));
        let rows = if log.wraps { line.width.div_ceil(columns).max(1) } else { 1 };
        for row in sub..rows {
            if y > height {
                break;
            }
            let from = if log.wraps { row * columns } else { pane.shift };
            draw_row(canvas, y, &line.pieces, from, columns);
            if is_hit {
                let hit = canvas.tone(Tone::Key);
                canvas.style_line(y, hit);
            }
            y += 1;
        }
        sub = 0;
    }
}

/// Draws the columns of a line from `from` on.
fn draw_row(
    canvas: &mut Canvas<'_>,
    y: usize,
    pieces: &[crate::tui::state::Piece],
    from: usize,
    columns: usize,
) {
    let mut before = 0;
    let mut x = 0;
    for piece in pieces {
        let wide = width(&piece.text);
        if before + wide > from && x < columns {
            let text = skip_columns(&piece.text, from.saturating_sub(before));
            let room = columns - x;
            let shown = take_columns(text, room);
            x = canvas.text(x, y, shown, piece.style);
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
    let end = match (pane.is_complete, log.follows) {
        (true, _) => "complete",
        (false, true) => "following",
        (false, false) => "not following",
    };
    let text = format!("── {} ── {note} ── {end} ", pane.stream);
    let wide = canvas.width();
    let text = fit(&text, wide).into_owned();
    let rest = "─".repeat(wide.saturating_sub(width(&text)));
    let style = canvas.tone(Tone::Accent);
    canvas.text(0, 0, &format!("{text}{rest}"), style);
}
