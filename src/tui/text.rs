//! Text that comes from outside, made fit for a cell of the screen; figures
//! and times as people read them.

use std::borrow::Cow;
use std::fmt::Write;

use jiff::tz::TimeZone;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::domain::Timestamp;

/// Marks stacked on one letter beyond this are dropped: no script needs more.
const MOST_IN_A_CELL: usize = 8;

/// The text with all that a terminal would obey made visible, on one line.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_graphic() || c == ' ';
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len());
    for cluster in text.graphemes(true) {
        for c in cluster.chars().take(MOST_IN_A_CELL) {
            kept.push(visible(c));
        }
    }
    Cow::Owned(kept)
}

/// Columns that a clean text takes.
#[must_use]
pub fn width(text: &str) -> usize {
    text.width()
}

/// The beginning of a clean text that fits, with `…` where something is left out.
#[must_use]
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if text.len() <= columns || text.width() <= columns {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    let mut used = 0;
    for cluster in text.graphemes(true) {
        let wide = cluster.width();
        if used + wide + 1 > columns {
            break;
        }
        kept.push_str(cluster);
        used += wide;
    }
    if columns > 0 {
        kept.push('…');
    }
    Cow::Owned(kept)
}

/// The text in exactly so many columns, filled up at its end.
#[must_use]
pub fn pad(text: &str, columns: usize) -> String {
    let fitted = fit(text, columns);
    let missing = columns.saturating_sub(width(&fitted));
    format!("{fitted}{}", " ".repeat(missing))
}

/// The text in exactly so many columns, filled up at its start.
#[must_use]
pub fn pad_left(text: &str, columns: usize) -> String {
    let fitted = fit(text, columns);
    let missing = columns.saturating_sub(width(&fitted));
    format!("{}{fitted}", " ".repeat(missing))
}

/// A clean text in lines of at most so many columns, broken at spaces where it
/// has some.
#[must_use]
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_word_bounds() {
        let wide = word.width();
        if used + wide > columns && used > 0 && !word.trim().is_empty() && wide <= columns {
            lines.push(std::mem::take(&mut line).trim_end().to_owned());
            used = 0;
        }
        if used == 0 && word.trim().is_empty() && !lines.is_empty() {
            continue;
        }
        for cluster in word.graphemes(true) {
            let wide = cluster.width();
            if used + wide > columns && used > 0 {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push_str(cluster);
            used += wide;
        }
    }
    lines.push(line);
    lines
}

