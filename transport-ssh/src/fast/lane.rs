//! One connection of the SSH client's own, until its command has started.

use std::io;
use std::time::Duration;

use rejoin_ssh2::{Client, Error, Event, UserKey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::agent::Agent;
use super::pin::Pin;

/// How much is read at once. A server's first flight is less.
const READ: usize = 16 * 1024;

/// Why the command did not start.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) why: Why,
    /// Whether the host had begun to speak. From then on a connection that fails is one that the host
    /// counts.
    pub(super) has_spoken: bool,
}

#[derive(Debug)]
pub(super) enum Why {
    /// The connection failed, or ended.
    Lost(io::Error),
    Failed(Error),
    /// The host has another key than the one that ssh accepted. It was told nothing but a key exchange.
    OtherHost,
    /// The agent did not sign.
    Agent(io::Error),
    /// The user's key is not accepted, or is not enough.
    NotLoggedIn {
        is_partial: bool,
    },
    /// The host does not run the command.
    Refused,
    /// It took too long.
    Late,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(error) => write!(f, "the connection was lost: {error}"),
            Self::Failed(error) => error.fmt(f),
            Self::OtherHost => f.write_str("the host has another key than the one ssh accepted"),
            Self::Agent(error) => write!(f, "the ssh agent did not sign: {error}"),
            Self::NotLoggedIn { is_partial: false } => f.write_str("the host refused the key"),
            Self::NotLoggedIn { is_partial: true } => f.write_str("the host wants more than a key"),
            Self::Refused => f.write_str("the host does not run the command"),
            Self::Late => f.write_str("the host did not answer in time"),
        }
    }
}

/// A client on its way to a command.
pub(super) struct Opening<'a> {
    pub(super) client: Client,
    pub(super) stream: TcpStream,
    pub(super) pin: &'a Pin,
    pub(super) agent: &'a Agent,
    pub(super) key: &'a UserKey,
    /// Told each step, by the name that timelines have for it.
    pub(super) told: &'a (dyn Fn(&'static str) + Sync),
}

impl Opening<'_> {
    /// Goes on until the command has started, or the time is over.
    pub(super) async fn start(mut self, limit: Duration) -> Result<(TcpStream, Client), Failure> {
        let mut has_spoken = false;
        let run = self.run(&mut has_spoken);
        let ran = timeout_at(Instant::now() + limit, run).await;
        match ran.unwrap_or(Err(Why::Late)) {
            Ok(()) => Ok((self.stream, self.client)),
            Err(why) => Err(Failure { why, has_spoken }),
        }
    }

    async fn run(&mut self, has_spoken: &mut bool) -> Result<(), Why> {
        let mut buffer = vec![0; READ];
        loop {
            while let Some(event) = self.client.event() {
                if self.event(event).await? {
                    return Ok(());
                }
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
            *has_spoken = true;
            self.client.input(&buffer[..count]).map_err(Why::Failed)?;
        }
    }

    /// Answers what the client tells; whether the command has started.
    async fn event(&mut self, event: Event) -> Result<bool, Why> {
        match event {
            Event::HostKey { blob, .. } if blob == self.pin.0 => {
                (self.told)("keys_exchanged");
                self.client.accept_host().map_err(Why::Failed)?;
            }
            Event::HostKey { .. } => return Err(Why::OtherHost),
            Event::Sign(message) => {
                let signature = self.agent.sign(self.key, &message).await.map_err(Why::Agent)?;
                self.client.signed(&signature).map_err(Why::Failed)?;
            }
            Event::Authenticated => (self.told)("authenticated"),
            Event::AuthFailed { partial, .. } => {
                return Err(Why::NotLoggedIn { is_partial: partial });
            }
            Event::Refused(_) => return Err(Why::Refused),
            Event::Started => {
                (self.told)("command_sent");
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }
}
