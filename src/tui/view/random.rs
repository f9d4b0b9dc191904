//! Random keys, events, answers and sizes: whatever happens, there is a frame.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use proptest::prelude::*;

use crate::api::ClientError;
use crate::api::event::Event;
use crate::api::hiring::{FlavorList, JobList, JobLog, RecruiterList};
use crate::api::task::TaskView;
use crate::api::worker::WorkerList;
use crate::domain::task::TaskState;
use crate::domain::worker::WorkerState;
use crate::domain::{ExecutionId, TaskId, Timestamp, WorkerId};
use crate::tui::effect::{Action, Effect, Fetch, OutputReply, Reply, StreamNews};
use crate::tui::keymap::Key;
use crate::tui::state::{State, Tails};
use crate::tui::testing::{batch, flavors, frame, jobs, later, recruiters, state, task, worker};
use crate::tui::update::update;

#[derive(Debug, Clone)]
enum Step {
    Key(KeyCode, KeyModifiers),
    Paste(String),
    Resize(u16, u16),
    Click(u16, u16),
    Wheel,
    Event(Event),
    Down,
    Up,
    /// The oldest question is answered so.
    Answer(Answer),
}

#[derive(Debug, Clone, Copy)]
enum Answer {
    Well,
    Broken,
}

fn step() -> impl Strategy<Value = Step> {
    let letter = prop::char::ranges(vec![' '..='~', '\u{300}'..='\u{302}', '日'..='本'].into());
    let code = prop_oneof![
        8 => letter.prop_map(KeyCode::Char),
        1 => Just(KeyCode::Enter),
        2 => Just(KeyCode::Esc),
        1 => Just(KeyCode::Tab),
        1 => Just(KeyCode::Backspace),
        1 => Just(KeyCode::Up),
        1 => Just(KeyCode::Down),
        1 => Just(KeyCode::PageDown),
        1 => Just(KeyCode::End),
        1 => Just(KeyCode::Delete),
    ];
    let modifiers = prop_oneof![
        9 => Just(KeyModifiers::NONE),
        1 => Just(KeyModifiers::CONTROL),
    ];
    let states = prop::sample::select(vec![
        TaskState::Pending,
        TaskState::Running,
        TaskState::Paused,
        TaskState::Failed,
    ]);
    let event = prop_oneof![
        (0..30_u64, states).prop_map(|(id, state)| Event::Task {
            id: TaskId(id),
            batch: "test".parse().unwrap(),
            state,
            execution: Some(ExecutionId(id)),
            left: None,
        }),
        (0..30_u64)
            .prop_map(|id| Event::TaskDeleted { id: TaskId(id), batch: "test".parse().unwrap() }),
        Just(Event::Worker {
            id: WorkerId(1),
            batch: "test".parse().unwrap(),
            state: WorkerState::Offline
        }),
        Just(Event::Reset),
    ];
    prop_oneof![
        20 => (code, modifiers).prop_map(|(code, modifiers)| Step::Key(code, modifiers)),
        1 => ".{0,12}".prop_map(Step::Paste),
        1 => (0..140_u16, 0..50_u16).prop_map(|(width, height)| Step::Resize(width, height)),
        2 => (0..140_u16, 0..50_u16).prop_map(|(x, y)| Step::Click(x, y)),
        1 => Just(Step::Wheel),
        4 => event.prop_map(Step::Event),
        1 => Just(Step::Down),
        1 => Just(Step::Up),
        12 => Just(Step::Answer(Answer::Well)),
        1 => Just(Step::Answer(Answer::Broken)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_there_is_a_frame(steps in prop::collection::vec(step(), 1..150)) {
        let mut state = state(80, 24);
        let mut open: Vec<Fetch> = Vec::new();
        let mut seconds = 0;
        for step in steps {
            seconds += 1;
            if let Some(action) = action_of(&state, step, &mut open) {
                for effect in update(&mut state, later(seconds), action) {
                    match effect {
                        Effect::Fetch(fetch) => open.push(fetch),
                        Effect::Quit => return Ok(()),
                        _ => {}
                    }
                }
            }
            let lines = frame(&state);
            prop_assert!(!lines.contains('\u{1b}'), "an escape is on the screen");
        }
    }
}

fn action_of(state: &State, step: Step, open: &mut Vec<Fetch>) -> Option<Action> {
    Some(match step {
        Step::Key(code, modifiers) => {
            let event = KeyEvent::new(code, modifiers);
            Action::Key(Key::of(event), event)
        }
        Step::Paste(text) => Action::Paste(text),
        Step::Resize(width, height) => Action::Resize(width, height),
        Step::Click(column, row) => mouse(MouseEventKind::Down(MouseButton::Left), column, row),
        Step::Wheel => mouse(MouseEventKind::ScrollDown, 1, 5),
        Step::Event(event) => Action::Stream(StreamNews::Events(vec![event])),
        Step::Up => Action::Stream(StreamNews::Up),
        Step::Down => Action::Stream(StreamNews::Down(lost())),
        Step::Answer(answer) => {
            if open.is_empty() {
                return None;
            }
            Action::Reply(Box::new(reply_to(state, open.remove(0), answer)))
        }
    })
}

const fn mouse(kind: MouseEventKind, column: u16, row: u16) -> Action {
    Action::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
}

fn lost() -> ClientError {
    ClientError::Lost { address: "http://head".to_owned(), cause: "\u{1b}[31mreset".to_owned() }
}

fn rows(from: u64) -> Vec<TaskView> {
    let mut rows: Vec<TaskView> = (from..from + 20).rev().map(task).collect();
    for row in &mut rows {
        row.execution = Some(ExecutionId(row.id.0));
        row.name = Some(format!("\u{1b}]0;x\u{7}{}", "日".repeat(40)));
    }
    rows
}

/// What the server would say.
fn reply_to(state: &State, fetch: Fetch, answer: Answer) -> Reply {
    let is_well = matches!(answer, Answer::Well);
    let or_lost = || lost();
    match fetch {
        Fetch::Workers if is_well => Reply::Workers(Ok(WorkerList {
            workers: vec![worker(1, "node1"), worker(2, "\u{9b}5m日本")],
        })),
        Fetch::Workers => Reply::Workers(Err(or_lost())),
        Fetch::Batches => Reply::Batches(if is_well {
            let batches = vec![batch("test", &[("failed", 3)]), batch("b", &[])];
            Ok(crate::api::batch::BatchList { batches })
        } else {
            Err(or_lost())
        }),
        Fetch::TaskPage { generation, number, cursor, .. } => {
            let from = cursor.as_ref().and_then(|cursor| cursor.parse().ok()).unwrap_or(1_000_u64);
            let next = (number < 8).then(|| from.saturating_sub(20).to_string());
            let result = if is_well { Ok((rows(from), next)) } else { Err(or_lost()) };
            Reply::TaskPage { generation, number, cursor, result }
        }
        Fetch::Tails { executions } => {
            let tail = |(id, is_final): &(ExecutionId, bool)| {
                (*id, Tails { stdout: "x".into(), stderr: String::new(), is_final: *is_final })
            };
            Reply::Tails(Ok(executions.iter().map(tail).collect()))
        }
        Fetch::Output(request) => {
            let bytes = b"\x1b[31mred\x1b[2J\r\n\xff\0 one two three\n".repeat(40);
            let size = bytes.len() as u64;
            let times = vec![(0, Timestamp(7)), (90, Timestamp(9))];
            let reply = OutputReply { offset: 0, bytes, size, is_complete: is_well, times };
            Reply::Output { request, result: Ok(reply) }
        }
        Fetch::Counts { generation, .. } => {
            let counts = state.server.as_ref().map(|server| server.tasks.clone());
            Reply::Counts { generation, result: Ok(counts.unwrap_or_default()) }
        }
        Fetch::Samples { worker } => Reply::Samples { worker, result: Err(or_lost()) },
        Fetch::Failures => {
            Reply::Failures(Ok(rows(1).into_iter().map(|t| (t, "\u{1b}".into())).collect()))
        }
        Fetch::Latest { workers } => {
            Reply::Latest(Ok(workers.into_iter().map(|worker| (worker, (1, 2))).collect()))
        }
        Fetch::Jobs if is_well => Reply::Jobs(Ok(JobList { jobs: jobs() })),
        Fetch::Jobs => Reply::Jobs(Err(or_lost())),
        Fetch::Recruiters => Reply::Recruiters(Ok(RecruiterList { recruiters: recruiters() })),
        Fetch::Flavors => {
            let (fitting, known) = (4, 4);
            let list = FlavorList { flavors: flavors(), fitting, known, why_none: None };
            Reply::Flavors(Ok(list))
        }
        Fetch::JobLog { job, offset } => {
            let text = "\u{1b}[31mred\n日本\n".repeat(30);
            let log = JobLog { text, next: offset + 500, complete: is_well };
            Reply::JobLog { job, offset, result: Ok(log) }
        }
        Fetch::Files { task, .. } => Reply::Files { task, result: Err("\u{1b}".into()) },
        Fetch::Status => Reply::Status(Err(or_lost())),
        Fetch::Detail { task } => Reply::Detail { task, result: Err(or_lost()) },
        Fetch::Spec { task, is_outside } => {
            Reply::Spec { task, is_outside, result: Err(or_lost()) }
        }
    }
}
