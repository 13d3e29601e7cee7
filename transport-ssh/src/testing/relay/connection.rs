//! One connection of a relay's.

use std::future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::Shared;

/// What is read at once.
const CHUNK: usize = 16 * 1024;
/// How many chunks may be on their way in one direction, if the way takes time: what a fast network
/// carries in one round trip around the world.
const ON_THE_WAY: usize = 4096;

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Both sides said that they are done.
    Closed,
    /// One side failed. The other learns of it as a reset, which is not counted as the relay's.
    Broken,
    /// The relay's own doing.
    Reset,
    /// Its path is gone, and nobody is told.
    Stranded,
}

pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) cuts: watch::Receiver<u64>,
    pub(super) paths: watch::Receiver<u64>,
    pub(super) allowance: Option<u64>,
    pub(super) client: TcpStream,
}

impl Connection {
    pub(super) async fn run(mut self) {
        let mut server = None;
        let ending = self.relay(&mut server).await;
        if ending == Ending::Stranded {
            self.shared.counts.send_modify(|counts| counts.stranded += 1);
            // Both sockets stay open: closing one would tell its other side.
            future::pending::<()>().await;
        }
        if ending != Ending::Closed {
            reset_on_close(&self.client);
            server.iter().for_each(reset_on_close);
        }
        let shared = Arc::clone(&self.shared);
        drop((self, server));
        shared.counts.send_modify(|counts| {
            counts.resets += u64::from(ending == Ending::Reset);
            counts.ended += 1;
        });
    }

    async fn relay(&mut self, server: &mut Option<TcpStream>) -> Ending {
        let Self { shared, cuts, paths, allowance, client } = self;
        let reached = tokio::select! {
            reached = shared.reach() => reached,
            _ = cuts.changed() => return Ending::Reset,
        };
        let Ok(reached) = reached else { return Ending::Broken };
        let server = server.insert(reached);
        // A relay that delays small packets would be another network than the one under test.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let passage = Passage { shared, left: Mutex::new(*allowance) };
        // In this order, since the end of a silence lets pass what a change of path has lost.
        tokio::select! {
            biased;
            _ = paths.changed() => Ending::Stranded,
            _ = cuts.changed() => Ending::Reset,
            ending = passage.both_ways(client, server) => ending.err().unwrap_or(Ending::Closed),
        }
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
    async fn both_ways(
        &self,
        client: &mut TcpStream,
        server: &mut TcpStream,
    ) -> Result<(), Ending> {
        if !self.shared.round_trip.is_zero() {
            self.let_in_early(client, server).await?;
        }
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let there = self.one_way(from_client, to_server);
        let back = self.one_way(from_server, to_client);
        tokio::try_join!(there, back).map(|_| ())
    }

    /// What a client said while its handshake was still on its way has had its time there.
    async fn let_in_early(&self, client: &TcpStream, server: &mut TcpStream) -> Result<(), Ending> {
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
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<(), Ending> {
        let delay = self.shared.round_trip / 2;
        if !delay.is_zero() {
            let (queue, queued) = mpsc::channel(ON_THE_WAY);
            let both = (take_in(from, delay, queue), self.late(queued, to));
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
                return to.shutdown().await.map_err(broken);
            }
            self.let_out(&chunk[..length], &mut to).await?;
        }
    }

    /// Lets out what is on its way, each chunk when it is due.
    async fn late(
        &self,
        mut queued: mpsc::Receiver<(Instant, Vec<u8>)>,
        mut to: impl AsyncWrite + Unpin,
    ) -> Result<(), Ending> {
        while let Some((due, chunk)) = queued.recv().await {
            sleep_until(due).await;
            self.shared.until_not_silent().await;
            self.let_out(&chunk, &mut to).await?;
            // So that a reset comes with the last byte, not with the next one.
            self.take(0)?;
        }
        to.shutdown().await.map_err(broken)
    }

    async fn let_out(
        &self,
        chunk: &[u8],
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ending> {
        let allowed = self.take(chunk.len())?;
        to.write_all(&chunk[..allowed]).await.map_err(broken)?;
        self.shared.counts.send_modify(|counts| counts.bytes += allowed as u64);
        Ok(())
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

/// Puts what comes on its way, until its end.
async fn take_in(
    mut from: impl AsyncRead + Unpin,
    delay: Duration,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
) -> Result<(), Ending> {
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

fn broken(_: io::Error) -> Ending {
    Ending::Broken
}
