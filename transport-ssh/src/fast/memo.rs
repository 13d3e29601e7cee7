//! What is known about one host, for as long as the connector lives.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rejoin_ssh2::{Cipher, Config, Ephemeral, HostKeyAlgorithm, Kex, Learnt, Opening, UserKey};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::eligible::Ineligible;
use super::pin::Pin;
use super::signer::Signer;
use crate::ssh::dial::Route;

/// After an attempt to learn a host that led to nothing, or after what was learnt was erased; doubled with
/// each in a row. An attempt costs the host two logins, and one that fails may be counted against this
/// machine's address.
const PAUSE: Duration = Duration::from_mins(10);
const LONGEST_PAUSE: Duration = Duration::from_hours(24);
/// When a host is learnt once more: what ssh would do may have changed meanwhile, and so may keys.
const REVIEW: Duration = Duration::from_hours(12);
/// How long what was learnt may be used at all.
const LIFETIME: Duration = Duration::from_hours(24);
/// How many connections in a row may be lost until that is taken for the host's doing.
const MOST_LOST: u32 = 3;

/// What is known about one host. Whoever drops the last of its owners ends whatever is being found out.
#[derive(Default)]
pub(super) struct Memo(Mutex<Known>);

#[derive(Default)]
struct Known {
    state: State,
    /// Before then, it is not learnt again.
    not_before: Option<Instant>,
    /// How often in a row that led to nothing.
    failures: u32,
    /// How many connections in a row were lost once the host had identified itself.
    lost: u32,
    /// How often it was erased: what was begun to be learnt before is not believed.
    erased: u64,
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
    pub(super) signer: Signer,
    pub(super) key: UserKey,
    pub(super) ciphers: Vec<Cipher>,
    pub(super) learnt: Learnt,
    /// The segment size with which the host's first flight comes at once, in bytes, where it would not by
    /// itself.
    pub(super) segment: Option<u32>,
    /// How long the login took from which it was learnt.
    pub(super) login: Duration,
    /// When that was: how long after the machine had started, sleep included.
    pub(super) since: Duration,
    /// When the first certificate expires, of those that are used.
    pub(super) expiry: Option<SystemTime>,
}

impl Host {
    fn kex(&self) -> Kex {
        self.learnt.kex
    }

    fn is_younger_than(&self, age: Duration, now: Duration) -> bool {
        now.saturating_sub(self.since) < age
    }

    #[expect(clippy::disallowed_methods, reason = "certificates expire by the clock on the wall")]
    fn is_expired(&self) -> bool {
        self.expiry.is_some_and(|expiry| expiry <= SystemTime::now())
    }

    fn is_valid(&self, now: Duration) -> bool {
        !self.is_expired() && self.is_younger_than(LIFETIME, now)
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
                is_hostbound: self.learnt.is_hostbound,
                channel: self.learnt.predicted_channel(),
                ahead: self.learnt.predicted_window(),
            },
        }
    }
}

/// A turn at learning a host.
pub(super) struct Turn {
    erased: u64,
}

impl Memo {
    fn known(&self) -> MutexGuard<'_, Known> {
        // What it holds is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host, if a connection to it can be predicted.
    pub(super) fn ready(&self) -> Option<Arc<Host>> {
        self.ready_at(boottime())
    }

    fn ready_at(&self, now: Duration) -> Option<Arc<Host>> {
        match &self.known().state {
            State::Ready(host) if host.is_valid(now) => Some(Arc::clone(host)),
            State::Unknown | State::Ineligible(_) | State::Ready(_) => None,
        }
    }

    /// Why it cannot, if that is known.
    pub(super) fn obstacle(&self) -> Option<Ineligible> {
        match &self.known().state {
            State::Ineligible(why) => Some(why.clone()),
            State::Unknown | State::Ready(_) => None,
        }
    }

    /// A turn at learning the host, if that is due.
    pub(super) fn begin(&self) -> Option<Turn> {
        self.begin_at(boottime())
    }

