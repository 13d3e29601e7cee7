//! The machine's timers on a clock, and the back-off between attempts.

use std::collections::BTreeMap;
use std::time::Duration;

use rejoin_protocol::Timer;
use tokio::time::Instant;

use crate::options::Timing;

/// The timers that run.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeMap<Timer, Instant>,
}

impl Timers {
    pub(crate) fn arm(&mut self, timer: Timer, after: Duration) {
        self.due.insert(timer, Instant::now() + after);
    }

    pub(crate) fn disarm(&mut self, timer: Timer) {
        self.due.remove(&timer);
    }

    pub(crate) fn is_armed(&self, timer: Timer) -> bool {
        self.due.contains_key(&timer)
    }

    /// Starts a timer again, if it runs.
    pub(crate) fn restart(&mut self, timer: Timer, after: Duration) {
        if self.is_armed(timer) {
            self.arm(timer, after);
        }
    }

    /// Has a timer that runs fire after this time at the latest. It is never put off.
    pub(crate) fn hasten(&mut self, timer: Timer, after: Duration) {
        let latest = Instant::now() + after;
        self.due.entry(timer).and_modify(|due| *due = latest.min(*due));
    }

    /// Waits for the next timer, and takes it out. For ever if none runs.
    pub(crate) async fn next(&mut self) -> Timer {
        let next = self.due.iter().min_by_key(|(_, due)| **due).map(|(timer, due)| (*timer, *due));
        match next {
            Some((timer, due)) => {
                tokio::time::sleep_until(due).await;
                self.due.remove(&timer);
                timer
            }
            None => std::future::pending().await,
        }
    }
}

/// How long to wait before the next attempt: nothing the first time, then longer and longer, with
/// jitter so that many clients of one host do not come back at the same moment.
///
/// It begins anew once a link held for a while, and also once a link brought the session on: what
/// works and is cut often must not be slowed down further. Only a link that attaches and ends
/// without use counts as one more failure, since any number of those would achieve nothing.
#[derive(Debug)]
pub(crate) struct Backoff {
    attempt: u32,
    attached: Option<Instant>,
    has_progressed: bool,
    /// Whether the last link, too, was cut soon although it brought the session on.
    is_cut_often: bool,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { attempt: 0, attached: None, has_progressed: false, is_cut_often: false }
    }

    /// How many attempts were made since it began.
    pub(crate) fn attempt(&self) -> u64 {
        u64::from(self.attempt)
    }

    pub(crate) fn attached(&mut self) {
        self.attached = Some(Instant::now());
    }

    /// The attached link brought something that was not there before.
    pub(crate) fn progressed(&mut self) {
        self.has_progressed = true;
    }

    /// Begins anew: something changed that makes an attempt worthwhile.
    pub(crate) fn reset(&mut self) {
        self.attempt = 0;
        self.is_cut_often = false;
    }

    pub(crate) fn next_delay(&mut self, timing: &Timing) -> Duration {
        let has_progressed = std::mem::take(&mut self.has_progressed);
        if self.attached.take().is_some_and(|since| since.elapsed() >= timing.stable) {
            self.reset();
        } else if has_progressed {
            // A link that brings a byte and ends, again and again, would otherwise have every
            // client of its host come back without a pause and in step: from the second one on,
            // the first step keeps them apart. It is short beside the login that follows.
            self.attempt = u32::from(self.is_cut_often);
            self.is_cut_often = true;
        }
        let attempt = self.attempt;
        self.attempt = attempt.saturating_add(1);
        if attempt == 0 {
            return Duration::ZERO;
        }
        let doubled = timing.backoff_start.saturating_mul(1 << (attempt - 1).min(16));
        jittered(doubled.min(timing.backoff_cap))
    }
}

/// Between half of `delay` and all of it. Without randomness there is no jitter, and no harm.
fn jittered(delay: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX);
    delay / 2 + (delay / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_is_made_at_once_and_later_ones_stay_below_the_cap() {
        let timing = Timing::default();
        let mut backoff = Backoff::new();
        assert_eq!(backoff.next_delay(&timing), Duration::ZERO);
        for _ in 0..100 {
            let delay = backoff.next_delay(&timing);
            assert!(delay >= timing.backoff_start / 2 && delay <= timing.backoff_cap, "{delay:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_link_that_held_for_a_stable_time_or_brought_something_resets_the_backoff() {
        let timing = Timing::default();
        let mut backoff = Backoff::new();
        backoff.next_delay(&timing);
        backoff.attached();
        assert!(backoff.next_delay(&timing) > Duration::ZERO);
        backoff.attached();
        tokio::time::advance(timing.stable).await;
        assert_eq!(backoff.next_delay(&timing), Duration::ZERO);
        backoff.next_delay(&timing);
        backoff.attached();
        backoff.progressed();
        assert_eq!(backoff.next_delay(&timing), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn links_that_bring_something_and_are_cut_at_once_never_wait_longer_than_the_first_step()
    {
        let timing = Timing::default();
        let mut backoff = Backoff::new();
        let mut delay_after_progress = || {
            backoff.attached();
            backoff.progressed();
            backoff.next_delay(&timing)
        };
        assert_eq!(delay_after_progress(), Duration::ZERO);
        for _ in 0..100 {
            let delay = delay_after_progress();
            assert!(
                delay >= timing.backoff_start / 2 && delay <= timing.backoff_start,
                "{delay:?}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn links_that_attach_and_bring_nothing_wait_for_longer_and_longer() {
        let timing = Timing::default();
        let mut backoff = Backoff::new();
        backoff.attached();
        backoff.progressed();
        backoff.next_delay(&timing);
        for _ in 0..10 {
            backoff.attached();
            backoff.next_delay(&timing);
        }
        backoff.attached();
        let delay = backoff.next_delay(&timing);
        assert!(delay >= timing.backoff_cap / 2, "{delay:?}");
    }
}
