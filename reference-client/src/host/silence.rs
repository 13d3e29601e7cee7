//! Notices that nothing comes any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::options::Timing;

/// When something was heard last. Shared with what reads.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    start: Instant,
    /// Since the start, in milliseconds.
    last: Arc<AtomicU64>,
}

impl Heard {
    pub(super) fn now() -> Self {
        Self { start: Instant::now(), last: Arc::default() }
    }

    pub(super) fn note(&self) {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        self.last.store(elapsed, Ordering::Relaxed);
    }

    /// Whether anything was.
    pub(super) fn is_any(&self) -> bool {
        self.last.load(Ordering::Relaxed) > 0
    }

    fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

/// How long nothing was heard, and how long that may last.
#[derive(Debug)]
pub(super) struct Silence {
    heard: Heard,
    /// Silence before this is none.
    since: Instant,
    allowed: Duration,
    timing: Timing,
}

impl Silence {
    pub(super) fn new(heard: Heard, timing: Timing) -> Self {
        Self { heard, since: Instant::now(), allowed: timing.silent, timing }
    }

    /// Something is expected to come from now on, where nothing was before.
    pub(super) fn begin(&mut self) {
        // Half of it was no silence: a stream that is asked for anew because nothing came on the
        // one before must not have everybody wait for the whole time again.
        self.since = self.since.max(Instant::now() - self.timing.silent / 2);
    }

    /// Something is expected to come soon.
    pub(super) fn suspect(&mut self) {
        self.since = Instant::now();
        self.allowed = self.timing.suspicious;
    }

    /// Waits until it has lasted for too long. As long as nothing `is_expected`, it does not.
    pub(super) async fn too_long(&mut self, is_expected: impl Fn() -> bool) {
        loop {
            let heard = self.heard.last();
            if heard > self.since {
                (self.since, self.allowed) = (heard, self.timing.silent);
            }
            if self.since.elapsed() >= self.allowed {
                if is_expected() {
                    return;
                }
                (self.since, self.allowed) = (Instant::now(), self.timing.silent);
            }
            sleep_until(self.since + self.allowed).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lasted(silence: &mut Silence, is_expected: bool) -> Option<Duration> {
        let since = Instant::now();
        let limit = Duration::from_hours(1);
        tokio::time::timeout(limit, silence.too_long(|| is_expected)).await.ok()?;
        Some(since.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_too_long_only_where_something_is_expected() {
        let timing = Timing::default();
        let mut silence = Silence::new(Heard::now(), timing);
        assert_eq!(lasted(&mut silence, false).await, None);
        silence.begin();
        let lasted = lasted(&mut silence, true).await.expect("it is noticed");
        assert!(lasted >= timing.silent / 2 && lasted <= timing.silent, "{lasted:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_suspicion_a_sign_of_life_is_waited_for_as_before() {
        let timing = Timing::default();
        let heard = Heard::now();
        let mut silence = Silence::new(heard.clone(), timing);
        tokio::time::advance(Duration::from_secs(1)).await;
        silence.suspect();
        assert_eq!(lasted(&mut silence, true).await, Some(timing.suspicious));
        silence.suspect();
        tokio::time::advance(Duration::from_secs(1)).await;
        heard.note();
        assert_eq!(lasted(&mut silence, true).await, Some(timing.silent));
    }
}
