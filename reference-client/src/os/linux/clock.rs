//! The clock that counts sleep.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since boot, asleep included.
pub(crate) fn boottime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    // Both are never negative on this clock, and the nanoseconds stay below a second.
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}
