//! The form for recruiting workers, with the flavors that match below it.

use super::canvas::Canvas;
use super::table::{self, Column, place};
use crate::tui::state::{FIELDS, RecruitForm};
use crate::tui::text::{fit, pad};
use crate::tui::theme::Tone;

/// Why nothing can be recruited.
pub const NO_PROVIDER: &str =
    "no provider configured: this server hires no machines; start `scitq agent` on your own";

const FLAVORS: [Column; 9] = [
    Column::left("flavor", 8, 20).fixed(),
    Column::right("cpu", 4, 5),
    Column::right("ram", 5, 8),
    Column::right("disk", 5, 8),
    Column::left("gpu", 4, 10),
    Column::left("tags", 4, 6),
    Column::right("cost/h", 7, 9),
    Column::right("evict", 6, 8),
    Column::right("free", 5, 7),
];

pub fn draw(canvas: &mut Canvas<'_>, form: &RecruitForm) {
    let height = FIELDS.len() + 8;
    let mut inside = canvas.boxed(76, height, "Recruit workers");
    let strong = inside.tone(Tone::Strong);
    let faint = inside.tone(Tone::Faint);
    let bad = inside.tone(Tone::Bad);
    for (number, (name, _)) in FIELDS.iter().enumerate() {
        let is_focus = number == form.focus;
        let label = format!("{}{}", if is_focus { "▸ " } else { "  " }, pad(name, 13));
        let x = inside.text(0, number, &label, if is_focus { strong } else { faint });
        let Some(field) = form.fields.get(number) else { continue };
        let x = if is_focus {
            super::popup::draw_line(&mut inside, x, number, field)
        } else {
            inside.text(x, number, field.text(), ratatui::style::Style::new())
        };
        if let Some((wrong, reason)) = &form.error
            && *wrong == number
        {
            inside.text(x + 2, number, reason, bad);
        }
    }
    let (wide, high) = (inside.width(), inside.height());
    let top = FIELDS.len() + 1;
    let mut below = inside.part(0, top, wide, high.saturating_sub(top));
    let placed = place(&FLAVORS, &[], 0, wide);
    table::draw(&mut below, &FLAVORS, &[], &placed, None);
    below.text(0, 1, "no flavors are known", faint);
    let warning = below.tone(Tone::Warning);
    for (line, text) in crate::tui::text::wrap(NO_PROVIDER, wide).iter().enumerate() {
        below.text(0, 3 + line, &fit(text, wide), warning);
    }
}
