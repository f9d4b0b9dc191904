//! What lies over a screen.

use ratatui::style::{Modifier, Style};
use ratatui::widgets::Widget;

use super::canvas::Canvas;
use super::{charts, help, jobs, recruit};
use crate::tui::state::{
    Editor, LineEdit, Menu, Popup, Prompt, PromptKind, Question, State, ToastKind,
};
use crate::tui::text::{clean, fit, moment, width, wrap};
use crate::tui::theme::Tone;
use crate::tui::update::candidates;

/// Completions that are shown.
const SHOWN: usize = 8;

pub fn draw(canvas: &mut Canvas<'_>, state: &State) {
    match &state.popup {
        None => {}
        Some(Popup::Question(question)) => draw_question(canvas, question),
        Some(Popup::Prompt(prompt)) => draw_prompt(canvas, prompt),
        Some(Popup::Menu(menu)) => draw_menu(canvas, menu),
        Some(Popup::Help { filter, offset }) => help::draw(canvas, state, filter, *offset),
        Some(Popup::History { offset }) => draw_history(canvas, state, *offset),
        Some(Popup::Editor(editor)) => draw_editor(canvas, editor),
        Some(Popup::Recruit(form)) => recruit::draw(canvas, state, form),
        Some(Popup::JobLog(log)) => jobs::draw_log(canvas, log),
        Some(Popup::Charts { name, samples, error, .. }) => {
            charts::draw(canvas, name, samples.as_ref(), error.as_deref());
        }
    }
}

/// A line that is edited, with its cursor. Gives the place behind it.
pub fn draw_line(canvas: &mut Canvas<'_>, x: usize, y: usize, line: &LineEdit) -> usize {
    let (before, after) = line.halves();
    let (before, after) = (clean(before).into_owned(), clean(after).into_owned());
    // The end of a long line is what one types at.
    let room = canvas.width().saturating_sub(x + 2);
    let mut shown = before.as_str();
    while width(shown) > room {
        let mut letters = shown.chars();
        letters.next();
        shown = letters.as_str();
    }
    let x = canvas.text(x, y, shown, Style::new());
    let mut letters = after.chars();
    let under = letters.next().unwrap_or(' ');
    let cursor = Style::new().add_modifier(Modifier::REVERSED);
    let x = canvas.text(x, y, under.encode_utf8(&mut [0; 4]), cursor);
    canvas.text(x, y, letters.as_str(), Style::new())
}

fn draw_question(canvas: &mut Canvas<'_>, question: &Question) {
    let wide = canvas.width().clamp(10, 70);
    let room = wide.saturating_sub(4);
    let mut lines: Vec<String> =
        question.text.iter().flat_map(|text| wrap(&clean(text), room)).collect();
    lines.push(String::new());
    let height = lines.len() + 2 + usize::from(question.word.is_some()) + 1;
    let mut inside = canvas.boxed(wide, height, "Sure?");
    let mut y = 0;
    for line in &lines {
        inside.text(0, y, line, Style::new());
        y += 1;
    }
    let key = inside.tone(Tone::Key);
    match &question.word {
        None => {
            let mut parts = vec![("y".to_owned(), key), (" yes   ".to_owned(), Style::new())];
            if let Some((other, label, _)) = &question.other {
                parts.push((other.to_string(), key));
                parts.push((format!(" {label}   "), Style::new()));
            }
            parts.push(("n".to_owned(), key));
            parts.push((" no (enter)".to_owned(), Style::new()));
            inside.parts(0, y, &parts);
        }
        Some(word) => {
            let asked = format!("Type {} to do it: ", clean(word));
            let x = inside.text(0, y, &asked, Style::new());
            draw_line(&mut inside, x, y, &question.typed);
            if let Some((_, label, _)) = &question.other {
                let parts = [("tab".to_owned(), key), (format!(" {label}"), Style::new())];
                inside.parts(0, y + 1, &parts);
            }
        }
    }
}

