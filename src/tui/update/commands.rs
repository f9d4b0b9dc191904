//! What each action does: the general ones here, the others where their
//! objects are.

use super::{batches, command_line, jobs, log, navigate, tasks, workers};
use crate::domain::filter::Filter;
use crate::tui::effect::Effect;
use crate::tui::keymap::Command;
use crate::tui::state::{
    LineEdit, Marks, Menu, MenuChoice, Popup, Prompt, PromptKind, RecruitForm, Screen, Source,
    State,
};
use crate::tui::view;

pub(super) fn run(state: &mut State, command: Command, effects: &mut Vec<Effect>) {
    use Command as C;
    match command {
        C::Quit => effects.push(Effect::Quit),
        C::Suspend => effects.push(Effect::Suspend),
        C::Reload => {
            state.feeds.mark_all();
            effects.push(Effect::Redraw);
        }
        C::Help => state.popup = Some(Popup::Help { filter: LineEdit::default(), offset: 0 }),
        C::History => state.popup = Some(Popup::History { offset: 0 }),
        C::CommandLine => command_line::ask(state),
        C::ShowWorkers => navigate::show(state, Screen::Workers),
        C::ShowTasks => navigate::show(state, Screen::Tasks),
        C::ShowBatches => navigate::show(state, Screen::Batches),
        C::ShowJobs => navigate::show(state, Screen::Jobs),
        C::ShowRecruiters => navigate::show(state, Screen::Recruiters),
        C::ShowOverview => navigate::show(state, Screen::Overview),
        C::Back => back(state, effects),
        C::Up | C::Down | C::PageUp | C::PageDown | C::Top | C::Bottom | C::Left | C::Right => {
            navigate::move_cursor(state, command);
        }
        C::Filter => ask_filter(state),
        C::Sort => ask_sort(state),
        C::Reverse => reverse(state),
        C::Mark | C::Range | C::MarkAll => mark(state, command),
        C::NextTab => tasks::turn_tab(state, 1),
        C::PreviousTab => tasks::turn_tab(state, -1),
        C::Recruit => {
            let last = state.recruit.clone();
            state.popup = Some(Popup::Recruit(RecruitForm::new(&last)));
            state.feeds.mark(Source::Flavors);
        }
        _ => match state.screen {
            Screen::Workers => workers::run(state, command, effects),
            Screen::Tasks | Screen::Task => tasks::run(state, command, effects),
            Screen::Batches => batches::run(state, command, effects),
            Screen::Output => log::run(state, command, effects),
            Screen::Jobs => jobs::run(state, command, effects),
            Screen::Recruiters | Screen::Overview => {}
        },
    }
}

/// Asks, or does at once what needs no question.
pub(super) fn ask_filter(state: &mut State) {
    let text = match state.screen {
        Screen::Workers => state.workers.list.filter.text(),
        Screen::Batches => state.batches.list.filter.text(),
        Screen::Jobs => state.jobs.filter.text(),
        Screen::Recruiters => state.recruiters.filter.text(),
        _ => state.tasks.filter.text(),
    };
    let prompt = Prompt::new(PromptKind::Filter(text.to_owned()), "Filter", text);
    state.popup = Some(Popup::Prompt(prompt));
}

/// Narrows the list on screen.
pub(super) fn set_filter(state: &mut State, filter: Filter) {
    let height = state.list_height();
    match state.screen {
        Screen::Workers => narrow(&mut state.workers.list, filter, height),
        Screen::Batches => narrow(&mut state.batches.list, filter, height),
        Screen::Jobs => narrow(&mut state.jobs, filter, height),
        Screen::Recruiters => narrow(&mut state.recruiters, filter, height),
        _ => tasks::set_filter(state, filter),
    }
}

fn narrow<T: crate::tui::state::Item>(
    list: &mut crate::tui::state::List<T>,
    filter: Filter,
    height: usize,
) {
    list.filter = filter;
    list.arrange();
    let row = list.cursor.row;
    list.move_to(row, height);
}

fn turn<T: crate::tui::state::Item>(
    list: &mut crate::tui::state::List<T>,
    column: usize,
    height: usize,
) {
    list.is_reversed = list.column == column && !list.is_reversed;
    list.column = column;
    list.arrange();
    let row = list.cursor.row;
    list.move_to(row, height);
}

