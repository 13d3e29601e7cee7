//! The fast lane: a link in three round trips, to a host that is known from before.
//!
//! An ordinary login takes a dozen round trips, of which most bring what was known already. So once a
//! session is up and calm, its host is *learnt*: ssh logs in once more, unasked, and tells which host
//! key it accepts and which key of the agent's it uses ([`pin`]); then the SSH client of
//! `rejoin-ssh2` logs in, one step after the other, and keeps what the host's server is like
//! ([`memo`]). With that it can say everything at once when a link is wanted in a hurry ([`lane`]).
//!
//! What is trusted is what the user's own ssh trusts, and nothing else: exactly the host key that it
//! accepted for this connector, the key exchange that it would come to, the key that it logs in with.
//! Where it does anything that is not understood here, the fast lane is not taken ([`Ineligible`]), and a
//! host that turns out so is not asked again. What was learnt is erased by a host that is not as it was, and
//! by a connection that it ends: hosts count such connections against whoever makes them. It is learnt
//! again later, and each time later than the last.

mod agent;
mod agent_proxy;
mod connect;
mod eligible;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod identities;
mod key_file;
mod lane;
mod memo;
mod pin;
mod pump;
mod signer;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rejoin_ssh2::{Client, Config, Ephemeral, Error, Learnt, Opening, mss};
use socket2::SockRef;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

pub use eligible::Ineligible;
pub use pin::report_host_key;

use crate::Attempt;
use crate::link::Link;
use crate::link::error::printable;
use crate::link::stderr::{AllLines, LineSink, Tail};
use crate::ssh::SshConnect;
use crate::ssh::dial::{self, Route};
use eligible::Offer;
use lane::{Expected, Told, Why};
use memo::{Host, Memo, Turn};
use pin::{Login, Pin};
use pump::Outcome;
use signer::{Candidates, Signer};

/// How long the login may take from which a host is learnt. Nobody waits for it.
const LEARNING: Duration = Duration::from_secs(30);
/// How much longer than that login a connection may take that says everything at once.
const SLACK: Duration = Duration::from_secs(2);
/// What is run in order to learn: nothing, whatever the user's shell is.
const NOTHING: &[u8] = b"true";

/// What becomes of the fast lane to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FastNews {
    /// The host was learnt: the next link in a hurry takes it.
    Learnt,
    /// It is not taken.
    Ineligible(Ineligible),
    /// It was taken, and the command runs.
    Taken,
    /// It was taken, and led to nothing; why, in words.
    Failed(String),
    /// It was taken, and the host showed another key than the one that ssh had accepted. It was told
    /// nothing.
    OtherHost,
}

impl fmt::Display for FastNews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Learnt => f.write_str("the fast lane is ready"),
            Self::Ineligible(why) => write!(f, "no fast lane: {why}"),
            Self::Taken => f.write_str("there is a link over the fast lane"),
            Self::Failed(why) => write!(f, "the fast lane leads nowhere: {why}"),
            Self::OtherHost => f.write_str(
                "the host showed another key than the one ssh accepted; nothing was told to it, and ssh judges it",
            ),
        }
    }
}

/// Told what becomes of it.
pub(crate) type OnNews = Arc<dyn Fn(&FastNews) + Send + Sync>;

/// The fast lane of one connector.
pub(crate) struct FastLane {
    /// The program to which ssh tells host keys, and its arguments.
    helper: Vec<OsString>,
    on_news: Option<OnNews>,
    memo: Memo,
    /// Whether the agent has asked its user while ssh logged in.
    has_agent_asked: Arc<AtomicBool>,
}

impl FastLane {
    pub(crate) fn new(helper: Vec<OsString>) -> Self {
        Self { helper, on_news: None, memo: Memo::default(), has_agent_asked: Arc::default() }
    }

    pub(crate) fn on_news(self, told: OnNews) -> Self {
        Self { on_news: Some(told), ..self }
    }

    fn tell(&self, news: &FastNews) {
        tracing::debug!(%news, "fast lane");
        if let Some(on_news) = &self.on_news {
            on_news(news);
        }
    }

    fn erase(&self, why: String) {
        self.memo.erase(Ineligible::Erased(why));
    }

