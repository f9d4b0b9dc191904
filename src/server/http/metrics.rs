//! `/metrics`: figures for Prometheus, in its text format.

use std::fmt::{Display, Write as _};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use strum::IntoEnumIterator;

use crate::api::event::Event;
use crate::domain::task::TaskState;
use crate::domain::worker::{WorkerState, WorkerStats};

use super::super::disk::Disk;
use super::App;
use super::error::ApiResult;

/// The text format, version 0.0.4.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Statuses of HTTP are below this.
const STATUSES: usize = 600;

/// What is counted since the start.
#[derive(Debug)]
pub struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
    answers: [AtomicU64; STATUSES],
    pub wrong_tokens: AtomicU64,
}

/// The figures of a worker that are shown.
struct WorkerFigures {
    name: Arc<str>,
    taken: u64,
    total: u64,
    stats: Option<WorkerStats>,
}

/// The text that is being written.
#[derive(Default)]
struct Page(String);

impl Default for Counts {
    fn default() -> Self {
        Self {
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            answers: [const { AtomicU64::new(0) }; STATUSES],
            wrong_tokens: AtomicU64::new(0),
        }
    }
}

impl Counts {
    /// Counts the tasks that have ended by now.
    pub fn note_events(&self, events: &[Event]) {
        for event in events {
            match event {
                // One that is moved was counted when it ended.
                Event::Task { left: Some(_), .. } => {}
                Event::Task { state: TaskState::Succeeded, .. } => add(&self.succeeded),
                Event::Task { state: TaskState::Failed, .. } => add(&self.failed),
                _ => {}
            }
        }
    }

