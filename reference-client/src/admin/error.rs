//! Why a host did not do what it was asked.

use std::error::Error;
use std::fmt;

use rejoin_protocol::admin::{AdminVersion, MAX_ANSWER, Text};
use rejoin_ssh::{LinkError, LinkErrorKind};

use crate::event::Event;
use crate::options::OpenError;

/// Why there is no answer, or none that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminError {
    /// The link could not be opened, or ended before an answer came.
    NoAnswer(LinkError),
    /// The host did not answer within [`PATIENCE`](super::PATIENCE).
    TimedOut,
    /// The host printed something else. It may have things of its own to say to whoever logs in.
    Unexpected {
        /// The first line of it that is not empty, safe to print.
        line: String,
    },
    /// The answer is not what the command is answered with, or exceeds a bound.
    Malformed {
        /// What is wrong, safe to print.
        why: String,
    },
    /// The answer is longer than [`MAX_ANSWER`].
    TooLong,
    /// The answer has a version that this program does not know.
    TooNew {
        /// Which.
        version: AdminVersion,
    },
}

/// Whose fault an error is: who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// This program, its configuration or its user.
    Caller,
    /// The connection.
    Link,
    /// The host: the server program is missing, or cannot be run there.
    Host,
    /// The program that answered.
    Peer,
}

impl AdminError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoAnswer(error) => fault_of(error.kind),
            Self::TimedOut => Fault::Link,
            Self::TooNew { .. } => Fault::Caller,
            Self::Unexpected { .. } | Self::Malformed { .. } | Self::TooLong => Fault::Peer,
        }
    }
}

fn fault_of(kind: LinkErrorKind) -> Fault {
    match kind {
        LinkErrorKind::Unreachable | LinkErrorKind::Closed => Fault::Link,
        LinkErrorKind::HostKey
        | LinkErrorKind::NeedsUser
        | LinkErrorKind::ProgramMissing
        | LinkErrorKind::BadArguments => Fault::Caller,
        LinkErrorKind::ServerMissing
        | LinkErrorKind::Undeployable
        | LinkErrorKind::Refused
        | LinkErrorKind::Other => Fault::Host,
    }
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer(error) if error.kind == LinkErrorKind::Closed => {
                write!(f, "the host did not answer: {error}")
            }
            Self::NoAnswer(error) => error.fmt(f),
            Self::TimedOut => f.write_str("the host did not answer in time"),
            Self::Unexpected { line } => {
                write!(f, "unexpected output from the host: {line}")
            }
            Self::Malformed { why } => write!(f, "the host's answer cannot be used: {why}"),
            Self::TooLong => write!(f, "the host's answer is longer than {MAX_ANSWER} bytes"),
            Self::TooNew { version } => write!(
                f,
                "the host answers in version {version} of the format, and this program understands \
                 version {}: update rejoin here",
                AdminVersion::CURRENT
            ),
        }
    }
}

impl Error for AdminError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::NoAnswer(error) => Some(error),
            _ => None,
        }
    }
}

/// Why [`kill_listed`](super::kill_listed) or [`Remote::kill`](crate::Remote::kill) did not end a session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KillError {
    /// The request cannot be made.
    Open(OpenError),
    /// The session was not ended: the event says why, such as [`Event::Refused`] or [`Event::GaveUp`].
    NotEnded(Event),
    /// The host did not answer. The session may have been ended.
    NoAnswer(AdminError),
    /// The server program could not end the session, for this reason.
    Failed(Text),
    /// Nobody said what became of the session.
    Unknown,
}

impl KillError {
    /// Whose fault it is. If another client took the session over, the caller's list is out of date.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Open(_) | Self::NotEnded(Event::Superseded { .. }) => Fault::Caller,
            Self::NoAnswer(error) => error.fault(),
            Self::NotEnded(Event::GaveUp { reason, .. }) => match reason.as_str() {
                "host_key" | "needs_user" | "program_missing" | "bad_arguments" => Fault::Caller,
                "unreachable" | "closed" | "timeout" => Fault::Link,
                _ => Fault::Host,
            },
            Self::NotEnded(_) | Self::Failed(_) => Fault::Host,
            Self::Unknown => Fault::Link,
        }
    }
}

impl fmt::Display for KillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::NotEnded(
                Event::Refused { message, .. }
                | Event::GaveUp { message, .. }
                | Event::Lost { message, .. },
            ) => f.write_str(message),
            Self::NotEnded(Event::Superseded { by }) => write!(f, "{by} took the session over"),
            Self::NotEnded(_) => f.write_str("the session was not ended"),
            Self::NoAnswer(error) => error.fmt(f),
            Self::Failed(error) => write!(f, "{error}"),
            Self::Unknown => f.write_str("it is unknown whether the session was ended"),
        }
    }
}

impl Error for KillError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Open(error) => Some(error),
            Self::NoAnswer(error) => Some(error),
            _ => None,
        }
    }
}

/// The longest text of a host's that an error quotes, in bytes.
const MAX_QUOTE: usize = 2000;

pub(super) fn printable(text: &str) -> String {
    rejoin_text::printable(text, MAX_QUOTE)
}
