//! Task lists and counts, against a list that is filtered and sorted in memory.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;
use rusqlite::{Connection, params};
use strum::IntoEnumIterator;

use super::super::task_cursor::{Direction, Order, Position, SortKey};
use super::super::task_filter::TaskFilter;
use super::super::task_list::{self, TaskQuery};
use super::super::{connection, migrations, task_failure};
use crate::api::task::{CountTasks, TaskSort};
use crate::domain::filter::{Filter, Subject};
use crate::domain::task::TaskState;
use crate::domain::{TaskId, Timestamp, WorkerId};

const NOW: i64 = 1_000;
const BATCHES: [&str; 3] = ["qc", "align", "gone"];
const NAMES: [&str; 6] = ["a", "ab", "a*b", "sample1", "sample2", "é[x"];
const COMMANDS: [&str; 3] = ["echo one", "echo 'two 2'", "true"];

/// A task of the model.
#[derive(Debug, Clone)]
struct Row {
    batch: u32,
    state: TaskState,
    since: i64,
    hidden: bool,
    name: Option<&'static str>,
    command: usize,
    priority: i64,
    tag: Option<&'static str>,
    worker: Option<u32>,
    started: Option<i64>,
    ended: Option<i64>,
}

fn row() -> impl Strategy<Value = Row> {
    let states: Vec<TaskState> = TaskState::iter().collect();
    let first = (0..3_u32, select(states), 0..9_i64, prop::bool::weighted(0.1));
    let second = (prop::option::of(select(NAMES.to_vec())), 0..3_usize, -1..2_i64);
    let third = (
        prop::option::of(select(vec!["x", "y"])),
        prop::option::of(1..4_u32),
        prop::option::of(0..5_i64),
        prop::option::of(5..9_i64),
    );
    (first, second, third).prop_map(|(first, second, third)| {
        let (batch, state, since, hidden) = first;
        let (name, command, priority) = second;
        let (tag, worker, started, ended) = third;
        let started = worker.and(started);
        let ended = started.and(ended);
        Row { batch, state, since, hidden, name, command, priority, tag, worker, started, ended }
    })
}

fn store(rows: &[Row]) -> (tempfile::TempDir, Connection) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("scitq.db");
    let mut writer = connection::open_writer(&path).unwrap();
    migrations::migrate(&mut writer, &path).unwrap();
    let transaction = writer.transaction().unwrap();
    for (number, name) in BATCHES.iter().enumerate() {
        let in_batch = |state| {
            let fits =
                |row: &&Row| row.batch as usize == number && row.state == state && !row.hidden;
            rows.iter().filter(fits).count()
        };
        let counts: Vec<String> =
            TaskState::iter().map(|state| in_batch(state).to_string()).collect();
        let deleted = i32::from(*name == "gone");
        let sql = format!(
            "INSERT INTO batch (id, name, {}, deleted) VALUES ({number}, '{name}', {}, {deleted})",
            TaskState::iter().map(|state| state.to_string()).collect::<Vec<_>>().join(", "),
            counts.join(", ")
        );
        transaction.execute(&sql, []).unwrap();
    }
    for (id, row) in (1_i64..).zip(rows) {
        let command: serde_json::Value = match row.command {
            0 => "echo one".into(),
            1 => vec!["echo", "two 2"].into(),
            _ => vec!["true"].into(),
        };
        let spec = serde_json::json!({ "command": command }).to_string();
        let execution = row.worker.map(|_| 1_000 - id);
        transaction
            .execute(
                "INSERT INTO task (id, batch, state, state_since, execution, attempts, retries_left,
                     losses, hidden, created_at, created_by, name, spec, priority)
                 VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, ?6, 0, 'test', ?7, ?8, ?9)",
                params![id, row.batch, row.state.to_string(), row.since, execution, row.hidden, row.name, spec, row.priority],
            )
            .unwrap();
        if let Some(tag) = row.tag {
            transaction.execute("INSERT INTO tag VALUES ('kind', ?1, ?2)", (tag, id)).unwrap();
        }
        // An execution of the past on another worker, and the latest.
        for (execution, worker) in [(Some(2_000 + id), Some(3)), (execution, row.worker)] {
            let (Some(execution), Some(worker)) = (execution, worker) else { continue };
            transaction
                .execute(
                    "INSERT INTO execution (id, task, attempt, worker, worker_name, state,
                         assigned_at, started_at, ended_at, stdout_bytes, stderr_bytes)
                     VALUES (?1, ?2, 1, ?3, ?4, 'running', 0, ?5, ?6, 0, 0)",
                    params![
                        execution,
                        id,
                        worker,
                        format!("w{}", worker % 2),
                        row.started,
                        row.ended
                    ],
                )
                .unwrap();
        }
    }
    transaction.commit().unwrap();
    (directory, connection::open_reader(&path).unwrap())
}

