//! A machine's timers on a clock.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// The timers that run, by their names in a machine.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    due: BTreeMap<T, Instant>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self { due: BTreeMap::new() }
    }
}

impl<T: Copy + Ord> Timers<T> {
    /// Starts a timer, anew if it runs. One that would fire at the end of time never does.
    pub(crate) fn arm(&mut self, timer: T, after: Duration) {
        match Instant::now().checked_add(after) {
            Some(due) => self.due.insert(timer, due),
            None => self.due.remove(&timer),
        };
    }

    pub(crate) fn disarm(&mut self, timer: T) {
        self.due.remove(&timer);
    }

    pub(crate) fn is_armed(&self, timer: T) -> bool {
        self.due.contains_key(&timer)
    }

    /// Starts a timer again, if it runs.
    pub(crate) fn restart(&mut self, timer: T, after: Duration) {
        if self.is_armed(timer) {
            self.arm(timer, after);
        }
    }

    /// Has a timer that runs fire after this time at the latest. It is never put off.
    pub(crate) fn hasten(&mut self, timer: T, after: Duration) {
        let latest = Instant::now() + after;
        self.due.entry(timer).and_modify(|due| *due = latest.min(*due));
    }

    /// Has a timer that runs fire after this time at the earliest.
    pub(crate) fn defer(&mut self, timer: T, after: Duration) {
        let earliest = Instant::now() + after;
        self.due.entry(timer).and_modify(|due| *due = earliest.max(*due));
    }

    /// How long until a timer fires, if it runs.
    pub(crate) fn left(&self, timer: T) -> Option<Duration> {
        self.due.get(&timer).map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// Waits for the next timer, and takes it out. For ever if none runs.
    pub(crate) async fn next(&mut self) -> T {
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
