//! What ssh, and the host's login shell, say on stderr while they log in: held back for a moment, since a
//! failure says it in one line, and shown once, however many logins a command takes.

use std::collections::BTreeSet;

use crate::ending::Ending;
use crate::host::MOST_LINES;

/// The lines of a command's logins.
#[derive(Debug, Default)]
pub(crate) struct LoginLines {
    held: Vec<String>,
    /// What was said at this login.
    current: Vec<String>,
    /// What was said at those before.
    earlier: BTreeSet<String>,
    shown: Vec<String>,
}

impl LoginLines {
    /// From here on, another login says the same. What is held is not shown: a failure has said it.
    pub(crate) fn next_login(&mut self) {
        self.held.clear();
        self.earlier.extend(self.current.drain(..));
    }

    /// A line that may be shown. Says whether it is new. That a password was wrong is new each time.
    pub(crate) fn hold(&mut self, line: &str) -> bool {
        if self.earlier.contains(line) && !line.starts_with("Permission denied") {
            return false;
        }
        if self.held.len() < MOST_LINES {
            if self.current.len() < MOST_LINES {
                self.current.push(line.to_owned());
            }
            self.held.push(line.to_owned());
        }
        true
    }

    /// Whether lines wait to be shown.
    pub(crate) fn are_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// The lines that are to be shown now.
    pub(crate) fn release(&mut self) -> Vec<String> {
        let released = std::mem::take(&mut self.held);
        let room = MOST_LINES.saturating_sub(self.shown.len());
        self.shown.extend(released.iter().take(room).cloned());
        released
    }

    /// An ending that does not quote what is to be seen already.
    pub(crate) fn said_once(&self, ending: Ending) -> Ending {
        let without = |line: String, shown: &String| line.replace(&format!(" ({shown})"), "");
        Ending { line: ending.line.map(|line| self.shown.iter().fold(line, without)), ..ending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_a_line_once_for_all_logins_and_again_within_one() {
        let mut lines = LoginLines::default();
        assert!(lines.hold("noise") && lines.hold("noise"));
        assert_eq!(lines.release(), ["noise", "noise"]);
        lines.next_login();
        assert!(!lines.hold("noise") && lines.hold("new"));
        assert_eq!(lines.release(), ["new"]);
        lines.hold("Permission denied, please try again.");
        lines.next_login();
        assert!(lines.hold("Permission denied, please try again."));
    }

    #[test]
    fn an_ending_does_not_repeat_what_was_shown() {
        let mut lines = LoginLines::default();
        let ending = Ending::failed("the remote command ended with status 3 (noise)");
        lines.hold("noise");
        assert_eq!(lines.said_once(ending.clone()), ending);
        lines.release();
        let once = Ending::failed("the remote command ended with status 3");
        assert_eq!(lines.said_once(ending), once);
    }
}