/// `1,204,331`
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 task`, `1,204 tasks`
#[must_use]
pub fn counted(number: u64, thing: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{} {thing}{end}", count(number))
}

/// `999`, `12.3k`, `1.2M`: at most five columns.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
pub fn short_count(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..999_950 => format!("{:.1}k", number as f64 / 1e3),
        999_950..999_950_000 => format!("{:.1}M", number as f64 / 1e6),
        _ => format!("{:.1}G", number as f64 / 1e9),
    }
}

/// `512 B`, `1.2 GiB`
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a figure of three digits")]
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    let mut value = number as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS.get(unit).unwrap_or(&""))
}

/// `0.4 s`, `42 s`, `3m05s`, `2h07m`, `4d03h`
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a time that is shown is positive and below 2^63 seconds"
)]
pub fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h{:02}m", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{}d{:02}h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// A clock that runs: like [`span`], in whole seconds from the start.
#[must_use]
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0).floor();
    if seconds < 10.0 { format!("{seconds:.0} s") } else { span(seconds) }
}

/// `14:05:12`, with the day in front when it is not today.
#[must_use]
pub fn moment(time: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    let zoned = |time: Timestamp| {
        jiff::Timestamp::from_microsecond(time.0).ok().map(|time| time.to_zoned(zone.clone()))
    };
    let (Some(time), Some(now)) = (zoned(time), zoned(now)) else {
        return "?".to_owned();
    };
    if time.date() == now.date() {
        time.strftime("%H:%M:%S").to_string()
    } else {
        time.strftime("%Y-%m-%d %H:%M").to_string()
    }
}

/// `11-25 14:05:12`: always as wide.
#[must_use]
pub fn day_and_time(time: Timestamp, zone: &TimeZone) -> String {
    jiff::Timestamp::from_microsecond(time.0).map_or_else(
        |_| "?".to_owned(),
        |time| time.to_zoned(zone.clone()).strftime("%m-%d %H:%M:%S").to_string(),
    )
}

/// Date and time with the offset from UTC.
#[must_use]
pub fn full_moment(time: Timestamp, zone: &TimeZone) -> String {
    jiff::Timestamp::from_microsecond(time.0).map_or_else(
        |_| "?".to_owned(),
        |time| time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string(),
    )
}

/// Puts `node2` before `node10`.
#[must_use]
pub fn natural_cmp(a: &str, b: &str) -> std::cmp::Ordering {
    let (mut a, mut b) = (a.chars().peekable(), b.chars().peekable());
    loop {
        match (a.peek().copied(), b.peek().copied()) {
            (None, None) => return std::cmp::Ordering::Equal,
            (None, _) => return std::cmp::Ordering::Less,
            (_, None) => return std::cmp::Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let order = take_number(&mut a).cmp(&take_number(&mut b));
                if order.is_ne() {
                    return order;
                }
            }
            (Some(x), Some(y)) => {
                let order = x.to_lowercase().cmp(y.to_lowercase()).then(x.cmp(&y));
                if order.is_ne() {
                    return order;
                }
                a.next();
                b.next();
            }
        }
    }
}

/// Digits without leading zeros, longer ones after shorter ones.
fn take_number(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> (usize, String) {
    let mut digits = String::new();
    while let Some(digit) = letters.next_if(char::is_ascii_digit) {
        if !(digits.is_empty() && digit == '0') {
            digits.push(digit);
        }
    }
    (digits.len(), digits)
}

/// A row of bars, one for each figure, as high as the figure.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number from 0 to 8")]
pub fn sparkline(figures: &[f64], most: Option<f64>) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = most.unwrap_or_else(|| figures.iter().copied().fold(0.0, f64::max));
    let mut bars = String::new();
    for figure in figures {
        let level = if most > 0.0 { (figure / most * 8.0).ceil().clamp(0.0, 8.0) } else { 0.0 };
        let _ = write!(bars, "{}", BARS[level as usize]);
    }
    bars
}

/// What stands on the screen for a letter.
fn visible(c: char) -> char {
    match c {
        '\n' => '↵',
        '\t' => ' ',
        '\0'..=' ' if c != ' ' => char::from_u32(0x2400 + c as u32).unwrap_or('�'),
        '\u{7f}' => '␡',
        // Letters that turn the direction of text around or take no room.
        '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' => '�',
        c if c.is_control() => '�',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        assert_eq!(clean("a\u{1b}[31mb\r\n\u{9b}c\u{202e}d"), "a␛[31mb␍↵�c�d");
        assert_eq!(clean("plain"), "plain");
        let stacked = format!("a{}", "\u{301}".repeat(300));
        assert_eq!(clean(&stacked).chars().count(), MOST_IN_A_CELL);
    }

    #[test]
    fn a_text_takes_the_columns_that_it_gets() {
        assert_eq!(fit("日本語", 5), "日本…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("日本語", 6), "日本語");
        assert_eq!(pad("日本語", 4), "日… ");
        assert_eq!(pad_left("7", 3), "  7");
        assert_eq!(fit("abc", 0), "");
    }

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn figures_are_as_people_read_them() {
        assert_eq!(count(1_204_331), "1,204,331");
        assert_eq!(count(12), "12");
        assert_eq!(
            (counted(1, "row"), counted(2_000, "row")),
            ("1 row".into(), "2,000 rows".into())
        );
        assert_eq!(short_count(1_204_331), "1.2M");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(1 << 40), "1.0 TiB");
        let spans: Vec<String> =
            [0.42, 59.9, 61.0, 3_700.0, 90_000.0].into_iter().map(span).collect();
        assert_eq!(spans, ["0.4 s", "1m00s", "1m01s", "1h01m", "1d01h"]);
    }

    #[test]
    fn names_with_numbers_are_in_the_order_of_the_numbers() {
        let mut names = vec!["node10", "node2", "Node1", "node02", "a"];
        names.sort_by(|a, b| natural_cmp(a, b));
        assert_eq!(names, ["a", "Node1", "node2", "node02", "node10"]);
    }
}
