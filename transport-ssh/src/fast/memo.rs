//! What is known about one host, for as long as the connector lives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rejoin_ssh2::{Cipher, Config, Ephemeral, HostKeyAlgorithm, Kex, Learnt, Opening, UserKey};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::agent::Agent;
use super::eligible::Ineligible;
use super::pin::Pin;
use crate::dial::Route;

/// Between two attempts to learn a host. Each costs it two logins, and one that fails may be counted
/// against this machine's address.
const LEARN_AGAIN: Duration = Duration::from_mins(10);

/// What is known about one host. Whoever drops the last of its owners ends whatever is being found out.
#[derive(Default)]
pub(super) struct Memo(Mutex<Known>);

#[derive(Default)]
struct Known {
    state: State,
    /// When it was last begun to learn the host.
    began: Option<Instant>,
    /// A key pair for the next connection, made while nobody waited for it.
    ephemeral: Option<Ephemeral>,
    /// What is being found out or made.
    tasks: JoinSet<()>,
}

#[derive(Default)]
enum State {
    #[default]
    Unknown,
    Ineligible(Ineligible),
    Ready(Arc<Host>),
}

/// All that a connection needs to know beforehand.
pub(super) struct Host {
    pub(super) route: Route,
    pub(super) user: String,
    pub(super) pin: Pin,
    pub(super) algorithm: HostKeyAlgorithm,
    pub(super) agent: Agent,
    pub(super) key: UserKey,
    pub(super) ciphers: Vec<Cipher>,
    pub(super) learnt: Learnt,
    /// The segment size with which the host's first flight comes at once, in bytes, where it would not by
    /// itself.
    pub(super) segment: Option<u32>,
    /// How long the login took from which it was learnt.
    pub(super) login: Duration,
}

impl Host {
    fn kex(&self) -> Kex {
        self.learnt.kex
    }

    /// What a client is to do that says everything at once.
    pub(super) fn config(&self, ephemeral: Ephemeral, command: &[u8]) -> Config {
        Config {
            user: self.user.clone(),
            key: self.key.clone(),
            command: command.to_vec(),
            ciphers: self.ciphers.clone(),
            opening: Opening::Predicted {
                ephemeral,
                host_key: self.algorithm,
                channel: self.learnt.predicted_channel(),
                ahead: self.learnt.predicted_window(),
            },
        }
    }
}

impl Memo {
    fn known(&self) -> MutexGuard<'_, Known> {
        // What it holds is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host, if a connection to it can be predicted.
    pub(super) fn ready(&self) -> Option<Arc<Host>> {
        match &self.known().state {
            State::Ready(host) => Some(Arc::clone(host)),
            State::Unknown | State::Ineligible(_) => None,
        }
    }

    /// Why it cannot, if that is known.
    pub(super) fn obstacle(&self) -> Option<Ineligible> {
        match &self.known().state {
            State::Ineligible(why) => Some(why.clone()),
            State::Unknown | State::Ready(_) => None,
        }
    }

    /// Whether the host is to be learnt now; then it counts as being learnt.
    pub(super) fn begin(&self) -> bool {
        let mut known = self.known();
        let is_recent = known.began.is_some_and(|began| began.elapsed() < LEARN_AGAIN);
        if is_recent || matches!(known.state, State::Ready(_)) {
            return false;
        }
        known.began = Some(Instant::now());
        true
    }

    /// Does this in the background, as long as there is the memo. Without a runtime, nothing.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut known = self.known();
        while known.tasks.try_join_next().is_some() {}
        known.tasks.spawn_on(task, &runtime);
    }

    pub(super) fn learn(&self, host: Arc<Host>) {
        let mut known = self.known();
        known.ephemeral = None;
        known.state = State::Ready(host);
    }

    /// Nothing is predicted any more, until the host is learnt anew.
    pub(super) fn erase(&self, why: Ineligible) {
        let mut known = self.known();
        known.state = State::Ineligible(why);
        known.ephemeral = None;
    }

    /// The key pair that was made ahead, if it is for this host.
    pub(super) fn ephemeral(&self, host: &Host) -> Option<Ephemeral> {
        self.known().ephemeral.take().filter(|made| made.kex() == host.kex())
    }

    pub(super) fn keep(&self, ephemeral: Ephemeral) {
        self.known().ephemeral = Some(ephemeral);
    }
}

/// A key pair for this host, made where it holds up nobody else: for some exchanges it takes a good part
/// of a connection's time.
pub(super) async fn make_ephemeral(host: &Host) -> Result<Ephemeral, rejoin_ssh2::Error> {
    let kex = host.kex();
    let made = tokio::task::spawn_blocking(move || Ephemeral::generate(kex)).await;
    // It does not panic, and is not aborted.
    made.unwrap_or(Err(rejoin_ssh2::Error::Local))
}