fn fits(row: &Row, query: &CountTasks, states: &[TaskState]) -> bool {
    let name_fits = match query.name.as_deref() {
        None => true,
        Some("sample*") => row.name.is_some_and(|name| name.starts_with("sample")),
        Some("a[*]b") => row.name == Some("a*b"),
        Some("?") => row.name.is_some_and(|name| name.chars().count() == 1),
        Some("*[[]x") => row.name == Some("é[x"),
        Some(name) => row.name == Some(name),
    };
    let tag_fits = match query.tag.as_deref() {
        None => true,
        Some("kind") => row.tag.is_some(),
        Some(tag) => row.tag.is_some_and(|value| tag == format!("kind={value}")),
    };
    !row.hidden
        && BATCHES[row.batch as usize] != "gone"
        && (states.is_empty() || states.contains(&row.state))
        && query.batch.as_ref().is_none_or(|batch| batch.as_str() == BATCHES[row.batch as usize])
        && name_fits
        && query.command.as_ref().is_none_or(|text| COMMANDS[row.command].contains(text.as_str()))
        && tag_fits
        && query.worker.is_none_or(|worker| row.worker.map(u64::from) == Some(worker.0))
        && query.since_before.is_none_or(|date| row.since < date.0)
        && query.filter.as_ref().is_none_or(|words| {
            let worker = row.worker.map(|worker| format!("w{}", worker % 2));
            Filter::parse(words).unwrap().fits(&Subject {
                name: row.name.unwrap_or_default(),
                state: row.state.into(),
                batch: BATCHES[row.batch as usize],
                worker: worker.as_deref().unwrap_or_default(),
                text: COMMANDS[row.command],
                tags: &[],
            })
        })
}

fn key(row: &Row, sort: TaskSort) -> SortKey {
    let text = |text: Option<String>| text.map_or(SortKey::None, SortKey::Text);
    let number = |number: Option<i64>| number.map_or(SortKey::None, SortKey::Number);
    match sort {
        TaskSort::Id => SortKey::None,
        TaskSort::Name => text(row.name.map(str::to_owned)),
        TaskSort::Batch => text(Some(BATCHES[row.batch as usize].to_owned())),
        TaskSort::State => SortKey::Number(row.state as i64),
        TaskSort::Worker => text(row.worker.map(|worker| format!("w{}", worker % 2))),
        TaskSort::Priority => SortKey::Number(row.priority),
        TaskSort::Since => SortKey::Number(row.since),
        TaskSort::Started => number(row.started),
        TaskSort::Runtime => number(row.started.map(|start| row.ended.unwrap_or(NOW) - start)),
    }
}

fn expected(rows: &[Row], query: &CountTasks, states: &[TaskState], order: Order) -> Vec<TaskId> {
    let mut found: Vec<(bool, SortKey, TaskId)> = (1..)
        .zip(rows)
        .filter(|(_, row)| fits(row, query, states))
        .map(|(id, row)| {
            let key = key(row, order.sort);
            (key == SortKey::None, key, TaskId(id))
        })
        .collect();
    found.sort_by(|(a_none, a_key, a_id), (b_none, b_key, b_id)| {
        let forward = (a_key, a_id).cmp(&(b_key, b_id));
        let value = match order.direction {
            Direction::Forward => forward,
            Direction::Backward => forward.reverse(),
        };
        a_none.cmp(b_none).then(value)
    });
    found.into_iter().map(|(_, _, id)| id).collect()
}

