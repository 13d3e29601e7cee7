//! Notices that the machine woke up or changed its network.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::os::{NetworkChanges, boottime};

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

/// What is told to whoever wants to know, by one watch for the whole program: each session would
/// otherwise hold a socket and a clock of its own. Nobody keeps it but its own tasks.
static TOLD: Mutex<Weak<broadcast::Sender<Wake>>> = Mutex::new(Weak::new());
/// Words that wait already say the same as any further one.
const UNREAD: usize = 4;

/// A word for every wake-up and every change of the network.
#[derive(Debug)]
pub(crate) struct Woken(broadcast::Receiver<Wake>);

impl Woken {
    /// The next word.
    pub(crate) async fn recv(&mut self) -> Wake {
        loop {
            match self.0.recv().await {
                Ok(wake) => return wake,
                Err(RecvError::Lagged(_)) => {}
                // The runtime that it ran on is gone, or its last listener was for a moment.
                Err(RecvError::Closed) => self.0 = watch().0,
            }
        }
    }
}

/// Listens from now on.
pub(crate) fn watch() -> Woken {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = told.upgrade() {
        return Woken(sender.subscribe());
    }
    let (sender, receiver) = broadcast::channel(UNREAD);
    let sender = Arc::new(sender);
    *told = Arc::downgrade(&sender);
    tokio::spawn(async move {
        tokio::select! {
            () = watch_clock(&sender) => {}
            () = watch_network(&sender) => {}
            () = sender.closed() => {}
        }
    });
    Woken(receiver)
}

async fn watch_clock(sender: &broadcast::Sender<Wake>) {
    let mut before = boottime();
    loop {
        tokio::time::sleep(TICK).await;
        let now = boottime();
        if now.saturating_sub(before) > TICK + JUMP {
            // Nobody has to listen.
            let _ = sender.send(Wake::Slept);
        }
        before = now;
    }
}

/// Where the system cannot be watched, the clock and the back-off have to do.
async fn watch_network(sender: &broadcast::Sender<Wake>) {
    let ended = match NetworkChanges::watch() {
        Ok(changes) => tell_changes(changes, sender).await,
        Err(error) => error,
    };
    tracing::debug!(error = %ended, "the network is not watched");
    std::future::pending::<()>().await;
}

async fn tell_changes(mut changes: NetworkChanges, sender: &broadcast::Sender<Wake>) -> io::Error {
    loop {
        if let Err(error) = changes.next().await {
            return error;
        }
        // Nobody has to listen.
        let _ = sender.send(Wake::NetworkChanged);
    }
}
