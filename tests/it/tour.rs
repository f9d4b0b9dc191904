//! The tour of the documentation, walked as it is written: its commands are run, and what they
//! print is what it says they print.

use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};

use crate::harness::{SCITQ, World, until};

/// A block of the page that is typed into a terminal.
#[derive(Debug)]
struct Block {
    terminal: Terminal,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Terminal {
    Main,
    /// One of its own, for a program that stays.
    Another,
}

/// A command and what it prints.
#[derive(Debug)]
struct Step {
    line: usize,
    command: String,
    output: Vec<String>,
}

/// A shell that reads the commands of the main terminal.
struct Shell {
    process: Child,
    keyboard: ChildStdin,
    screen: PathBuf,
    seen: usize,
}

/// What the shell prints when a command is done.
const MARK: &str = "\u{1}done";

#[test]
fn the_tour_happens_as_it_is_told() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tour.md");
    let blocks = read_blocks(&fs::read_to_string(page).unwrap());
    assert!(blocks.len() > 8, "{} blocks", blocks.len());
    let world = World::new();
    let folder = world.path().join("bin");
    fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(SCITQ, folder.join("scitq")).unwrap();
    let mut shell = Shell::start(&world);
    let mut others = 0;
    for block in blocks {
        match block.terminal {
            Terminal::Main => {
                for step in &block.steps {
                    let printed = shell.run(&step.command);
                    step.check(&printed, &world);
                }
            }
            Terminal::Another => {
                others += 1;
                let [step] = block.steps.as_slice() else { panic!("two commands at once") };
                start_beside(&world, &format!("terminal-{others}"), step);
            }
        }
    }
}

/// A shell with the environment of the person who takes the tour.
fn bash(world: &World) -> std::process::Command {
    let mut command = world.command("bash");
    let path = std::env::var("PATH").unwrap();
    command
        .args(["--norc", "--noprofile"])
        .env("PATH", format!("{}:{path}", world.path().join("bin").display()))
        .env("SCITQ_SERVE_LISTEN", "127.0.0.1:0")
        .env("SCITQ_SERVE_DATA", world.path().join("home/.local/state/scitq"))
        .env("TZ", "UTC")
        .current_dir(world.path().join("home"));
    command
}

/// Starts a program that stays, and waits until it has printed what the page says.
fn start_beside(world: &World, name: &str, step: &Step) {
    let mut command = bash(world);
    command.args(["-c", &step.command]);
    world.spawn(name, command);
    let log = world.path().join("logs").join(name);
    until(&format!("line {} of the tour to print what it says", step.line), || {
        let printed = fs::read_to_string(&log).ok()?;
        let lines: Vec<String> = printed.lines().map(|line| plain(line, world)).collect();
        let expected = step.output.iter().map(|line| plain(line, world));
        expected.into_iter().all(|line| lines.iter().any(|other| fits(other, &line))).then_some(())
    });
}