fn query() -> impl Strategy<Value = (CountTasks, Vec<TaskState>)> {
    let states: Vec<TaskState> = TaskState::iter().collect();
    let states = prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::sample::subsequence(states.clone(), 1..4),
        1 => select(states).prop_map(|state| vec![state]),
    ];
    let names = vec!["a", "sample*", "a[*]b", "?", "*[[]x", "none", "sample[", "sample2"];
    let often_none = |values: Vec<&'static str>| {
        prop::option::weighted(0.25, select(values).prop_map(str::to_owned))
    };
    (
        states,
        often_none(vec!["qc", "align", "gone", "other"]),
        often_none(names),
        often_none(vec!["echo", "'two 2'", "\""]),
        often_none(vec!["kind", "kind=x", "kind=", "other"]),
        prop::option::weighted(0.2, 1..5_u64),
        prop::option::weighted(0.2, 0..9_i64),
        often_none(vec![
            "ECHO !sample",
            "!/^a/ !batch:qc",
            "/two \\d/",
            "worker:w1 name:s*",
            "!state:failed !worker:w0",
            "É[X",
            "w1",
            " ",
        ]),
    )
        .prop_map(|(states, batch, name, command, tag, worker, since, filter)| {
            let query = CountTasks {
                state: None,
                batch: batch.map(|batch| batch.parse().unwrap()),
                name,
                command,
                tag,
                worker: worker.map(WorkerId),
                since_before: since.map(Timestamp),
                filter,
            };
            (query, states)
        })
}

/// All pages of a list, each from the cursor of the one before.
fn pages(connection: &Connection, filter: &TaskFilter, order: Order, limit: u32) -> Vec<TaskId> {
    let mut ids = Vec::new();
    let mut after = None;
    let mut now = NOW;
    loop {
        let now_of_page = Timestamp(now);
        let query = TaskQuery { filter: filter.clone(), order, after, limit, now: now_of_page };
        let page = task_list::list(connection, &query).unwrap();
        assert!(page.tasks.len() <= limit as usize);
        ids.extend(page.tasks.iter().map(|task| task.id));
        let Some(next) = page.next else { return ids };
        after = Some(Position::decode(&next.encode(order), order).unwrap());
        now += 7;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn pages_and_counts_are_those_of_the_model(
        rows in prop::collection::vec(row(), 0..60),
        queries in prop::collection::vec(query(), 1..8),
        limit in 1..20_u32,
        few in prop_oneof![Just(0), Just(4), Just(1_000_u32)],
    ) {
        let (_directory, connection) = store(&rows);
        for (query, states) in queries {
            let mut filter = TaskFilter::new(query.clone(), states.clone());
            filter.few = few;
            for sort in TaskSort::iter() {
                for direction in [Direction::Forward, Direction::Backward] {
                    let order = Order { sort, direction };
                    let expected = expected(&rows, &query, &states, order);
                    let found = pages(&connection, &filter, order, limit);
                    prop_assert_eq!(found, expected, "{:?} of {:?} {:?}", order, query, states);
                }
            }
            let mut counts: BTreeMap<TaskState, u64> = TaskState::iter()
                .filter(|state| states.is_empty() || states.contains(state))
                .map(|state| (state, 0))
                .collect();
            for row in rows.iter().filter(|row| fits(row, &query, &states)) {
                *counts.entry(row.state).or_default() += 1;
            }
            prop_assert_eq!(task_list::count(&connection, &filter).unwrap(), counts);
        }
    }
}

#[test]
fn failures_are_grouped_by_reason() {
    let failed = Row {
        batch: 0,
        state: TaskState::Failed,
        since: 0,
        hidden: false,
        name: None,
        command: 0,
        priority: 0,
        tag: None,
        worker: None,
        started: None,
        ended: None,
    };
    let (directory, connection) = store(&vec![failed; 9]);
    let writer = connection::open_writer(&directory.path().join("scitq.db")).unwrap();
    writer
        .execute_batch(
            "UPDATE task SET failure_reason = 'exit code 1';
             UPDATE task SET failure_reason = 'killed' WHERE id IN (2, 3);
             UPDATE task SET hidden = 1 WHERE id = 9; UPDATE task SET batch = 1 WHERE id = 8;
             UPDATE task SET state = 'succeeded' WHERE id = 1;",
        )
        .unwrap();
    let found = task_failure::failures(&connection, &"qc".parse().unwrap()).unwrap();
    let told: Vec<_> = found.iter().map(|g| (g.reason.as_str(), g.count, g.example.0)).collect();
    assert_eq!(told, [("exit code 1", 4, 7), ("killed", 2, 3)]);
    let ids = task_failure::ids(&connection, &"qc".parse().unwrap(), TaskId(3), 3).unwrap();
    assert_eq!(ids, [4, 5, 6].map(TaskId));
    assert_eq!(task_failure::failures(&connection, &"other".parse().unwrap()).unwrap(), []);
}
