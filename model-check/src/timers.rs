//! The timers of a driver that run: a set in one byte.

use rejoin_protocol::Timer;

/// Which timers run.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub struct Timers(u8);

impl Timers {
    /// Starts a timer.
    pub fn arm(&mut self, timer: Timer) {
        self.0 |= 1 << timer as u8;
    }

    /// Stops it.
    pub fn disarm(&mut self, timer: Timer) {
        self.0 &= !(1 << timer as u8);
    }

    /// Whether it runs.
    pub fn has(self, timer: Timer) -> bool {
        self.0 & 1 << timer as u8 != 0
    }
}
