//! `docs/limits.md` says what the code does.

use crate::api::MAX_PAGE;
use crate::api::link::MAX_CHUNK;
use crate::api::output::{MAX_READ, MAX_WAIT};
use crate::domain::batch::MAX_NAME_LENGTH;
use crate::domain::check;

use super::{batches, link, request, tasks, tokens, workers};

/// A number with a comma after each third digit.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size with its unit, where that comes out even.
fn size(bytes: u64) -> String {
    let units = [(1 << 50, "PiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let even = units.iter().find(|(unit, _)| bytes.is_multiple_of(*unit));
    match even.filter(|_| bytes > 2_048) {
        Some((unit, name)) => format!("{} bytes ({} {name})", grouped(bytes), bytes / unit),
        None => format!("{} bytes", grouped(bytes)),
    }
}

#[test]
fn the_page_of_limits_names_those_of_the_code() {
    let seconds = |seconds: u32| format!("{seconds} seconds");
    let priority = grouped(check::MAX_PRIORITY.unsigned_abs().into());
    let expected = [
        ("body of a request", size(request::MAX_BODY as u64)),
        ("idempotency key", format!("{} characters", request::MAX_KEY)),
        ("entries in one page of a list", grouped(MAX_PAGE.into())),
        ("bytes of output in one reply", size(MAX_READ)),
        ("wait for tasks in one request", seconds(tasks::MAX_WAIT)),
        ("wait for output in one request", seconds(MAX_WAIT)),
        ("path and query of a request", size(u64::from(u16::MAX) - 1)),
        ("name of a task", size(check::MAX_NAME as u64)),
        ("command", size(check::MAX_COMMAND as u64)),
        ("standard input", size(check::MAX_STDIN as u64)),
        ("specification as JSON", size(check::MAX_SPEC as u64)),
        ("retries", grouped(check::MAX_RETRY.into())),
        ("priority", format!("-{priority} to {priority}")),
        ("processor cores", grouped(check::MAX_CPU.into())),
        ("memory", size(check::MAX_MEMORY)),
        ("tags of a task", grouped(check::MAX_TAGS as u64)),
        ("name or value of a tag", size(check::MAX_TAG as u64)),
        ("name of a batch", size(MAX_NAME_LENGTH as u64)),
        (
            "time after which a silent worker is lost",
            format!("{} seconds at least", batches::MIN_LOST_AFTER),
        ),
        ("concurrency or prefetch of a worker", grouped(workers::MAX_SLOTS.into())),
        ("name of a worker", size(crate::server::link::MAX_NAME as u64)),
        ("name of a token", size(tokens::MAX_NAME as u64)),
        ("frame", size(link::MAX_FRAME as u64)),
        ("output in one frame", size(MAX_CHUNK as u64)),
    ];
    let page = include_str!("../../../docs/limits.md");
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") && *line != "| what | limit |").collect();
    let expected: Vec<String> =
        expected.iter().map(|(what, limit)| format!("| {what} | {limit} |")).collect();
    assert_eq!(rows, expected);
}
