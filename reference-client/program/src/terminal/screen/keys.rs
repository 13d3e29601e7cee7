//! The flags of kitty's keyboard protocol: each of the two screens has a stack of its own.

use super::numbers;

/// Terminals keep less, and forget the oldest.
const DEEPEST: usize = 64;

/// One screen's flags.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    /// The flags below all that was pushed.
    base: u16,
    /// What was pushed, the current flags last.
    pushed: Vec<u16>,
}

impl Keys {
    /// `CSI > flags u`.
    pub(super) fn push(&mut self, parameters: &[u8]) {
        if self.pushed.len() == DEEPEST {
            self.pushed.remove(0);
        }
        self.pushed.push(numbers(parameters).next().unwrap_or(0));
    }

    /// `CSI < count u`.
    pub(super) fn pop(&mut self, parameters: &[u8]) {
        let count = usize::from(numbers(parameters).next().unwrap_or(1).max(1));
        if count > self.pushed.len() {
            // An empty stack has no flags.
            self.base = 0;
        }
        self.pushed.truncate(self.pushed.len().saturating_sub(count));
    }

    /// `CSI = flags ; mode u`.
    pub(super) fn assign(&mut self, parameters: &[u8]) {
        let mut numbers = numbers(parameters);
        let flags = numbers.next().unwrap_or(0);
        let current = self.pushed.last_mut().unwrap_or(&mut self.base);
        *current = match numbers.next() {
            Some(2) => *current | flags,
            Some(3) => *current & !flags,
            _ => flags,
        };
    }

    pub(super) fn undo(&self) -> String {
        let pop = match self.pushed.len() {
            0 => String::new(),
            1 => "\x1b[<u".to_owned(),
            count => format!("\x1b[<{count}u"),
        };
        let clear = if self.base == 0 { "" } else { "\x1b[=0u" };
        pop + clear
    }

    pub(super) fn redo(&self) -> String {
        let base = if self.base == 0 { String::new() } else { format!("\x1b[={}u", self.base) };
        self.pushed.iter().fold(base, |all, flags| all + &format!("\x1b[>{flags}u"))
    }
}
