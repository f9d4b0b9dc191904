//! Edits of tasks, and moves to another batch.

use crate::api::link::{Report, ReportEvent, Verdict};
use crate::api::task::{EditEnded, EditRunning};
use crate::domain::TaskId;
use crate::domain::execution::{FailureClass, OutputSizes};
use crate::domain::task::TaskState;

use super::super::command::{NewTask, Received, TaskEdit};
use super::super::{Command, Effect, Refusal, Reply};
use super::bench::{Bench, new_task};

fn edit(bench: &mut Bench, id: TaskId, new: NewTask) -> Result<Reply, Refusal> {
    edit_how(bench, id, new, EditRunning::Refuse, EditEnded::Run)
}

fn edit_how(
    bench: &mut Bench,
    id: TaskId,
    new: NewTask,
    running: EditRunning,
    ended: EditEnded,
) -> Result<Reply, Refusal> {
    let edits = vec![TaskEdit { id, revision: None, new }];
    bench.apply(Command::EditTasks { edits, running, ended })
}

/// The agent of a task reports by a revision of the specification.
fn tell_by(bench: &mut Bench, task: TaskId, revision: u32, event: ReportEvent) {
    let (execution, worker) = (bench.execution(task), bench.worker_of(task));
    let report = Report { execution, task, revision, at: bench.now.wall, event };
    let reports = vec![Received { report, output: OutputSizes::default() }];
    let link = bench.link_of(worker);
    bench.apply(Command::Report { worker, link, reports }).unwrap();
}

fn edits_sent(bench: &Bench) -> Vec<u32> {
    let revision = |effect: &Effect| match effect {
        Effect::Edit { revision, .. } => Some(*revision),
        _ => None,
    };
    bench.effects.iter().filter_map(revision).collect()
}

#[test]
fn a_pending_task_is_edited_in_place() {
    let mut bench = Bench::new();
    let task = bench.create(0, &[]);
    edit(&mut bench, task, new_task("other", 2, &[])).unwrap();
    assert_eq!(bench.state(task), Some(TaskState::Pending));
    let edited = bench.state.tasks[&task];
    assert_eq!((edited.retries_left, edited.revision), (2, 1));
    assert_eq!(bench.state.batches[&edited.batch].name.as_str(), "other");
}

#[test]
fn an_edit_can_make_a_task_wait_and_let_it_go() {
    let mut bench = Bench::new();
    let (one, two) = (bench.create(0, &[]), bench.create(0, &[]));
    edit(&mut bench, two, new_task("Default", 0, &[one])).unwrap();
    assert_eq!(bench.state(two), Some(TaskState::Waiting));
    edit(&mut bench, two, new_task("Default", 0, &[])).unwrap();
    assert_eq!(bench.state(two), Some(TaskState::Pending));
}

#[test]
fn a_task_cannot_be_made_to_wait_for_itself() {
    let mut bench = Bench::new();
    let one = bench.create(0, &[]);
    let two = bench.create(0, &[one]);
    let three = bench.create(0, &[two]);
    let refused = edit(&mut bench, one, new_task("Default", 0, &[three]));
    assert_eq!(refused, Err(Refusal::Circle { task: one, by: three }));
    let refused = edit(&mut bench, one, new_task("Default", 0, &[one]));
    assert_eq!(refused, Err(Refusal::Circle { task: one, by: one }));
}

#[test]
fn an_edit_of_what_was_edited_since_is_refused() {
    let mut bench = Bench::new();
    let task = bench.create(0, &[]);
    edit(&mut bench, task, new_task("Default", 0, &[])).unwrap();
    let late = TaskEdit { id: task, revision: Some(0), new: new_task("Default", 0, &[]) };
    let refused = bench.apply(Command::EditTasks {
        edits: vec![late],
        running: EditRunning::Refuse,
        ended: EditEnded::Run,
    });
    assert_eq!(refused, Err(Refusal::EditedSince { task, revision: 1, given: 0 }));
}

#[test]
fn an_assigned_task_is_taken_back_and_given_out_with_its_new_specification() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    let first = bench.execution(task);
    edit(&mut bench, task, new_task("Default", 0, &[])).unwrap();
    assert_ne!(bench.execution(task), first);
    assert_eq!(bench.state.executions[&bench.execution(task)].row.revision, 1);
}

