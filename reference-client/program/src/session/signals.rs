//! The signals that this end gets.

use std::fs;
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
    interrupt: Unless,
    end: Unless,
    hangup: Unless,
    quit: Unless,
    resized: Signal,
    continued: Signal,
}

impl Signals {
    /// What this program was started to ignore, as `nohup` has it, it goes on to ignore.
    pub(crate) fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let unless = |kind| Unless::listen(kind, ignored);
        Ok(Self {
            interrupt: unless(SignalKind::interrupt())?,
            end: unless(SignalKind::terminate())?,
            hangup: unless(SignalKind::hangup())?,
            quit: unless(SignalKind::quit())?,
            resized: signal(SignalKind::window_change())?,
            continued: signal(SignalKind::from_raw(rustix::process::Signal::CONT.as_raw()))?,
        })
    }

    pub(crate) async fn next(&mut self) -> Told {
        tokio::select! {
            // A terminal that is closed sends a hangup and, in the same moment, SIGCONT.
            biased;
            () = self.interrupt.recv() => Told::Interrupt,
            () = self.end.recv() => Told::End(15),
            () = self.hangup.recv() => Told::End(1),
            () = self.quit.recv() => Told::End(3),
            _ = self.resized.recv() => Told::Resized,
            _ = self.continued.recv() => Told::Continued,
        }
    }
}

/// A signal, unless it is ignored.
#[derive(Debug)]
struct Unless(Option<Signal>);

impl Unless {
    fn listen(kind: SignalKind, ignored: u64) -> io::Result<Self> {
        let is_ignored = ignored >> (kind.as_raw_value() - 1) & 1 == 1;
        let listened = (!is_ignored).then(|| signal(kind)).transpose()?;
        Ok(Self(listened))
    }

    async fn recv(&mut self) {
        match &mut self.0 {
            Some(signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        }
    }
}

/// The signals that are ignored, the first as the lowest bit. None of them where the system does not tell.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