    pub(super) fn note_answer(&self, status: StatusCode) {
        if let Some(count) = self.answers.get(usize::from(status.as_u16())) {
            add(count);
        }
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Shows all figures. Not part of the API: its form is that of Prometheus.
pub(super) async fn show(State(app): State<Arc<App>>) -> ApiResult<impl IntoResponse> {
    let mut page = Page::default();
    let (tasks, workers, figures, batches) = app
        .engine
        .query(|state| {
            let workers: Vec<WorkerState> =
                state.workers.values().map(super::super::engine::state::Worker::state).collect();
            let figures = state.workers.values().map(|worker| WorkerFigures {
                name: Arc::clone(&worker.name),
                taken: worker.held.into(),
                total: worker.settings.concurrency.into(),
                stats: worker.stats.clone(),
            });
            let figures: Vec<WorkerFigures> = figures.collect();
            (state.count_tasks().by_state(), workers, figures, state.batches.len())
        })
        .await?;
    page.family("scitq_build_info", "gauge", "The version of the server, with the value 1.");
    page.sample("scitq_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.family("scitq_tasks", "gauge", "Tasks in each state.");
    for (state, count) in &tasks {
        page.sample("scitq_tasks", &[("state", state.into())], count);
    }
    page.family("scitq_workers", "gauge", "Workers in each state.");
    for state in WorkerState::iter() {
        let count = workers.iter().filter(|other| **other == state).count();
        page.sample("scitq_workers", &[("state", state.into())], count);
    }
    page.gauge("scitq_batches", "Batches.", batches);
    page.counts(&app.counts);
    page.workers(&figures);
    page.storage(&app);
    page.process(&app);
    Ok(([(CONTENT_TYPE, FORMAT)], page.0))
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        if !labels.is_empty() {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            let _ = write!(self.0, "{{{}}}", labels.join(","));
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    fn counts(&mut self, counts: &Counts) {
        let name = "scitq_tasks_ended_total";
        self.family(name, "counter", "Tasks that have ended since the server started.");
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.sample(name, &[("state", "succeeded")], read(&counts.succeeded));
        self.sample(name, &[("state", "failed")], read(&counts.failed));
        let name = "scitq_http_requests_total";
        self.family(name, "counter", "Answered requests, by their status.");
        for (status, count) in counts.answers.iter().enumerate() {
            if read(count) > 0 {
                self.sample(name, &[("code", &status.to_string())], read(count));
            }
        }
        self.counter(
            "scitq_authentication_failures_total",
            "Requests with a token that is wrong, revoked or expired.",
            read(&counts.wrong_tokens),
        );
    }

    fn workers(&mut self, workers: &[WorkerFigures]) {
        self.each(workers, "scitq_worker_slots", "Commands that a worker may run at once.", |w| {
            Some(w.total)
        });
        self.each(workers, "scitq_worker_slots_taken", "Slots that tasks have taken.", |w| {
            Some(w.taken)
        });
        let ratio = |percent: f64| percent / 100.0;
        self.each(
            workers,
            "scitq_worker_cpu_ratio",
            "Use of a worker's cores, from 0 to 1.",
            |w| w.stats.as_ref().map(|stats| ratio(stats.cpu_user_percent)),
        );
        self.each(workers, "scitq_worker_memory_ratio", "Use of its memory, from 0 to 1.", |w| {
            w.stats.as_ref().map(|stats| ratio(stats.memory_percent))
        });
        self.each(workers, "scitq_worker_disk_ratio", "Use of its fullest disk, 0 to 1.", |w| {
            let disks = w.stats.as_ref()?.disk_percent.values().copied();
            Some(ratio(disks.fold(0.0, f64::max)))
        });
    }

    fn each<T: Display>(
        &mut self,
        workers: &[WorkerFigures],
        name: &str,
        help: &str,
        value: impl Fn(&WorkerFigures) -> Option<T>,
    ) {
        self.family(name, "gauge", help);
        for worker in workers {
            if let Some(value) = value(worker) {
                self.sample(name, &[("worker", &worker.name)], value);
            }
        }
    }

    fn storage(&mut self, app: &App) {
        self.gauge("scitq_database_bytes", "Size of the database.", app.store.size());
        self.gauge("scitq_output_bytes", "Size of the kept output.", app.output.total_bytes());
        if let Ok(disk) = Disk::of(app.data_dir.path()) {
            self.gauge("scitq_disk_free_bytes", "Free space where the data live.", disk.free);
            self.gauge("scitq_disk_size_bytes", "Size of the disk they live on.", disk.total);
        }
        let refused = u8::from(app.engine.outage().is_some());
        let help = "1 while changes are refused because they cannot be stored, else 0.";
        self.gauge("scitq_changes_refused", help, refused);
        let refused = u8::from(app.engine.shortage().is_some());
        let help = "1 while new tasks are refused because the disk is nearly full, else 0.";
        self.gauge("scitq_new_tasks_refused", help, refused);
    }

    /// Figures under the names that all programs share.
    fn process(&mut self, app: &App) {
        #[expect(clippy::cast_precision_loss, reason = "a date of this age is exact enough")]
        let started = app.started_at.0 as f64 / 1e6;
        let help = "When the server started, in seconds since 1970.";
        self.gauge("process_start_time_seconds", help, started);
        if let Some(seconds) = cpu_seconds() {
            let help = "CPU time that the server has taken.";
            self.counter("process_cpu_seconds_total", help, seconds);
        }
        if let Some(bytes) = resident_bytes() {
            let help = "Memory that the server has taken.";
            self.gauge("process_resident_memory_bytes", help, bytes);
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            self.gauge("process_open_fds", "Open files and connections.", files.count());
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        if let Some(limit) = limit {
            self.gauge("process_max_fds", "The most that may be open.", limit);
        }
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// CPU time of this process in both modes.
fn cpu_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may have anything in it.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    #[expect(clippy::cast_precision_loss, reason = "it is 100")]
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Some((user + system) / per_second)
}

fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_be_broken_out_of() {
        let mut page = Page::default();
        page.sample("a", &[("worker", "x\"} 1\nb{c=\"\\")], 1);
        assert_eq!(page.0, "a{worker=\"x\\\"} 1\\nb{c=\\\"\\\\\"} 1\n");
    }

    #[test]
    fn this_process_has_figures() {
        assert!(cpu_seconds().unwrap() >= 0.0 && resident_bytes().unwrap() > 0);
    }
}
