//! What a search counts.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// How many steps the worlds of a search needed to settle.
#[derive(Debug, Default)]
pub struct SettleStatistics {
    count: AtomicU64,
    steps: AtomicU64,
    longest: AtomicU32,
}

impl SettleStatistics {
    /// Counts a world that settled after so many steps.
    pub(crate) fn note(&self, steps: u32) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.steps.fetch_add(u64::from(steps), Ordering::Relaxed);
        if self.longest.load(Ordering::Relaxed) < steps {
            self.longest.fetch_max(steps, Ordering::Relaxed);
        }
    }

    /// The mean number of steps.
    #[allow(clippy::cast_precision_loss)]
    pub fn mean(&self) -> f64 {
        let count = self.count.load(Ordering::Relaxed).max(1);
        self.steps.load(Ordering::Relaxed) as f64 / count as f64
    }

    /// The most steps that were needed.
    pub fn longest(&self) -> u32 {
        self.longest.load(Ordering::Relaxed)
    }
}
