//! One connection of the SSH client's own, until its command has started.

use std::fmt;
use std::io;

use rejoin_ssh2::{Client, Error, Event, Learnt, UserKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::FastNews;
use super::eligible::Ineligible;
use super::pin::Pin;
use super::signer::Signer;
use crate::link::error::{LinkError, LinkErrorKind, printable};

/// How much is read at once. A server's first flight is less.
const READ: usize = 16 * 1024;

/// Why the command did not start.
#[derive(Debug)]
pub(super) enum Why {
    /// What has the user's key does not have it any more. The host was told nothing at all.
    Keyless,
    /// There is no connection.
    Unreached(LinkError),
    /// The connection failed, or ended.
    Lost(io::Error),
    Failed(Error),
    /// The host has another key than the one that ssh accepted. It was told nothing but a key exchange.
    OtherHost,
    /// The host has its key, and is not as it was when it was learnt: it may have better methods now. It was
    /// told nothing more, either.
    Changed,
    /// The user's key did not sign.
    Unsigned(io::Error),
    /// The user's key is not accepted, or is not enough.
    NotLoggedIn {
        is_partial: bool,
    },
    /// The host does not run the command.
    Refused,
    /// It took too long.
    Late,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyless => f.write_str("what had the key does not have it any more"),
            Self::Unreached(error) => error.fmt(f),
            Self::Lost(error) => write!(f, "the connection was lost: {error}"),
            Self::Failed(error) => error.fmt(f),
            Self::OtherHost => f.write_str("the host has another key than the one ssh accepted"),
            Self::Changed => f.write_str("the host's ssh server is not as it was"),
            Self::Unsigned(error) => write!(f, "the key did not sign: {error}"),
            Self::NotLoggedIn { is_partial: false } => f.write_str("the host refused the key"),
            Self::NotLoggedIn { is_partial: true } => f.write_str("the host wants more than a key"),
            Self::Refused => f.write_str("the host does not run the command"),
            Self::Late => f.write_str("the host did not answer in time"),
        }
    }
}

impl Why {
    /// Whether it may be the network's doing, and say nothing about the host. A host that ends a connection
    /// does so for a reason.
    pub(super) fn is_of_network(&self) -> bool {
        match self {
            Self::Lost(error) => error.kind() != io::ErrorKind::UnexpectedEof,
            Self::Late => true,
            _ => false,
        }
    }

    pub(super) fn into_error(self) -> LinkError {
        let kind = match self {
            Self::Unreached(error) => return error,
            Self::Lost(_) | Self::Late => LinkErrorKind::Unreachable,
            _ => LinkErrorKind::Other,
        };
        LinkError::new(kind, self.to_string())
    }

    /// What it says about a host that was to be learnt.
    pub(super) fn into_obstacle(self) -> Ineligible {
        match self {
            Self::Unsigned(error) => Ineligible::Signature(error.to_string()),
            Self::Failed(Error::Unsuitable(_)) => Ineligible::Methods,
            Self::NotLoggedIn { .. } => Ineligible::Login(self.to_string()),
            why => Ineligible::Learning(printable(&why.to_string())),
        }
    }

    pub(super) fn news(&self) -> FastNews {
        match self {
            Self::OtherHost => FastNews::OtherHost,
            why => FastNews::Failed(why.to_string()),
        }
    }
}

/// Told each step, by the name that timelines have for it.
pub(super) type Told = Box<dyn Fn(&'static str) + Send + Sync>;

/// A client on its way to a command.
pub(super) struct Opening {
    pub(super) client: Client,
    pub(super) stream: TcpStream,
    deadline: Instant,
    told: Told,
    /// What was wrong with what came last, to be told behind what came with it.
    fault: Option<Error>,
}

/// What a host has to show before anything is entrusted to it.
pub(super) struct Expected<'a> {
    pub(super) pin: &'a Pin,
    /// How it was when it was learnt, if it was.
    pub(super) learnt: Option<&'a Learnt>,
}

impl Expected<'_> {
    fn check(&self, blob: &[u8], shown: Option<&Learnt>) -> Result<(), Why> {
        if blob != self.pin.0 {
            return Err(Why::OtherHost);
        }
        let is_as = |learnt: &Learnt| shown.is_some_and(|shown| learnt.is_as(shown));
        if self.learnt.is_none_or(is_as) { Ok(()) } else { Err(Why::Changed) }
    }
}

impl Opening {
    pub(super) fn new(client: Client, stream: TcpStream, deadline: Instant, told: Told) -> Self {
        Self { client, stream, deadline, told, fault: None }
    }

    /// Whether there was an ssh server that had time for it. From then on a connection that fails says
    /// something about the host.
    pub(super) fn is_identified(&self) -> bool {
        self.client.is_identified()
    }

    /// Goes on until the host has proved that it is the one that is expected, and the user's key has signed for
    /// it. The signature, with which everything else goes out.
    pub(super) async fn prove(
        &mut self,
        expected: Expected<'_>,
        signer: &Signer,
        key: &UserKey,
    ) -> Result<Vec<u8>, Why> {
        loop {
            match self.event().await? {
                Event::HostKey { blob, .. } => {
                    expected.check(&blob, self.client.shown())?;
                    (self.told)("keys_exchanged");
                    self.client.accept_host().map_err(Why::Failed)?;
                }
                Event::Sign(message) => {
                    let binding = self.client.binding();
                    return signer.sign(key, &message, binding).await.map_err(Why::Unsigned);
                }
                _ => {}
            }
        }
    }

    /// Sends everything else, and goes on until the command has started.
    pub(super) async fn start(&mut self, signature: &[u8]) -> Result<(), Why> {
        self.client.signed(signature).map_err(Why::Failed)?;
        loop {
            match self.event().await? {
                Event::Authenticated => (self.told)("authenticated"),
                Event::AuthFailed { partial, .. } => {
                    return Err(Why::NotLoggedIn { is_partial: partial });
                }
                Event::Refused(_) => return Err(Why::Refused),
                Event::Started => {
                    (self.told)("command_sent");
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    /// What the client tells next, if that is in time.
    async fn event(&mut self) -> Result<Event, Why> {
        let deadline = self.deadline;
        timeout_at(deadline, self.next()).await.unwrap_or(Err(Why::Late))
    }

    async fn next(&mut self) -> Result<Event, Why> {
        let mut buffer = vec![0; READ];
        loop {
            if let Some(event) = self.client.event() {
                return Ok(event);
            }
            if let Some(fault) = self.fault.take() {
                return Err(Why::Failed(fault));
            }
            let output = self.client.output();
            let count = output.len();
            self.stream.write_all(output).await.map_err(Why::Lost)?;
            self.client.sent(count).map_err(Why::Failed)?;
            if self.client.is_over() {
                return Err(Why::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            let count = self.stream.read(&mut buffer).await.map_err(Why::Lost)?;
            if count == 0 {
                return Err(Why::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            self.fault = self.client.input(&buffer[..count]).err();
        }
    }
}