fn ask_sort(state: &mut State) {
    let (items, chosen): (Vec<(String, MenuChoice)>, usize) = match state.screen {
        Screen::Tasks => {
            use strum::IntoEnumIterator;
            let sorts: Vec<_> = crate::api::task::TaskSort::iter().collect();
            let chosen = sorts.iter().position(|sort| *sort == state.tasks.sort).unwrap_or(0);
            let items = sorts.iter().map(|sort| (sort.to_string(), MenuChoice::SortTasks(*sort)));
            (items.collect(), chosen)
        }
        Screen::Workers => (
            columns(view::workers::COLUMNS.iter().map(|(name, _)| *name)),
            state.workers.list.column,
        ),
        Screen::Batches => (
            columns(view::batches::COLUMNS.iter().map(|(name, _)| *name)),
            state.batches.list.column,
        ),
        Screen::Jobs => {
            (columns(view::jobs::ORDER.iter().map(|(name, _)| *name)), state.jobs.column)
        }
        _ => return,
    };
    let title = "Sort by; the same again turns the order around".to_owned();
    state.popup = Some(Popup::Menu(Menu { title, items, chosen }));
}

fn columns<'a>(names: impl Iterator<Item = &'a str>) -> Vec<(String, MenuChoice)> {
    names
        .enumerate()
        .map(|(number, name)| (name.to_owned(), MenuChoice::SortList(number)))
        .collect()
}

/// Sorts a whole list by a column, or the other way round if it is that already.
pub(super) fn sort_list(state: &mut State, column: usize) {
    let height = state.list_height();
    match state.screen {
        Screen::Workers => turn(&mut state.workers.list, column, height),
        Screen::Batches => turn(&mut state.batches.list, column, height),
        Screen::Jobs => turn(&mut state.jobs, column, height),
        _ => {}
    }
}

fn reverse(state: &mut State) {
    match state.screen {
        Screen::Workers => sort_list(state, state.workers.list.column),
        Screen::Batches => sort_list(state, state.batches.list.column),
        Screen::Jobs => sort_list(state, state.jobs.column),
        Screen::Tasks => {
            let (sort, is_reversed) = (state.tasks.sort, state.tasks.is_reversed);
            state.tasks.set_sort(sort, !is_reversed);
        }
        _ => {}
    }
}

fn mark(state: &mut State, command: Command) {
    match (state.screen, command) {
        (Screen::Tasks, Command::Mark) => {
            state.tasks.toggle_mark();
            state.tasks.move_by(1, state.list_height());
        }
        (Screen::Tasks, Command::Range) => state.tasks.mark_range(),
        (Screen::Tasks, _) => state.tasks.toggle_all(),
        (Screen::Workers, Command::Mark) => {
            state.workers.list.mark();
            let (row, height) = (state.workers.list.cursor.row + 1, state.list_height());
            state.workers.list.move_to(row, height);
        }
        (Screen::Workers, Command::Range) => state.workers.list.mark_range(),
        (Screen::Workers, _) => state.workers.list.mark_all(),
        (Screen::Batches, Command::Mark) => {
            state.batches.list.mark();
            let (row, height) = (state.batches.list.cursor.row + 1, state.list_height());
            state.batches.list.move_to(row, height);
        }
        (Screen::Jobs, Command::Mark) => {
            state.jobs.mark();
            let (row, height) = (state.jobs.cursor.row + 1, state.list_height());
            state.jobs.move_to(row, height);
        }
        (Screen::Jobs, Command::Range) => state.jobs.mark_range(),
        (Screen::Jobs, _) => state.jobs.mark_all(),
        (Screen::Batches, Command::Range) => state.batches.list.mark_range(),
        (Screen::Batches, _) => state.batches.list.mark_all(),
        _ => {}
    }
}

/// One step back: first the marks, then the filter, then the screen.
fn back(state: &mut State, effects: &mut Vec<Effect>) {
    if state.toasts.current(state.now.monotonic).is_some() {
        state.toasts.dismiss();
    }
    match state.screen {
        Screen::Tasks if !state.tasks.marks.is_empty() || state.tasks.range.is_some() => {
            state.tasks.marks = Marks::default();
            state.tasks.range = None;
        }
        Screen::Workers if drop_marks(&mut state.workers.list) => {}
        Screen::Batches if drop_marks(&mut state.batches.list) => {}
        Screen::Jobs if drop_marks(&mut state.jobs) => {}
        _ if !state.trail.is_empty() => navigate::back(state, effects),
        Screen::Tasks if !state.tasks.filter.is_empty() => {
            tasks::set_filter(state, Filter::default());
        }
        Screen::Workers | Screen::Batches | Screen::Jobs | Screen::Recruiters => {
            set_filter(state, Filter::default());
        }
        _ => {}
    }
}

fn drop_marks<T: crate::tui::state::Item>(list: &mut crate::tui::state::List<T>) -> bool {
    let had = !list.marks.is_empty() || list.range.is_some();
    list.marks.clear();
    list.range = None;
    had
}
