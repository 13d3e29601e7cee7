//! Notices that the machine woke up or changed its network.

use std::time::Duration;

use n0_watcher::Watcher;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;

/// How often the clocks are compared.
const TICK: Duration = Duration::from_secs(1);
/// A tick that comes this late, or finds this much time asleep, is a wake-up: of the machine, or
/// of a process that was stopped.
const JUMP: Duration = Duration::from_secs(2);

/// What makes an attempt worthwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The machine, or this process, did not run for a while.
    Slept,
    /// An interface or a route changed.
    NetworkChanged,
}

/// Time since boot, asleep included.
pub(crate) fn boottime() -> Duration {
    since_boot(ClockId::Boottime)
}

fn since_boot(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    // Both are never negative on these clocks, and the nanoseconds stay below a second.
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

/// Sends a word for every wake-up and every change of the network, for as long as it is listened
/// to.
pub(crate) fn watch() -> mpsc::Receiver<Wake> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(watch_clock(sender.clone()));
    tokio::spawn(watch_network(sender));
    receiver
}

async fn watch_clock(sender: mpsc::Sender<Wake>) {
    let mut before = boottime();
    while !sender.is_closed() {
        tokio::time::sleep(TICK).await;
        let now = boottime();
        if now.saturating_sub(before) > TICK + JUMP {
            // A word that waits already says the same.
            let _ = sender.try_send(Wake::Slept);
        }
        before = now;
    }
}

/// Where the system cannot be watched, the clock and the back-off have to do.
async fn watch_network(sender: mpsc::Sender<Wake>) {
    let monitor = match netwatch::netmon::Monitor::new().await {
        Ok(monitor) => monitor,
        Err(error) => {
            tracing::debug!(%error, "the network is not watched");
            return;
        }
    };
    let mut state = monitor.interface_state();
    loop {
        tokio::select! {
            updated = state.updated() => match updated {
                Ok(_) => { let _ = sender.try_send(Wake::NetworkChanged); }
                Err(_) => return,
            },
            () = sender.closed() => return,
        }
    }
}
