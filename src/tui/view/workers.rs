//! The list of workers.

use std::cmp::Ordering;

use ratatui::style::Style;

use super::canvas::Canvas;
use super::lists::sheet;
use super::table::{self, Cell, Column, Row, cell, plain};
use crate::api::worker::WorkerView;
use crate::domain::worker::WorkerStats;
use crate::tui::state::{Item, State};
use crate::tui::text::{bytes, clean, clock, natural_cmp, short_count, sparkline};
use crate::tui::theme::{Theme, Tone, worker_glyph};

/// How two workers compare by one column.
type Compare = fn(&WorkerView, &WorkerView) -> Ordering;

/// The columns by which one can sort.
pub const COLUMNS: [(&str, Compare); 20] = [
    ("name", |a, b| natural_cmp(&a.name, &b.name)),
    ("state", |a, b| a.state.cmp(&b.state)),
    ("batch", |a, b| natural_cmp(a.batch.as_str(), b.batch.as_str())),
    ("concurrency", |a, b| a.concurrency.cmp(&b.concurrency)),
    ("prefetch", |a, b| a.prefetch.cmp(&b.prefetch)),
    ("slots", |a, b| a.slots.taken.cmp(&b.slots.taken)),
    ("accepted", |a, b| a.accepted.cmp(&b.accepted)),
    ("running", |a, b| a.running.cmp(&b.running)),
    ("succeeded", |a, b| a.succeeded.cmp(&b.succeeded)),
    ("failed", |a, b| a.failed.cmp(&b.failed)),
    ("cpu", |a, b| by(a, b, |stats| stats.cpu_user_percent + stats.cpu_iowait_percent)),
    ("memory", |a, b| by(a, b, |stats| stats.memory_percent)),
    ("load", |a, b| by(a, b, |stats| stats.load[0])),
    ("disk", |a, b| by(a, b, fullest)),
    ("disk-rate", |a, b| {
        by(a, b, |stats| stats.disk_read.bytes_per_second + stats.disk_write.bytes_per_second)
    }),
    ("network", |a, b| {
        by(a, b, |stats| {
            stats.network_sent.bytes_per_second + stats.network_received.bytes_per_second
        })
    }),
    ("flavor", |a, b| a.machine.flavor.cmp(&b.machine.flavor)),
    ("region", |a, b| a.machine.region.cmp(&b.machine.region)),
    ("provider", |a, b| a.machine.provider.cmp(&b.machine.provider)),
    ("contact", |a, b| b.last_contact.cmp(&a.last_contact)),
];

/// The same columns as they are drawn.
pub const TABLE: [Column; 20] = [
    Column::left("name", 6, 24).fixed(),
    Column::left("state", 10, 11),
    Column::left("batch", 6, 20),
    Column::right("conc", 4, 7),
    Column::right("pre", 3, 7),
    Column::right("slots", 5, 9),
    Column::right("acc", 3, 6),
    Column::right("run", 3, 6),
    Column::right("ok", 4, 7),
    Column::right("fail", 4, 7),
    Column::left("cpu%", 4, 22),
    Column::right("mem%", 4, 5),
    Column::left("load", 4, 17),
    Column::left("disk%", 5, 30),
    Column::left("disk r/w", 8, 46),
    Column::left("net sent/recv", 10, 46),
    Column::left("flavor", 6, 16).optional(),
    Column::left("region", 6, 16).optional(),
    Column::left("provider", 8, 16).optional(),
    Column::right("contact", 7, 9),
];

pub fn draw(canvas: &mut Canvas<'_>, state: &State) {
    let Some(sheet) = sheet(state) else { return };
    let jobs = state.jobs_height();
    if jobs > 0 {
        let (wide, high) = (canvas.width(), canvas.height());
        super::jobs::draw_below(&mut canvas.part(0, high - jobs, wide, jobs), state);
    }
    table::draw(canvas, sheet.columns, &sheet.rows, &sheet.placed, sheet.sorted);
    if sheet.rows.is_empty() {
        let text: &[&str] = match &state.workers.list.all {
            None => &["reading the workers …"],
            Some(all) if all.is_empty() => &[
                "no workers yet",
                "start one on any machine: scitq agent --server ADDRESS",
                "or recruit some: n",
            ],
            Some(_) => &["the filter lets no worker through"],
        };
        let faint = canvas.tone(Tone::Faint);
        for (line, text) in text.iter().enumerate() {
            canvas.text(2, 2 + line, text, faint);
        }
    }
}

/// The rows on screen.
#[must_use]
pub fn rows(state: &State) -> Vec<Row> {
    let list = &state.workers.list;
    let range = list.range.map(|begin| (begin.min(list.cursor.row), begin.max(list.cursor.row)));
    list.rows()
        .enumerate()
        .skip(list.cursor.first)
        .take(state.list_height())
        .map(|(number, worker)| Row {
            cells: cells(state, worker),
            is_cursor: number == list.cursor.row,
            is_marked: list.marks.contains(&worker.key())
                || range.is_some_and(|(from, to)| (from..=to).contains(&number)),
        })
        .collect()
}

