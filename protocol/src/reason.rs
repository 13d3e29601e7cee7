//! Why a wish is refused: a closed set (SPEC section 8).

use core::fmt;

use alloc::string::String;
use rejoin_text::printable;
use serde::{Deserialize, Serialize};

use crate::error::Divergence;
use crate::ident::{AttachNumber, ClientName, Counter, Epoch, Holder, HostId, Incarnation, Tenure};
use crate::seq::Seq;
use crate::version::VersionRange;

/// Why a server refuses a wish. Each reason has one transition of the client and one message for a person
/// (SPEC section 8.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Reason {
    /// The process has ended, or died with its server.
    ProcessGone,
    /// This host never knew the session, or has forgotten it.
    Unknown,
    /// Another server keeps the session than the wish named.
    EpochMismatch {
        /// The epoch of that server.
        current: Epoch,
    },
    /// The wish names another host than this one.
    DifferentHost {
        /// This host.
        host: HostId,
    },
    /// The numbers of the two sides cannot both be true.
    Diverged(Divergence),
    /// The server no longer holds the requested output.
    Gap {
        /// The first output that it holds.
        first_held: Seq,
    },
    /// The server has already seen a later attach of the same client instance.
    Stale {
        /// Its number.
        last: AttachNumber,
    },
    /// Another client instance owns the session.
    Held {
        /// What a claim must name.
        by: Holder,
        /// Who it is.
        name: ClientName,
    },
    /// Another client instance took the session over.
    Superseded {
        /// The tenure of that instance.
        by: Tenure,
        /// Who it is.
        name: ClientName,
    },
    /// The process could not be started. Its incarnation is used up.
    SpawnFailed(SpawnError),
    /// The server does not understand the version of the Hello.
    Incompatible {
        /// The versions that it understands.
        supported: VersionRange,
    },
    /// A server lives but does not answer, or is busy.
    Unresponsive,
    /// The host does not allow it.
    Forbidden {
        /// Why.
        message: String,
    },
    /// A counter of the session is exhausted. A server reports the tenure only; a client reports the others
    /// to its application.
    Exhausted(Counter),
}

impl Reason {
    /// The longest message in a reason, in bytes.
    pub const MAX_MESSAGE: usize = 512;
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProcessGone => f.write_str("the process is gone"),
            Self::Unknown => f.write_str("the host does not know this session"),
            Self::EpochMismatch { .. } => {
                f.write_str("the process is gone; another server keeps the session")
            }
            Self::DifferentHost { host } => write!(f, "this is a different host ({host})"),
            Self::Diverged(what) => write!(f, "the two sides do not agree: {what}"),
            Self::Gap { .. } => f.write_str("the output asked for is no longer held"),
            Self::Stale { .. } => f.write_str("a newer connection of this client was seen already"),
            Self::Held { name, .. } => write!(f, "the session is held by {}", shown(name)),
            Self::Superseded { name, .. } => {
                write!(f, "the session was taken over by {}", shown(name))
            }
            Self::SpawnFailed(error) => error.fmt(f),
            Self::Incompatible { supported } => {
                write!(f, "the server understands protocol {supported} only")
            }
            Self::Unresponsive => f.write_str("the session's server does not answer"),
            Self::Forbidden { message } => {
                write!(f, "the host does not allow it: {}", printable(message, Self::MAX_MESSAGE))
            }
            Self::Exhausted(counter) => write!(f, "the session's {counter} is exhausted"),
        }
    }
}

fn shown(name: &ClientName) -> String {
    let name = name.to_printable();
    if name.is_empty() { String::from("another client") } else { name }
}

/// Why a process could not be started.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct SpawnError {
    /// What kind of failure it is.
    pub kind: SpawnErrorKind,
    /// The host's message, at most [`Reason::MAX_MESSAGE`] bytes.
    pub message: String,
}

impl SpawnError {
    /// A failure of `kind`, with its message cut to the limit.
    pub fn new(kind: SpawnErrorKind, message: &str) -> Self {
        Self { kind, message: printable(message, Reason::MAX_MESSAGE) }
    }

    /// What a shell would exit with: 127 for a program not found, 126 for any other failure.
    pub fn shell_code(&self) -> u8 {
        match self.kind {
            SpawnErrorKind::NotFound => 127,
            _ => 126,
        }
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the process could not be started: {}",
            printable(&self.message, Reason::MAX_MESSAGE)
        )
    }
}

/// The kinds of failed starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum SpawnErrorKind {
    /// There is no such program.
    NotFound,
    /// The program may not be executed.
    PermissionDenied,
    /// The folder to start in does not exist or may not be entered.
    BadDirectory,
    /// Anything else.
    Other,
}

/// The counters in a refusal, if known. A client that opens again must name an incarnation above `used`.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize,
)]
pub struct Counters {
    /// The highest incarnation that was ever used.
    pub used: Option<Incarnation>,
    /// The highest tenure.
    pub tenure: Tenure,
    /// The living server.
    pub epoch: Option<Epoch>,
}
