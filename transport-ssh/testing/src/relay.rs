//! A TCP relay that simulates bad networks.

mod connection;
mod piece;
mod state;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::connection::Connection;
pub use self::piece::{Direction, Fault, Piece};
pub use self::state::RelayCounts;
use self::state::RelayState;

/// A TCP relay on the loopback, in front of an address.
///
/// It can delay, reset connections, at a planned byte or at once, fall silent without closing
/// anything, lose the path of the connections that there are, and refuse. What it did is counted,
/// and can be waited for. Dropping it closes every connection.
pub struct Relay {
    addr: SocketAddr,
    shared: Arc<RelayState>,
    accepting: JoinHandle<()>,
}

/// The settings of a [`Relay`].
#[derive(Clone, Copy, Debug)]
pub struct RelayBuilder {
    target: SocketAddr,
    address: IpAddr,
    round_trip: Duration,
}

impl RelayBuilder {
    /// Listens on this address of the machine's, at a free port. On the loopback by default.
    pub fn listen_on(mut self, address: IpAddr) -> Self {
        self.address = address;
        self
    }

    /// Takes this time for a way there and back, to the millisecond that the clock of the runtime
    /// allows. None by default.
    ///
    /// A program cannot delay the handshake of TCP: whoever connects is connected at once. The relay
    /// makes up for it behind that: it connects to its target when the last packet of a real
    /// handshake would arrive there, one and a half round trips later, and only then passes on what
    /// the new connection has brought. A reset by the relay reaches both sides at once.
    pub fn round_trip(mut self, time: Duration) -> Self {
        self.round_trip = time;
        self
    }

    /// Starts the relay.
    pub async fn start(self) -> io::Result<Relay> {
        let listener = TcpListener::bind((self.address, 0)).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(RelayState {
            target: self.target,
            round_trip: self.round_trip,
            counts: watch::Sender::default(),
            is_silent: watch::Sender::default(),
            is_refusing: watch::Sender::default(),
            cuts: watch::Sender::default(),
            paths: watch::Sender::default(),
            plan: Mutex::new(Box::new(|_| None)),
            hook: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Relay { addr, shared, accepting })
    }
}

impl Relay {
    /// Starts a relay on a free loopback port. Everything that arrives there is passed on to `target`.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        Self::builder(target).start().await
    }

    /// Builds a relay with other settings.
    pub fn builder(target: SocketAddr) -> RelayBuilder {
        let address = Ipv4Addr::LOCALHOST.into();
        RelayBuilder { target, address, round_trip: Duration::ZERO }
    }

    /// Where the relay listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Resets every present connection, towards both sides. Wait for [`resets`](RelayCounts::resets).
    pub fn cut_all_reset(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Resets every later connection after this many bytes, in both directions together.
    ///
    /// As on any network, a reset overtakes what its receiver had no room for: a slow reader may see
    /// fewer bytes, never more. What fits its window (16 KB and more) arrives in full.
    pub fn cut_after(&self, bytes: u64) {
        self.cut_plan(move |_| Some(bytes));
    }

    /// Asks `plan`, for every later connection, after how many bytes to reset it; `None` for never. Its
    /// argument is the connection's number, from 0, counted since the relay started.
    pub fn cut_plan(&self, plan: impl FnMut(u64) -> Option<u64> + Send + 'static) {
        *self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(plan);
    }

    /// Shows `hook` all that passes from now on, in pieces of any length, before it is passed on. What
    /// it makes of a piece is passed on in its place; behind that, the connection ends as it says. Each
    /// way of a connection begins with a piece of no length, before there is anything to pass.
    pub fn intercept(&self, hook: impl FnMut(&mut Piece) -> Option<Fault> + Send + 'static) {
        *self.shared.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }

    /// Ends only the next connection, in this way, after exactly this many bytes in this direction.
    pub fn fail_next(&self, way: Direction, after: u64, fault: Fault) {
        let next = self.connections();
        self.intercept(move |piece| {
            let is_meant = piece.connection == next && piece.way == way;
            (is_meant && piece.ends_at(after)).then_some(fault)
        });
    }

    /// Changes this byte in this direction of the next connection.
    pub fn flip_next(&self, way: Direction, at: u64) {
        let next = self.connections();
        self.intercept(move |piece| {
            if piece.connection == next && piece.way == way {
                piece.byte(at).into_iter().for_each(|byte| *byte ^= 1);
            }
            None
        });
    }

    /// Passes nothing on and closes nothing, as a network that is gone. Connections are still accepted.
    pub fn silence(&self) {
        self.shared.is_silent.send_replace(true);
    }

    /// Ends the silence. What was sent meanwhile is passed on now; to have it lost instead, call
    /// [`change_path`](Self::change_path).
    pub fn resume(&self) {
        self.shared.is_silent.send_replace(false);
    }

    /// Loses every present connection without a word, and ends the silence: as when a machine comes
    /// back with another address, or a router has forgotten its connections. Neither side is told;
    /// what was on its way, and what they send from now on, never arrives. Later connections work.
    pub fn change_path(&self) {
        self.shared.paths.send_modify(|paths| *paths += 1);
        self.shared.is_silent.send_replace(false);
    }

    /// Whether to close every later connection at once.
    pub fn refuse(&self, refuse: bool) {
        self.shared.is_refusing.send_replace(refuse);
    }

    /// The counts so far.
    pub fn counts(&self) -> RelayCounts {
        *self.shared.counts.borrow()
    }

    /// Connections that were accepted so far.
    pub fn connections(&self) -> u64 {
        self.counts().connections
    }

    /// Connections that the relay has reset so far.
    pub fn resets(&self) -> u64 {
        self.counts().resets
    }

    /// Bytes that were passed on so far.
    pub fn bytes(&self) -> u64 {
        self.counts().bytes
    }

    /// Waits until the relay has accepted at least so many connections.
    pub async fn wait_for_connections(&self, connections: u64) {
        self.wait_for(|counts| counts.connections >= connections).await;
    }

    /// Waits until the relay has reset at least so many connections.
    pub async fn wait_for_resets(&self, resets: u64) {
        self.wait_for(|counts| counts.resets >= resets).await;
    }

    /// Waits until the counts are as wanted.
    pub async fn wait_for(&self, wanted: impl FnMut(&RelayCounts) -> bool) {
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = self.shared.counts.subscribe().wait_for(wanted).await;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("addr", &self.addr)
            .field("target", &self.shared.target)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

async fn accept(listener: TcpListener, shared: Arc<RelayState>) {
    // Owned here, so that the connections end with the relay.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if let Some(connection) = admit(&shared, client) {
            connections.spawn(connection.run());
        }
    }
}

fn admit(state: &Arc<RelayState>, client: TcpStream) -> Option<Connection> {
    let number = state.counts.borrow().connections;
    let is_refused = *state.is_refusing.borrow();
    let connection = (!is_refused).then(|| Connection {
        number,
        allowance: (state.plan.lock().unwrap_or_else(PoisonError::into_inner))(number),
        cuts: state.cuts.subscribe(),
        paths: state.paths.subscribe(),
        shared: Arc::clone(state),
        client,
    });
    state.counts.send_modify(|counts| {
        counts.connections += 1;
        counts.refused += u64::from(is_refused);
        counts.ended += u64::from(is_refused);
    });
    connection
}
