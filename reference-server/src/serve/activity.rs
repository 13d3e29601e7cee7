//! The time of the last input or output, for `ls` only.

/// How often activity is recorded, in seconds.
const PAUSE: u64 = 60;

/// Notes activity without reading a clock, and returns from time to time what to record. All times
/// are seconds since boot.
#[derive(Debug, Default)]
pub(super) struct ActivityClock {
    has_beaten: bool,
    active: u64,
    written: u64,
}

impl ActivityClock {
    /// Notes input or output. It is called for every item, so that it reads no clock.
    pub(super) fn beat(&mut self) {
        self.has_beaten = true;
    }

    /// Returns the time to record, if there was activity since the last call.
    pub(super) fn look(&mut self, now: u64) -> Option<u64> {
        if std::mem::take(&mut self.has_beaten) {
            self.active = now;
        }
        let is_due = self.active > self.written && now >= self.written.saturating_add(PAUSE);
        is_due.then(|| {
            self.written = now;
            self.active
        })
    }

    /// The record was written for another reason.
    pub(super) fn written(&mut self, now: u64) {
        *self = Self { has_beaten: false, active: now, written: now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_activity_once_a_minute_with_its_time() {
        let mut activity = ActivityClock::default();
        activity.written(1000);
        assert_eq!(activity.look(1070), None, "nothing happened");
        activity.beat();
        assert_eq!(activity.look(1072), Some(1072));
        activity.beat();
        assert_eq!(activity.look(1074), None);
        assert_eq!(activity.look(1131), None);
        assert_eq!(activity.look(1132), Some(1074));
        assert_eq!(activity.look(9999), None, "it was written down already");
    }

    #[test]
    fn records_a_busy_process_no_more_often() {
        let mut activity = ActivityClock::default();
        activity.written(0);
        let written = (1..=600).filter(|&now| {
            activity.beat();
            activity.look(now).is_some()
        });
        assert_eq!(written.count(), 10);
    }
}
