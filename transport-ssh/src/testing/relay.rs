//! A TCP relay that does to connections what networks do.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

type Plan = Box<dyn FnMut(u64) -> Option<u64> + Send>;

/// A TCP relay on the loopback, in front of an address.
///
/// It can reset connections, at a planned byte or at once, fall silent without closing anything, and
/// refuse. What it did is counted, and can be waited for. Dropping it closes every connection.
pub struct Relay {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What a [`Relay`] has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounts {
    /// Connections that were accepted, the refused ones included.
    pub connections: u64,
    /// Connections that were closed at once because the relay refuses.
    pub refused: u64,
    /// Connections that the relay has reset.
    pub resets: u64,
    /// Connections that are over, however they ended.
    pub ended: u64,
    /// Bytes that were passed on, in both directions together.
    pub bytes: u64,
}

struct Shared {
    target: SocketAddr,
    counts: watch::Sender<RelayCounts>,
    is_silent: watch::Sender<bool>,
    is_refusing: watch::Sender<bool>,
    /// Rises with every `cut_all_reset`; a connection is cut when it sees the number change.
    cuts: watch::Sender<u64>,
    plan: Mutex<Plan>,
}

impl Relay {
    /// Starts a relay on a free loopback port. Everything that arrives there is passed on to `target`.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            counts: watch::Sender::default(),
            is_silent: watch::Sender::default(),
            is_refusing: watch::Sender::default(),
            cuts: watch::Sender::default(),
            plan: Mutex::new(Box::new(|_| None)),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { addr, shared, accepting })
    }

    /// Where the relay listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Resets every present connection, towards both sides. Wait for [`resets`](RelayCounts::resets).
    pub fn cut_all_reset(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Has every later connection reset once so many bytes have passed, in both directions together.
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

    /// Passes nothing on and closes nothing, as a network that is gone. Connections are still accepted.
    pub fn silence(&self) {
        self.shared.is_silent.send_replace(true);
    }

    /// Ends the silence. What was sent meanwhile is passed on now.
    pub fn resume(&self) {
        self.shared.is_silent.send_replace(false);
    }

    /// Whether to close every later connection at once.
    pub fn refuse(&self, refuse: bool) {
        self.shared.is_refusing.send_replace(refuse);
    }

    /// What the relay has done so far.
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

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Owned here, so that the connections end with the relay.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        if let Some(connection) = shared.admit(client) {
            connections.spawn(connection.run());
        }
    }
}

impl Shared {
    fn admit(self: &Arc<Self>, client: TcpStream) -> Option<Connection> {
        let number = self.counts.borrow().connections;
        let is_refused = *self.is_refusing.borrow();
        let connection = (!is_refused).then(|| Connection {
            allowance: (self.plan.lock().unwrap_or_else(PoisonError::into_inner))(number),
            cuts: self.cuts.subscribe(),
            shared: Arc::clone(self),
            client,
        });
        self.counts.send_modify(|counts| {
            counts.connections += 1;
            counts.refused += u64::from(is_refused);
            counts.ended += u64::from(is_refused);
        });
        connection
    }

    async fn reach(&self) -> io::Result<TcpStream> {
        self.until_not_silent().await;
        TcpStream::connect(self.target).await
    }

    async fn until_not_silent(&self) {
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = self.is_silent.subscribe().wait_for(|is_silent| !is_silent).await;
    }
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Both sides said that they are done.
    Closed,
    /// One side failed. The other learns of it as a reset, which is not counted as the relay's.
    Broken,
    /// The relay's own doing.
    Reset,
}

struct Connection {
    shared: Arc<Shared>,
    cuts: watch::Receiver<u64>,
    allowance: Option<u64>,
    client: TcpStream,
}

impl Connection {
    async fn run(mut self) {
        let ending = self.relay().await;
        if ending != Ending::Closed {
            reset_on_close(&self.client);
        }
        let shared = Arc::clone(&self.shared);
        drop(self);
        shared.counts.send_modify(|counts| {
            counts.resets += u64::from(ending == Ending::Reset);
            counts.ended += 1;
        });
    }

    async fn relay(&mut self) -> Ending {
        let Self { shared, cuts, allowance, client } = self;
        let reached = tokio::select! {
            reached = shared.reach() => reached,
            _ = cuts.changed() => return Ending::Reset,
        };
        let Ok(mut server) = reached else { return Ending::Broken };
        // A relay that delays small packets would be another network than the one under test.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let passage = Passage { shared, left: Mutex::new(*allowance) };
        let ending = tokio::select! {
            ending = passage.both_ways(client, &mut server) => ending,
            _ = cuts.changed() => Ending::Reset,
        };
        if ending != Ending::Closed {
            reset_on_close(&server);
        }
        ending
    }
}

/// Without lingering, closing a socket resets its connection.
fn reset_on_close(stream: &TcpStream) {
    // It fails only for a socket that is reset already.
    let _ = stream.set_zero_linger();
}

/// The bytes of one connection, on their way.
struct Passage<'a> {
    shared: &'a Shared,
    /// How many more bytes may pass; `None` for any number.
    left: Mutex<Option<u64>>,
}

impl Passage<'_> {
    async fn both_ways(&self, client: &mut TcpStream, server: &mut TcpStream) -> Ending {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let there = self.one_way(from_client, to_server);
        let back = self.one_way(from_server, to_client);
        match tokio::try_join!(there, back) {
            Ok(_) => Ending::Closed,
            Err(ending) => ending,
        }
    }

    async fn one_way(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<(), Ending> {
        let broken = |_| Ending::Broken;
        let mut chunk = vec![0; 16 * 1024];
        loop {
            self.take(0)?;
            self.shared.until_not_silent().await;
            let length = from.read(&mut chunk).await.map_err(broken)?;
            // Silence may have fallen while this waited for bytes.
            self.shared.until_not_silent().await;
            if length == 0 {
                return to.shutdown().await.map_err(broken);
            }
            let allowed = self.take(length)?;
            to.write_all(&chunk[..allowed]).await.map_err(broken)?;
            self.shared.counts.send_modify(|counts| counts.bytes += allowed as u64);
        }
    }

    /// How many of `wanted` bytes may pass. Once none are left, the connection is to be reset.
    fn take(&self, wanted: usize) -> Result<usize, Ending> {
        match &mut *self.left.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(wanted),
            Some(0) => Err(Ending::Reset),
            Some(left) => {
                let allowed = usize::try_from(*left).map_or(wanted, |left| left.min(wanted));
                *left -= allowed as u64;
                Ok(allowed)
            }
        }
    }
}
