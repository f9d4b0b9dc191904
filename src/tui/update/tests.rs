//! What keys and messages do, without a terminal and without a server.

use crate::api::event::Event;
use crate::api::task::{EditEnded, EditRunning};
use crate::api::worker::{UpdateWorker, WorkerList};
use crate::api::{ClientError, ErrorBody, ErrorCode};
use crate::domain::signal::Signal;
use crate::domain::task::TaskState;
use crate::domain::{BatchName, TaskId, WorkerId};
use crate::tui::effect::{
    Action, BatchVerb, Change, Effect, Fetch, Reply, StreamNews, Target, TaskVerb,
};
use crate::tui::state::{Access, Popup, Screen, State, Stream};
use crate::tui::testing::{batch, later, press, state, task, type_in, worker};
use crate::tui::update::update;

/// A state with workers, tasks and batches in it.
fn full() -> State {
    let mut state = state(80, 24);
    let now = state.now;
    let workers = vec![worker(1, "node1"), worker(2, "node2"), worker(3, "node10")];
    let _ = update(&mut state, now, Action::Stream(StreamNews::Up));
    reply(&mut state, Reply::Workers(Ok(WorkerList { workers })));
    let batches = vec![batch("test", &[("pending", 3), ("running", 1)]), batch("qc", &[])];
    reply(&mut state, Reply::Batches(Ok(crate::api::batch::BatchList { batches })));
    press(&mut state, "2");
    let mut tasks: Vec<_> = (1..=5).rev().map(task).collect();
    tasks[0].state = TaskState::Running;
    tasks[0].execution = Some(crate::domain::ExecutionId(9));
    tasks[4].state = TaskState::Failed;
    page(&mut state, tasks);
    state
}

fn reply(state: &mut State, reply: Reply) -> Vec<Effect> {
    let now = state.now;
    update(state, now, Action::Reply(Box::new(reply)))
}

fn page(state: &mut State, tasks: Vec<crate::api::task::TaskView>) {
    let generation = state.tasks.generation;
    reply(
        state,
        Reply::TaskPage { generation, number: 0, cursor: None, result: Ok((tasks, None)) },
    );
}

/// The one change that is asked for.
fn change(effects: Vec<Effect>) -> Option<Change> {
    let mut changes = effects.into_iter().filter_map(|effect| match effect {
        Effect::Change(change) => Some(change),
        _ => None,
    });
    let first = changes.next();
    assert!(changes.next().is_none(), "several changes at once");
    first
}

fn ids(ids: &[u64]) -> Target {
    Target::Ids(ids.iter().copied().map(TaskId).collect())
}

#[test]
fn what_destroys_or_interrupts_asks_and_the_default_is_no() {
    for keys in ["t", "K", "c", "D"] {
        let mut state = full();
        assert_eq!(change(press(&mut state, keys)), None, "{keys} asks");
        assert!(matches!(state.popup, Some(Popup::Question(_))), "{keys}");
        assert_eq!(change(press(&mut state, "enter")), None, "enter is no");
        assert!(state.popup.is_none());
    }
    let mut state = full();
    assert_eq!(change(press(&mut state, "t y")), Some(Change::Signal(Signal::Term, ids(&[5]))));
    assert_eq!(change(press(&mut state, "K y")), Some(Change::Signal(Signal::Kill, ids(&[5]))));
}

#[test]
fn a_failed_task_is_relaunched_at_once_and_a_running_one_after_a_question() {
    let mut state = full();
    assert_eq!(change(press(&mut state, "r")), None);
    assert_eq!(change(press(&mut state, "y")), Some(Change::Tasks(TaskVerb::Relaunch, ids(&[5]))));
    assert_eq!(
        change(press(&mut state, "G r")),
        Some(Change::Tasks(TaskVerb::Relaunch, ids(&[1])))
    );
}

#[test]
fn marked_tasks_are_asked_for_once_with_their_number() {
    let mut state = full();
    assert_eq!(change(press(&mut state, "space space p")), None);
    let Some(Popup::Question(question)) = &state.popup else { panic!("no question") };
    assert_eq!(question.text, ["Pause 2 tasks?"]);
    assert_eq!(change(press(&mut state, "y")), Some(Change::Tasks(TaskVerb::Pause, ids(&[4, 5]))));
    press(&mut state, "esc a");
    press(&mut state, "D");
    let Some(Popup::Question(question)) = &state.popup else { panic!("no question") };
    assert_eq!(question.text[0], "Delete 5 tasks with executions and output?");
    let deleted = change(press(&mut state, "y")).unwrap();
    assert!(matches!(deleted, Change::DeleteTasks(_, Target::Found(_, Some(5)))));
}

