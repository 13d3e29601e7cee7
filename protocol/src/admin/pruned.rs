//! The answer to `prune --json` (SPEC section 14.6).

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{AdminVersion, Text, bounds, ids};
use crate::SessionId;

/// What a sweep (section 11.5) removed. Each list has at most [`MAX_ENTRIES`](super::MAX_ENTRIES).
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PruneReport {
    /// The sessions whose server was dead, and which were removed.
    #[serde(default, with = "ids::list")]
    pub dead: Vec<SessionId>,
    /// How many of their processes were still there, and were ended.
    pub killed: u64,
    /// The sessions that ended long ago, and which the host forgot.
    #[serde(default, with = "ids::list")]
    pub tombstones: Vec<SessionId>,
    /// What could not be removed.
    #[serde(default, deserialize_with = "bounds::list")]
    pub problems: Vec<PruneProblem>,
    /// The version of this answer.
    #[serde(default, rename = "admin")]
    pub version: AdminVersion,
}

/// A session that could not be removed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PruneProblem {
    /// Its id.
    #[serde(with = "ids")]
    pub session: SessionId,
    /// Why it could not be removed.
    #[serde(default)]
    pub error: Text,
}
