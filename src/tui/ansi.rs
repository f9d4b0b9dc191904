//! Output of commands for the screen: colours and progress bars are honoured,
//! everything else that a terminal would obey is shown or dropped.

use ratatui::style::{Color, Modifier, Style};

use super::state::Piece;
use super::text;

/// Columns between two tab stops.
const TAB: usize = 8;

/// The pieces of one line, without its end.
#[must_use]
pub fn pieces(line: &[u8]) -> Vec<Piece> {
    let text = String::from_utf8_lossy(last_state(line));
    let mut pieces = Vec::new();
    let mut style = Style::new();
    let mut kept = String::new();
    let mut column = 0;
    let mut letters = text.chars().peekable();
    while let Some(c) = letters.next() {
        match c {
            '\u{1b}' => {
                if let Some(parameters) = skip_sequence(&mut letters) {
                    flush(&mut pieces, &mut kept, style);
                    style = changed(style, &parameters);
                }
            }
            '\t' => {
                let stop = TAB - column % TAB;
                kept.extend(std::iter::repeat_n(' ', stop));
                column += stop;
            }
            '\u{8}' => {
                kept.pop();
            }
            c => {
                kept.push(c);
                column += 1;
            }
        }
    }
    flush(&mut pieces, &mut kept, style);
    pieces
}

/// What a line with carriage returns in it shows in the end.
fn last_state(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    line.rsplit(|byte| *byte == b'\r').find(|part| !part.is_empty()).unwrap_or_default()
}

fn flush(pieces: &mut Vec<Piece>, kept: &mut String, style: Style) {
    if !kept.is_empty() {
        pieces.push(Piece { text: text::clean(kept).into_owned(), style });
        kept.clear();
    }
}

/// Passes over an escape sequence; the parameters of one that sets colours.
fn skip_sequence(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    match letters.next() {
        Some('[') => {
            let mut parameters = String::new();
            for c in letters.by_ref() {
                match c {
                    'm' => return Some(parameters),
                    '\u{40}'..='\u{7e}' => return None,
                    c => parameters.push(c),
                }
            }
            None
        }
        // A title or a link: up to the bell or ESC \.
        Some(']') => {
            let mut before = ' ';
            for c in letters.by_ref() {
                if c == '\u{7}' || (before == '\u{1b}' && c == '\\') {
                    break;
                }
                before = c;
            }
            None
        }
        _ => None,
    }
}

fn changed(mut style: Style, parameters: &str) -> Style {
    let mut numbers = parameters.split([';', ':']).map(|number| number.parse::<u8>().unwrap_or(0));
    while let Some(number) = numbers.next() {
        style = match number {
            0 => Style::new(),
            1 => style.add_modifier(Modifier::BOLD),
            2 => style.add_modifier(Modifier::DIM),
            3 => style.add_modifier(Modifier::ITALIC),
            4 => style.add_modifier(Modifier::UNDERLINED),
            7 => style.add_modifier(Modifier::REVERSED),
            22 => style.remove_modifier(Modifier::BOLD | Modifier::DIM),
            24 => style.remove_modifier(Modifier::UNDERLINED),
            27 => style.remove_modifier(Modifier::REVERSED),
            30..=37 => style.fg(Color::Indexed(number - 30)),
            40..=47 => style.bg(Color::Indexed(number - 40)),
            90..=97 => style.fg(Color::Indexed(number - 82)),
            100..=107 => style.bg(Color::Indexed(number - 92)),
            39 => style.fg(Color::Reset),
            49 => style.bg(Color::Reset),
            38 | 48 => {
                let color = match numbers.next() {
                    Some(5) => Color::Indexed(numbers.next().unwrap_or(0)),
                    Some(2) => {
                        let mut part = || numbers.next().unwrap_or(0);
                        Color::Rgb(part(), part(), part())
                    }
                    _ => Color::Reset,
                };
                if number == 38 { style.fg(color) } else { style.bg(color) }
            }
            _ => style,
        };
    }
    style
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &[u8]) -> String {
        pieces(line).iter().map(|piece| piece.text.as_str()).collect()
    }

    #[test]
    fn only_the_last_state_of_a_progress_bar_is_shown() {
        assert_eq!(shown(b"10%\r50%\r100%\r"), "100%");
        assert_eq!(shown(b"dos\r"), "dos");
        assert_eq!(shown(b"\r"), "");
    }

    #[test]
    fn colours_are_kept_and_other_orders_are_not() {
        let pieces = pieces(b"\x1b[1;31mred\x1b[0m \x1b[2Jplain\x1b]0;title\x07!\x1b[38;5;99mx");
        let text: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(text, ["red", " plain!", "x"]);
        assert_eq!(pieces[0].style.fg, Some(Color::Indexed(1)));
        assert_eq!(pieces[1].style, Style::new());
        assert_eq!(pieces[2].style.fg, Some(Color::Indexed(99)));
    }

    #[test]
    fn whatever_comes_is_text_in_the_end() {
        assert_eq!(shown(b"a\0b\xff\x1b"), "a\u{2400}b\u{fffd}");
        assert_eq!(shown(b"a\tb"), "a       b");
        assert_eq!(shown(b"ab\x08c"), "ac");
    }
}
