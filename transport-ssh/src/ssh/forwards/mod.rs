//! Forwards that ssh did not make, and how they are made while the session goes on.
//!
//! With `ExitOnForwardFailure=no` ssh goes on without a forward that it cannot make: somebody else has the
//! port, or an older connection that the host has not given up yet. [`complaint`] reads that from ssh's
//! stderr. An ssh that forwards anything gets a [control socket](control) of its own, over which it is asked
//! again. [`spec`] knows in which words.

mod complaint;
mod control;
mod options;
mod spec;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use crate::link::connect::BoxFuture;
use crate::link::forwards::{Forwards, Listen, Making, Side, Unforwarded};
use crate::ssh::SshConnect;
pub(crate) use complaint::is_about_forwarding;
use complaint::{Complaints, Failed};
pub(crate) use control::Control;
use spec::{Request, Spec};

/// The forwards of a connector's links. All clones share what is known.
pub(crate) struct SshForwards {
    ssh: SshConnect,
}

/// What is known about the forwards of a connector.
#[derive(Default)]
pub(crate) struct Shared {
    /// Whether the configuration forwards anything, as far as it was asked for.
    pub(crate) is_configured: AtomicBool,
    opened: Mutex<Option<Opened>>,
    /// How the ssh that was opened last is asked.
    control: Mutex<Weak<Control>>,
    changed: Notify,
}

/// An ssh that has brought its first byte.
struct Opened {
    failed: Vec<Failed>,
}

impl SshForwards {
    pub(crate) fn of(ssh: SshConnect) -> Self {
        Self { ssh }
    }

    /// Nobody but the host can have said that a forward is missing that the configuration does not have.
    fn understood(&self, opened: Opened) -> Vec<Unforwarded> {
        let failed = opened.failed.into_iter().filter(|it| match self.ssh.told() {
            Some(resolved) => spec::may_listen(resolved, it.side, &it.listen),
            None => self.ssh.forwards_ports(),
        });
        failed
            .map(|Failed { side, listen, reason }| {
                let can_be_made = self.way(side, &listen).is_some();
                Unforwarded { side, listen, reason, can_be_made }
            })
            .collect()
    }

    /// How ssh is asked for a forward: over this socket, with these requests.
    fn way(&self, side: Side, listen: &Listen) -> Option<(Arc<Control>, Vec<Request>)> {
        let control = self.ssh.shared_forwards().control().upgrade()?;
        let spec = Spec::find(self.ssh.told()?, side, listen)?;
        Some((control, spec.requests()?))
    }
}

impl Forwards for SshForwards {
    fn opened(&self) -> BoxFuture<'_, Vec<Unforwarded>> {
        Box::pin(async {
            let shared = self.ssh.shared_forwards();
            loop {
                if let Some(opened) = take(&shared.opened) {
                    return self.understood(opened);
                }
                shared.changed.notified().await;
            }
        })
    }

    /// That takes a round trip to the host if it is to listen there.
    fn make(&self, missing: &Unforwarded) -> BoxFuture<'static, Making> {
        let way = self.way(missing.side, &missing.listen);
        let ssh = self.ssh.clone();
        Box::pin(async move {
            let Some((control, requests)) = way else { return Making::Impossible };
            for request in requests {
                let is_granted = control.ask(&ssh, &request).await;
                if request.is_needed && !is_granted {
                    return Making::Failed;
                }
            }
            Making::Made
        })
    }
}

impl Shared {
    pub(crate) fn is_configured(&self) -> bool {
        self.is_configured.load(Ordering::Relaxed)
    }

    fn control(&self) -> Weak<Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn opened(&self, failed: Vec<Failed>, control: Weak<Control>) {
        *self.control.lock().unwrap_or_else(PoisonError::into_inner) = control;
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(Opened { failed });
        // Kept if nobody waits yet.
        self.changed.notify_one();
    }
}

#[cfg(test)]
impl Shared {
    /// How many forwards the ssh lacks that was opened last.
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
pub(crate) struct Watch {
    shared: Arc<Shared>,
    /// Until the session's first byte. What comes later, ssh does not say unasked.
    complaints: Option<Complaints>,
    control: Weak<Control>,
}

impl Watch {
    pub(crate) fn new(shared: Arc<Shared>, control: Option<&Arc<Control>>) -> Self {
        let control = control.map(Arc::downgrade).unwrap_or_default();
        Self { shared, complaints: Some(Complaints::default()), control }
    }

    /// Reads a line. Whether it is nobody's business: it answers what only this program has asked.
    pub(crate) fn keeps(&mut self, line: &str) -> bool {
        match &mut self.complaints {
            Some(complaints) => complaints.read(line),
            None => return self.control.strong_count() > 0 && is_about_forwarding(line),
        }
        false
    }

    /// All that ssh had said before the session's first byte was read.
    pub(crate) fn opened(&mut self) {
        if let Some(complaints) = self.complaints.take() {
            self.shared.opened(complaints.into_failed(), self.control.clone());
        }
    }
}
