//! How the demo looks: colours and a moving line on a terminal, plain lines elsewhere.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::terminal::output;

/// How often the moving line moves.
const FRAME: Duration = Duration::from_millis(50);

pub(super) struct Stage {
    is_live: bool,
    has_colour: bool,
    drawn: Option<Instant>,
}

impl Stage {
    pub(super) fn new() -> Self {
        let is_terminal = io::stdout().is_terminal();
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            is_live: is_terminal && !is_dumb,
            has_colour: is_terminal && !is_dumb && !no_colour,
            drawn: None,
        }
    }

    pub(super) fn title(&mut self, text: impl Display) {
        self.line("");
        let text = self.paint("1", &text.to_string());
        self.line(&text);
    }

    pub(super) fn say(&mut self, text: impl Display) {
        self.line(&format!("  {text}"));
    }

    /// Something that was as it should be.
    pub(super) fn good(&mut self, text: impl Display) {
        let mark = self.paint("32", "ok");
        self.line(&format!("  {mark}   {text}"));
    }

    /// Something that went wrong, as it was meant to.
    pub(super) fn blow(&mut self, text: impl Display) {
        let mark = self.paint("31", "cut");
        self.line(&format!("  {mark}  {text}"));
    }

    pub(super) fn faint(&mut self, text: impl Display) {
        let text = self.paint("2", &format!("  {text}"));
        self.line(&text);
    }

    pub(super) fn failed(&self, message: &str) {
        self.erase();
        output::say(format_args!("rejoin demo: {message}\n"));
    }

    /// A line that moves in its place; nothing where there is no terminal.
    pub(super) fn moving(&mut self, text: impl Display) {
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= FRAME);
        if self.is_live && is_due {
            self.drawn = Some(Instant::now());
            let text = self.paint("2", &format!("  ...  {text}"));
            write(&format!("\r\x1b[2K{text}"));
        }
    }

    fn line(&self, text: &str) {
        self.erase();
        write(&format!("{text}\n"));
    }

    fn erase(&self) {
        if self.is_live {
            write("\r\x1b[2K");
        }
    }

    fn paint(&self, style: &str, text: &str) -> String {
        if self.has_colour { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A terminal that is gone, or a reader, stops nothing: there is still something to clean up.
fn write(text: &str) {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
