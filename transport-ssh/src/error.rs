//! Why a link could not start, or ended.

use std::error::Error;
use std::fmt;

use rejoin_ssh2::text::one_line;

/// Why a link could not start, or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkError {
    /// What a program can decide on.
    pub kind: LinkErrorKind,
    /// One line that a person can act on, without control characters.
    pub message: String,
    /// The last lines that the transport's program wrote to its stderr, oldest first, without control
    /// characters. At most 20 lines and 8 KiB.
    pub detail: Vec<String>,
}

/// What is known about the end of a link.
///
/// Only what an exit status or a well-known message proves is told apart; the rest is [`Other`], with
/// the transport's own last line as the message.
///
/// [`Other`]: LinkErrorKind::Other
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkErrorKind {
    /// The host could not be reached: refused, timed out, no route, unknown name, or cut before a
    /// session was open.
    Unreachable,
    /// The host's key is unknown, changed or revoked. A person has to look at it.
    HostKey,
    /// The host wants an authentication that only a person can give.
    NeedsUser,
    /// The local program that carries the link (`ssh`) is not there or cannot be run.
    ProgramMissing,
    /// The host was reached, but has no such server program or cannot run it.
    ServerMissing,
    /// The host was reached, has no server program, and none could be put there.
    Undeployable,
    /// The host was reached, and does not let this account run the command.
    Refused,
    /// The stream ended, and there is nothing more to know.
    Closed,
    /// Something else; the message has the transport's own words.
    Other,
}

impl LinkError {
    /// An error without detail. Control characters are taken out of the message.
    pub fn new(kind: LinkErrorKind, message: impl AsRef<str>) -> Self {
        Self { kind, message: printable(message.as_ref()), detail: Vec::new() }
    }

    pub(crate) fn with_detail(self, detail: Vec<String>) -> Self {
        Self { detail, ..self }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for LinkError {}

/// The text as one line that no terminal can mistake for a command.
pub(crate) fn printable(text: &str) -> String {
    one_line(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_move_the_cursor_or_reorder_the_line() {
        let error = LinkError::new(LinkErrorKind::Other, "a\x1b[2J\u{9b}b\u{202e}c\td\r\n");
        assert_eq!(error.message, "a[2Jbc d");
    }
}
