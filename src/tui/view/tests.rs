//! Every screen and everything that lies over one, as text, in three sizes.

use std::collections::BTreeMap;

use crate::api::ClientError;
use crate::api::batch::BatchList;
use crate::api::glance::{WorkerSample, WorkerSamples};
use crate::api::hiring::{JobList, JobLog, RecruiterList};
use crate::api::server::ServerStatus;
use crate::api::task::{TaskDetail, TaskView};
use crate::api::worker::WorkerList;
use crate::domain::execution::Stream;
use crate::domain::task::TaskState;
use crate::domain::worker::WorkerState;
use crate::domain::{ExecutionId, JobId, TaskId, Timestamp};
use crate::tui::effect::{Action, OutputFrom, OutputReply, OutputRequest, Reply, StreamNews};
use crate::tui::state::{OutputFiles, Popup, State, Tails};
use crate::tui::testing::{batch, frame, later, now, press, state, task, type_in, worker};
use crate::tui::update::update;

const SIZES: [(u16, u16); 3] = [(80, 24), (120, 40), (50, 15)];

/// Names that do harm where nobody takes care.
fn wild_names() -> [String; 5] {
    [
        "配列アライメント".to_owned(),
        "e\u{301}tude de Zo\u{308}e".to_owned(),
        "\u{1b}[31mred\u{7}\nline".to_owned(),
        "x".repeat(300),
        "👩\u{200d}🔬 \u{202e}abc".to_owned(),
    ]
}

fn reply(state: &mut State, reply: Reply) {
    let now = state.now;
    let _ = update(state, now, Action::Reply(Box::new(reply)));
}

fn status(counts: &[(TaskState, u64)]) -> ServerStatus {
    let mut tasks: BTreeMap<TaskState, u64> =
        <TaskState as strum::IntoEnumIterator>::iter().map(|state| (state, 0)).collect();
    tasks.extend(counts.iter().copied());
    ServerStatus {
        version: "2.0.0".to_owned(),
        store: crate::domain::StoreId("s".to_owned()),
        epoch: crate::domain::Epoch(0),
        started_at: now().wall,
        now: now().wall,
        tasks,
        workers: BTreeMap::from([(WorkerState::Running, 3)]),
        batches: 2,
        database_bytes: 5 << 20,
        output_bytes: 3 << 30,
        disk_free_bytes: 700 << 30,
        disk_total_bytes: 900 << 30,
        disk_days_left: None,
        retain_output_seconds: None,
        retain_finished_seconds: None,
        shortage: None,
        commit_failure: None,
    }
}

fn tasks() -> Vec<TaskView> {
    use strum::IntoEnumIterator;
    let states = TaskState::iter().cycle();
    let names = wild_names();
    let mut tasks: Vec<TaskView> = (1..=18).rev().map(task).collect();
    for (number, (task, state)) in tasks.iter_mut().zip(states).enumerate() {
        task.state = state;
        if let Some(name) = names.get(number) {
            task.name = Some(name.clone());
            task.command = format!("echo {name}");
        }
        if state.may_be_active() || state.is_final() {
            task.execution = Some(ExecutionId(100 + number as u64));
            task.worker_name = Some("node2".to_owned());
            task.started_at = Some(Timestamp(now().wall.0 - 754_000_000));
        }
        if state.is_final() {
            task.finished_at = Some(Timestamp(now().wall.0 - 54_000_000));
        }
        if state == TaskState::Failed {
            task.exit_code = Some(3);
            task.failure = Some(crate::domain::execution::FailureClass::Exit);
            task.failure_reason = Some("exit code 3".to_owned());
        }
    }
    tasks
}

fn empty(size: (u16, u16)) -> State {
    let mut state = state(size.0, size.1);
    let _ = update(&mut state, now(), Action::Stream(StreamNews::Up));
    reply(&mut state, Reply::Status(Ok(status(&[]))));
    reply(&mut state, Reply::Workers(Ok(WorkerList { workers: Vec::new() })));
    reply(&mut state, Reply::Batches(Ok(BatchList { batches: Vec::new() })));
    let generation = state.tasks.generation;
    let page =
        Reply::TaskPage { generation, number: 0, cursor: None, result: Ok((Vec::new(), None)) };
    reply(&mut state, page);
    reply(&mut state, Reply::Failures(Ok(Vec::new())));
    reply(&mut state, Reply::Jobs(Ok(JobList { jobs: Vec::new() })));
    reply(&mut state, Reply::Recruiters(Ok(RecruiterList { recruiters: Vec::new() })));
    state
}

