//! The ssh that waits for a connection, and how an ssh connects.

use std::ffi::OsString;
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::dial::DialTarget;
use super::fd_pass::FdSender;
use crate::link::child::PendingChild;
use crate::link::stream::Link;

/// How long an ssh waits for a connection. Time asleep does not count.
pub(super) const LONGEST_WAIT: Duration = Duration::from_mins(1);
/// The ssh of a connector that waits, and how ssh connects. When the last owner is dropped, the ssh and
/// all tasks end.
#[derive(Default)]
pub(crate) struct PreparedSsh(Mutex<PreparedState>);

#[derive(Default)]
pub(super) struct PreparedState {
    pub(super) way: ConnectMethod,
    pub(super) waiting_ssh: Option<WaitingSsh>,
    /// At most one task, which finds out how ssh connects and starts an ssh that waits.
    pub(super) finding: JoinSet<()>,
}

#[derive(Default)]
pub(super) enum ConnectMethod {
    /// Not known yet.
    #[default]
    Unknown,
    /// ssh connects directly.
    Direct(DirectRoute),
    /// ssh must make the connection itself.
    SshConnects,
}

pub(super) struct DirectRoute {
    pub(super) route: DialTarget,
    /// Whether to ask ssh again: an attempt failed since, and the user may have fixed the configuration.
    pub(super) is_doubtful: bool,
}

impl PreparedSsh {
    pub(super) fn known(&self) -> MutexGuard<'_, PreparedState> {
        // What it holds is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passing connections does not work here, or ssh does not connect directly.
    pub(super) fn leave_to_ssh(&self) {
        let mut known = self.known();
        known.way = ConnectMethod::SshConnects;
        known.waiting_ssh = None;
    }

    pub(super) fn set_doubtful(&self, doubtful: bool) {
        if let ConnectMethod::Direct(direct) = &mut self.known().way {
            direct.is_doubtful = doubtful;
        }
    }

    /// Remembers where ssh connects. An ssh that waits for another target is dropped.
    pub(super) fn learn(&self, route: DialTarget) {
        let mut known = self.known();
        if !matches!(&known.way, ConnectMethod::Direct(direct) if direct.route == route) {
            known.waiting_ssh = None;
        }
        known.way = ConnectMethod::Direct(DirectRoute { route, is_doubtful: false });
    }

    /// The target, unless ssh must connect itself or the target is in doubt, and the ssh that waits with these
    /// arguments.
    pub(super) fn take(&self, arguments: &[OsString]) -> Option<(DialTarget, Option<WaitingSsh>)> {
        let mut known = self.known();
        let ConnectMethod::Direct(DirectRoute { route, is_doubtful: false }) = &known.way else {
            return None;
        };
        let route = route.clone();
        let mut waiting_ssh = known.waiting_ssh.take();
        drop(known);
        if waiting_ssh.as_mut().is_some_and(|waiting_ssh| !waiting_ssh.waiting.is_running()) {
            tracing::debug!("the ssh that waited has ended");
            self.leave_to_ssh();
            return None;
        }
        Some((route, waiting_ssh.filter(|waiting_ssh| waiting_ssh.arguments == arguments)))
    }

    pub(super) fn has_waiting_ssh(&self, arguments: &[OsString]) -> bool {
        self.known()
            .waiting_ssh
            .as_ref()
            .is_some_and(|waiting_ssh| waiting_ssh.arguments == arguments)
    }

    pub(super) fn park(&self, waiting_ssh: WaitingSsh) {
        if !waiting_ssh.is_expired() {
            self.known().waiting_ssh = Some(waiting_ssh);
        }
    }

    pub(super) fn expire(&self) {
        self.known().waiting_ssh.take_if(|waiting_ssh| waiting_ssh.is_expired());
    }
}

impl PreparedState {
    pub(super) fn is_finding(&mut self) -> bool {
        while self.finding.try_join_next().is_some() {}
        !self.finding.is_empty()
    }
}

/// An ssh that waits. Dropping it ends it.
pub(super) struct WaitingSsh {
    pub(super) waiting: PendingChild,
    pub(super) fd_sender: FdSender,
    pub(super) arguments: Vec<OsString>,
    pub(super) since: Instant,
    /// Ends with it.
    pub(super) _expiry: JoinSet<()>,
}

impl WaitingSsh {
    pub(super) fn is_expired(&self) -> bool {
        self.since.elapsed() >= LONGEST_WAIT
    }

    pub(super) async fn give(self, connection: TcpStream) -> std::io::Result<Link> {
        self.fd_sender.send_connection(&connection).await?;
        Ok(self.waiting.link())
    }
}
