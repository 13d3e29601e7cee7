//! The answer to `ls --json` (SPEC section 14.4).

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::{AdminVersion, Text, bounds, ids};
use crate::{Epoch, Holder, Incarnation, SessionId, Tenure};

/// The sessions on a host: a list, the oldest session first, of at most
/// [`MAX_ENTRIES`](super::MAX_ENTRIES).
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionList {
    /// Each of them.
    #[serde(deserialize_with = "bounds::list")]
    pub sessions: Vec<SessionInfo>,
}

/// A session on a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionInfo {
    /// Its id.
    #[serde(with = "ids")]
    pub session: SessionId,
    /// What it is doing.
    #[serde(rename = "state")]
    pub status: SessionStatus,
    /// Its process.
    #[serde(default)]
    pub incarnation: Option<Incarnation>,
    /// The server that keeps the process.
    #[serde(default, with = "ids::option")]
    pub epoch: Option<Epoch>,
    /// Who is entitled to it.
    #[serde(default)]
    pub tenure: Option<Tenure>,
    /// What the process runs.
    #[serde(default)]
    pub command: Text,
    /// Whether the process has a terminal.
    #[serde(default)]
    pub terminal: bool,
    /// When it started, in seconds since 1970 on the host's clock.
    #[serde(default)]
    pub started: Option<u64>,
    /// How long ago that is, in seconds, whatever happened to the clock since.
    #[serde(default)]
    pub age_seconds: Option<u64>,
    /// For how many seconds nothing was read or written and no client came or went. It is accurate
    /// to a minute.
    #[serde(default)]
    pub idle_seconds: Option<u64>,
    /// The name of the client that holds it, or held it last.
    #[serde(default)]
    pub client: Text,
    /// The version of this answer.
    #[serde(default, rename = "admin")]
    pub version: AdminVersion,
}

impl SessionInfo {
    /// What a takeover has to name (section 7.4), if the host named all three values.
    pub fn holder(&self) -> Option<Holder> {
        let (epoch, incarnation, tenure) = (self.epoch?, self.incarnation?, self.tenure?);
        Some(Holder { epoch, incarnation, tenure })
    }

    /// Whether a client is attached.
    pub fn is_attached(&self) -> bool {
        self.status == SessionStatus::Attached
    }

    /// Whether its server is gone, and the process with it.
    pub fn is_dead(&self) -> bool {
        self.status == SessionStatus::Dead
    }
}

/// What a session is doing.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "Text", into = "Text")]
#[non_exhaustive]
pub enum SessionStatus {
    /// A client is attached.
    Attached,
    /// No client is attached. The process runs, or has ended and keeps what it wrote.
    Detached,
    /// The process is about to be started.
    Starting,
    /// The server is gone, and the process with it. The next sweep removes the entry.
    Dead,
    /// Something that this version does not know.
    Other(Text),
}

impl SessionStatus {
    /// The word for it in an answer.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Attached => "attached",
            Self::Detached => "detached",
            Self::Starting => "starting",
            Self::Dead => "dead",
            Self::Other(text) => text,
        }
    }
}

impl From<Text> for SessionStatus {
    fn from(text: Text) -> Self {
        match text.as_str() {
            "attached" => Self::Attached,
            "detached" => Self::Detached,
            "starting" => Self::Starting,
            "dead" => Self::Dead,
            _ => Self::Other(text),
        }
    }
}

impl From<SessionStatus> for Text {
    fn from(status: SessionStatus) -> Self {
        Self::new(status.as_str())
    }
}

impl fmt::Display for SessionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
