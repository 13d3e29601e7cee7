//! Detects that an ssh has logged in before the host sends anything.
//!
//! Without debug output, ssh does not report the login. But it catches the signal for a window size change
//! (SIGWINCH) only from the moment on when it serves a session, and not while it asks for a
//! password. The kernel tells which signals a process catches.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use crate::link::child::{Received, StallWatch};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Called once, if the host is slow after the login.
pub(crate) type OnSlowLogin = Arc<dyn Fn() + Send + Sync>;

/// What to do about a slow host after the login.
#[derive(Clone)]
pub(crate) struct LoginWatch {
    /// Called if nothing but text has arrived for this time.
    pub(crate) on_slow: Option<(Duration, OnSlowLogin)>,
    /// How long to wait for the first output.
    pub(crate) patience: Duration,
}

impl LoginWatch {
    /// As what a child is watched with.
    pub(crate) fn into_watch(self) -> StallWatch {
        Box::new(|pid, stdout_state| {
            Box::pin(self.unanswered(pid, move || stdout_state.received()))
        })
    }

    /// Completes if nothing has arrived for too long after the login. Never completes if the login cannot be
    /// detected.
    async fn unanswered(self, pid: Option<u32>, received: impl Fn() -> Received) {
        let Some(pid) = pid else { return pending().await };
        while received() == Received::Nothing && !has_logged_in(pid) {
            sleep(LOOK).await;
        }
        let login = Instant::now();
        if let Some((slow, on_slow)) = self.on_slow {
            sleep_until(login + slow).await;
            if received() != Received::Binary {
                on_slow();
            }
        }
        sleep_until(login + self.patience).await;
        if received() != Received::Nothing {
            let () = pending().await;
        }
    }
}

fn has_logged_in(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask >> (Signal::WINCH.as_raw() - 1) & 1 == 1)
}
