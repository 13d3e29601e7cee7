//! Connects to the first of a name's addresses that answers.
//!
//! In the way of RFC 8305 (Happy Eyeballs): addresses of both families take turns, each has a quarter of
//! a second's start, and the next one starts at once where one fails. What loses is closed.
//!
//! An address that does not answer is tried repeatedly: TCP itself repeats its first packet after one second,
//! then two, then four, and so would notice the return of a network that much later.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use crate::link::error::{LinkError, LinkErrorKind};
use crate::link::milestones::{Milestone, Milestones};
use crate::ssh::resolve::SshConfig;

/// The head start of an address over the next one (RFC 8305 section 8).
const STAGGER: Duration = Duration::from_millis(250);
/// The pause between two attempts once each address has had its first: the longest delay until the return of a
/// network is noticed.
const AGAIN: Duration = Duration::from_millis(100);
/// The timeout of an attempt: longer than any path's round trip.
const LIFETIME: Duration = Duration::from_secs(3);
/// The most addresses of a name that are tried, because a name server can return any number.
const MAX_ADDRESSES: usize = 16;

/// The size of TCP's timestamp option in each segment, in bytes.
const TIMESTAMPS: u32 = 12;

/// Which addresses of a name may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Any,
    V4,
    V6,
}

/// Where ssh would connect, if it connects directly and from no particular address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DialTarget {
    host: String,
    port: u16,
    family: Family,
    socket: SocketOptions,
    /// Taken for the addresses of the host, if there are any.
    #[cfg(feature = "testing")]
    fixed: Vec<SocketAddr>,
}

/// How a connection's socket differs from any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SocketOptions {
    keepalive: bool,
    /// The segment size to announce, in bytes of payload; the system's own if none is given.
    segment: Option<u32>,
}

/// With any of these settings, ssh does not connect directly, or checks the host by its address.
const OTHERWISE: &[&str] = &[
    "proxycommand",
    "proxyjump",
    "bindaddress",
    "bindinterface",
    "rdomain",
    "canonicalizehostname",
    "checkhostip",
    "nohostauthenticationforlocalhost",
];

impl DialTarget {
    /// `None` if ssh must make the connection itself.
    pub(crate) fn of(resolved: &SshConfig) -> Option<Self> {
        if let Some(otherwise) = OTHERWISE.iter().find(|key| resolved.is_set(key)) {
            tracing::debug!(otherwise, "ssh connects by itself");
            return None;
        }
        if resolved.is_conditional() {
            tracing::debug!("ssh connects by itself, since what it does may change");
            return None;
        }
        let family = match resolved.get("addressfamily")? {
            "any" => Family::Any,
            "inet" => Family::V4,
            "inet6" => Family::V6,
            _ => return None,
        };
        Some(Self {
            host: resolved.host_name()?.to_owned(),
            port: resolved.port()?,
            family,
            socket: SocketOptions {
                keepalive: resolved.get("tcpkeepalive")? == "yes",
                segment: None,
            },
            #[cfg(feature = "testing")]
            fixed: Vec::new(),
        })
    }

    #[cfg(feature = "testing")]
    pub(crate) fn fixed(self, addresses: &[SocketAddr]) -> Self {
        Self { fixed: addresses.to_vec(), ..self }
    }

    /// Announces this segment size, in bytes of payload.
    pub(crate) fn in_segments_of(mut self, segment: Option<u32>) -> Self {
        self.socket.segment = segment;
        self
    }

    /// The addresses of the name, in the order to try them in: families in turn, beginning with the one
    /// that the system prefers.
    pub(crate) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        #[cfg(feature = "testing")]
        if !self.fixed.is_empty() {
            return Ok(self.fixed.clone());
        }
        let is_allowed = |address: &SocketAddr| match self.family {
            Family::Any => true,
            Family::V4 => address.is_ipv4(),
            Family::V6 => address.is_ipv6(),
        };
        let found = lookup_host((self.host.as_str(), self.port)).await?;
        Ok(in_turn(found.filter(is_allowed)))
    }

    /// Connects within this time. The steps are reported like those of ssh, if wanted.
    pub(crate) async fn dial(
        &self,
        limit: Duration,
        is_followed: bool,
    ) -> Result<TcpStream, LinkError> {
        let deadline = Instant::now() + limit;
        let found = timeout_at(deadline, self.addresses()).await;
        let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let addresses = found.map_err(|error| self.unknown(&error))?;
        if addresses.is_empty() {
            return Err(
                self.unknown(&io::Error::other("it has no address of the requested family"))
            );
        }
        reach(is_followed, Milestone::Resolved);
        let raced = race(addresses, self.socket, deadline).await;
        let connection = raced.map_err(|failures| self.unreachable(&failures))?;
        reach(is_followed, Milestone::Connected);
        Ok(connection)
    }

    fn unknown(&self, error: &io::Error) -> LinkError {
        let message = format!("cannot resolve {}: {}", self.host, words(error));
        LinkError::new(LinkErrorKind::Unreachable, message)
    }

    fn unreachable(&self, failures: &[AddressFailure]) -> LinkError {
        let mut message = format!("cannot connect to {} port {}", self.host, self.port);
        for (number, (address, error)) in failures.iter().enumerate() {
            let separator = if number == 0 { ": " } else { "; " };
            // Writing to a string does not fail.
            let _ = match failures {
                [_] if self.host == address.ip().to_string() => {
                    write!(message, "{separator}{}", words(error))
                }
                _ => write!(message, "{separator}{}: {}", address.ip(), words(error)),
            };
        }
        LinkError::new(LinkErrorKind::Unreachable, message)
    }
}

