//! How values look to people.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::tz::TimeZone;

use crate::domain::Timestamp;
use crate::domain::execution::{FailureClass, TransferProgress};

/// A date in this time zone, with its offset: `2026-11-23 10:09:29 +01:00`.
#[must_use]
pub fn date(time: Timestamp, zone: &TimeZone) -> String {
    match jiff::Timestamp::from_microsecond(time.0) {
        Ok(time) => time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
        Err(_) => time.to_string(),
    }
}

/// A length of time in the two largest units that say something: `2 h 05 min`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    in_units(seconds, [" ms", " s", " min ", " h ", " d "], [" s", " min", " h"])
}

/// The same in a narrow column: `2h05m`.
#[must_use]
pub fn short_duration(seconds: f64) -> String {
    in_units(seconds, ["ms", "s", "m", "h", "d"], ["s", "m", "h"])
}

/// Writes a length of time with these units, and these behind the second number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to zero and rounded; durations are far below 2^64 seconds"
)]
fn in_units(seconds: f64, units: [&str; 5], lesser: [&str; 3]) -> String {
    let seconds = seconds.max(0.0);
    let [ms, s, min, h, d] = units;
    if seconds < 0.9995 {
        return format!("{:.0}{ms}", seconds * 1e3);
    }
    if seconds < 59.95 {
        return format!("{seconds:.1}{s}");
    }
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3_600 % 24, whole / 60 % 60);
    let [lesser_s, lesser_min, lesser_h] = lesser;
    if days > 0 {
        format!("{days}{d}{hours:02}{lesser_h}")
    } else if hours > 0 {
        format!("{hours}{h}{minutes:02}{lesser_min}")
    } else {
        format!("{minutes}{min}{:02}{lesser_s}", whole % 60)
    }
}

/// A number of bytes in binary units.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `1.0 GiB of 3.0 GiB, 20.0 MiB/s, 1 min 42 s left`.
#[must_use]
pub fn transfer(progress: TransferProgress) -> String {
    let TransferProgress { bytes: moved, total, bytes_per_second } = progress;
    let mut text = format!("{} of {}, {}/s", bytes(moved), bytes(total), bytes(bytes_per_second));
    if moved > 0 && total > moved && bytes_per_second > 0 {
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let left = (total - moved) as f64 / bytes_per_second as f64;
        let _ = write!(text, ", {} left", duration(left));
    }
    text
}

/// `A=1 B=2`.
#[must_use]
pub fn pairs(pairs: &BTreeMap<String, String>) -> String {
    let shown: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    shown.join(" ")
}

/// A count of things: `1 task`, `12 tasks`.
#[must_use]
pub fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// A text with its control characters made visible, so that no name or
/// command can move the cursor or hide what follows.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_hidden(c) {
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// JSON that says the same in characters that do nothing to a terminal.
#[must_use]
pub fn harmless_json(text: &str) -> Cow<'_, str> {
    // Those that lay it out are no part of a text in it.
    let is_harmful = |c: char| is_hidden(c) && c != '\n';
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            // All of them are in the first plane.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Control characters, and those that turn the direction of writing.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// How an execution ended, in a few words; empty while it has not.
#[must_use]
pub fn ending(
    exit_code: Option<i32>,
    signal: Option<i32>,
    failure: Option<FailureClass>,
) -> String {
    let code = match (exit_code, signal) {
        (_, Some(signal)) => format!("signal {signal}"),
        (Some(code), None) => format!("exit {code}"),
        (None, None) => String::new(),
    };
    match failure {
        None | Some(FailureClass::Exit | FailureClass::Signal) => code,
        Some(class) if code.is_empty() || code == "exit 0" => class.to_string(),
        Some(class) => format!("{class}, {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_local_with_their_offset() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let time = Timestamp(1_795_424_969_136_877);
        assert_eq!(date(time, &zone), "2026-11-23 10:09:29 +01:00");
    }

    #[test]
    fn durations_say_what_matters() {
        let times = [0.0042, 3.24, 59.97, 63.0, 7_500.0, 273_600.0, -1.0];
        assert_eq!(
            times.map(duration),
            ["4 ms", "3.2 s", "1 min 00 s", "1 min 03 s", "2 h 05 min", "3 d 04 h", "0 ms"]
        );
        assert_eq!(
            times.map(short_duration),
            ["4ms", "3.2s", "1m00s", "1m03s", "2h05m", "3d04h", "0ms"]
        );
    }

    #[test]
    fn sizes_have_binary_units() {
        let shown = [0, 1023, 1024, 1_572_864, 1 << 40, (1 << 30) - 1].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "1.0 TiB", "1.0 GiB"]);
    }

    #[test]
    fn control_characters_are_seen() {
        assert_eq!(visible("a\nb\u{1b}[2J\u{202e}é"), "a\\nb\\u{1b}[2J\\u{202e}é");
        assert!(matches!(visible("plain é"), Cow::Borrowed(_)));
    }
}
