//! What signals mean to a watcher.

use std::io;

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::KILL_SIGNAL;

/// What a container shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// End, by the signal that its image has for this.
    Stop,
    Kill,
    Pause,
    Resume,
    Signal(&'static str),
}

/// The signals of this process, as words to its container.
///
/// # Errors
/// The signals cannot be received.
pub fn listen() -> io::Result<UnboundedReceiver<Word>> {
    let meanings = [
        (Signal::TERM.as_raw(), Word::Stop),
        (KILL_SIGNAL, Word::Kill),
        (Signal::TSTP.as_raw(), Word::Pause),
        (Signal::CONT.as_raw(), Word::Resume),
        (Signal::HUP.as_raw(), Word::Signal("SIGHUP")),
        (Signal::INT.as_raw(), Word::Signal("SIGINT")),
        (Signal::QUIT.as_raw(), Word::Signal("SIGQUIT")),
        (Signal::ABORT.as_raw(), Word::Signal("SIGABRT")),
        (Signal::USR1.as_raw(), Word::Signal("SIGUSR1")),
        (Signal::USR2.as_raw(), Word::Signal("SIGUSR2")),
        (Signal::ALARM.as_raw(), Word::Signal("SIGALRM")),
        (Signal::WINCH.as_raw(), Word::Signal("SIGWINCH")),
    ];
    let (sender, words) = unbounded_channel();
    for (number, word) in meanings {
        let mut signals = signal(SignalKind::from_raw(number))?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if sender.send(word).is_err() {
                    return;
                }
            }
        });
    }
    Ok(words)
}
