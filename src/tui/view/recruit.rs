//! The form for recruiting workers, with the flavors that match below it.

use ratatui::style::Style;

use super::canvas::Canvas;
use super::table::{self, Column, Row, place, plain};
use crate::api::hiring::FlavorView;
use crate::tui::state::{FIELDS, RecruitForm, State, matching};
use crate::tui::text::{clean, fit, pad, wrap};
use crate::tui::theme::Tone;
use crate::tui::update::recruit_candidates;

/// Why nothing can be recruited.
pub const NO_PROVIDER: &str =
    "no flavor is known: set a provider up in server.toml, or start `scitq agent` on your machines";

const FLAVORS: [Column; 11] = [
    Column::left("flavor", 8, 16).fixed(),
    Column::left("region", 6, 13),
    Column::left("provider", 8, 8),
    Column::right("cpu", 4, 5),
    Column::right("ram", 5, 8),
    Column::right("disk", 5, 8),
    Column::right("cost/h", 7, 9),
    Column::right("evict", 6, 6),
    Column::right("free", 5, 7),
    Column::left("gpu", 4, 10).optional(),
    Column::left("tags", 4, 6).optional(),
];

/// Flavors that are shown, cheapest first.
const SHOWN: usize = 5;

pub fn draw(canvas: &mut Canvas<'_>, state: &State, form: &RecruitForm) {
    let height = FIELDS.len() + SHOWN + 6;
    let mut inside = canvas.boxed(78, height, "Recruit workers");
    draw_fields(&mut inside, form);
    let (wide, high) = (inside.width(), inside.height());
    let faint = inside.tone(Tone::Faint);
    let known = recruit_candidates(state, form).join("  ");
    inside.text(2, FIELDS.len(), &fit(&clean(&known), wide.saturating_sub(2)), faint);
    let top = FIELDS.len() + 1;
    let mut below = inside.part(0, top, wide, high.saturating_sub(top));
    draw_flavors(&mut below, state, form);
}

fn draw_fields(canvas: &mut Canvas<'_>, form: &RecruitForm) {
    let (strong, faint, bad) =
        (canvas.tone(Tone::Strong), canvas.tone(Tone::Faint), canvas.tone(Tone::Bad));
    for (number, (name, _)) in FIELDS.iter().enumerate() {
        let is_focus = number == form.focus;
        let label = format!("{}{}", if is_focus { "▸ " } else { "  " }, pad(name, 13));
        let x = canvas.text(0, number, &label, if is_focus { strong } else { faint });
        let Some(field) = form.fields.get(number) else { continue };
        let x = if is_focus {
            super::popup::draw_line(canvas, x, number, field)
        } else {
            canvas.text(x, number, field.text(), Style::new())
        };
        if let Some((wrong, reason)) = &form.error
            && *wrong == number
        {
            canvas.text(x + 2, number, reason, bad);
        }
    }
}

/// The flavors that match, and what they cost together.
fn draw_flavors(canvas: &mut Canvas<'_>, state: &State, form: &RecruitForm) {
    let found = matching(form, &state.flavors);
    let rows: Vec<Row> = found.iter().take(SHOWN).map(|flavor| row(flavor)).collect();
    let wide = canvas.width();
    let placed = place(&FLAVORS, &rows, 0, wide);
    table::draw(canvas, &FLAVORS, &rows, &placed, None);
    let warning = canvas.tone(Tone::Warning);
    if state.flavors.is_empty() {
        for (line, text) in wrap(NO_PROVIDER, wide).iter().enumerate() {
            canvas.text(0, 1 + line, &fit(text, wide), warning);
        }
        return;
    }
    let Some(cheapest) = found.first() else {
        canvas.text(0, 1, "no flavor matches", warning);
        return;
    };
    let number: u32 = form.value("number").parse().unwrap_or(1);
    let cost = cheapest.flavor.cost.map_or_else(
        || "at a price that is not known".to_owned(),
        |cost| format!("cost {:.2} {}/h", cost * f64::from(number), cheapest.flavor.currency),
    );
    let text = format!(
        "{} of {} match; {number} x {} {}",
        found.len(),
        state.flavors.len(),
        clean(cheapest.flavor.name.as_str()),
        cost.replace(" /h", "/h")
    );
    canvas.text(0, SHOWN + 2, &text, canvas.tone(Tone::Accent));
}

fn row(view: &FlavorView) -> Row {
    let flavor = &view.flavor;
    let available = view.available.map_or_else(|| "any".to_owned(), |left| left.to_string());
    let amount = |number: Option<f64>| number.map(|number| format!("{number:.0}"));
    let known = |text: Option<String>| plain(text.unwrap_or_else(|| "?".to_owned()));
    let cells = vec![
        plain(clean(flavor.name.as_str())),
        plain(clean(flavor.region.as_str())),
        plain(clean(flavor.provider.as_str())),
        plain(flavor.cpu.to_string()),
        known(amount(flavor.ram)),
        known(amount(flavor.disk)),
        known(flavor.cost.map(|cost| format!("{cost:.3}"))),
        known(flavor.eviction.map(|eviction| format!("{eviction:.0} %"))),
        plain(available),
        plain(clean(flavor.gpu.as_deref().unwrap_or_default())),
        plain(clean(&flavor.tags)),
    ];
    Row { cells, is_cursor: false, is_marked: false }
}