pub(crate) fn reach(is_followed: bool, milestone: Milestone) {
    if is_followed {
        Milestones::reach(milestone);
    }
}

/// An address, and why it will not do.
type AddressFailure = (SocketAddr, io::Error);

/// Without the number that Rust adds.
fn words(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() {
        return "no answer in time".to_owned();
    }
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.as_str(), |(words, _)| words).to_owned()
}

fn in_turn(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = Vec::new();
    for address in addresses {
        if !seen.contains(&address) {
            seen.push(address);
        }
    }
    let starts_with_v6 = seen.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        seen.into_iter().partition(|address| address.is_ipv6() == starts_with_v6);
    let (mut first, mut second) = (VecDeque::from(first), VecDeque::from(second));
    let mut ordered = Vec::new();
    while ordered.len() < MAX_ADDRESSES && !(first.is_empty() && second.is_empty()) {
        ordered.extend(first.pop_front());
        ordered.extend(second.pop_front());
    }
    ordered.truncate(MAX_ADDRESSES);
    ordered
}

/// The first of these that is connected to; or what became of each.
async fn race(
    addresses: Vec<SocketAddr>,
    socket: SocketOptions,
    deadline: Instant,
) -> Result<TcpStream, Vec<AddressFailure>> {
    let mut race = Race { open: addresses.into(), socket, ..Race::default() };
    let mut next_start = Instant::now();
    loop {
        if race.open.is_empty() {
            return Err(race.failures);
        }
        tokio::select! {
            // Results come first, so no further attempt starts if one has succeeded.
            biased;
            Some(ended) = race.running.join_next() => match ended {
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(error))) => {
                    if race.failed(address, error) {
                        next_start = Instant::now();
                    }
                }
                // The tasks do not panic, and are not aborted before this returns.
                Err(_) => {}
            },
            () = sleep_until(deadline) => return Err(race.into_late()),
            () = sleep_until(next_start) => {
                let is_first = race.start_next();
                next_start = Instant::now() + if is_first { STAGGER } else { AGAIN };
            }
        }
    }
}

/// Dropping it closes what is still on its way.
#[derive(Default)]
struct Race {
    /// The addresses that may still answer. The next one to try is in front.
    open: VecDeque<SocketAddr>,
    /// For how many addresses the first attempt was started.
    started: usize,
    running: JoinSet<(SocketAddr, io::Result<TcpStream>)>,
    failures: Vec<AddressFailure>,
    /// Those of which a router or this machine said that they do not answer, which they may in a moment: so
    /// it is with every host behind a network that has gone.
    unreached: Vec<AddressFailure>,
    socket: SocketOptions,
}

impl Race {
    /// Says whether that was an address's first try, with others to follow.
    fn start_next(&mut self) -> bool {
        let Some(address) = self.open.pop_front() else { return false };
        self.open.push_back(address);
        self.started += 1;
        let socket = self.socket;
        self.running.spawn(async move {
            let connected = timeout(LIFETIME, connected(address, socket)).await;
            (address, connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
        });
        self.started < self.open.len()
    }

    /// Whether the next try is to be made at once: one of several that has no answer says nothing new.
    fn failed(&mut self, address: SocketAddr, error: io::Error) -> bool {
        if !self.open.contains(&address) || error.kind() == io::ErrorKind::TimedOut {
            return false;
        }
        tracing::debug!(%address, %error, "an address does not answer");
        let is_for_now = error.kind() == io::ErrorKind::HostUnreachable;
        let is_known = self.unreached.iter().any(|(known, _)| *known == address);
        if !is_for_now {
            self.open.retain(|open| *open != address);
            self.started = self.started.saturating_sub(1);
            self.failures.push((address, error));
        } else if !is_known {
            self.unreached.push((address, error));
        }
        !is_for_now || self.started < self.open.len()
    }

    /// The time is over.
    fn into_late(mut self) -> Vec<AddressFailure> {
        for address in self.open {
            let known = self.unreached.iter().position(|(known, _)| *known == address);
            let late = || (address, io::ErrorKind::TimedOut.into());
            self.failures.push(known.map_or_else(late, |at| self.unreached.swap_remove(at)));
        }
        self.failures
    }
}

/// A connection as ssh would have made it: one that blocks, and sends small packets at once.
async fn connected(address: SocketAddr, options: SocketOptions) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_keepalive(options.keepalive)?;
    socket.set_nodelay(true)?;
    if let Some(segment) = options.segment {
        // If the system refuses, the answer takes one more round trip.
        let _ = SockRef::from(&socket).set_tcp_mss(segment + TIMESTAMPS);
    }
    let stream = socket.connect(address).await?.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