fn busy(size: (u16, u16)) -> State {
    let mut state = empty(size);
    let counts = [
        (TaskState::Waiting, 12),
        (TaskState::Pending, 1_204_331),
        (TaskState::Running, 6),
        (TaskState::Succeeded, 98_765),
        (TaskState::Failed, 41),
    ];
    reply(&mut state, Reply::Status(Ok(status(&counts))));
    let mut workers = vec![worker(1, "node1"), worker(2, "node2"), worker(10, "node10")];
    workers[1].state = WorkerState::Offline;
    workers[1].stats = None;
    workers[2].state = WorkerState::Evicted;
    for (number, name) in wild_names().into_iter().enumerate() {
        let mut worker = worker(20 + number as u64, &name);
        worker.state = WorkerState::Paused;
        workers.push(worker);
    }
    reply(&mut state, Reply::Workers(Ok(WorkerList { workers })));
    let mut batches = vec![
        batch(
            "test",
            &[("pending", 1_204_331), ("running", 6), ("failed", 41), ("succeeded", 98_765)],
        ),
        batch("Default", &[]),
        batch("配列アライメント", &[("waiting", 12), ("paused", 1)]),
    ];
    batches[2].pause = crate::domain::batch::BatchPause::Tasks;
    batches[1].runtime = None;
    batches[1].remaining_seconds = None;
    reply(&mut state, Reply::Batches(Ok(BatchList { batches })));
    let generation = state.tasks.generation;
    let result = Ok((tasks(), Some("1".to_owned())));
    reply(&mut state, Reply::TaskPage { generation, number: 0, cursor: None, result });
    let tail =
        |text: &str| Tails { stdout: text.into(), stderr: "warning: x".into(), is_final: false };
    let tails = (100..118).map(|id| (ExecutionId(id), tail("chromosome 7 of 22"))).collect();
    reply(&mut state, Reply::Tails(Ok(tails)));
    let mut failed = task(9);
    failed.state = TaskState::Failed;
    failed.failure = Some(crate::domain::execution::FailureClass::Oom);
    let failures = vec![(failed, "Killed\u{1b}[0m".to_owned())];
    reply(&mut state, Reply::Failures(Ok(failures)));
    let jobs = crate::tui::testing::jobs();
    reply(&mut state, Reply::Jobs(Ok(JobList { jobs })));
    let recruiters = crate::tui::testing::recruiters();
    reply(&mut state, Reply::Recruiters(Ok(RecruiterList { recruiters })));
    state
}

fn broken(size: (u16, u16)) -> State {
    let mut state = busy(size);
    let lost = ClientError::Unreachable {
        address: "http://127.0.0.1:5000".to_owned(),
        cause: "connection refused".to_owned(),
    };
    let _ = update(&mut state, now(), Action::Stream(StreamNews::Down(lost)));
    state.now = later(42);
    state
}

fn detail() -> TaskDetail {
    serde_json::from_value(serde_json::json!({
        "id": 17, "batch": "test", "state": "waiting", "name": "配列", "attempts": 2,
        "command": "sh -c 'for i in 1 2 3; do\n  echo $i\ndone' \u{1b}[31m", "worker_name": "node2",
        "created_at": "2026-11-25T11:00:00Z", "state_since": "2026-11-25T11:30:00Z",
        "priority": 5, "revision": 1, "created_by": "admin", "execution": 12,
        "spec": {"command": "x", "retry": 2, "priority": 5, "env": {"A": "1"},
            "input": ["s3://bucket/a", "s3://bucket/b"], "output": "s3://bucket/out/"},
        "retries_left": 1, "why": "blocked: waits for task 3 (failed)",
        "requirements": [{"id": 3, "state": "failed", "until": "success",
            "state_since": "2026-11-25T11:30:00Z"}],
        "dependents": [{"id": 40, "state": "waiting", "until": "end",
            "state_since": "2026-11-25T11:30:00Z"}],
        "phases": [{"phase": "queued", "from": "2026-11-25T11:00:00Z",
            "until": "2026-11-25T11:10:00Z"},
            {"phase": "running", "from": "2026-11-25T11:10:00Z"}],
        "executions": [
            {"id": 12, "task": 17, "attempt": 2, "worker_name": "node2", "state": "failed",
             "assigned_at": "2026-11-25T11:10:00Z", "accepted_at": "2026-11-25T11:10:01Z",
             "started_at": "2026-11-25T11:11:00Z", "ended_at": "2026-11-25T11:20:00Z",
             "finished_at": "2026-11-25T11:20:02Z",
             "outcome": {"failure": {"class": "exit", "reason": "exit code 3"}, "exit_code": 3,
                "usage": {"user_seconds": 61.0, "system_seconds": 2.5, "peak_memory_bytes": 1_u64 << 31}},
             "output": {"stdout": 12, "stderr": 5_000_000}},
            {"id": 11, "task": 17, "attempt": 1, "worker_name": "node1", "state": "refused",
             "assigned_at": "2026-11-25T11:05:00Z", "output": {"stdout": 0, "stderr": 0}}
        ]
    }))
    .unwrap()
}

