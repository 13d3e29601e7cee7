//! The clock that counts time asleep.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The time since boot, including time asleep. Changes of the wall clock do not affect it.
pub fn boottime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    // Neither is ever negative on this clock, and the nanoseconds stay below a second.
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}
