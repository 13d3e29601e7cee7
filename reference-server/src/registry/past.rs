//! What is known of a session whose server is dead.

use rejoin_protocol::{Incarnation, Tenure};

use super::record::Record;
use super::tombstone::{Failure, Tombstone};

/// What record, tombstone and the processes found alive say together, the highest of each (SPEC
/// section 11.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// Whether this host knows the session at all.
    pub known: bool,
    /// The highest incarnation that was ever used.
    pub used: Option<Incarnation>,
    /// The highest tenure.
    pub tenure: Tenure,
    /// The last start that failed.
    pub failed: Option<Failure>,
    /// Whether a record or a tombstone was there and could not be read: worth a line in the log.
    pub damaged: bool,
}

impl Past {
    /// The same, with `incarnation` used.
    pub fn with_used(self, incarnation: Option<Incarnation>) -> Self {
        Self {
            known: self.known || incarnation.is_some(),
            used: self.used.max(incarnation),
            ..self
        }
    }

    /// The same, with a start that failed: that uses its incarnation up.
    pub fn with_failure(self, failure: Failure) -> Self {
        let incarnation = failure.incarnation;
        let last = later(Some(failure), self.failed.clone());
        Self { failed: last, ..self.with_used(Some(incarnation)) }
    }

    /// The same, with at least this tenure.
    pub fn with_tenure(self, tenure: Tenure) -> Self {
        Self { known: true, tenure: self.tenure.max(tenure), ..self }
    }

    /// The same, with what a record says. A reserved incarnation was never used.
    pub(super) fn with_record(self, record: &Record) -> Self {
        self.with_used(record.used()).with_tenure(record.tenure)
    }

    /// The same, with what a tombstone says.
    pub(super) fn with_tombstone(self, tombstone: Tombstone) -> Self {
        let past = self.with_used(tombstone.used).with_tenure(tombstone.tenure);
        match tombstone.failed {
            Some(failure) => past.with_failure(failure),
            None => past,
        }
    }

    /// What is to be remembered of it.
    pub(super) fn to_tombstone(&self) -> Tombstone {
        let Self { used, tenure, failed, .. } = self.clone();
        Tombstone { used, tenure, failed, ..Tombstone::default() }.dated()
    }
}

/// The failure of the higher incarnation; `new` where both are of one.
fn later(new: Option<Failure>, old: Option<Failure>) -> Option<Failure> {
    let incarnation = |failure: &Option<Failure>| failure.as_ref().map(|it| it.incarnation);
    if incarnation(&new) >= incarnation(&old) { new } else { old }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_protocol::{Epoch, SpawnError, SpawnErrorKind};

    fn failure(incarnation: u64, message: &str) -> Failure {
        let error = SpawnError::new(SpawnErrorKind::Other, message);
        Failure { incarnation: Incarnation(incarnation), error }
    }

    #[test]
    fn nothing_ever_goes_backwards() {
        let high = Past::default().with_used(Some(Incarnation(5))).with_tenure(Tenure(3));
        let merged = high.clone().with_tombstone(Tombstone {
            used: Some(Incarnation(2)),
            tenure: Tenure(1),
            ..Tombstone::default()
        });
        assert_eq!(merged, high);
    }

    #[test]
    fn a_reserved_record_counts_with_its_tenure_only() {
        let record = Record::reserved(Incarnation(4), Tenure(2), "", "");
        let past = Past::default().with_record(&record);
        assert_eq!((past.known, past.used, past.tenure), (true, None, Tenure(2)));
        let past = Past::default().with_record(&record.starting(Epoch::from_bytes([0; 16])));
        assert_eq!((past.known, past.used, past.tenure), (true, Some(Incarnation(4)), Tenure(2)));
    }

    #[test]
    fn a_failed_start_uses_its_incarnation_and_the_last_one_is_kept() {
        let past = Past::default().with_failure(failure(3, "old")).with_failure(failure(3, "new"));
        assert_eq!(past.used, Some(Incarnation(3)));
        assert_eq!(past.failed, Some(failure(3, "new")));
        assert_eq!(past.with_failure(failure(2, "late")).failed, Some(failure(3, "new")));
    }

    #[test]
    fn what_is_found_alive_makes_a_session_known() {
        assert!(!Past::default().with_used(None).known);
        assert!(Past::default().with_used(Some(Incarnation(0))).known);
    }
}