    /// Whether the lane can be taken. The host is learnt for that, if it was not yet.
    pub(crate) async fn check(self: &Arc<Self>, ssh: &SshConnect) -> Result<(), Ineligible> {
        if self.memo.ready().is_none() {
            let turn = self.memo.begin_now();
            let has_asked = self.has_agent_asked.load(Ordering::Relaxed);
            let learning = Box::pin(learn(ssh, &self.helper));
            let learnt = if has_asked { Err(asked()) } else { learning.await };
            self.note(&turn, learnt);
        }
        self.memo.obstacle().map_or(Ok(()), Err)
    }

    fn note(self: &Arc<Self>, turn: &Turn, learnt: Result<Host, Ineligible>) {
        match learnt {
            Ok(host) => {
                let host = Arc::new(host);
                if self.memo.learn(turn, Arc::clone(&host)) {
                    self.make_ephemeral(host);
                    self.tell(&FastNews::Learnt);
                }
            }
            Err(why) => {
                self.memo.fail(&why);
                self.tell(&FastNews::Ineligible(why));
            }
        }
    }

    fn make_ephemeral(self: &Arc<Self>, host: Arc<Host>) {
        if !self.memo.is_without_ephemeral() {
            return;
        }
        let lane: Weak<Self> = Arc::downgrade(self);
        self.memo.spawn(async move {
            let made = memo::make_ephemeral(&host).await;
            if let (Some(lane), Ok(made)) = (lane.upgrade(), made) {
                lane.memo.keep(made);
            }
        });
    }

    async fn hurry(self: &Arc<Self>, ssh: &SshConnect, host: &Host) -> Result<Link, Why> {
        self.check_speed(host).map_err(Why::Unsigned)?;
        // Without the key there need be no connection that the host counts.
        if !host.signer.has(&host.key).await.map_err(Why::Unsigned)? {
            // It may have another one in its place.
            self.erase(Why::Keyless.to_string());
            return Err(Why::Keyless);
        }
        let is_told = ssh.is_told();
        let told: Told = Box::new(move |reached| dial::tell(is_told, reached));
        let route = host.route.clone().in_segments_of(host.segment);
        let stream = route.dial(ssh.patience(), is_told).await.map_err(Why::Unreached)?;
        let ephemeral = self.ephemeral(host).await.map_err(Why::Failed)?;
        let config = host.config(ephemeral, ssh.command_bytes());
        let client = Client::new(config).map_err(Why::Failed)?;
        let stream = nonblocking(stream).map_err(Why::Lost)?;
        let deadline = Instant::now() + SLACK + host.login;
        let mut opening = lane::Opening::new(client, stream, deadline, told);
        let expected = Expected { pin: &host.pin, learnt: Some(&host.learnt) };
        let proved = opening.prove(expected, &host.signer, &host.key).await;
        let signature = proved.inspect_err(|why| {
            if self.check_speed(host).is_ok() && opening.is_identified() {
                self.failed(why);
            }
        })?;
        let tail = Tail::default();
        let sink =
            LineSink::new(Attempt::Reconnect, tail.clone(), ssh.listener(), Box::new(AllLines));
        Ok(pump::link(opening, signature, self.outcome(), (sink, tail)))
    }

    /// That the key has always signed at once. One that once did not is left to ssh for good.
    fn check_speed(&self, host: &Host) -> io::Result<()> {
        host.signer.check_speed(&host.key).inspect_err(|error| {
            self.memo.erase(Ineligible::Signature(error.to_string()));
        })
    }

    /// A connection has failed once the host had identified itself.
    fn failed(&self, why: &Why) {
        if !why.is_of_network() || self.memo.lost() {
            self.erase(why.to_string());
        }
    }

    async fn ephemeral(&self, host: &Host) -> Result<Ephemeral, Error> {
        match self.memo.ephemeral(host) {
            Some(made) => Ok(made),
            None => memo::make_ephemeral(host).await,
        }
    }

    /// Notes what comes of a login.
    fn outcome(self: &Arc<Self>) -> Outcome {
        let lane = Arc::downgrade(self);
        Box::new(move |started| {
            let Some(lane) = lane.upgrade() else { return };
            match started {
                Ok(()) => {
                    lane.memo.confirm();
                    lane.tell(&FastNews::Taken);
                }
                Err(why) => {
                    lane.failed(why);
                    lane.tell(&why.news());
                }
            }
        })
    }
}

/// Why a host is not learnt whose login the user has confirmed.
fn asked() -> Ineligible {
    Ineligible::Signature("the ssh agent asked its user when ssh logged in".to_owned())
}