#[test]
fn a_range_is_marked_from_its_beginning_to_the_cursor() {
    let mut state = full();
    press(&mut state, "v j j v");
    let moved = press(&mut state, "m");
    assert_eq!(change(moved), None);
    type_in(&mut state, "qc");
    let qc: BatchName = "qc".parse().unwrap();
    assert_eq!(change(press(&mut state, "enter")), Some(Change::MoveTasks(qc, ids(&[3, 4, 5]))));
}

#[test]
fn nothing_is_changed_in_a_read_only_view() {
    let mut state = full();
    state.access = Access::ReadOnly;
    for keys in ["r", "e", "p", "t", "K", "c", "m", "D", "!"] {
        let effects = press(&mut state, keys);
        assert_eq!(change(effects), None);
        assert!(state.popup.is_none(), "{keys} opened something");
    }
    press(&mut state, "1");
    for keys in ["b", "+", "D", "n", "x"] {
        assert_eq!(change(press(&mut state, keys)), None);
        assert!(state.popup.is_none(), "{keys} opened something");
    }
}

#[test]
fn a_worker_is_given_to_a_batch_that_is_completed() {
    let mut state = full();
    press(&mut state, "1 b ctrl-u");
    type_in(&mut state, "q");
    press(&mut state, "tab");
    let update_of = |batch: &str| UpdateWorker {
        batch: Some(batch.parse().unwrap()),
        ..UpdateWorker::default()
    };
    assert_eq!(
        change(press(&mut state, "enter")),
        Some(Change::UpdateWorkers(vec![WorkerId(1)], update_of("qc")))
    );
    assert_eq!(
        change(press(&mut state, "b ctrl-u enter")),
        Some(Change::UpdateWorkers(vec![WorkerId(1)], update_of("Default"))),
        "an empty name is the default batch"
    );
}

#[test]
fn concurrency_counts_on_from_what_was_pressed_before() {
    let mut state = full();
    let effects = press(&mut state, "1 + +");
    let asked: Vec<Option<u32>> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Change(Change::UpdateWorkers(_, update)) => Some(update.concurrency),
            _ => None,
        })
        .collect();
    assert_eq!(asked, [Some(5), Some(6)]);
    press(&mut state, "F ctrl-u");
    type_in(&mut state, "x");
    assert_eq!(change(press(&mut state, "enter")), None);
    let Some(Popup::Prompt(prompt)) = &state.popup else { panic!("no prompt") };
    assert_eq!(prompt.error.as_deref(), Some("`x` is no number"));
}

#[test]
fn a_list_that_was_asked_for_before_does_not_undo_what_was_pressed() {
    let mut state = full();
    press(&mut state, "1 > >");
    let prefetch = |state: &State| state.workers.list.current().unwrap().prefetch;
    assert_eq!(prefetch(&state), 3);
    let list = |prefetch| {
        let mut worker = worker(1, "node1");
        worker.prefetch = prefetch;
        Reply::Workers(Ok(WorkerList { workers: vec![worker] }))
    };
    reply(&mut state, list(1));
    assert_eq!(prefetch(&state), 3);
    let _ = update(&mut state, later(1), Action::Reply(Box::new(Reply::Changed(Ok("x".into())))));
    let _ = update(&mut state, later(2), Action::Tick);
    let _ = update(&mut state, later(2), Action::Reply(Box::new(list(2))));
    assert_eq!(prefetch(&state), 2, "the server's word counts in the end");
}

#[test]
fn a_batch_is_deleted_only_with_its_name() {
    let mut state = full();
    press(&mut state, "3 j D");
    type_in(&mut state, "tes");
    assert_eq!(change(press(&mut state, "enter")), None);
    press(&mut state, "D");
    type_in(&mut state, "test");
    let Some(Change::Batches(names, BatchVerb::Delete(_))) = change(press(&mut state, "enter"))
    else {
        panic!("not deleted")
    };
    assert_eq!(names[0].as_str(), "test");
}

