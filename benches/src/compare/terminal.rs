//! A terminal with a program in it: what it draws is what counts.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::processes;

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// A terminal whose program ends with it.
pub(super) struct Terminal {
    child: Child,
    keyboard: File,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    parser: vt100::Parser,
    /// When the last bytes came.
    at: Instant,
    has_ended: bool,
}

impl Default for State {
    fn default() -> Self {
        let parser = vt100::Parser::new(ROWS, COLUMNS, 0);
        Self { parser, at: Instant::now(), has_ended: false }
    }
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Terminal {
    /// Runs a command in a terminal.
    pub(super) fn run(words: &[OsString], environment: &[(String, String)]) -> io::Result<Self> {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&keyboard)?;
        unlockpt(&keyboard)?;
        let path = ptsname(&keyboard, Vec::new())?;
        let path = path.into_string().map_err(io::Error::other)?;
        let program_side = OpenOptions::new().read(true).write(true).open(path)?;
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&program_side, size)?;
        // Without it, the terminal would not be the program's own.
        let child = Command::new("setsid")
            .args(["--ctty", "--"])
            .args(words)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(OwnedFd::from(program_side.try_clone()?))
            .stdout(OwnedFd::from(program_side.try_clone()?))
            .stderr(Stdio::from(program_side))
            .spawn()?;
        let keyboard = File::from(keyboard);
        let seen = Arc::<Seen>::default();
        let (screen, shown) = (keyboard.try_clone()?, Arc::clone(&seen));
        std::thread::spawn(move || watch(screen, &shown));
        Ok(Self { child, keyboard, seen })
    }

    /// Types.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.keyboard.write_all(bytes)
    }

    /// Whether whoever has the terminal takes what is typed.
    pub(super) fn is_read(&self) -> bool {
        let mut wanted = [PollFd::new(&self.keyboard, PollFlags::OUT)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut wanted, Some(&now)).is_ok_and(|count| count > 0)
    }

    /// What is found on the screen, and when the bytes came that drew it; `None` if it is not there
    /// in time.
    pub(super) fn find<T>(
        &self,
        deadline: Instant,
        mut find: impl FnMut(&vt100::Screen) -> Option<T>,
    ) -> Option<(T, Instant)> {
        let mut state = self.seen.lock();
        loop {
            if let Some(found) = find(state.parser.screen()) {
                return Some((found, state.at));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.has_ended {
                return None;
            }
            let waited = self.seen.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether the program is gone.
    pub(super) fn has_ended(&self) -> bool {
        self.seen.lock().has_ended
    }

    /// What is on the screen, in one line.
    pub(super) fn text(&self) -> String {
        let contents = self.seen.lock().parser.screen().contents();
        contents
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" / ")
    }

    /// The processes of the program.
    pub(super) fn processes(&self) -> Vec<u32> {
        processes::tree(self.child.id())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let all = self.processes();
        // One that is stopped hears of nothing else.
        processes::signal(&all, Signal::KILL);
        let _ = self.child.wait();
    }
}

fn watch(mut screen: File, seen: &Seen) {
    let mut bytes = vec![0; 64 * 1024];
    loop {
        // Its program's end comes as an error.
        let count = screen.read(&mut bytes).unwrap_or(0);
        let at = Instant::now();
        let mut state = seen.lock();
        state.at = at;
        state.has_ended = count == 0;
        state.parser.process(&bytes[..count]);
        seen.changed.notify_all();
        if count == 0 {
            return;
        }
    }
}

/// A moment from now on.
pub(super) fn within(time: Duration) -> Instant {
    Instant::now() + time
}
