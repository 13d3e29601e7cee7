//! Many sessions over one connection.

mod carrier;
mod stream;
#[cfg(test)]
mod tests;
mod transport;

use std::fmt;
use std::sync::Arc;

use rejoin_protocol::spec::ProcessSpec;
use rejoin_protocol::{Incarnation, SessionId, Tenure};
use rejoin_ssh::{Attempt, BoxFuture, Connect, Link, LinkError, LinkErrorKind};
use tokio::sync::{mpsc, oneshot, watch};

use crate::options::{Lane, OpenError, Options, Timing};
use crate::session::{Session, Target};
use crate::state::SessionState;
use carrier::Carrier;

/// A host to which any number of sessions share one connection, up to [`Host::MAX_SESSIONS`].
///
/// Each session is a stream within one exec channel, on which `rejoin-server mux` runs: one login,
/// one `ssh`, and sshd's `MaxSessions` is no limit. Streams have a flow control of their own, and
/// take turns by 4 KiB: a session that floods, or that nobody reads, holds up no other. What one has
/// on its way is bounded (256 KiB), so that one session alone moves at most that much per round trip;
/// where that is too little, it is better off with a connection of its own.
///
/// Of memory each session can take up 256 KiB for what has come and was not taken yet, and about
/// 50 KiB for what waits to be sent; while it is quiet, it takes next to none of that.
///
/// When the connection is lost, it is made again once for all: the first session that asks has it
/// dialled, the others wait for the same dial, and all resume as soon as it succeeds. Where it fails,
/// they are told why, each plans its next attempt as ever, and the connection is not dialled more
/// often for it: attempts that come too early wait for the next dial that is due. A retry of one
/// session ([`Control::retry_now`](crate::Control::retry_now)) dials at once.
///
/// The connection comes back as a session's own does: over the [fast lane](Lane) first where there is one,
/// with a second connection where it is silent while there are sessions, and with one that stands by if
/// that is wanted ([`HostOptions`]). The sessions move from one to the other, and lose nothing.
///
/// The connection is made when the first session needs it, and ends when this, its clones and the
/// sessions have ended.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use rejoin_client::{Host, Options, new_session_id};
/// use rejoin_client::spec::{Command, ProcessSpec};
/// use rejoin_ssh::SshConnect;
///
/// let host = Host::new(Arc::new(SshConnect::new("user@host", "rejoin-server mux")));
/// let build = ProcessSpec::new(Command::Shell(b"make -j".to_vec()));
/// let watch = ProcessSpec::new(Command::Shell(b"tail -F build.log".to_vec()));
/// let build = host.open(new_session_id()?, &build, Options::default())?;
/// let watch = host.open(new_session_id()?, &watch, Options::default())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Host(Arc<Shared>);

/// What is left of a host keeps its connection.
struct Shared {
    connect: Arc<dyn Connect>,
    wishes: mpsc::UnboundedSender<Wish>,
    revivals: watch::Receiver<u64>,
    renewals: watch::Receiver<u64>,
}

/// Where the sessions hear of a connection that is there again, and of one that takes the place of another.
struct Told {
    revivals: watch::Sender<u64>,
    renewals: watch::Sender<u64>,
}

/// What an application decides about a connection that sessions share.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostOptions {
    /// How long to wait for what.
    pub timing: Timing,
    /// Which ways back are taken, as in [`Options::lane`].
    pub lane: Lane,
    /// Whether a second connection is kept ready, as in [`Options::standby`].
    pub standby: bool,
}

/// What is wanted of the connection.
enum Wish {
    /// A stream.
    Stream(Waiter),
    /// Whatever is waited for, now.
    Hurry,
}

/// Who waits for a stream.
struct Waiter {
    attempt: Attempt,
    reply: oneshot::Sender<Result<Link, LinkError>>,
    /// Keeps the connection from before it is there until the stream has ended.
    host: Arc<Shared>,
}

impl Host {
    /// How many sessions can be attached at once.
    pub const MAX_SESSIONS: usize = rejoin_protocol::mux::MAX_STREAMS;

    /// A host that `connect` leads to, whose links have to run `rejoin-server mux`. Nothing is
    /// connected yet. Must be called within a tokio runtime, which carries the connection.
    pub fn new(connect: Arc<dyn Connect>) -> Self {
        Self::with_options(connect, HostOptions::default())
    }

    /// The same with other options for the connection.
    pub fn with_options(connect: Arc<dyn Connect>, options: HostOptions) -> Self {
        let (sender, wishes) = mpsc::unbounded_channel();
        let (revivals, renewals) = (watch::Sender::new(0), watch::Sender::new(0));
        let shared = Shared {
            connect: Arc::clone(&connect),
            wishes: sender,
            revivals: revivals.subscribe(),
            renewals: renewals.subscribe(),
        };
        tokio::spawn(Carrier::new(connect, &options, wishes, Told { revivals, renewals }).run());
        Self(Arc::new(shared))
    }

    /// As [`Session::open`].
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn open(
        &self,
        id: SessionId,
        spec: &ProcessSpec,
        options: Options,
    ) -> Result<Session, OpenError> {
        Session::open(self.connector(), id, spec, options)
    }

    /// As [`Session::claim`].
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn claim(
        &self,
        id: SessionId,
        target: Target,
        spec: Option<&ProcessSpec>,
        options: Options,
    ) -> Result<Session, OpenError> {
        Session::claim(self.connector(), id, target, spec, options)
    }

    /// As [`Session::resume`].
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn resume(
        &self,
        state: &SessionState,
        spec: Option<&ProcessSpec>,
        options: Options,
    ) -> Result<Session, OpenError> {
        Session::resume(self.connector(), state, spec, options)
    }

    /// As [`Session::kill`].
    ///
    /// # Errors
    /// [`OpenError`]: the host was not asked.
    pub fn kill(
        &self,
        id: SessionId,
        incarnation: Incarnation,
        tenure: Tenure,
        options: Options,
    ) -> Result<Session, OpenError> {
        Session::kill(self.connector(), id, incarnation, tenure, options)
    }

    fn connector(&self) -> Arc<dyn Connect> {
        Arc::new(self.clone())
    }
}

/// Links are streams of the connection, which is made when there is none.
impl Connect for Host {
    fn connect(&self, attempt: Attempt) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            let waiter = Waiter { attempt, reply, host: Arc::clone(&self.0) };
            let _ = self.0.wishes.send(Wish::Stream(waiter));
            answer.await.unwrap_or_else(|_| Err(without_carrier()))
        })
    }

    fn destination(&self) -> String {
        self.0.connect.destination()
    }

    fn retry_now(&self) {
        let _ = self.0.wishes.send(Wish::Hurry);
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn revived(&self) -> BoxFuture<'static, ()> {
        next(self.0.revivals.clone())
    }

    fn renewed(&self) -> BoxFuture<'static, ()> {
        next(self.0.renewals.clone())
    }
}

/// Completes when this changes from what it is now.
fn next(mut count: watch::Receiver<u64>) -> BoxFuture<'static, ()> {
    count.mark_unchanged();
    Box::pin(async move {
        if count.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

fn without_carrier() -> LinkError {
    LinkError::new(LinkErrorKind::Other, "the runtime that carried the connection has ended")
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("destination", &self.destination()).finish_non_exhaustive()
    }
}