fn with_detail(size: (u16, u16)) -> State {
    let mut state = busy(size);
    press(&mut state, "2 j enter");
    let task = TaskId(17);
    state.detail.task = Some(task);
    reply(&mut state, Reply::Detail { task, result: Ok(detail()) });
    state
}

fn with_output(size: (u16, u16)) -> State {
    let mut state = busy(size);
    press(&mut state, "2 j j j j o");
    give_output(&mut state);
    state
}

/// The answers to what the log view asks for.
fn give_output(state: &mut State) {
    let log = state.log.as_ref().unwrap();
    let execution = log.execution;
    let epochs = [log.stdout.epoch, log.stderr.epoch];
    let written = format!(
        "One\nTwo\n\x1b[32mgreen\x1b[0m and \0 and \u{fffd}\n10%\r100%\n{}\n",
        "y".repeat(200)
    );
    let at = |seconds: i64| Timestamp(now().wall.0 - 100_000_000 + seconds * 1_000_000);
    let streams = [
        (Stream::Stdout, written.as_str(), vec![(0, at(0)), (4, at(20)), (8, at(60))]),
        (Stream::Stderr, "sh: 1: eco: not found\n", vec![(0, at(30))]),
    ];
    for ((stream, text, times), epoch) in streams.into_iter().zip(epochs) {
        let from = OutputFrom::End;
        let request = OutputRequest { execution, stream, from, limit: 1, with_times: true, epoch };
        let bytes = text.as_bytes().to_vec();
        let size = bytes.len() as u64;
        let piece = OutputReply { offset: 0, bytes, size, is_complete: false, times };
        reply(state, Reply::Output { request, result: Ok(piece) });
    }
}

/// A snapshot of the state in each size.
fn snap(name: &str, build: impl Fn((u16, u16)) -> State) {
    for size in SIZES {
        let text = frame(&build(size));
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), text);
        });
    }
}

#[test]
fn each_list_and_overview() {
    let screens = [
        ("workers", "1"),
        ("tasks", "2"),
        ("batches", "3"),
        ("jobs", "4"),
        ("recruiters", "5"),
        ("overview", "6"),
    ];
    for (name, key) in screens {
        let on = |build: fn((u16, u16)) -> State| {
            move |size| {
                let mut state = build(size);
                press(&mut state, key);
                state
            }
        };
        snap(&format!("{name}_empty"), on(empty));
        snap(&format!("{name}_busy"), on(busy));
        snap(&format!("{name}_disconnected"), on(broken));
    }
}

#[test]
fn latest_executions_only_are_counted_on_demand() {
    snap("workers_latest_executions", |size| {
        let mut state = busy(size);
        press(&mut state, "1 A");
        let counts = BTreeMap::from([(crate::domain::WorkerId(1), (118, 0))]);
        reply(&mut state, Reply::Latest(Ok(counts)));
        state
    });
}

#[test]
fn before_anything_is_known() {
    snap("first_frame", |size| state(size.0, size.1));
}

#[test]
fn all_about_one_task() {
    snap("task_busy", with_detail);
    snap("task_with_output_files", |size| {
        let mut state = with_detail(size);
        let mut detail = detail();
        detail.task.state = TaskState::Succeeded;
        detail.why = None;
        reply(&mut state, Reply::Detail { task: TaskId(17), result: Ok(detail) });
        let some =
            vec![("clean/\u{1b}a.fq.gz".to_owned(), Some(3 << 30)), ("log".to_owned(), None)];
        let files = OutputFiles { some, count: 1_402, bytes: 5 << 40 };
        reply(&mut state, Reply::Files { task: TaskId(17), result: Ok(files) });
        press(&mut state, "pagedown");
        state
    });
    snap("task_in_error", |size| {
        let mut state = busy(size);
        press(&mut state, ": t a s k space 9 9 enter");
        let error = ClientError::Refused {
            body: crate::api::ErrorBody {
                code: crate::api::ErrorCode::NotFound,
                message: "task 99 does not exist".to_owned(),
                hint: None,
                request_id: String::new(),
            },
        };
        reply(&mut state, Reply::Detail { task: TaskId(99), result: Err(error) });
        state
    });
}

#[test]
fn what_a_command_wrote() {
    snap("output_busy", with_output);
    snap("output_one_stream_cut", |size| {
        let mut state = with_output(size);
        press(&mut state, "tab w right");
        state
    });
    snap("output_with_times", |size| {
        let mut state = with_output(size);
        press(&mut state, "T");
        give_output(&mut state);
        state
    });
    snap("output_of_both_as_one", |size| {
        let mut state = with_output(size);
        press(&mut state, "tab tab tab T");
        give_output(&mut state);
        press(&mut state, "/ n o t enter");
        state
    });
}

