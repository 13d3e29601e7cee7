//! What is known about a host, during the life of the connector.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rejoin_ssh2::{
    Cipher, Config, EphemeralKey, HandshakeMode, HostKeyAlgorithm, Kex, ServerProfile, UserKey,
};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::eligibility::Ineligible;
use super::signer::Signer;
use super::ssh_login::PinnedHostKey;
use crate::link::clock::boottime;
use crate::ssh::dial::DialTarget;

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

/// What is known about one host. When the last owner is dropped, all tasks end.
#[derive(Default)]
pub(super) struct HostCache(Mutex<CacheState>);

#[derive(Default)]
struct CacheState {
    state: HostState,
    /// Before then, it is not learnt again.
    not_before: Option<Instant>,
    /// How often in a row that led to nothing.
    failures: u32,
    /// How many connections in a row were lost once the host had identified itself.
    lost: u32,
    /// How often it was erased: what was begun to be learnt before is not believed.
    erased: u64,
    /// A key pair for the next connection, made while nobody waited for it.
    ephemeral: Option<EphemeralKey>,
    /// The tasks in the background.
    tasks: JoinSet<()>,
}

#[derive(Default)]
enum HostState {
    #[default]
    Unknown,
    Ineligible(Ineligible),
    Ready(Arc<HostProfile>),
}

/// Everything that a predicted connection needs.
pub(super) struct HostProfile {
    pub(super) route: DialTarget,
    pub(super) user: String,
    pub(super) pin: PinnedHostKey,
    pub(super) algorithm: HostKeyAlgorithm,
    pub(super) signer: Signer,
    pub(super) key: UserKey,
    pub(super) ciphers: Vec<Cipher>,
    pub(super) learnt: ServerProfile,
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

impl HostProfile {
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

    /// The configuration of a client that predicts everything.
    pub(super) fn config(&self, ephemeral: EphemeralKey, command: &[u8]) -> Config {
        Config {
            user: self.user.clone(),
            key: self.key.clone(),
            command: command.to_vec(),
            ciphers: self.ciphers.clone(),
            handshake: HandshakeMode::Predicted {
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
pub(super) struct LearningTurn {
    erased: u64,
}

impl HostCache {
    fn known(&self) -> MutexGuard<'_, CacheState> {
        // What it holds is replaced as a whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host, if a connection to it can be predicted.
    pub(super) fn ready(&self) -> Option<Arc<HostProfile>> {
        self.ready_at(boottime())
    }

    fn ready_at(&self, now: Duration) -> Option<Arc<HostProfile>> {
        match &self.known().state {
            HostState::Ready(host) if host.is_valid(now) => Some(Arc::clone(host)),
            HostState::Unknown | HostState::Ineligible(_) | HostState::Ready(_) => None,
        }
    }

    /// Why it cannot, if that is known.
    pub(super) fn obstacle(&self) -> Option<Ineligible> {
        match &self.known().state {
            HostState::Ineligible(why) => Some(why.clone()),
            HostState::Unknown | HostState::Ready(_) => None,
        }
    }

    /// A turn at learning the host, if that is due.
    pub(super) fn begin(&self) -> Option<LearningTurn> {
        self.begin_at(boottime())
    }

    fn begin_at(&self, time: Duration) -> Option<LearningTurn> {
        let mut known = self.known();
        let is_wanted = match &known.state {
            HostState::Unknown => true,
            HostState::Ineligible(why) => !why.is_lasting(),
            HostState::Ready(host) => !host.is_valid(time) || !host.is_younger_than(REVIEW, time),
        };
        let now = Instant::now();
        if !is_wanted || known.not_before.is_some_and(|not_before| now < not_before) {
            return None;
        }
        known.pause();
        Some(LearningTurn { erased: known.erased })
    }

    /// A turn at any time: somebody has asked for it.
    pub(super) fn begin_now(&self) -> LearningTurn {
        LearningTurn { erased: self.known().erased }
    }

    /// Does this in the background, as long as the cache exists. Without a runtime, nothing.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = Handle::try_current() else { return };
        let mut known = self.known();
        while known.tasks.try_join_next().is_some() {}
        known.tasks.spawn_on(task, &runtime);
    }

    /// The host was learnt; whether that still counts.
    pub(super) fn learn(&self, turn: &LearningTurn, host: Arc<HostProfile>) -> bool {
        let mut known = self.known();
        let is_current = turn.erased == known.erased;
        if is_current {
            known.ephemeral = None;
            known.state = HostState::Ready(host);
        }
        is_current
    }

    /// It was not learnt. What was known before holds on, unless it cannot.
    pub(super) fn fail(&self, why: &Ineligible) {
        let mut known = self.known();
        known.failures += 1;
        known.pause();
        if why.is_lasting() || !matches!(known.state, HostState::Ready(_)) {
            known.forget(why.clone());
        }
    }

    /// Forgets the host until it is learnt again.
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
    pub(super) fn ephemeral(&self, host: &HostProfile) -> Option<EphemeralKey> {
        self.known().ephemeral.take().filter(|made| made.kex() == host.kex())
    }

    /// Whether one is to be made.
    pub(super) fn is_without_ephemeral(&self) -> bool {
        self.known().ephemeral.is_none()
    }

    pub(super) fn keep(&self, ephemeral: EphemeralKey) {
        self.known().ephemeral = Some(ephemeral);
    }
}

impl CacheState {
    fn pause(&mut self) {
        let doubled = PAUSE.saturating_mul(1 << self.failures.saturating_sub(1).min(16));
        self.not_before = Some(Instant::now() + doubled.min(LONGEST_PAUSE));
    }

    fn forget(&mut self, why: Ineligible) {
        self.state = HostState::Ineligible(why);
        self.ephemeral = None;
        self.lost = 0;
        self.erased += 1;
    }
}

/// A key pair for this host, made where it holds up nobody else: for some exchanges it takes a good part
/// of a connection's time.
pub(super) async fn make_ephemeral(host: &HostProfile) -> Result<EphemeralKey, rejoin_ssh2::Error> {
    let kex = host.kex();
    let made = tokio::task::spawn_blocking(move || EphemeralKey::generate(kex)).await;
    // It does not panic, and is not aborted.
    made.unwrap_or(Err(rejoin_ssh2::Error::Local))
}

#[cfg(test)]
#[path = "host_cache_tests.rs"]
mod tests;
