//! Whether an ssh has logged in, where nothing has come of the host yet.
//!
//! ssh says nothing about that unless it is asked for details. But it catches the signal for another window
//! size from the moment on at which it serves a session, and at no time before: not while it asks for a
//! password either. The kernel tells which signals a process catches.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use crate::link::child::{Came, Watch};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Called once, when a host that has let its user in is slow.
pub(crate) type OnSlow = Arc<dyn Fn() + Send + Sync>;

/// What is to be done about a host that has let its user in.
#[derive(Clone)]
pub(crate) struct LoginWatch {
    /// Called where nothing but text has come for so long.
    pub(crate) on_slow: Option<(Duration, OnSlow)>,
    /// How long nothing at all may come.
    pub(crate) patience: Duration,
}

impl LoginWatch {
    /// As what a child is watched with.
    pub(crate) fn into_watch(self) -> Watch {
        Box::new(|pid, heard| Box::pin(self.unanswered(pid, move || heard.came())))
    }

    /// Completes when the host has let its user in and nothing came for too long. It never does where that
    /// cannot be seen.
    async fn unanswered(self, pid: Option<u32>, came: impl Fn() -> Came) {
        let Some(pid) = pid else { return pending().await };
        while came() == Came::Nothing && !has_logged_in(pid) {
            sleep(LOOK).await;
        }
        let login = Instant::now();
        if let Some((slow, on_slow)) = self.on_slow {
            sleep_until(login + slow).await;
            if came() != Came::Bytes {
                on_slow();
            }
        }
        sleep_until(login + self.patience).await;
        if came() != Came::Nothing {
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