fn draw_prompt(canvas: &mut Canvas<'_>, prompt: &Prompt) {
    let found = candidates(prompt);
    let shown = found.len().min(SHOWN);
    // What can be typed is told until something was.
    let is_new = matches!(prompt.kind, PromptKind::Filter(_)) && prompt.line.text().is_empty();
    let height = 3 + shown + usize::from(prompt.error.is_some() || is_new);
    let wide = canvas.width().min(76);
    let mut inside = canvas.boxed(wide, height, &prompt.title);
    draw_line(&mut inside, 0, 0, &prompt.line);
    let (faint, bad) = (inside.tone(Tone::Faint), inside.tone(Tone::Bad));
    let mut y = 1;
    if let Some(error) = &prompt.error {
        inside.text(0, y, &clean(error), bad);
        y += 1;
    }
    if is_new {
        let hint = "text  /regex/  !not  state:failed  batch:x  worker:y  name:z*  tag:k=v";
        inside.text(0, y, hint, faint);
    }
    let chosen = prompt.chosen.unwrap_or(0);
    let first = if prompt.chosen.is_some() { chosen.saturating_sub(SHOWN - 1) } else { 0 };
    for (number, word) in found.iter().enumerate().skip(first).take(SHOWN) {
        let style = if prompt.chosen == Some(number) { inside.theme.cursor() } else { faint };
        inside.text(1, y, &clean(word), style);
        y += 1;
    }
}

fn draw_menu(canvas: &mut Canvas<'_>, menu: &Menu) {
    let widest = menu.items.iter().map(|(label, _)| width(label)).max().unwrap_or(0);
    let wide = (widest.max(width(&menu.title) + 2) + 6).min(canvas.width());
    let height = (menu.items.len() + 2).min(canvas.height());
    let mut inside = canvas.boxed(wide, height, &menu.title);
    let room = inside.height();
    let first = (menu.chosen + 1).saturating_sub(room);
    for (line, (number, (label, _))) in
        menu.items.iter().enumerate().skip(first).take(room).enumerate()
    {
        inside.text(1, line, &fit(label, wide), Style::new());
        if number == menu.chosen {
            let cursor = inside.theme.cursor();
            inside.style_line(line, cursor);
        }
    }
}

fn draw_history(canvas: &mut Canvas<'_>, state: &State, offset: usize) {
    let (wide, high) = (canvas.width(), canvas.height());
    let mut inside = canvas.boxed(wide, high, "What was told lately");
    let room = inside.width().saturating_sub(10);
    let mut y = 0;
    let mut is_empty = true;
    for toast in state.toasts.history().skip(offset) {
        is_empty = false;
        let tone = match toast.kind {
            ToastKind::Done => Tone::Good,
            ToastKind::Note => Tone::Plain,
            ToastKind::Failure => Tone::Bad,
        };
        let (faint, style) = (inside.tone(Tone::Faint), inside.tone(tone));
        inside.text(0, y, &moment(toast.at, state.wall(), &state.zone), faint);
        for line in wrap(&clean(&toast.text), room) {
            inside.text(10, y, &line, style);
            y += 1;
        }
    }
    if is_empty {
        let faint = inside.tone(Tone::Faint);
        inside.text(0, 0, "nothing yet", faint);
    }
}

fn draw_editor(canvas: &mut Canvas<'_>, editor: &Editor) {
    let (wide, high) = (canvas.width(), canvas.height());
    let title = if editor.is_running {
        format!("Task {} (it runs: saving ends its command and runs it again)", editor.task)
    } else {
        format!("Task {}", editor.task)
    };
    let mut inside = canvas.boxed(wide, high, &title);
    let lines = inside.height();
    let error = editor.error.as_ref().map(|error| clean(error).into_owned());
    let wrapped = error.map(|error| wrap(&error, inside.width())).unwrap_or_default();
    let rows = wrapped.len().min(lines / 2);
    let wide = inside.width();
    let text = inside.part(0, 0, wide, lines - rows);
    editor.area.render(text.area, text.buffer);
    let bad = inside.tone(Tone::Bad);
    for (number, line) in wrapped.iter().take(rows).enumerate() {
        inside.text(0, lines - rows + number, line, bad);
    }
}
