//! A terminal for a test: a real pseudo-terminal, with a program in it and
//! somebody who reads its screen.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::world::until;

/// Lines that have scrolled off the screen are of no interest.
const SCROLLBACK: usize = 0;

pub struct Terminal {
    child: Child,
    master: File,
    /// Our own end of the program's side, to look at its modes.
    slave: OwnedFd,
    parser: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts a program in a terminal of its own. The program is the leader of a
    /// session whose controlling terminal this is.
    pub fn start(program: &Command, (columns, lines): (u16, u16)) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = rustix::fs::open(name.as_c_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty())
            .unwrap();
        tcsetwinsize(&slave, size(columns, lines)).unwrap();
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(program.get_program()).args(program.get_args());
        command.env_clear();
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        if let Some(folder) = program.get_current_dir() {
            command.current_dir(folder);
        }
        let end = || Stdio::from(slave.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let parser =
            Arc::new(Mutex::new(vt100::Parser::new(cells(lines), cells(columns), SCROLLBACK)));
        let master = File::from(master);
        let mut reader = master.try_clone().unwrap();
        let screen = Arc::clone(&parser);
        std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            // Ends with an error when nobody has the other side any more.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                screen.lock().unwrap().process(&bytes[..count]);
            }
        });
        Self { child, master, slave, parser }
    }

    /// What is on the screen, line by line.
    pub fn screen(&self) -> String {
        self.parser.lock().unwrap().screen().contents()
    }

    /// Whether the program has taken the whole screen for itself.
    pub fn is_taken(&self) -> bool {
        self.parser.lock().unwrap().screen().alternate_screen()
    }

    /// Whether the terminal is as a shell wants it: lines are edited and echoed,
    /// on the usual screen, with a cursor.
    pub fn is_restored(&self) -> bool {
        use rustix::termios::LocalModes;
        let modes = tcgetattr(&self.slave).unwrap().local_modes;
        let parser = self.parser.lock().unwrap();
        let screen = parser.screen();
        modes.contains(LocalModes::ICANON | LocalModes::ECHO)
            && !screen.alternate_screen()
            && !screen.hide_cursor()
            && screen.mouse_protocol_mode() == vt100::MouseProtocolMode::None
    }

    /// Whether the program wants to hear of clicks.
    pub fn takes_clicks(&self) -> bool {
        let parser = self.parser.lock().unwrap();
        parser.screen().mouse_protocol_mode() != vt100::MouseProtocolMode::None
    }

    /// Whether anything on the screen is in colour.
    pub fn has_colours(&self) -> bool {
        let parser = self.parser.lock().unwrap();
        let screen = parser.screen();
        let (lines, columns) = screen.size();
        let is_coloured = |cell: &vt100::Cell| {
            cell.fgcolor() != vt100::Color::Default || cell.bgcolor() != vt100::Color::Default
        };
        (0..lines.get())
            .any(|y| (0..columns.get()).any(|x| screen.cell(y, x).is_some_and(is_coloured)))
    }

    /// Types keys as a terminal sends them.
    pub fn type_keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen has this on it, and gives the screen.
    #[track_caller]
    pub fn wait_for(&self, part: &str) -> String {
        self.wait_until(&format!("`{part}`"), |screen| screen.contains(part))
    }

    #[track_caller]
    pub fn wait_until(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(what, || {
                last = self.screen();
                fits(&last).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| panic!("waited for {what} on this screen:\n{last}"))
    }

    pub fn resize(&self, columns: u16, lines: u16) {
        self.parser.lock().unwrap().screen_mut().set_size(cells(lines), cells(columns));
        tcsetwinsize(&self.slave, size(columns, lines)).unwrap();
    }

    /// Waits until the program has ended.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        until("the program in the terminal to end", || self.child.try_wait().unwrap())
    }
}

fn cells(number: u16) -> NonZero<u16> {
    NonZero::new(number).unwrap()
}

const fn size(columns: u16, lines: u16) -> Winsize {
    Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