#[test]
fn an_event_changes_what_is_on_screen_before_anything_is_read() {
    let mut state = full();
    let event = Event::Task {
        id: TaskId(4),
        batch: "test".parse().unwrap(),
        state: TaskState::Running,
        execution: Some(crate::domain::ExecutionId(11)),
        left: None,
    };
    let effects =
        update(&mut state, later(1), Action::Stream(StreamNews::Events(vec![event.clone()])));
    let row = state.tasks.walk.row(1).unwrap();
    assert_eq!((row.id, row.state), (TaskId(4), TaskState::Running));
    let asks = |effects: &[Effect]| {
        effects.iter().filter(|e| matches!(e, Effect::Fetch(Fetch::TaskPage { .. }))).count()
    };
    assert_eq!(asks(&effects), 1);
    let again = update(&mut state, later(1), Action::Stream(StreamNews::Events(vec![event])));
    assert_eq!(asks(&again), 0, "never a second question before the answer");
}

#[test]
fn only_what_is_on_screen_is_asked_for() {
    let mut state = full();
    let lost = ClientError::Lost { address: "http://head".into(), cause: "reset".into() };
    reply(&mut state, Reply::Status(Err(lost)));
    press(&mut state, "4");
    let effects =
        update(&mut state, later(60), Action::Stream(StreamNews::Events(vec![Event::Reset])));
    let fetches: Vec<&Fetch> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Fetch(fetch) => Some(fetch),
            _ => None,
        })
        .collect();
    assert_eq!(fetches, [&Fetch::Status]);
}

#[test]
fn the_line_says_when_it_is_broken_and_the_data_how_old_it_is() {
    let mut state = full();
    let lost = ClientError::Lost { address: "http://head".into(), cause: "reset".into() };
    let _ = update(&mut state, later(1), Action::Stream(StreamNews::Down(lost.clone())));
    assert_eq!(state.connection.stream, Stream::Down);
    let _ = update(&mut state, later(13), Action::Reply(Box::new(Reply::Status(Err(lost)))));
    assert!(state.is_stale());
    assert!(crate::tui::testing::frame(&state).contains("reconnecting, stale 13 s"));
    let _ = update(&mut state, later(14), Action::Stream(StreamNews::Up));
    assert!(!state.is_stale());
    assert!(crate::tui::testing::frame(&state).contains("live"));
}

#[test]
fn a_refusal_is_told_with_the_words_of_the_server() {
    let mut state = full();
    let body = ErrorBody {
        code: ErrorCode::Forbidden,
        message: "this token may only read".into(),
        hint: Some("ask the administrator".into()),
        request_id: String::new(),
    };
    reply(&mut state, Reply::Status(Err(ClientError::Refused { body })));
    let shown = crate::tui::testing::frame(&state);
    assert!(shown.contains("this token may only read (ask the administrator)"), "{shown}");
    reply(&mut state, Reply::Changed(Err("task 5 has ended".into())));
    press(&mut state, "@");
    let shown = crate::tui::testing::frame(&state);
    assert!(shown.contains("task 5 has ended") && shown.contains("may only read"), "{shown}");
}

#[test]
fn one_comes_back_to_where_one_was() {
    let mut state = full();
    press(&mut state, "3 j enter");
    assert_eq!(state.screen, Screen::Tasks);
    assert_eq!(state.tasks.filter.text(), "batch:test");
    page(&mut state, vec![task(7)]);
    press(&mut state, "enter");
    assert_eq!((state.screen, state.detail.task), (Screen::Task, Some(TaskId(7))));
    let shown = crate::tui::testing::frame(&state);
    assert!(shown.contains("batches › tasks batch:test › task 7"), "{shown}");
    press(&mut state, "esc esc");
    assert_eq!(state.screen, Screen::Batches);
    press(&mut state, "1 t");
    assert_eq!(state.tasks.filter.text(), "worker:node1");
}

