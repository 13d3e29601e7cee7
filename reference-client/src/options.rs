//! What an application decides about a session.

use std::time::Duration;
use std::{fmt, io};

use rejoin_protocol::client::{Config, OnLoss};
use rejoin_protocol::spec::{ProcessSpec, SpecError};
use rejoin_protocol::{ClientInstance, ClientName, SessionId, VersionRange};

/// What an application decides about a session.
#[derive(Clone, Debug)]
pub struct Options {
    /// A name for this client, which other people see. Empty by default.
    pub name: ClientName,
    /// What to do when the process is gone. [`OnLoss::Fail`] by default.
    pub on_loss: OnLoss,
    /// Whether a session that another client holds is taken over. Not by default.
    pub take_over: bool,
    /// Whether a person may be asked when the first link is opened: for a password, or about a
    /// host key. By default.
    pub may_ask: bool,
    /// Whether a second link is kept ready while the first one is used, so that its loss costs one
    /// round trip instead of a login. Not by default: it is a second login on the host, and a second
    /// connection to keep. None stands by for a session that was idle for 15 minutes, on a machine
    /// that runs on its battery, or where links share a connection.
    pub standby: bool,
    /// Which ways back are taken, where the connector has a fast one ([`rejoin_ssh::Connect::fast`]).
    pub lane: Lane,
    /// How long to wait for what.
    pub timing: Timing,
}

/// Which ways back to a host are taken. Where there is only one, all of them are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lane {
    /// Both, ssh a moment later: the session is back over whichever is up first, and moves to ssh when that
    /// is. For the host that is two logins. Where ssh fails, the session stays where it is, and ssh is tried
    /// again, less and less often; what it wants from a person is told in a [`Notice`](crate::Event::Notice).
    #[default]
    Auto,
    /// ssh alone. The host is never learnt.
    Ssh,
    /// The fast one alone for as long as it lasts, and ssh where it fails, or is silent for half of what a
    /// login takes ([`Timing::unanswered`] at least). What ssh does beside its link, such as forwarding
    /// ports, is not done meanwhile. A session that is back over ssh stays there.
    Fast,
}

/// How long to wait for what. Time asleep does not count, except for [`Timing::open`].
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From an open link to the server's answer: `ssh` has to log in meanwhile. Whatever the host sends,
    /// it gets no more.
    pub login: Duration,
    /// From the server's first frame to its answer, within [`Timing::login`].
    pub handshake: Duration,
    /// From an open link to anything from the host, where `ssh` may ask a person for a password
    /// meanwhile. From then on, [`Timing::login`] counts.
    pub asking: Duration,
    /// Nothing was sent: a Ping is.
    pub heartbeat: Duration,
    /// Nothing came: the link counts as lost.
    pub silent: Duration,
    /// Nothing came: a second link is opened beside the one that is used, and the first one that is
    /// heard wins. Longer than [`Timing::heartbeat`], by what an answer may take.
    pub doubt: Duration,
    /// A Ping is not answered: the same as after [`Timing::doubt`]. Half of what a login takes, if that
    /// is longer: on a slow way, answers take long, too.
    pub unanswered: Duration,
    /// Like [`Timing::silent`] when the machine has just woken up or changed its network.
    pub suspicious: Duration,
    /// The second attempt to reconnect; the first one is made at once. Doubled with each attempt.
    pub backoff_start: Duration,
    /// The longest wait between two attempts.
    pub backoff_cap: Duration,
    /// How long a link must have held for the back-off to begin anew, if it brought nothing. One
    /// that did is followed by an attempt after [`Timing::backoff_start`] at the latest. For so long a
    /// process that replaced a lost one has to be attached, too.
    pub stable: Duration,
    /// Between two attempts while the host wants something from a person. Doubled with each, up to an hour:
    /// hosts ban whoever fails to log in too often.
    pub needs_user: Duration,
    /// For the answer to an Open, counted also while asleep: far below the day for which a host
    /// remembers what was started.
    pub open: Duration,
    /// For the answer to a Close.
    pub close: Duration,
    /// For an end to a refusal that is for now.
    pub hindrance: Duration,
    /// For a link, since the last one was lost; without end if none is given. Time in which a host
    /// only waits for a person does not count.
    pub give_up: Option<Duration>,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            login: Duration::from_mins(1),
            handshake: Duration::from_secs(15),
            asking: Duration::from_mins(3),
            heartbeat: Duration::from_secs(3),
            silent: Duration::from_secs(10),
            doubt: Duration::from_secs(4),
            unanswered: Duration::from_secs(1),
            suspicious: Duration::from_secs(2),
            backoff_start: Duration::from_millis(50),
            backoff_cap: Duration::from_secs(2),
            stable: Duration::from_secs(10),
            needs_user: Duration::from_mins(2),
            open: Duration::from_mins(5),
            close: Duration::from_secs(10),
            hindrance: Duration::from_mins(1),
            give_up: None,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: ClientName::default(),
            on_loss: OnLoss::Fail,
            take_over: false,
            may_ask: true,
            standby: false,
            lane: Lane::default(),
            timing: Timing::default(),
        }
    }
}

/// A random id for a new session (128 bits).
///
/// # Errors
/// The system's source of randomness failed.
pub fn new_session_id() -> io::Result<SessionId> {
    random().map(SessionId::from_bytes)
}

/// Why a session cannot begin. The host was not asked for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The command line and the environment are too long.
    Spec(SpecError),
    /// The system's source of randomness failed, with this message.
    Random(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spec(error) => write!(f, "{error}"),
            Self::Random(error) => write!(f, "the system provides no random numbers: {error}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Spec(error) => Some(error),
            Self::Random(_) => None,
        }
    }
}

impl From<SpecError> for OpenError {
    fn from(error: SpecError) -> Self {
        Self::Spec(error)
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Random(error.to_string())
    }
}

impl Options {
    /// The configuration of a new client instance.
    pub(crate) fn config(
        &self,
        session: SessionId,
        spec: Option<&ProcessSpec>,
    ) -> Result<Config, OpenError> {
        Ok(Config {
            session,
            instance: ClientInstance::from_bytes(random()?),
            name: self.name.clone(),
            versions: VersionRange::SUPPORTED,
            spec: spec.map(ProcessSpec::encode).transpose()?,
            on_loss: self.on_loss,
            take_over: self.take_over,
            window: spec.map_or(ProcessSpec::DEFAULT_WINDOW, |spec| spec.window),
        })
    }
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}
