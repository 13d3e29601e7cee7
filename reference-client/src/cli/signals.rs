//! The signals that this end gets.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal is to rejoin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Interrupted.
    Interrupt,
    /// Asked to end, or the terminal was closed. With the signal's number.
    End(u8),
    /// The terminal has another size.
    Resized,
    /// Goes on after a stop, with a terminal that others have used meanwhile.
    Continued,
}

#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    end: Signal,
    hangup: Signal,
    quit: Signal,
    resized: Signal,
    continued: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            end: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            quit: signal(SignalKind::quit())?,
            resized: signal(SignalKind::window_change())?,
            continued: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    pub(crate) async fn next(&mut self) -> Told {
        tokio::select! {
            // A terminal that is closed sends a hangup and, in the same moment, SIGCONT.
            biased;
            _ = self.interrupt.recv() => Told::Interrupt,
            _ = self.end.recv() => Told::End(15),
            _ = self.hangup.recv() => Told::End(1),
            _ = self.quit.recv() => Told::End(3),
            _ = self.resized.recv() => Told::Resized,
            _ = self.continued.recv() => Told::Continued,
        }
    }
}
