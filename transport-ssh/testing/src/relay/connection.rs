//! One connection of a relay.

use std::borrow::Cow;
use std::future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::piece::{Direction, Fault, Piece};
use super::state::RelayState;

/// The most bytes per read.
const CHUNK: usize = 16 * 1024;
/// How many chunks may be on their way in one direction, if the way takes time: what a fast network
/// carries in one round trip around the world.
const ON_THE_WAY: usize = 4096;

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ConnectionEnd {
    /// Both sides said that they are done.
    Closed,
    /// One side failed. The other learns of it as a reset, which is not counted as the relay's.
    Broken,
    /// The relay's own doing.
    Reset,
    /// The relay's own doing, in good manners.
    HungUp,
    /// Its path is gone, and neither side notices.
    Stranded,
}

impl From<Fault> for ConnectionEnd {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Reset => Self::Reset,
            Fault::Close => Self::HungUp,
            Fault::Silence => Self::Stranded,
        }
    }
}

pub(super) struct Connection {
    pub(super) shared: Arc<RelayState>,
    pub(super) number: u64,
    pub(super) cuts: watch::Receiver<u64>,
    pub(super) paths: watch::Receiver<u64>,
    pub(super) allowance: Option<u64>,
    pub(super) client: TcpStream,
}

impl Connection {
    pub(super) async fn run(mut self) {
        let mut server = None;
        let ending = self.relay(&mut server).await;
        if ending == ConnectionEnd::Stranded {
            self.shared.counts.send_modify(|counts| counts.stranded += 1);
            // Both sockets stay open: closing one would tell its other side.
            future::pending::<()>().await;
        }
        if ending == ConnectionEnd::HungUp
            && let Some(server) = &mut server
        {
            hang_up(&mut self.client, server).await;
        }
        if !matches!(ending, ConnectionEnd::Closed | ConnectionEnd::HungUp) {
            reset_on_close(&self.client);
            server.iter().for_each(reset_on_close);
        }
        let shared = Arc::clone(&self.shared);
        drop((self, server));
        shared.counts.send_modify(|counts| {
            counts.resets += u64::from(ending == ConnectionEnd::Reset);
            counts.ended += 1;
        });
    }

    async fn relay(&mut self, server: &mut Option<TcpStream>) -> ConnectionEnd {
        let Self { shared, number, cuts, paths, allowance, client } = self;
        let reached = tokio::select! {
            reached = shared.reach() => reached,
            _ = cuts.changed() => return ConnectionEnd::Reset,
        };
        let Ok(reached) = reached else { return ConnectionEnd::Broken };
        let server = server.insert(reached);
        // A relay that delays small packets would be another network than the one under test.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let passage = Forwarder { shared, number: *number, left: Mutex::new(*allowance) };
        // In this order, since the end of a silence lets pass what a change of path has lost.
        tokio::select! {
            biased;
            _ = paths.changed() => ConnectionEnd::Stranded,
            _ = cuts.changed() => ConnectionEnd::Reset,
            ending = passage.both_ways(client, server) => ending.err().unwrap_or(ConnectionEnd::Closed),
        }
    }
}

/// Without lingering, closing a socket resets its connection.
fn reset_on_close(stream: &TcpStream) {
    // It fails only for a socket that is reset already.
    let _ = stream.set_zero_linger();
}

/// Ends both ways and waits until both sides have done the same: a socket that is closed with bytes
/// unread anews its connection.
async fn hang_up(client: &mut TcpStream, server: &mut TcpStream) {
    let ends = async |stream: &mut TcpStream| {
        let _ = stream.shutdown().await;
        let mut rest = vec![0; CHUNK];
        while let Ok(1..) = stream.read(&mut rest).await {}
    };
    tokio::join!(ends(client), ends(server));
}

/// The bytes of one connection, on their way.
struct Forwarder<'a> {
    shared: &'a RelayState,
    number: u64,
    /// How many more bytes may pass; `None` for any number.
    left: Mutex<Option<u64>>,
}

/// The output of one direction.
struct OutputSide<S> {
    way: Direction,
    to: S,
    /// How many have.
    count: u64,
}

