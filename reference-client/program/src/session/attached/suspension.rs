//! `~^Z`: rejoin stops as a job of the local shell, and goes on when that says so.

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::{AttachedSession, LEAVING};
use crate::session::writer::WriterMessage;

/// A stop that is prepared.
pub(super) struct Suspension {
    /// Told when the screen is given back.
    done: oneshot::Receiver<()>,
    by: Instant,
}

/// Waits until the writer has given the screen back, if it is to do so: not for ever, for a terminal
/// may take nothing.
pub(super) async fn given_back(suspension: &mut Option<Suspension>) {
    match suspension {
        Some(Suspension { done, by }) => drop(timeout_at(*by, done).await),
        None => std::future::pending().await,
    }
}

impl AttachedSession {
    pub(super) fn prepare_to_suspend(&mut self) {
        let (tell, done) = oneshot::channel();
        self.suspension = Some(Suspension { done, by: Instant::now() + LEAVING });
        let destination = &self.preferences.destination;
        let line = format!(
            "rejoin: suspended; the process keeps running on {destination}; fg resumes rejoin"
        );
        self.paint(WriterMessage::Suspend(line, tell));
    }

    pub(super) fn suspend(&mut self) {
        self.suspension = None;
        self.keyboard.suspend();
        // Where no shell controls the job, rejoin was not stopped and no signal says to go on.
        self.resume();
    }

    /// The size that it has already asks the program to draw itself anew.
    pub(super) fn resume(&mut self) {
        match self.keyboard.resume() {
            Ok(true) => self.resized(),
            Ok(false) => {}
            Err(trouble) => self.trouble(trouble),
        }
    }
}
