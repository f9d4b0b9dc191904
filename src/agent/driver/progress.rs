//! How far a download or an upload is, in words for people.

use std::fmt::Write as _;

use crate::domain::Monotonic;
use crate::storage::Transfer;

use super::containers::PullBoard;

const MEGABYTE: u64 = 1_000_000;

/// The words for a transfer that began at `since`; none while nothing has come.
/// The rate is the mean since then.
pub fn describe(
    transfer: &Transfer,
    board: &PullBoard,
    since: Monotonic,
    now: Monotonic,
) -> Option<String> {
    let seconds = now.since(since).as_secs_f64();
    let data = describe_bytes(transfer.progress.bytes(), transfer.progress.total(), seconds);
    let parts: Vec<String> = data.into_iter().chain(board.describe()).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people, rounded"
)]
fn describe_bytes(bytes: u64, total: u64, seconds: f64) -> Option<String> {
    if total == 0 {
        return None;
    }
    let mut text = format!("{} of {} MB", bytes / MEGABYTE, total.div_ceil(MEGABYTE));
    if bytes > 0 && seconds >= 1.0 {
        let rate = bytes as f64 / seconds;
        let _ = write!(text, ", {:.1} MB/s", rate / MEGABYTE as f64);
        if total > bytes {
            let left = ((total - bytes) as f64 / rate).ceil() as u64;
            let _ = match (left / 3_600, left / 60 % 60, left % 60) {
                (0, 0, seconds) => write!(text, ", {seconds} s left"),
                (0, minutes, seconds) => write!(text, ", {minutes} min {seconds} s left"),
                (hours, minutes, _) => write!(text, ", {hours} h {minutes} min left"),
            };
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_tells_bytes_rate_and_what_is_left() {
        assert_eq!(describe_bytes(0, 0, 5.0), None);
        assert_eq!(describe_bytes(0, 5_000_000, 5.0).unwrap(), "0 of 5 MB");
        let text = |bytes| describe_bytes(bytes, 1_000_000_000, 10.0).unwrap();
        assert_eq!(text(100_000_000), "100 of 1000 MB, 10.0 MB/s, 1 min 30 s left");
        assert_eq!(text(500_000_000), "500 of 1000 MB, 50.0 MB/s, 10 s left");
        assert_eq!(text(1_000_000), "1 of 1000 MB, 0.1 MB/s, 2 h 46 min left");
        assert_eq!(text(1_000_000_000), "1000 of 1000 MB, 100.0 MB/s");
    }
}