impl Shell {
    fn start(world: &World) -> Self {
        let screen = world.path().join("screen");
        let file = fs::File::create(&screen).unwrap();
        let mut command = bash(world);
        command.stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).stderr(file);
        let mut process = command.spawn().unwrap();
        let keyboard = process.stdin.take().unwrap();
        Self { process, keyboard, screen, seen: 0 }
    }

    fn run(&mut self, command: &str) -> String {
        write!(self.keyboard, "{command}\nprintf '\\001done\\n'\n").unwrap();
        self.keyboard.flush().unwrap();
        let (screen, seen) = (&self.screen, self.seen);
        let printed = until(&format!("`{command}` to be done"), || {
            let text = fs::read_to_string(screen).ok()?;
            let (printed, _) = text.get(seen..)?.split_once(MARK)?;
            Some(printed.to_owned())
        });
        self.seen += printed.len() + MARK.len() + 1;
        printed
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The test is over: whether it still runs does not matter.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Step {
    fn check(&self, printed: &str, world: &World) {
        let expected: Vec<String> = self.output.iter().map(|line| plain(line, world)).collect();
        let found: VecDeque<String> =
            printed.trim_end().lines().map(|line| plain(line, world)).collect();
        assert!(
            all_fit(found.clone(), &expected),
            "line {}: $ {}\nis said to print:\n{}\nand prints:\n{}",
            self.line,
            self.command,
            expected.join("\n"),
            Vec::from(found).join("\n")
        );
    }
}

/// Whether the lines are the expected ones. `…` alone stands for any lines.
fn all_fit(mut found: VecDeque<String>, expected: &[String]) -> bool {
    match expected.split_first() {
        None => found.is_empty(),
        Some((first, rest)) if first == "…" => (0..=found.len())
            .any(|skipped| all_fit(found.iter().skip(skipped).cloned().collect(), rest)),
        Some((first, rest)) => match found.pop_front() {
            Some(line) => fits(&line, first) && all_fit(found, rest),
            None => false,
        },
    }
}

/// Whether a line is the expected one. `…` within it stands for any text.
fn fits(line: &str, expected: &str) -> bool {
    match expected.split_once('…') {
        None => line == expected,
        Some((before, behind)) => line.strip_prefix(before).is_some_and(|rest| {
            let ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
            ends.into_iter().any(|at| fits(&rest[at..], behind))
        }),
    }
}

/// A line without what differs from day to day: dates, times and durations, the name and the
/// paths of the machine, and the width of columns.
fn plain(line: &str, world: &World) -> String {
    let home = world.path().join("home");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let line = line.replace(&home.display().to_string(), "~").replace(host.trim(), "laptop");
    let words = line.split_whitespace().map(|word| {
        let bare = word.trim_end_matches([',', ';', ')']);
        let tail = &word[bare.len()..];
        if is_time(bare) { format!("TIME{tail}") } else { without_port(word) }
    });
    let mut words: Vec<String> = words.collect();
    // `2 h 05 min` and `12 ms` are one time.
    for position in (1..words.len()).rev() {
        let is_unit =
            ["ms", "s", "min", "h", "d"].contains(&words[position].trim_end_matches([',', ';']));
        if is_unit && words[position - 1].starts_with(|c: char| c.is_ascii_digit()) {
            words.splice(position - 1..=position, ["TIME".to_owned()]);
        }
    }
    words.dedup_by(|one, other| one == "TIME" && other == "TIME");
    words.join(" ")
}

fn is_time(word: &str) -> bool {
    let has = |characters: &str| word.chars().all(|c| c.is_ascii_digit() || characters.contains(c));
    let digits = word.chars().filter(char::is_ascii_digit).count();
    let is_date = digits == 8 && has("-") && word.len() == 10;
    let is_clock = digits >= 4 && word.contains(':') && has(":+-Z");
    let unit = word.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let is_duration = digits > 0 && unit.len() < word.len() && matches!(unit, "ms" | "s");
    let is_long = digits > 1 && has("dhms") && word.contains(['d', 'h', 'm']);
    is_date || is_clock || is_duration || is_long
}

/// The address of a server, without the port that was free when the test was run.
fn without_port(word: &str) -> String {
    match word.split_once("127.0.0.1:") {
        Some((before, rest)) => {
            let behind = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            format!("{before}127.0.0.1:PORT{behind}")
        }
        None => word.to_owned(),
    }
}

fn read_blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut terminal = Terminal::Main;
    let mut lines = page.lines().zip(1..);
    while let Some((line, _)) = lines.next() {
        match line {
            "<!-- another terminal -->" => terminal = Terminal::Another,
            "```console" => {
                let body = lines.by_ref().take_while(|(line, _)| *line != "```");
                let steps = read_steps(body);
                blocks.push(Block { terminal, steps });
                terminal = Terminal::Main;
            }
            _ => {}
        }
    }
    blocks
}

fn read_steps<'a>(body: impl Iterator<Item = (&'a str, usize)>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (text, line) in body {
        if let Some(command) = text.strip_prefix("$ ") {
            steps.push(Step { line, command: command.to_owned(), output: Vec::new() });
            continue;
        }
        let step = steps.last_mut().expect("a block begins with a command");
        match text.strip_prefix("> ") {
            Some(more) if step.output.is_empty() => {
                step.command.push('\n');
                step.command.push_str(more);
            }
            _ => step.output.push(text.to_owned()),
        }
    }
    steps
}

#[test]
fn what_differs_from_day_to_day_is_not_compared() {
    let world = World::new();
    let plain = |line: &str| plain(line, &world);
    assert_eq!(plain("run   2026-11-25 03:33:24 +00:00 for 1 min 03 s, 3.2s"), "run TIME for TIME");
    assert_eq!(plain(" 1  12ms  1m03s exit 2"), "1 TIME exit 2");
    assert_eq!(plain("at http://127.0.0.1:5000/x"), "at http://127.0.0.1:PORT/x");
    assert!(fits("a b c", "a … c") && !fits("a b", "a … c") && fits("ab", "a…"));
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(all_fit(lines("a\nb\nc").into(), &lines("a\n…\nc")));
    assert!(!all_fit(lines("a\nb").into(), &lines("a")));
}