#[test]
fn the_agent_of_an_accepted_task_is_sent_the_edit() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.accept(task);
    let execution = bench.execution(task);
    edit(&mut bench, task, new_task("Default", 0, &[])).unwrap();
    assert_eq!(edits_sent(&bench), [1]);
    tell_by(&mut bench, task, 1, ReportEvent::Started);
    assert_eq!((bench.execution(task), bench.orders()), (execution, vec![]));
    assert_eq!(bench.state(task), Some(TaskState::Running));
}

#[test]
fn a_command_that_began_before_the_edit_reached_it_is_run_anew() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.accept(task);
    let execution = bench.execution(task);
    edit(&mut bench, task, new_task("Default", 0, &[])).unwrap();
    tell_by(&mut bench, task, 0, ReportEvent::Started);
    assert_eq!(bench.orders(), [(execution, Verdict::Cancelled)]);
    bench.finish(task, None);
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
    assert_ne!(bench.execution(task), execution);
}

#[test]
fn an_edit_that_the_agent_missed_is_sent_again_after_its_hello() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.accept(task);
    edit(&mut bench, task, new_task("Default", 0, &[])).unwrap();
    let held = vec![bench.held(task, false)];
    bench.greet("w", 1, 0, held);
    assert_eq!(edits_sent(&bench), [1]);
}

#[test]
fn an_accepted_task_that_must_wait_now_is_wanted_back_and_waits() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.accept(task);
    let required = bench.create(0, &[]);
    edit(&mut bench, task, new_task("Default", 0, &[required])).unwrap();
    bench.finish(task, Some(FailureClass::Cancelled));
    assert_eq!(bench.state(task), Some(TaskState::Waiting));
    bench.start(required);
    bench.finish(required, None);
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn what_is_required_may_be_met_while_the_old_execution_ends() {
    let mut bench = Bench::new();
    bench.connect("w", 2, 0);
    let task = bench.create(0, &[]);
    bench.accept(task);
    let required = bench.create(0, &[]);
    bench.start(required);
    edit(&mut bench, task, new_task("Default", 0, &[required])).unwrap();
    bench.finish(required, None);
    bench.finish(task, Some(FailureClass::Cancelled));
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
}

#[test]
fn a_running_task_is_edited_only_with_leave_to_run_it_anew() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    let new = new_task("Default", 0, &[]);
    assert_eq!(edit(&mut bench, task, new.clone()), Err(Refusal::Runs(task)));
    edit_how(&mut bench, task, new, EditRunning::Restart, EditEnded::Run).unwrap();
    bench.finish(task, Some(FailureClass::Signal));
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
    assert_eq!(bench.state.executions[&bench.execution(task)].row.revision, 1);
}

#[test]
fn an_ended_task_is_run_with_its_new_specification_or_only_keeps_it() {
    let mut bench = Bench::new();
    bench.connect("w", 1, 0);
    let task = bench.create(0, &[]);
    bench.start(task);
    bench.finish(task, Some(FailureClass::Exit));
    let new = new_task("Default", 0, &[]);
    edit_how(&mut bench, task, new.clone(), EditRunning::Refuse, EditEnded::Keep).unwrap();
    assert_eq!(bench.state(task), Some(TaskState::Failed));
    assert_eq!(bench.failure(task), Some(FailureClass::Exit), "why it failed is not forgotten");
    edit(&mut bench, task, new).unwrap();
    assert_eq!(bench.state(task), Some(TaskState::Assigned));
    assert_eq!(bench.state.tasks[&task].revision, 2);
}

#[test]
fn a_moved_task_is_run_by_the_workers_of_its_new_batch() {
    let mut bench = Bench::new();
    bench.connect("w", 2, 0);
    let (assigned, running) = (bench.create(0, &[]), bench.create(0, &[]));
    bench.start(running);
    let batch: crate::domain::BatchName = "other".parse().unwrap();
    let tasks = vec![assigned, running];
    bench.apply(Command::MoveTasks { tasks, batch: batch.clone() }).unwrap();
    assert_eq!(bench.state(assigned), Some(TaskState::Pending));
    assert_eq!(bench.state(running), Some(TaskState::Running), "what runs is brought to its end");
    let counters = bench.state.find_batch(&batch).unwrap().counters;
    assert_eq!(counters.get(TaskState::Running), 1);
    bench.finish(running, None);
    assert_eq!(bench.state(running), Some(TaskState::Succeeded));
}
