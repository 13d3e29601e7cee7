//! What the exec channel runs where many links share it (SPEC section 11.7): every stream of a
//! yamux connection on standard input and output is served as an attach program serves its own.
//!
//! One thread moves the bytes. What may take a while - finding a session's server, or starting it -
//! has a thread for each stream, so that none waits for another.

mod channel;
mod stream;

use std::future::poll_fn;
use std::io;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use rejoin_protocol::mux::{CLIENT_MAGIC, HOST_MAGIC, MAX_STREAMS, yamux_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use yamux::{Connection, Mode, Stream};

use crate::attach::{self, Place};
use crate::{handover, host};
use channel::Channel;

/// How much is read from the channel at once, and written to it.
const READ: usize = 64 * 1024;
const WRITE: usize = 16 * 1024;
/// How long streams may take to hand over what had come before the connection ended.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long to stay without a stream: a client that went without a word is never heard of again.
const IDLE: Duration = Duration::from_mins(10);
/// What a thread that decides needs; there may be as many as there are streams.
const STACK: usize = 512 * 1024;

/// Serves one exec channel on standard input and output. A channel that ends is no error,
/// wherever it ends.
///
/// # Errors
/// The channel did not carry what it should, or the system failed.
pub(crate) fn run(place: Place) -> io::Result<()> {
    handover::require_channel()?;
    host::require_descriptors()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_STREAMS)
        .thread_stack_size(STACK)
        .build()?;
    let outcome = runtime.block_on(serve(Arc::new(place)));
    // What is being decided is decided to its end, as where an attach program has lost its client.
    runtime.shutdown_timeout(attach::PATIENCE);
    match outcome {
        Err(error) if attach::is_end(&error) => Ok(()),
        other => other,
    }
}

async fn serve(place: Arc<Place>) -> io::Result<()> {
    let mut channel = BufStream::with_capacity(READ, WRITE, Channel::standard()?);
    channel.write_all(&HOST_MAGIC).await?;
    channel.flush().await?;
    let mut magic = [0; CLIENT_MAGIC.len()];
    match timeout(attach::PATIENCE, channel.read_exact(&mut magic)).await {
        Ok(Ok(_)) if magic == CLIENT_MAGIC => {}
        Ok(Ok(_)) => return Err(io::Error::new(io::ErrorKind::InvalidData, NOT_A_CLIENT)),
        // It has gone, or says nothing.
        Ok(Err(_)) | Err(_) => return Ok(()),
    }
    let connection = Connection::new(channel.compat(), yamux_config(), Mode::Server);
    Mux::new(place, connection)?.run().await
}

const NOT_A_CLIENT: &str = "standard input does not start as a client's does: \
    `rejoin-server mux` is run by a client, not by hand";

type Carried = Connection<Compat<BufStream<Channel>>>;

struct Mux {
    place: Arc<Place>,
    connection: Carried,
    streams: JoinSet<()>,
    /// Servers that were started here, to be waited for when they have ended.
    servers: Vec<Child>,
    starts: mpsc::UnboundedSender<Child>,
    started: mpsc::UnboundedReceiver<Child>,
    children: Signal,
}

impl Mux {
    fn new(place: Arc<Place>, connection: Carried) -> io::Result<Self> {
        let (starts, started) = mpsc::unbounded_channel();
        Ok(Self {
            place,
            connection,
            streams: JoinSet::new(),
            servers: Vec::new(),
            starts,
            started,
            children: signal(SignalKind::child())?,
        })
    }

    async fn run(mut self) -> io::Result<()> {
        let outcome = loop {
            tokio::select! {
                inbound = poll_fn(|cx| self.connection.poll_next_inbound(cx)) => match inbound {
                    Some(Ok(stream)) => self.accept(stream),
                    Some(Err(error)) => break Err(io::Error::other(error)),
                    None => break Ok(()),
                },
                Some(_) = self.streams.join_next() => {}
                Some(server) = self.started.recv() => {
                    self.servers.push(server);
                    // It may have ended before it was heard of here.
                    self.reap();
                }
                _ = self.children.recv() => self.reap(),
                () = sleep(IDLE), if self.streams.is_empty() => break Ok(()),
            }
        };
        drop(self.connection);
        // What had come before still counts: a Close, or that an exit status was taken.
        let _ =
            timeout(FAREWELL, async { while self.streams.join_next().await.is_some() {} }).await;
        outcome
    }

    /// What is one too many is dropped, and thereby reset.
    fn accept(&mut self, stream: Stream) {
        if self.streams.len() < MAX_STREAMS {
            let (place, starts) = (Arc::clone(&self.place), self.starts.clone());
            self.streams.spawn(async move {
                // However a stream ends, it is the end of that stream and of nothing else.
                let _ = stream::serve(&place, stream, starts).await;
            });
        }
    }

    fn reap(&mut self) {
        while let Ok(server) = self.started.try_recv() {
            self.servers.push(server);
        }
        self.servers.retain_mut(|server| matches!(server.try_wait(), Ok(None)));
    }
}