#[test]
fn the_command_line_jumps_filters_and_acts() {
    let mut state = full();
    let say = |state: &mut State, text: &str| {
        press(state, ":");
        type_in(state, text);
        press(state, "enter")
    };
    say(&mut state, "task 42");
    assert_eq!((state.screen, state.detail.task), (Screen::Task, Some(TaskId(42))));
    say(&mut state, "tasks state:failed");
    assert_eq!((state.screen, state.tasks.filter.text()), (Screen::Tasks, "state:failed"));
    say(&mut state, "sort -runtime");
    assert!(state.tasks.is_reversed);
    say(&mut state, "nonsense");
    let Some(Popup::Prompt(prompt)) = &state.popup else { panic!("no prompt") };
    assert_eq!(prompt.error.as_deref(), Some("`nonsense` is no command"));
    press(&mut state, "esc");
    assert!(say(&mut state, "q").contains(&Effect::Quit));
}

#[test]
fn an_edit_is_checked_before_it_is_sent() {
    let mut state = full();
    let detail: crate::api::task::TaskDetail = serde_json::from_value(serde_json::json!({
        "id": 1, "batch": "test", "state": "failed", "command": "sort x", "attempts": 1,
        "created_at": "2026-11-25T11:00:00Z", "state_since": "2026-11-25T11:00:00Z",
        "priority": 0, "revision": 4, "created_by": "admin",
        "spec": {"command": "sort x", "batch": "test"}, "retries_left": 0,
        "requirements": [], "dependents": [], "executions": [], "phases": []
    }))
    .unwrap();
    assert!(press(&mut state, "G e").iter().any(|effect| matches!(
        effect,
        Effect::Fetch(Fetch::Spec { task: TaskId(1), is_outside: false })
    )));
    reply(&mut state, Reply::Spec { task: TaskId(1), is_outside: false, result: Ok(detail) });
    type_in(&mut state, "colour = 1 #");
    assert_eq!(change(press(&mut state, "ctrl-s")), None);
    let shown = crate::tui::testing::frame(&state);
    assert!(shown.contains("unknown field `colour`"), "{shown}");
    for _ in 0..12 {
        press(&mut state, "backspace");
    }
    let Some(Change::EditTask { task, revision, running, ended, spec }) =
        change(press(&mut state, "ctrl-s"))
    else {
        panic!("not edited")
    };
    assert_eq!((task, revision), (TaskId(1), 4));
    assert_eq!((running, ended), (EditRunning::Refuse, EditEnded::Run));
    assert_eq!(spec.command.to_string(), "sort x");
}

#[test]
fn a_page_that_is_scrolled_to_is_asked_for_at_once() {
    let mut state = full();
    let generation = state.tasks.generation;
    state.tasks.restart(crate::tui::state::Direction::FromTop);
    let many: Vec<_> = (101..=200).rev().map(task).collect();
    let result = Ok((many, Some("101".to_owned())));
    let effects = reply(
        &mut state,
        Reply::TaskPage { generation: generation + 1, number: 0, cursor: None, result },
    );
    assert!(!effects.iter().any(|e| matches!(e, Effect::Fetch(Fetch::TaskPage { .. }))));
    let mut asked = Vec::new();
    for _ in 0..5 {
        asked.extend(press(&mut state, "pagedown"));
    }
    let next = asked.iter().find_map(|effect| match effect {
        Effect::Fetch(Fetch::TaskPage { number, cursor, .. }) => Some((*number, cursor.clone())),
        _ => None,
    });
    assert_eq!(next, Some((1, Some("101".to_owned()))));
}

fn click(state: &mut State, column: u16, row: u16) -> Vec<Effect> {
    use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
    let kind = MouseEventKind::Down(MouseButton::Left);
    let event = MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    let now = state.now;
    update(state, now, Action::Mouse(event))
}

#[test]
fn a_click_chooses_and_a_second_one_opens_a_heading_sorts_and_a_tab_filters() {
    let mut state = full();
    click(&mut state, 10, 5);
    assert_eq!(state.tasks.current().unwrap().id, TaskId(3));
    click(&mut state, 10, 5);
    assert_eq!((state.screen, state.detail.task), (Screen::Task, Some(TaskId(3))));
    press(&mut state, "esc");
    let heading = crate::tui::testing::frame(&state).lines().nth(2).unwrap().to_owned();
    let column = |name: &str| u16::try_from(heading.find(name).unwrap()).unwrap();
    click(&mut state, column("state"), 2);
    assert_eq!(state.tasks.sort, crate::api::task::TaskSort::State);
    click(&mut state, 1, 1);
    assert_eq!(state.tasks.filter.text(), "");
    let tabs = crate::tui::testing::frame(&state).lines().nth(1).unwrap().to_owned();
    let place = tabs.chars().position(|c| c == '●').unwrap();
    click(&mut state, u16::try_from(place + 1).unwrap(), 1);
    assert_eq!(state.tasks.filter.text(), "state:running");
    press(&mut state, "1");
    click(&mut state, 3, 2);
    assert!(state.workers.list.is_reversed, "the name was the order already");
    click(&mut state, 3, 4);
    assert_eq!(state.workers.list.current().unwrap().name, "node2");
}

