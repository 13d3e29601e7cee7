//! One stream of the connection: a link, until its client or its server closes it.

use std::io;
use std::process::Child;
use std::sync::Arc;
use std::time::Instant;

use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::frame::Hello;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{timeout, timeout_at};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use super::FAREWELL;
use crate::attach::{
    self, AttachContext, Decision, HelloReader, Joined, PATIENCE, StreamError, decide, first_bytes,
    first_word, is_effect, time_for_rest, word,
};

/// The buffer sizes for reading from a server and from a client, in bytes. A stream keeps its
/// client buffer for as long as it lasts, so that this one is small.
const FROM_SERVER: usize = 16 * 1024;
const FROM_CLIENT: usize = 4 * 1024;

type Client = Compat<yamux::Stream>;

/// Serves a stream to its end. Sends each server that it starts to `starts`.
pub(super) async fn serve(
    context: &Arc<AttachContext>,
    stream: yamux::Stream,
    starts: mpsc::UnboundedSender<Child>,
) -> io::Result<()> {
    let mut client = stream.compat();
    let handshake = Handshake { context, starts, greeted: Instant::now() };
    match handshake.meet(&mut client).await {
        Ok(Some((server, first))) => splice(client, server, &first).await,
        Ok(None) => Ok(()),
        Err(StreamError::Client(what)) => say(&mut client, &attach::bye(what)?).await,
        Err(StreamError::Io(error)) => Err(error),
    }
}

struct Handshake<'a> {
    context: &'a Arc<AttachContext>,
    starts: mpsc::UnboundedSender<Child>,
    greeted: Instant,
}

impl Handshake<'_> {
    /// Sends the Greeting, and answers Hellos until there is a server for the stream. Returns the
    /// server with the first bytes for it, or `None` if the client has gone.
    async fn meet(
        &self,
        client: &mut Client,
    ) -> Result<Option<(UnixStream, Vec<u8>)>, StreamError> {
        say(client, &first_word(attach::greeting()?)?).await?;
        let mut hellos = HelloReader::new();
        while let Some(hello) = next_hello(client, &mut hellos).await? {
            match self.decide(hello.clone()).await? {
                Decision::Answer(frame) => say(client, &word(&frame)?).await?,
                Decision::Join(Joined { server, .. }) => {
                    server.set_nonblocking(true)?;
                    let server = UnixStream::from_std(server)?;
                    return Ok(Some((server, first_bytes(&hello, hellos.into_unread())?)));
                }
                Decision::TooLate => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Runs on a separate thread, because it may wait for processes to end.
    async fn decide(&self, hello: Hello) -> io::Result<Decision> {
        let (context, starts) = (Arc::clone(self.context), self.starts.clone());
        let since = if is_effect(&hello) { self.greeted } else { Instant::now() };
        let deciding = tokio::task::spawn_blocking(move || {
            let mut decision = decide(&context, &hello, since + PATIENCE);
            if let Decision::Join(Joined { started, .. }) = &mut decision {
                // Without a receiver, this program is ending, and init waits for the server.
                let _ = started.take().map(|server| starts.send(server));
            }
            decision
        });
        deciding.await.map_err(io::Error::other)
    }
}

/// Writes bytes to the client; fails if the client does not read them in time.
async fn say(client: &mut Client, word: &[u8]) -> io::Result<()> {
    timeout(PATIENCE, client.write_all(word)).await?
}

/// The next Hello, or `None` if the client has gone. A stream may be on standby; a Hello that has
/// begun must be complete in time.
async fn next_hello(
    client: &mut Client,
    hellos: &mut HelloReader,
) -> Result<Option<Hello>, StreamError> {
    let mut chunk = [0; FROM_CLIENT];
    let mut deadline = None;
    loop {
        if let Some(hello) = hellos.next()? {
            return Ok(Some(hello));
        }
        deadline = time_for_rest(hellos, deadline);
        let reading = client.read(&mut chunk);
        let read = match deadline {
            None => reading.await,
            Some(deadline) => timeout_at(deadline.into(), reading)
                .await
                .map_err(|_| StreamError::Client(Misbehaviour::Silent))?,
        };
        match read? {
            0 => return Ok(None),
            count => hellos.push(&chunk[..count]),
        }
    }
}

/// Copies bytes in both directions. The end of either side ends both, but what the client sent
/// before is still delivered.
///
/// The stream is dropped and never shut down: dropping resets it, so that a client that still
/// writes notices.
async fn splice(client: Client, server: UnixStream, first: &[u8]) -> io::Result<()> {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, mut to_server) = server.into_split();
    let upstream = async move {
        to_server.write_all(first).await?;
        upstream(from_client, to_server).await
    };
    tokio::pin!(upstream);
    tokio::select! {
        ended = &mut upstream => ended,
        ended = downstream(from_server, to_client) => {
            if ended.is_err() {
                let _ = timeout(FAREWELL, upstream).await;
            }
            ended
        }
    }
}

async fn upstream(
    mut from_client: impl AsyncRead + Unpin,
    mut to_server: OwnedWriteHalf,
) -> io::Result<()> {
    let mut chunk = [0; FROM_CLIENT];
    loop {
        match from_client.read(&mut chunk).await? {
            0 => return Ok(()),
            count => to_server.write_all(&chunk[..count]).await?,
        }
    }
}

/// A quiet session keeps no buffer.
async fn downstream(
    from_server: OwnedReadHalf,
    mut to_client: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    loop {
        from_server.readable().await?;
        let mut chunk = Vec::with_capacity(FROM_SERVER);
        match from_server.try_read_buf(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(_) => to_client.write_all(&chunk).await?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
