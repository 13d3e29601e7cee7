//! The program that an exec channel runs for many links (SPEC section 11.7). It serves every stream
//! of a yamux connection on standard input and output as an attach program serves its channel.
//!
//! One thread moves the bytes. Finding or starting a session's server may block, and runs on a
//! thread for each stream.

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

use crate::attach::{self, AttachContext};
use crate::{fd_pass, host};
use channel::Channel;

/// The buffer sizes for reading from and writing to the channel, in bytes.
const READ: usize = 64 * 1024;
const WRITE: usize = 16 * 1024;
/// How long streams may take, after the connection has ended, to deliver what arrived before.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long to keep running without a stream. A client may have vanished without closing the
/// connection.
const IDLE: Duration = Duration::from_mins(10);
/// The stack size of the threads that find or start servers. There may be one for each stream.
const STACK: usize = 512 * 1024;

/// Serves one exec channel on standard input and output. The end of the channel is never an error.
///
/// # Errors
/// The client broke the protocol, or the system failed.
pub(crate) fn run(context: AttachContext) -> io::Result<()> {
    fd_pass::require_channel()?;
    host::require_descriptors()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_STREAMS)
        .thread_stack_size(STACK)
        .build()?;
    let outcome = runtime.block_on(serve(Arc::new(context)));
    // Pending decisions run to their end, as in an attach program that has lost its client.
    runtime.shutdown_timeout(attach::PATIENCE);
    match outcome {
        Err(error) if attach::is_end(&error) => Ok(()),
        other => other,
    }
}

async fn serve(context: Arc<AttachContext>) -> io::Result<()> {
    let mut channel = BufStream::with_capacity(READ, WRITE, Channel::standard()?);
    channel.write_all(&HOST_MAGIC).await?;
    channel.flush().await?;
    let mut magic = [0; CLIENT_MAGIC.len()];
    match timeout(attach::PATIENCE, channel.read_exact(&mut magic)).await {
        Ok(Ok(_)) if magic == CLIENT_MAGIC => {}
        Ok(Ok(_)) => return Err(io::Error::new(io::ErrorKind::InvalidData, NOT_A_CLIENT)),
        // The client has gone, or sends nothing.
        Ok(Err(_)) | Err(_) => return Ok(()),
    }
    let connection = Connection::new(channel.compat(), yamux_config(), Mode::Server);
    Mux::new(context, connection)?.run().await
}

const NOT_A_CLIENT: &str = "standard input does not start as a client's does: \
    `rejoin-server mux` is run by a client, not by hand";

type Carried = Connection<Compat<BufStream<Channel>>>;

struct Mux {
    context: Arc<AttachContext>,
    connection: Carried,
    streams: JoinSet<()>,
    /// Servers that this program started, and has to wait for when they end.
    servers: Vec<Child>,
    starts: mpsc::UnboundedSender<Child>,
    started: mpsc::UnboundedReceiver<Child>,
    children: Signal,
}

impl Mux {
    fn new(context: Arc<AttachContext>, connection: Carried) -> io::Result<Self> {
        let (starts, started) = mpsc::unbounded_channel();
        Ok(Self {
            context,
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
                    // It may have ended before it was registered here.
                    self.reap();
                }
                _ = self.children.recv() => self.reap(),
                () = sleep(IDLE), if self.streams.is_empty() => break Ok(()),
            }
        };
        drop(self.connection);
        // Deliver what arrived before the end: a Close, or the acknowledgement of an exit status.
        let _ =
            timeout(FAREWELL, async { while self.streams.join_next().await.is_some() {} }).await;
        outcome
    }

    /// Drops an excess stream, which resets it.
    fn accept(&mut self, stream: Stream) {
        if self.streams.len() < MAX_STREAMS {
            let (context, starts) = (Arc::clone(&self.context), self.starts.clone());
            self.streams.spawn(async move {
                // An error ends only this stream.
                let _ = stream::serve(&context, stream, starts).await;
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
