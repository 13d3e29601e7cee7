//! Waiting for conditions, with a deadline.

use std::time::{Duration, Instant};

/// A test that waits this long has failed. Nothing waits for it in a run that succeeds.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, is_so: impl FnMut() -> bool) {
    within(LIMIT, what, is_so);
}

/// Waits until something is so, for a stated time.
#[track_caller]
pub(crate) fn within(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    look(limit, what, || is_so().then_some(()));
}

/// Waits until there is something.
#[track_caller]
pub(crate) fn until_some<T>(what: &str, found: impl FnMut() -> Option<T>) -> T {
    look(LIMIT, what, found)
}

#[track_caller]
fn look<T>(limit: Duration, what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        // Looked at once more after the deadline: a test that was not run for a while has not failed.
        let is_last = Instant::now() >= deadline;
        if let Some(found) = found() {
            return found;
        }
        assert!(!is_last, "not within {limit:?}: {what}");
        std::thread::sleep(PAUSE);
    }
}