impl Forwarder<'_> {
    async fn both_ways(
        &self,
        client: &mut TcpStream,
        server: &mut TcpStream,
    ) -> Result<(), ConnectionEnd> {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let mut there = OutputSide { way: Direction::ToServer, to: to_server, count: 0 };
        let mut back = OutputSide { way: Direction::ToClient, to: to_client, count: 0 };
        self.let_out(&[], &mut there).await?;
        self.let_out(&[], &mut back).await?;
        if !self.shared.round_trip.is_zero() {
            self.let_in_early(&from_client, &mut there).await?;
        }
        let (there, back) = (self.one_way(from_client, there), self.one_way(from_server, back));
        tokio::try_join!(there, back).map(|_| ())
    }

    /// What a client said while its handshake was still on its way has had its time there.
    async fn let_in_early(
        &self,
        client: &ReadHalf<'_>,
        server: &mut OutputSide<WriteHalf<'_>>,
    ) -> Result<(), ConnectionEnd> {
        let mut chunk = vec![0; CHUNK];
        match client.try_read(&mut chunk) {
            // An end is read again.
            Ok(length) => self.let_out(&chunk[..length], server).await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(broken(error)),
        }
    }

    async fn one_way(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut outlet: OutputSide<impl AsyncWrite + Unpin>,
    ) -> Result<(), ConnectionEnd> {
        let delay = self.shared.round_trip / 2;
        if !delay.is_zero() {
            let (queue, queued) = mpsc::channel(ON_THE_WAY);
            let both = (take_in(from, delay, queue), self.late(queued, outlet));
            return tokio::try_join!(both.0, both.1).map(|_| ());
        }
        let mut chunk = vec![0; CHUNK];
        loop {
            self.take(0)?;
            self.shared.until_not_silent().await;
            let length = from.read(&mut chunk).await.map_err(broken)?;
            // Silence may have fallen while this waited for bytes.
            self.shared.until_not_silent().await;
            if length == 0 {
                return outlet.to.shutdown().await.map_err(broken);
            }
            self.let_out(&chunk[..length], &mut outlet).await?;
        }
    }

    /// Lets out what is on its way, each chunk when it is due.
    async fn late(
        &self,
        mut queued: mpsc::Receiver<(Instant, Vec<u8>)>,
        mut outlet: OutputSide<impl AsyncWrite + Unpin>,
    ) -> Result<(), ConnectionEnd> {
        while let Some((due, chunk)) = queued.recv().await {
            sleep_until(due).await;
            self.shared.until_not_silent().await;
            self.let_out(&chunk, &mut outlet).await?;
            // So that a reset comes with the last byte, not with the next one.
            self.take(0)?;
        }
        outlet.to.shutdown().await.map_err(broken)
    }

    async fn let_out(
        &self,
        chunk: &[u8],
        outlet: &mut OutputSide<impl AsyncWrite + Unpin>,
    ) -> Result<(), ConnectionEnd> {
        let allowed = self.take(chunk.len())?;
        let (chunk, fault) = self.intercepted(&chunk[..allowed], outlet.way, outlet.count);
        outlet.to.write_all(&chunk).await.map_err(broken)?;
        outlet.count += allowed as u64;
        self.shared.counts.send_modify(|counts| counts.bytes += chunk.len() as u64);
        fault.map_or(Ok(()), |fault| Err(fault.into()))
    }

    /// What the hook makes of it, if there is one.
    fn intercepted<'a>(
        &self,
        chunk: &'a [u8],
        way: Direction,
        start: u64,
    ) -> (Cow<'a, [u8]>, Option<Fault>) {
        let mut hook = self.shared.hook.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(hook) = &mut *hook else { return (chunk.into(), None) };
        let mut piece = Piece { connection: self.number, way, start, bytes: chunk.to_vec() };
        let fault = hook(&mut piece);
        (piece.bytes.into(), fault)
    }

    /// How many of `wanted` bytes may pass. Once none are left, the connection is to be reset.
    fn take(&self, wanted: usize) -> Result<usize, ConnectionEnd> {
        match &mut *self.left.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(wanted),
            Some(0) => Err(ConnectionEnd::Reset),
            Some(left) => {
                let allowed = usize::try_from(*left).map_or(wanted, |left| left.min(wanted));
                *left -= allowed as u64;
                Ok(allowed)
            }
        }
    }
}

/// Puts what comes on its way, until its end.
async fn take_in(
    mut from: impl AsyncRead + Unpin,
    delay: Duration,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
) -> Result<(), ConnectionEnd> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = from.read(&mut chunk).await.map_err(broken)?;
        let due = Instant::now() + delay;
        // The other end of the queue fails only with a connection that is over.
        if length == 0 || queue.send((due, chunk[..length].to_vec())).await.is_err() {
            return Ok(());
        }
    }
}

fn broken(_: io::Error) -> ConnectionEnd {
    ConnectionEnd::Broken
}