fn cells(state: &State, worker: &WorkerView) -> Vec<Cell> {
    let theme = state.theme;
    let style = theme.worker(worker.state);
    let number = |number: u32| plain(short_count(number.into()));
    let word = format!("{} {}", worker_glyph(worker.state), worker.state);
    let mut cells = vec![
        plain(clean(&worker.name)),
        cell(word, style),
        plain(clean(worker.batch.as_str())),
        number(worker.concurrency),
        number(worker.prefetch),
        plain(format!("{}/{}", worker.slots.taken, worker.slots.total)),
        number(worker.accepted),
        number(worker.running),
    ];
    let counted = match &state.workers.latest {
        None => Some((worker.succeeded, worker.failed)),
        Some(latest) => latest.get(&worker.id).copied(),
    };
    let (succeeded, failed) = counted.map_or_else(
        || ("…".to_owned(), "…".to_owned()),
        |(succeeded, failed)| (short_count(succeeded), short_count(failed)),
    );
    let has_failed = counted.is_some_and(|(_, failed)| failed > 0);
    cells.push(plain(succeeded));
    cells.push(cell(failed, if has_failed { theme.tone(Tone::Bad) } else { Style::new() }));
    match &worker.stats {
        Some(figures) => {
            let trend: Vec<f64> =
                state.workers.trends.get(&worker.id).into_iter().flatten().copied().collect();
            cells.extend(stat_cells(theme, figures, &trend));
        }
        None => cells.extend(std::iter::repeat_with(|| plain("-")).take(6)),
    }
    let contact = worker
        .last_contact
        .map_or_else(|| "never".to_owned(), |contact| clock(state.wall().seconds_since(contact)));
    let machine = &worker.machine;
    for kind in [&machine.flavor, &machine.region, &machine.provider] {
        cells.push(plain(clean(kind.as_deref().unwrap_or_default())));
    }
    cells.push(plain(contact));
    cells
}

fn stat_cells(theme: Theme, stats: &WorkerStats, trend: &[f64]) -> Vec<Cell> {
    let cpu = stats.cpu_user_percent + stats.cpu_iowait_percent;
    let io = if stats.cpu_iowait_percent >= 1.0 {
        format!(" io{:.0}", stats.cpu_iowait_percent)
    } else {
        String::new()
    };
    let mut disks = Vec::new();
    for (mount, percent) in &stats.disk_percent {
        let style = match percent {
            percent if *percent > 90.0 => theme.tone(Tone::Bad),
            percent if *percent > 80.0 => theme.tone(Tone::Warning),
            _ => Style::new(),
        };
        let gap = if disks.is_empty() { "" } else { " " };
        disks.push((format!("{gap}{} {percent:.0}", clean(mount)), style));
    }
    let rate = |rate: f64| mebibytes(rate);
    vec![
        vec![
            (format!("{cpu:>3.0}"), level(theme, cpu)),
            (io, theme.tone(Tone::Warning)),
            (format!(" {}", sparkline(trend, Some(100.0))), theme.tone(Tone::Accent)),
        ],
        cell(format!("{:.0}", stats.memory_percent), level(theme, stats.memory_percent)),
        plain(format!("{:.1} {:.1} {:.1}", stats.load[0], stats.load[1], stats.load[2])),
        disks,
        plain(format!(
            "{}/{} MiB/s  {}/{}",
            rate(stats.disk_read.bytes_per_second),
            rate(stats.disk_write.bytes_per_second),
            bytes(stats.disk_read.total_bytes),
            bytes(stats.disk_write.total_bytes),
        )),
        plain(format!(
            "{}/{} MiB/s  {}/{}",
            rate(stats.network_sent.bytes_per_second),
            rate(stats.network_received.bytes_per_second),
            bytes(stats.network_sent.total_bytes),
            bytes(stats.network_received.total_bytes),
        )),
    ]
}

fn level(theme: Theme, percent: f64) -> Style {
    if percent > 95.0 { theme.tone(Tone::Warning) } else { Style::new() }
}

fn mebibytes(rate: f64) -> String {
    let value = rate / f64::from(1 << 20);
    if value >= 10.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn by(a: &WorkerView, b: &WorkerView, figure: fn(&WorkerStats) -> f64) -> Ordering {
    let of = |worker: &WorkerView| worker.stats.as_ref().map_or(-1.0, figure);
    of(a).total_cmp(&of(b))
}

fn fullest(stats: &WorkerStats) -> f64 {
    stats.disk_percent.values().copied().fold(0.0, f64::max)
}
