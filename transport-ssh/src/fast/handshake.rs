//! A connection of the built-in SSH client, until its command has started.

use std::fmt;
use std::io;

use rejoin_ssh2::{Client, Error, Event, ServerProfile, UserKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::eligibility::Ineligible;
use super::event::FastLaneEvent;
use super::signer::Signer;
use super::ssh_login::PinnedHostKey;
use crate::link::error::{LinkError, LinkErrorKind, printable};
use crate::link::milestones::{Milestone, Milestones};

/// How much is read at once. A server's first flight is less.
const READ: usize = 16 * 1024;

/// Why the command did not start.
#[derive(Debug)]
pub(super) enum FastLaneError {
    /// The agent or file no longer has the key. Nothing was sent to the host.
    Keyless,
    /// There is no connection.
    Unreached(LinkError),
    /// The connection failed, or ended.
    Lost(io::Error),
    Failed(Error),
    /// The host key differs from the one that ssh accepted. Only a key exchange was sent to the host.
    OtherHost,
    /// The host has its key, but has changed since it was learnt: it may support better methods now. Only a key
    /// exchange was sent.
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

impl fmt::Display for FastLaneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyless => f.write_str("the key is no longer available"),
            Self::Unreached(error) => error.fmt(f),
            Self::Lost(error) => write!(f, "the connection was lost: {error}"),
            Self::Failed(error) => error.fmt(f),
            Self::OtherHost => f.write_str("the host key differs from the one that ssh accepted"),
            Self::Changed => f.write_str("the host's ssh server has changed"),
            Self::Unsigned(error) => write!(f, "the key did not sign: {error}"),
            Self::NotLoggedIn { is_partial: false } => f.write_str("the host refused the key"),
            Self::NotLoggedIn { is_partial: true } => {
                f.write_str("the host requires more than a key")
            }
            Self::Refused => f.write_str("the host refused to run the command"),
            Self::Late => f.write_str("the host did not answer in time"),
        }
    }
}

impl FastLaneError {
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

    /// The same as a reason why the host was not learnt.
    pub(super) fn into_obstacle(self) -> Ineligible {
        match self {
            Self::Unsigned(error) => Ineligible::Signature(error.to_string()),
            Self::Failed(Error::Unsuitable(_)) => Ineligible::Methods,
            Self::NotLoggedIn { .. } => Ineligible::Login(self.to_string()),
            why => Ineligible::Learning(printable(&why.to_string())),
        }
    }

    pub(super) fn news(&self) -> FastLaneEvent {
        match self {
            Self::OtherHost => FastLaneEvent::OtherHost,
            why => FastLaneEvent::Failed(why.to_string()),
        }
    }
}

/// A client that is starting its command.
pub(super) struct Handshake {
    pub(super) client: Client,
    pub(super) stream: TcpStream,
    deadline: Instant,
    /// An error in the last input, reported after the events before it.
    fault: Option<Error>,
}

/// What a host must show before anything confidential is sent to it.
pub(super) struct ExpectedHost<'a> {
    pub(super) pin: &'a PinnedHostKey,
    /// How it was when it was learnt, if it was.
    pub(super) learnt: Option<&'a ServerProfile>,
}

impl ExpectedHost<'_> {
    fn check(&self, blob: &[u8], shown: Option<&ServerProfile>) -> Result<(), FastLaneError> {
        if blob != self.pin.0 {
            return Err(FastLaneError::OtherHost);
        }
        let is_as = |learnt: &ServerProfile| shown.is_some_and(|shown| learnt.is_as(shown));
        if self.learnt.is_none_or(is_as) { Ok(()) } else { Err(FastLaneError::Changed) }
    }
}

impl Handshake {
    pub(super) fn new(client: Client, stream: TcpStream, deadline: Instant) -> Self {
        Self { client, stream, deadline, fault: None }
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
        expected: ExpectedHost<'_>,
        signer: &Signer,
        key: &UserKey,
    ) -> Result<Vec<u8>, FastLaneError> {
        loop {
            match self.event().await? {
                Event::HostKey { blob, .. } => {
                    expected.check(&blob, self.client.shown())?;
                    Milestones::reach(Milestone::KeysExchanged);
                    self.client.accept_host().map_err(FastLaneError::Failed)?;
                }
                Event::Sign(message) => {
                    let binding = self.client.binding();
                    return signer
                        .sign(key, &message, binding)
                        .await
                        .map_err(FastLaneError::Unsigned);
                }
                _ => {}
            }
        }
    }

    /// Sends everything else, and goes on until the command has started.
    pub(super) async fn start(&mut self, signature: &[u8]) -> Result<(), FastLaneError> {
        self.client.signed(signature).map_err(FastLaneError::Failed)?;
        loop {
            match self.event().await? {
                Event::Authenticated => Milestones::reach(Milestone::Authenticated),
                Event::AuthFailed { partial, .. } => {
                    return Err(FastLaneError::NotLoggedIn { is_partial: partial });
                }
                Event::Refused(_) => return Err(FastLaneError::Refused),
                Event::Started => {
                    Milestones::reach(Milestone::CommandSent);
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    /// The client's next event, before the deadline.
    async fn event(&mut self) -> Result<Event, FastLaneError> {
        let deadline = self.deadline;
        timeout_at(deadline, self.next()).await.unwrap_or(Err(FastLaneError::Late))
    }

    async fn next(&mut self) -> Result<Event, FastLaneError> {
        let mut buffer = vec![0; READ];
        loop {
            if let Some(event) = self.client.event() {
                return Ok(event);
            }
            if let Some(fault) = self.fault.take() {
                return Err(FastLaneError::Failed(fault));
            }
            let output = self.client.output();
            let count = output.len();
            self.stream.write_all(output).await.map_err(FastLaneError::Lost)?;
            self.client.sent(count).map_err(FastLaneError::Failed)?;
            if self.client.is_over() {
                return Err(FastLaneError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            let count = self.stream.read(&mut buffer).await.map_err(FastLaneError::Lost)?;
            if count == 0 {
                return Err(FastLaneError::Lost(io::ErrorKind::UnexpectedEof.into()));
            }
            self.fault = self.client.input(&buffer[..count]).err();
        }
    }
}

/// The connection as tokio drives it.
pub(super) fn nonblocking(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}