fn nonblocking(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

/// Finds out all that has to be known: with one login of ssh's, and one of the client's own.
async fn learn(ssh: &SshConnect, helper: &[OsString]) -> Result<Host, Ineligible> {
    let resolved = ssh.resolve().await;
    let resolved = resolved.map_err(|error| Ineligible::Configuration(error.to_string()))?;
    // First, since one that is too old also looks at addresses unless it is told not to.
    let kinds = eligible::untouched_keys(&resolved).ok_or(Ineligible::NoPin)?;
    let route = Route::of(&resolved).ok_or(Ineligible::Route)?;
    #[cfg(feature = "testing")]
    let route = route.fixed(&ssh.fixed);
    eligible::obstacle(&resolved).map_or(Ok(()), Err)?;
    let offer = Offer::of(&resolved)?;
    let user = resolved.user().ok_or(Ineligible::Route)?.to_owned();
    let candidates = Candidates::of(&resolved).await?;
    let login = Login::watch(ssh, helper, &kinds, candidates.agent()).await?;
    let (source, is_certificate) = (&login.key.source, login.key.is_certificate);
    let (signer, keys) = candidates.signer(source, is_certificate).await?;
    let key = login.user_key(keys, &kinds)?;
    let config = Config {
        user: user.clone(),
        key: key.clone(),
        command: NOTHING.to_vec(),
        ciphers: offer.ciphers.clone(),
        opening: Opening::Unhurried { kex: offer.kex, host_keys: login.pin.algorithms(&resolved) },
    };
    let Seen { learnt, segment, took } = look(&route, config, &login.pin, &signer).await?;
    eligible::check_parity(&resolved, &learnt)?;
    if learnt.predicted_channel().is_none() {
        return Err(Ineligible::Server(learnt.ident));
    }
    let unshown = || Ineligible::Learning("the host shows its key in another way".to_owned());
    Ok(Host {
        route,
        user,
        algorithm: login.pin.algorithm(&resolved, &learnt.lists).ok_or_else(unshown)?,
        expiry: [&login.pin.0, &key.blob].into_iter().filter_map(|blob| pin::expiry(blob)).min(),
        pin: login.pin,
        signer,
        key,
        ciphers: offer.ciphers,
        learnt,
        segment,
        login: took,
        since: memo::boottime(),
    })
}

/// What a login has taught in which nothing was predicted.
struct Seen {
    learnt: Learnt,
    /// The segment size that suits the host.
    segment: Option<u32>,
    took: Duration,
}

/// Logs in with nothing predicted.
async fn look(
    route: &Route,
    config: Config,
    pin: &Pin,
    signer: &Signer,
) -> Result<Seen, Ineligible> {
    let failed = |why: &dyn fmt::Display| Ineligible::Learning(printable(&why.to_string()));
    let key = config.key.clone();
    let client = Client::new(config).map_err(|error| match error {
        Error::Caller(_) => Ineligible::Methods,
        other => failed(&other),
    })?;
    let began = Instant::now();
    let stream = route.dial(LEARNING, false).await.map_err(|error| failed(&error))?;
    let stream = nonblocking(stream).map_err(|error| failed(&error))?;
    let usual = SockRef::from(&stream).tcp_mss().ok();
    let mut opening = lane::Opening::new(client, stream, began + LEARNING, Box::new(|_| {}));
    let expected = Expected { pin, learnt: None };
    let proved = opening.prove(expected, signer, &key).await;
    let signature = proved.map_err(Why::into_obstacle)?;
    opening.start(&signature).await.map_err(Why::into_obstacle)?;
    let lane::Opening { mut stream, mut client, .. } = opening;
    let took = began.elapsed();
    let learnt = client.learnt().cloned().ok_or_else(|| failed(&"nothing was learnt"))?;
    let _ = client.disconnect();
    // What was learnt is learnt, whether the host hears of its end or not.
    let _ = stream.write_all(client.output()).await;
    let segment = usual.and_then(|usual| segment(&learnt, usual));
    Ok(Seen { learnt, segment, took })
}

/// The segment size to announce, if the usual one holds up the host's answer.
fn segment(learnt: &Learnt, usual: u32) -> Option<u32> {
    let size = mss(learnt.flight, usize::try_from(usual).ok()?)?;
    u32::try_from(size).ok().filter(|size| *size < usual)
}
