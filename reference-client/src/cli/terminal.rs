//! The user's terminal: raw mode and its undoing, its size, whether it is one.

use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rejoin_client::WindowSize;
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::ssh_options::TerminalWish;

/// How the terminal was before raw mode. Here rather than in the guard, for the panic hook needs it.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Raw mode, for as long as it lives: every key goes to the process.
///
/// Undone when it is dropped, and by a panic before its message is shown. The signals that end a
/// program are handled by whoever holds this; nothing can be done about `KILL`.
#[derive(Debug)]
pub(crate) struct RawMode(());

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
        Ok(Self(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
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

/// What the process would be told of the terminal's kind.
pub(crate) fn kind() -> String {
    std::env::var("TERM").ok().filter(|term| !term.is_empty()).unwrap_or_else(|| "dumb".to_owned())
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

/// Whether the process gets a terminal, decided as ssh decides it.
pub(crate) fn is_wanted(wish: TerminalWish, has_command: bool, stdin_is_terminal: bool) -> bool {
    match wish {
        TerminalWish::Force => true,
        TerminalWish::No => false,
        TerminalWish::Yes => stdin_is_terminal,
        TerminalWish::Auto => stdin_is_terminal && !has_command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_given_where_ssh_gives_one() {
        let table = [
            // wish, command, stdin is one, given
            (TerminalWish::Auto, false, true, true),
            (TerminalWish::Auto, false, false, false),
            (TerminalWish::Auto, true, true, false),
            (TerminalWish::Yes, true, true, true),
            (TerminalWish::Yes, true, false, false),
            (TerminalWish::Yes, false, false, false),
            (TerminalWish::Force, true, false, true),
            (TerminalWish::No, false, true, false),
        ];
        for (wish, command, stdin, given) in table {
            assert_eq!(is_wanted(wish, command, stdin), given, "{wish:?} {command} {stdin}");
        }
    }
}
