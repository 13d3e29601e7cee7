//! What is known of a session, folded into one value (SPEC section 11.3).

use super::Reaped;
use crate::ident::{Epoch, Incarnation, Tenure};
use crate::reason::SpawnError;
use crate::server::Past;

/// The contents of record and tombstone, and what else is visible.
// Each flag is an independent fact.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct Known {
    /// Whether there is a lock file.
    pub has_lock: bool,
    /// Whether there is an entry, with or without a record.
    pub has_entry: bool,
    /// Whether the entry has a socket.
    pub has_socket: bool,
    /// Whether the process that the record names as the server is visible. Used only to spare a session.
    pub is_server_seen: bool,
    /// Whether the tombstone was kept for long enough (at least a day of the host's running time).
    pub is_old: bool,
    /// Whether there is a record that cannot be read.
    pub has_damaged_record: bool,
    /// Whether there is a tombstone that cannot be read.
    pub has_damaged_tombstone: bool,
    /// The record.
    pub record: Option<Recorded>,
    /// The tombstone.
    pub tombstone: Option<Remembered>,
}

/// The fields of a record that matter for decisions (SPEC section 11.1).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Recorded {
    /// The incarnation.
    pub incarnation: Incarnation,
    /// The owner's tenure.
    pub tenure: Tenure,
    /// Whether its phase is `starting`: the process may have been started. Otherwise the phase is `reserved`.
    pub is_starting: bool,
    /// The server's epoch; unknown while reserved.
    pub epoch: Option<Epoch>,
}

impl Recorded {
    /// The incarnation, if it was used.
    pub fn used(&self) -> Option<Incarnation> {
        self.is_starting.then_some(self.incarnation)
    }
}

/// The contents of a tombstone (SPEC section 11.1).
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct Remembered {
    /// The highest incarnation that was ever used.
    pub used: Option<Incarnation>,
    /// The highest tenure.
    pub tenure: Tenure,
    /// The last start that failed.
    pub failed: Option<(Incarnation, SpawnError)>,
}

impl Remembered {
    /// What to remember of a past. A tombstone never goes backwards, and a failed start uses its incarnation
    /// up.
    pub fn with(self, past: &Past) -> Self {
        let burnt = past.failed.as_ref().map(|(incarnation, _)| *incarnation);
        let last = self.failed.as_ref().map(|(incarnation, _)| *incarnation);
        Self {
            used: self.used.max(past.used).max(burnt),
            tenure: self.tenure.max(past.tenure),
            failed: if burnt >= last { past.failed.clone().or(self.failed) } else { self.failed },
        }
    }
}

impl Known {
    /// Whether there is a record or a tombstone, even one that cannot be read.
    pub(super) fn is_anything(&self) -> bool {
        self.has_record() || self.has_tombstone()
    }

    pub(super) fn has_record(&self) -> bool {
        self.record.is_some() || self.has_damaged_record
    }

    pub(super) fn has_tombstone(&self) -> bool {
        self.tombstone.is_some() || self.has_damaged_tombstone
    }

    /// Everything known as one value. What reaping found counts only up to the highest incarnation that the
    /// tombstone, the record or the current Hello (`asked`) names: an environment is no authority (SPEC
    /// section 11.3).
    pub fn fold(&self, reaped: Reaped, asked: Option<Incarnation>) -> Past {
        let is_known = self.is_anything() || reaped.found.is_some();
        let recorded = self.record.as_ref();
        let tombstone = self.tombstone.clone().unwrap_or_default();
        let burnt = tombstone.failed.as_ref().map(|(incarnation, _)| *incarnation);
        let used = tombstone.used.max(burnt).max(recorded.and_then(Recorded::used));
        let named = used.max(recorded.map(|record| record.incarnation)).max(asked);
        Past {
            is_known,
            // `None` is lower than any number.
            used: used.max(reaped.found.min(named)),
            tenure: tombstone.tenure.max(recorded.map_or(Tenure(0), |record| record.tenure)),
            failed: tombstone.failed,
            ended: reaped.ended,
        }
    }
}
