//! Which forwards an ssh lacks, as far as it has said.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use super::control::ControlSocket;
use super::errors::{FailedForward, ForwardErrors, is_about_forwarding};

/// What is known about the forwards of a connector.
#[derive(Default)]
pub(crate) struct ForwardState {
    /// Whether the configuration forwards anything, as far as it was asked for.
    pub(crate) is_configured: AtomicBool,
    opened: Mutex<Option<ReportedForwards>>,
    /// How the ssh that was opened last is asked.
    control: Mutex<Weak<ControlSocket>>,
    changed: Notify,
}

/// An ssh that has brought its first byte.
pub(in crate::ssh) struct ReportedForwards {
    pub(in crate::ssh) failed: Vec<FailedForward>,
}

impl ForwardState {
    pub(crate) fn is_configured(&self) -> bool {
        self.is_configured.load(Ordering::Relaxed)
    }

    pub(in crate::ssh) fn control(&self) -> Weak<ControlSocket> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what the ssh that was opened last has reported, once.
    pub(in crate::ssh) fn take_opened(&self) -> Option<ReportedForwards> {
        take(&self.opened)
    }

    fn opened(&self, failed: Vec<FailedForward>, control: Weak<ControlSocket>) {
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = control;
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(ReportedForwards { failed });
        // Kept if nobody waits yet.
        self.changed.notify_one();
    }
}

impl ForwardState {
    /// How many forwards the ssh lacks that was opened last.
    #[cfg(test)]
    pub(crate) fn failures(&self) -> Option<usize> {
        take(&self.opened).map(|opened| opened.failed.len())
    }

    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Follows what one ssh says of its forwards.
pub(crate) struct ForwardMonitor {
    shared: Arc<ForwardState>,
    /// Until the session's first byte. What comes later, ssh does not say unasked.
    errors: Option<ForwardErrors>,
    control: Weak<ControlSocket>,
}

impl ForwardMonitor {
    pub(crate) fn new(shared: Arc<ForwardState>, control: Option<&Arc<ControlSocket>>) -> Self {
        let control = control.map(Arc::downgrade).unwrap_or_default();
        Self { shared, errors: Some(ForwardErrors::default()), control }
    }

    /// Reads a line. Whether it is nobody's business: it answers what only this program has asked.
    pub(crate) fn keeps(&mut self, line: &str) -> bool {
        match &mut self.errors {
            Some(errors) => errors.read(line),
            None => return self.control.strong_count() > 0 && is_about_forwarding(line),
        }
        false
    }

    /// All that ssh had said before the session's first byte was read.
    pub(crate) fn opened(&mut self) {
        if let Some(errors) = self.errors.take() {
            self.shared.opened(errors.into_failed(), self.control.clone());
        }
    }
}
