//! Why a link could not start, or ended.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;

/// Why a link could not start, or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkError {
    /// The kind, for decisions in a program.
    pub kind: LinkErrorKind,
    /// One line that a person can act on, made [printable](rejoin_text::printable), of at most 4 KiB.
    pub message: String,
    /// The last lines that the transport's program wrote to its stderr, oldest first, made
    /// [printable](rejoin_text::printable). At most 20 lines and 8 KiB.
    pub detail: Vec<String>,
}

/// The kind of a link's end.
///
/// A kind is given only if an exit status or a well-known message proves it. Everything else is [`Other`],
/// with the transport's last line as the message.
///
/// [`Other`]: LinkErrorKind::Other
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkErrorKind {
    /// The host could not be reached: refused, timed out, no route, unknown name, or cut before a
    /// session was open.
    Unreachable,
    /// The host key is unknown, changed or revoked. A person must check it.
    HostKey,
    /// The host requires an authentication that only a person can give.
    NeedsUser,
    /// The local program that carries the link (`ssh`) is missing or cannot be run.
    ProgramMissing,
    /// `ssh` rejected its arguments: the destination or an option is wrong.
    BadArguments,
    /// The host was reached, but the server program is missing there or cannot run.
    ServerMissing,
    /// The host was reached, has no server program, and the upload failed.
    Undeployable,
    /// The host was reached, and does not allow this account to run the command.
    Refused,
    /// The stream ended, without a known reason.
    Closed,
    /// Something else; the message is the transport's.
    Other,
}

impl LinkError {
    /// An error without detail. Its message is made [printable](rejoin_text::printable).
    pub fn new(kind: LinkErrorKind, message: impl AsRef<str>) -> Self {
        Self { kind, message: printable(message.as_ref()), detail: Vec::new() }
    }

    /// If the destination is an address: ssh then says no more than its usage of one that it cannot take
    /// apart.
    pub(crate) fn bad_address(destination: &OsStr, detail: &[String]) -> Option<Self> {
        let address = destination.to_str().filter(|it| it.starts_with("ssh://"))?;
        let message =
            format!("ssh does not accept the address {address}: use ssh://[user@]host[:port]");
        Some(Self::new(LinkErrorKind::BadArguments, message).with_detail(detail.to_vec()))
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

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 4096;

/// A peer's or a file's text as one line that is safe on a terminal, as long as a message may be.
pub(crate) fn printable(text: &str) -> String {
    rejoin_text::printable(text, MAX_MESSAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_move_the_cursor_reorder_the_line_or_hide_in_it() {
        let evil = "a\x1b[2J\u{9b}b\u{61c}\u{2066}c\u{ad}\u{200b}\u{180e}\u{e0041}\u{fff9}\td\r\n";
        assert_eq!(LinkError::new(LinkErrorKind::Other, evil).message, "a[2Jbc d");
        let long = LinkError::new(LinkErrorKind::Other, "x".repeat(10_000));
        assert_eq!(long.message.len(), MAX_MESSAGE);
    }
}