#[test]
fn whatever_lies_over_a_screen() {
    let over = |keys: &'static str, text: &'static str| {
        move |size| {
            let mut state = busy(size);
            press(&mut state, keys);
            type_in(&mut state, text);
            state
        }
    };
    snap("popup_question", over("2 j j j j K", ""));
    snap("popup_question_with_word", over("3 j j D", "te"));
    snap("popup_filter", over("2 /", "state:runing"));
    snap("popup_batch_of_worker", over("1 b ctrl-u", "te"));
    snap("popup_command_line", over("2 :", "ta"));
    snap("popup_signals", over("2 j j j j !", ""));
    snap("popup_sort", over("1 s", ""));
    snap("popup_help", over("2 ?", ""));
    snap("popup_help_narrowed", over("2 ?", "mark"));
    snap("popup_recruit", over("1 n", "auto:cores>=8"));
    snap("popup_recruit_refused", |size| {
        let mut state = over("1 n", "auto:cores>=8")(size);
        press(&mut state, "enter");
        state
    });
    snap("popup_recruit_with_flavors", |size| {
        let mut state = busy(size);
        state.flavors = crate::tui::testing::flavors();
        press(&mut state, "1 n");
        type_in(&mut state, "auto:cpu>=2");
        press(&mut state, "tab ctrl-u ctrl-n tab tab tab ctrl-u 3 backtab");
        state
    });
    snap("popup_job_log", |size| {
        let mut state = busy(size);
        press(&mut state, "4 j j enter");
        let text = "2026-11-25T11:58:00  create lab-node2\n2026-11-25T11:58:01  waiting\n";
        let log = JobLog { text: text.to_owned(), next: 80, complete: true };
        reply(&mut state, Reply::JobLog { job: JobId(2), offset: 0, result: Ok(log) });
        state
    });
    snap("popup_history", |size| {
        let mut state = busy(size);
        reply(&mut state, Reply::Changed(Ok("relaunched task 7".to_owned())));
        reply(&mut state, Reply::Changed(Err("task 8 has\u{1b}[2J ended".to_owned())));
        press(&mut state, "@");
        state
    });
    snap("popup_editor", |size| {
        let mut state = with_detail(size);
        let task = TaskId(17);
        reply(&mut state, Reply::Spec { task, is_outside: false, result: Ok(detail()) });
        type_in(&mut state, "x");
        press(&mut state, "ctrl-s");
        state
    });
    snap("popup_charts", |size| {
        let mut state = busy(size);
        press(&mut state, "1 i");
        let samples = (0..60).map(|minute| WorkerSample {
            at: Timestamp(minute * 60_000_000),
            cpu_percent: f64::from(u32::try_from(minute).unwrap()) * 1.6,
            iowait_percent: 3.0,
            memory_percent: 50.0,
            disk_percent: 92.5,
            disk_bytes_per_second: 1e6,
            network_bytes_per_second: 0.0,
        });
        let samples = WorkerSamples { samples: samples.collect() };
        let Some(Popup::Charts { worker, .. }) = state.popup else { panic!("no charts") };
        reply(&mut state, Reply::Samples { worker, result: Ok(samples) });
        state
    });
}

#[test]
fn a_toast_and_marks_are_on_the_line_above_the_keys() {
    snap("toast", |size| {
        let mut state = busy(size);
        reply(&mut state, Reply::Changed(Err("the disk is full".to_owned())));
        state
    });
    snap("marks", |size| {
        let mut state = busy(size);
        press(&mut state, "2 space space v j");
        state
    });
}

#[test]
fn a_terminal_of_any_size_is_drawn() {
    let mut state = busy((80, 24));
    for (width, height) in [(10, 3), (1, 1), (0, 0), (20, 6), (300, 100), (80, 24)] {
        let now = state.now;
        let _ = update(&mut state, now, Action::Resize(width, height));
        for key in ["1", "2", "3", "4", "5", "6", "?", "esc"] {
            press(&mut state, key);
            frame(&state);
        }
    }
    assert!(frame(&state).contains("6 overview"));
}

#[test]
fn a_plain_terminal_gets_plain_letters_only() {
    let mut state = busy((80, 24));
    state.theme.letters = crate::tui::theme::Letters::Ascii;
    press(&mut state, "2");
    let text = frame(&state);
    assert!(text.is_ascii(), "{text}");
    assert!(text.contains("* running") && text.contains("x failed"), "{text}");
}
