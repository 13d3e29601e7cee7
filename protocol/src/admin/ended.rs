//! The answer to `kill --json` (SPEC section 14.5).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{AdminVersion, Text, bounds, ids};
use crate::SessionId;

/// What became of the sessions that were to be ended. Each is in one of the two lists, which have at
/// most [`MAX_ENTRIES`](super::MAX_ENTRIES).
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KillReport {
    /// The sessions that were ended. Their host forgets them.
    #[serde(deserialize_with = "bounds::list")]
    pub ended: Vec<EndedSession>,
    /// The sessions that were not ended, or of which that is unknown.
    #[serde(default, deserialize_with = "bounds::list")]
    pub problems: Vec<EndProblem>,
    /// The version of this answer.
    #[serde(default, rename = "admin")]
    pub version: AdminVersion,
}

/// A session that was ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EndedSession {
    /// Its id.
    #[serde(with = "ids")]
    pub session: SessionId,
    /// How many processes were ended.
    #[serde(default)]
    pub processes: u32,
}

/// A session that was not ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EndProblem {
    /// The session as the command named it: an id, or its first digits.
    pub name: Text,
    /// Why it was not ended.
    #[serde(default)]
    pub error: Text,
}
