//! When something last went in or out, for `ls`: nothing is decided from it.

/// How often it is written down, in seconds: a busy process is not worth more than that.
const PAUSE: u64 = 60;

/// Notes activity at no cost, and says now and then what is to be written down of it. All times
/// are seconds since boot.
#[derive(Debug, Default)]
pub(super) struct ActivityClock {
    has_beaten: bool,
    active: u64,
    written: u64,
}

impl ActivityClock {
    /// Something went in or out. Every item comes by here, so that no clock is read.
    pub(super) fn beat(&mut self) {
        self.has_beaten = true;
    }

    /// Looks at what was noted since the last look, and returns what is worth writing down.
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

    /// It was written down for another reason.
    pub(super) fn written(&mut self, now: u64) {
        *self = Self { has_beaten: false, active: now, written: now };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activity_is_written_down_once_a_minute_with_the_time_at_which_it_was_seen() {
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
    fn a_process_that_never_stops_is_written_down_no_more_often() {
        let mut activity = ActivityClock::default();
        activity.written(0);
        let written = (1..=600).filter(|&now| {
            activity.beat();
            activity.look(now).is_some()
        });
        assert_eq!(written.count(), 10);
    }
}