    fn begin_at(&self, time: Duration) -> Option<Turn> {
        let mut known = self.known();
        let is_wanted = match &known.state {
            State::Unknown => true,
            State::Ineligible(why) => !why.is_lasting(),
            State::Ready(host) => !host.is_valid(time) || !host.is_younger_than(REVIEW, time),
        };
        let now = Instant::now();
        if !is_wanted || known.not_before.is_some_and(|not_before| now < not_before) {
            return None;
        }
        known.pause();
        Some(Turn { erased: known.erased })
    }

    /// A turn at any time: somebody has asked for it.
    pub(super) fn begin_now(&self) -> Turn {
        Turn { erased: self.known().erased }
    }

    /// Does this in the background, as long as there is the memo. Without a runtime, nothing.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut known = self.known();
        while known.tasks.try_join_next().is_some() {}
        known.tasks.spawn_on(task, &runtime);
    }

    /// The host was learnt; whether that still counts.
    pub(super) fn learn(&self, turn: &Turn, host: Arc<Host>) -> bool {
        let mut known = self.known();
        let is_current = turn.erased == known.erased;
        if is_current {
            known.ephemeral = None;
            known.state = State::Ready(host);
        }
        is_current
    }

    /// It was not learnt. What was known before holds on, unless it cannot.
    pub(super) fn fail(&self, why: &Ineligible) {
        let mut known = self.known();
        known.failures += 1;
        known.pause();
        if why.is_lasting() || !matches!(known.state, State::Ready(_)) {
            known.forget(why.clone());
        }
    }

    /// Nothing is predicted any more, until the host is learnt anew.
    pub(super) fn erase(&self, why: Ineligible) {
        let mut known = self.known();
        known.failures += 1;
        known.pause();
        known.forget(why);
    }

    /// A connection was lost once the host had identified itself. Whether that was one too many.
    pub(super) fn lost(&self) -> bool {
        let mut known = self.known();
        known.lost += 1;
        known.lost >= MOST_LOST
    }

    /// Everything was as it was predicted.
    pub(super) fn confirm(&self) {
        let mut known = self.known();
        (known.lost, known.failures) = (0, 0);
    }

    /// The key pair that was made ahead, if it is for this host.
    pub(super) fn ephemeral(&self, host: &Host) -> Option<Ephemeral> {
        self.known().ephemeral.take().filter(|made| made.kex() == host.kex())
    }

    /// Whether one is to be made.
    pub(super) fn is_without_ephemeral(&self) -> bool {
        self.known().ephemeral.is_none()
    }

    pub(super) fn keep(&self, ephemeral: Ephemeral) {
        self.known().ephemeral = Some(ephemeral);
    }
}

impl Known {
    fn pause(&mut self) {
        let doubled = PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        self.not_before = Some(Instant::now() + doubled.min(LONGEST_PAUSE));
    }

    fn forget(&mut self, why: Ineligible) {
        self.state = State::Ineligible(why);
        self.ephemeral = None;
        self.lost = 0;
        self.erased += 1;
    }
}

/// How long ago the machine has started, sleep included.
pub(super) fn boottime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    // Neither is ever negative on this clock, and the nanoseconds stay below a second.
    Duration::new(now.tv_sec.try_into().unwrap_or(0), now.tv_nsec.try_into().unwrap_or(0))
}

/// A key pair for this host, made where it holds up nobody else: for some exchanges it takes a good part
/// of a connection's time.
pub(super) async fn make_ephemeral(host: &Host) -> Result<Ephemeral, rejoin_ssh2::Error> {
    let kex = host.kex();
    let made = tokio::task::spawn_blocking(move || Ephemeral::generate(kex)).await;
    // It does not panic, and is not aborted.
    made.unwrap_or(Err(rejoin_ssh2::Error::Local))
}

#[cfg(test)]
#[path = "memo_tests.rs"]
mod tests;
