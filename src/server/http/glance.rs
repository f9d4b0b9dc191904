//! `/api/v2/tails` and `/api/v2/workers/{id}/samples`: much at one glance.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::State;

use crate::api::error::ErrorBody;
use crate::api::glance::{
    MAX_TAIL, MAX_TAILS, OutputTail, OutputTails, ReadTails, WorkerSample, WorkerSamples,
};
use crate::domain::execution::Stream;
use crate::domain::worker::WorkerStats;
use crate::domain::{ExecutionId, Timestamp, WorkerId};

use super::super::output::Read;
use super::App;
use super::error::{ApiError, ApiResult};
use super::request::{Id, Parameters};

/// Pause between two samples, and how many are kept.
const SAMPLES: (Duration, usize) = (Duration::from_mins(1), 60);

/// Bytes from the end of a stream in which its last line is looked for.
const LOOK_BACK: u64 = 4 << 10;

/// The figures of each worker in the last hour.
#[derive(Debug, Default)]
pub struct Samples {
    kept: Mutex<BTreeMap<WorkerId, VecDeque<WorkerSample>>>,
}

/// Show the last lines of what executions wrote
#[utoipa::path(get, path = "/api/v2/tails", tag = "executions", params(ReadTails),
    responses((status = 200, body = OutputTails), (status = "4XX", body = ErrorBody)))]
pub(super) async fn tails(
    State(app): State<Arc<App>>,
    Parameters(query): Parameters<ReadTails>,
) -> ApiResult<Json<OutputTails>> {
    let ids: Vec<ExecutionId> = query
        .executions
        .split(',')
        .filter(|id| !id.is_empty())
        .map(|id| id.parse().map_err(|_| ApiError::invalid(format!("`{id}` is no execution's id"))))
        .collect::<ApiResult<_>>()?;
    if ids.len() > MAX_TAILS {
        let message = format!("{} executions, {MAX_TAILS} are the most", ids.len());
        return Err(ApiError::invalid(message));
    }
    let mut tails = Vec::new();
    for execution in ids {
        let sizes = app.output.sizes(execution).await?;
        let stdout = last_line(&app, execution, Stream::Stdout, sizes.stdout).await?;
        let stderr = last_line(&app, execution, Stream::Stderr, sizes.stderr).await?;
        tails.push(OutputTail { execution, stdout, stderr });
    }
    Ok(Json(OutputTails { tails }))
}

/// Show a worker's figures in the last hour
#[utoipa::path(get, path = "/api/v2/workers/{id}/samples", tag = "workers",
    params(("id" = WorkerId, Path)),
    responses((status = 200, body = WorkerSamples), (status = "4XX", body = ErrorBody)))]
pub(super) async fn samples(
    State(app): State<Arc<App>>,
    Id(id): Id<WorkerId>,
) -> ApiResult<Json<WorkerSamples>> {
    let is_known = app.engine.query(move |state| state.workers.contains_key(&id)).await?;
    if !is_known {
        return Err(ApiError::not_found(format!("worker {id} does not exist")));
    }
    let kept = app.samples.kept.lock().unwrap_or_else(PoisonError::into_inner);
    let samples = kept.get(&id).map(|samples| samples.iter().copied().collect());
    Ok(Json(WorkerSamples { samples: samples.unwrap_or_default() }))
}

/// Keeps a sample of each worker for each minute until the server stops.
pub async fn keep_samples(app: Arc<App>) {
    let mut ticks = tokio::time::interval(SAMPLES.0);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = app.stop_asked() => return,
        }
        let figures = app.engine.query(|state| {
            let workers = state.workers.iter();
            workers.map(|(id, worker)| (*id, worker.stats.clone())).collect::<Vec<_>>()
        });
        // While the engine takes its state from the disk again there is none.
        let Ok(figures) = figures.await else { continue };
        app.samples.add(app.clock.now().wall, figures);
    }
}

impl Samples {
    /// Adds the figures of all workers that there are; others are forgotten.
    fn add(&self, at: Timestamp, figures: Vec<(WorkerId, Option<WorkerStats>)>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let ids: std::collections::BTreeSet<WorkerId> = figures.iter().map(|(id, _)| *id).collect();
        kept.retain(|id, _| ids.contains(id));
        for (id, stats) in figures {
            let Some(stats) = stats else { continue };
            let samples = kept.entry(id).or_default();
            samples.push_back(sample(at, &stats));
            while samples.len() > SAMPLES.1 {
                samples.pop_front();
            }
        }
    }
}

fn sample(at: Timestamp, stats: &WorkerStats) -> WorkerSample {
    WorkerSample {
        at,
        cpu_percent: stats.cpu_user_percent,
        iowait_percent: stats.cpu_iowait_percent,
        memory_percent: stats.memory_percent,
        disk_percent: stats.disk_percent.values().copied().fold(0.0, f64::max),
        disk_bytes_per_second: stats.disk_read.bytes_per_second + stats.disk_write.bytes_per_second,
        network_bytes_per_second: stats.network_sent.bytes_per_second
            + stats.network_received.bytes_per_second,
    }
}

async fn last_line(
    app: &App,
    execution: ExecutionId,
    stream: Stream,
    size: u64,
) -> ApiResult<String> {
    if size == 0 {
        return Ok(String::new());
    }
    let offset = size.saturating_sub(LOOK_BACK);
    match app.output.read(execution, stream, offset, LOOK_BACK).await? {
        Read::Bytes { bytes, .. } => Ok(last_line_of(&bytes)),
        // It was dropped since its size was asked for.
        Read::Hole { .. } => Ok(String::new()),
    }
}

/// The last line with something in it; a line that was written over counts as
/// what it shows in the end.
fn last_line_of(bytes: &[u8]) -> String {
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let line = bytes.rsplit(is_end).find(|line| !line.trim_ascii().is_empty());
    let line = line.unwrap_or_default();
    let kept = line.get(line.len().saturating_sub(MAX_TAIL)..).unwrap_or(line);
    let text = String::from_utf8_lossy(kept);
    let is_cut = kept.len() < line.len();
    // Half a letter at the cut is no letter.
    let text = if is_cut { text.trim_start_matches('\u{fffd}') } else { &text };
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_what_one_would_see_of_it() {
        assert_eq!(last_line_of(b"one\ntwo\n\n"), "two");
        assert_eq!(last_line_of(b"10%\r50%\r100%\r"), "100%");
        assert_eq!(last_line_of(b"\n\n"), "");
        assert_eq!(last_line_of(b"caf\xc3\xa9 \xff"), "caf\u{e9} \u{fffd}");
        assert_eq!(last_line_of("é".repeat(1_000).as_bytes()).len(), MAX_TAIL);
    }

    #[test]
    fn an_hour_is_kept_of_workers_that_exist() {
        let samples = Samples::default();
        let stats = WorkerStats { memory_percent: 5.0, ..WorkerStats::default() };
        for minute in 0..70 {
            samples.add(Timestamp(minute), vec![(WorkerId(1), Some(stats.clone()))]);
        }
        let first = samples.kept.lock().unwrap()[&WorkerId(1)].front().copied().unwrap();
        assert_eq!((first.at, first.memory_percent), (Timestamp(10), 5.0));
        samples.add(Timestamp(70), vec![(WorkerId(2), None)]);
        assert!(samples.kept.lock().unwrap().is_empty());
    }
}
