//! Whether a link that stands by is worth its cost: a second login, and a second connection to keep.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::os;

/// How often that is considered anew.
const REVIEW: Duration = Duration::from_secs(30);
/// How long a session may be idle until nothing stands by for it any more.
const IDLE: Duration = Duration::from_mins(15);

#[derive(Debug)]
pub(super) struct Standby {
    is_wished: bool,
    is_wanted: bool,
    /// When anything but heartbeats last went either way.
    busy: Instant,
    review: Instant,
}

impl Standby {
    pub(super) fn new(is_wished: bool) -> Self {
        let now = Instant::now();
        Self { is_wished, is_wanted: false, busy: now, review: now }
    }

    pub(super) fn busy(&mut self) {
        self.busy = Instant::now();
        if !self.is_wanted {
            self.review = self.review.min(self.busy);
        }
    }

    /// Waits until it is to be considered.
    pub(super) async fn due(&self) {
        if !self.is_wished {
            return std::future::pending().await;
        }
        sleep_until(self.review).await;
    }

    /// Considers it; what has changed.
    pub(super) fn change(&mut self) -> Option<bool> {
        self.review = Instant::now() + REVIEW;
        let is_wanted = self.is_wished && self.busy.elapsed() < IDLE && !os::is_on_battery();
        let before = std::mem::replace(&mut self.is_wanted, is_wanted);
        (before != is_wanted).then_some(is_wanted)
    }
}
