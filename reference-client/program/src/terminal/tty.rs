//! The user's terminal: raw mode and its undoing, its size, whether it is one.

use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rejoin_client::WindowSize;
use rejoin_client::spec::Terminal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{
    OptionalActions, QueueSelector, Termios, tcflush, tcgetattr, tcgetwinsize, tcsetattr,
};

/// How the terminal was before raw mode. Here rather than in the guard, for the panic hook needs it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode, for as long as it lives: every key goes to the process.
///
/// Undone when it is dropped, and by a panic before its message is shown. The signals that end a
/// program are handled by whoever holds this; nothing can be done about `KILL`.
#[derive(Debug)]
pub(crate) struct RawMode {
    /// Whether what is typed up to its end was meant for the process that is left.
    discards_rest: bool,
}

impl RawMode {
    /// Switches the terminal on stdin.
    pub(crate) fn enter() -> io::Result<Self> {
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(restore_on_panic);
        let now = tcgetattr(stdin())?;
        let mut raw = now.clone();
        raw.make_raw();
        // In this order: whatever happens between the two, what is to be restored is known.
        before().get_or_insert(now);
        tcsetattr(stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self { discards_rest: false })
    }

    /// Has what was typed and not read thrown away at the end.
    pub(crate) fn discard_rest(&mut self) {
        self.discards_rest = true;
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if self.discards_rest {
            discard_typed();
        }
        restore();
    }
}

fn restore_on_panic() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        told(panic);
    }));
}

fn restore() {
    if let Some(before) = before().take() {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &before);
    }
}

fn before() -> MutexGuard<'static, Option<Termios>> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A pause in the typing that ends a paste: a terminal's queue holds 4 kB, so a long one comes in
/// pieces.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// A key that is held down makes no pause.
const LONGEST_BURST: Duration = Duration::from_secs(2);

/// Throws away what was typed and not read, up to the next pause in the typing: it was meant for the
/// process, and the shell that gets the terminal now must not run it.
fn discard_typed() {
    let began = Instant::now();
    while tcflush(stdin(), QueueSelector::IFlush).is_ok() && began.elapsed() < LONGEST_BURST {
        let stdin = stdin();
        let mut waited = [PollFd::new(&stdin, PollFlags::IN)];
        if !matches!(poll(&mut waited, Some(&PAUSE)), Ok(1..)) {
            break;
        }
    }
}

/// The terminal's size, as the first of the three streams that is one tells it.
pub(crate) fn size() -> WindowSize {
    let streams = [stdin(), stdout(), stderr()];
    let size = streams.iter().find_map(|stream| tcgetwinsize(stream).ok());
    match size {
        Some(size) if size.ws_row > 0 && size.ws_col > 0 => WindowSize {
            rows: size.ws_row,
            cols: size.ws_col,
            xpixel: size.ws_xpixel,
            ypixel: size.ws_ypixel,
        },
        _ => WindowSize { rows: 24, cols: 80, xpixel: 0, ypixel: 0 },
    }
}

/// The modes of the terminal on stdin, as ssh sends them (also with `-n`): none if stdin is no
/// terminal. Call this before raw mode.
pub(crate) fn modes() -> Vec<(u8, u32)> {
    tcgetattr(stdin()).map(|termios| Terminal::modes_of(&termios)).unwrap_or_default()
}

/// What the process would be told of the terminal's kind.
pub(crate) fn kind() -> String {
    std::env::var("TERM").ok().filter(|term| !term.is_empty()).unwrap_or_else(|| "dumb".to_owned())
}

/// Kinds of terminals with a window whose title programs set. Others may show the sequence as text.
const WITH_TITLE: &[&str] = &[
    "alacritty",
    "contour",
    "foot",
    "ghostty",
    "gnome",
    "iterm",
    "kitty",
    "konsole",
    "mintty",
    "ms-",
    "putty",
    "rio",
    "rxvt",
    "screen",
    "st-",
    "tmux",
    "vte",
    "wezterm",
    "xterm",
];

/// Whether the window of a terminal of this kind has a title that can be brought back. GNU screen shows
/// titles, and has no way back.
pub(crate) fn has_title(kind: &str) -> bool {
    let is_in_gnu_screen = std::env::var_os("STY").is_some() && kind.starts_with("screen");
    WITH_TITLE.iter().any(|start| kind.starts_with(start)) && !is_in_gnu_screen
}

/// Which of the standard streams are terminals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standard {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
}

impl Standard {
    pub(crate) fn look() -> Self {
        Self {
            stdin: io::stdin().is_terminal(),
            stdout: io::stdout().is_terminal(),
            stderr: io::stderr().is_terminal(),
        }
    }
}