/// The requests for output among effects.
fn output_requests(effects: &[Effect]) -> Vec<crate::tui::effect::OutputRequest> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Fetch(Fetch::Output(request)) => Some(*request),
            _ => None,
        })
        .collect()
}

#[test]
fn a_long_output_is_read_from_its_end_followed_and_read_upwards() {
    use crate::domain::execution::Stream as Output;
    use crate::tui::effect::{OutputFrom, OutputReply};
    let mut state = full();
    let opened = press(&mut state, "o");
    let asked = output_requests(&opened);
    assert!(asked.iter().all(|request| request.from == OutputFrom::End), "{asked:?}");
    let request = *asked.iter().find(|request| request.stream == Output::Stdout).unwrap();
    let text: String = (0..2_000).fold(String::new(), |text, line| format!("{text}line {line}\n"));
    let offset = 1_000_000_000;
    let size = offset + text.len() as u64;
    let piece = |text: &str, offset| OutputReply {
        offset,
        bytes: text.as_bytes().to_vec(),
        size,
        is_complete: false,
        times: Vec::new(),
    };
    let next = reply(&mut state, Reply::Output { request, result: Ok(piece(&text, offset)) });
    let next = output_requests(&next);
    assert_eq!(next.len(), 1, "only the end is waited for: {next:?}");
    assert_eq!(next[0].from, OutputFrom::Follow(size));
    let shown = crate::tui::testing::frame(&state);
    assert!(shown.contains("line 1999"), "{shown}");
    let more = OutputReply { size: size + 5, ..piece("more\n", size) };
    reply(&mut state, Reply::Output { request: next[0], result: Ok(more) });
    assert!(crate::tui::testing::frame(&state).contains("more"), "it follows");
    press(&mut state, "k");
    assert!(!state.log.as_ref().unwrap().follows, "scrolling up stops it");
    let top = press(&mut state, "g");
    let top = output_requests(&top);
    assert_eq!(top[0].from, OutputFrom::Offset(0), "the beginning is read in its place");
    let left = press(&mut state, "esc");
    assert!(left.contains(&Effect::CancelFollow));
}

#[test]
fn a_list_that_is_empty_is_read_again_when_a_task_appears() {
    let mut state = full();
    state.tasks.restart(crate::tui::state::Direction::FromTop);
    page(&mut state, Vec::new());
    let event = Event::Task {
        id: TaskId(9),
        batch: "test".parse().unwrap(),
        state: TaskState::Pending,
        execution: None,
        left: None,
    };
    let effects = update(&mut state, later(5), Action::Stream(StreamNews::Events(vec![event])));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Fetch(Fetch::TaskPage { .. }))));
}

#[test]
fn the_list_of_one_batch_follows_the_news_of_that_batch_alone() {
    let followed = |effects: Vec<Effect>| {
        let mut batches = effects.into_iter().filter_map(|effect| match effect {
            Effect::Follow(wanted) => Some(wanted.batch.map(|batch| batch.to_string())),
            _ => None,
        });
        batches.next()
    };
    let mut state = full();
    assert_eq!(followed(press(&mut state, "3 j")), None);
    assert_eq!(followed(press(&mut state, "enter")), Some(Some("test".to_owned())));
    assert_eq!(followed(press(&mut state, "j k")), None, "it is told once");
    assert_eq!(followed(press(&mut state, "esc")), Some(None), "other screens show all");
}

#[test]
fn escape_and_a_key_that_come_together_are_two_keys() {
    let mut state = full();
    press(&mut state, "?");
    press(&mut state, "alt-3");
    assert!(state.popup.is_none());
    assert_eq!(state.screen, Screen::Batches);
    press(&mut state, ": x alt-1");
    assert_eq!(state.screen, Screen::Workers);
}
