//! One stream: a link like any other, until its client or its server has gone.

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
    self, Decision, Fault, Hellos, Joined, PATIENCE, Place, decide, first_bytes, first_word,
    is_effect, time_for_rest, word,
};

/// How much is read from a server at once, and from a client: what most streams have to say is
/// short, and each keeps the latter's room for as long as it lasts.
const FROM_SERVER: usize = 16 * 1024;
const FROM_CLIENT: usize = 4 * 1024;

type Client = Compat<yamux::Stream>;

/// Serves a stream to its end. Servers that were started are handed to `starts`.
pub(super) async fn serve(
    place: &Arc<Place>,
    stream: yamux::Stream,
    starts: mpsc::UnboundedSender<Child>,
) -> io::Result<()> {
    let mut client = stream.compat();
    let meeting = Meeting { place, starts, greeted: Instant::now() };
    match meeting.meet(&mut client).await {
        Ok(Some((server, first))) => splice(client, server, &first).await,
        Ok(None) => Ok(()),
        Err(Fault::Client(what)) => say(&mut client, &attach::bye(what)?).await,
        Err(Fault::Io(error)) => Err(error),
    }
}

struct Meeting<'a> {
    place: &'a Arc<Place>,
    starts: mpsc::UnboundedSender<Child>,
    greeted: Instant,
}

impl Meeting<'_> {
    /// Greets, and answers until there is a server to join the stream to: with what that reads
    /// first. None when the client has gone.
    async fn meet(&self, client: &mut Client) -> Result<Option<(UnixStream, Vec<u8>)>, Fault> {
        say(client, &first_word(attach::greeting()?)?).await?;
        let mut hellos = Hellos::new();
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

    /// On a thread of its own: it may wait for processes to end.
    async fn decide(&self, hello: Hello) -> io::Result<Decision> {
        let (place, starts) = (Arc::clone(self.place), self.starts.clone());
        let since = if is_effect(&hello) { self.greeted } else { Instant::now() };
        let deciding = tokio::task::spawn_blocking(move || {
            let mut decision = decide(&place, &hello, since + PATIENCE);
            if let Decision::Join(Joined { started, .. }) = &mut decision {
                // Without a receiver, this program is ending, and somebody else waits for it.
                let _ = started.take().map(|server| starts.send(server));
            }
            decision
        });
        deciding.await.map_err(io::Error::other)
    }
}

/// Says something, unless the client does not read for too long.
async fn say(client: &mut Client, word: &[u8]) -> io::Result<()> {
    timeout(PATIENCE, client.write_all(word)).await?
}

/// The next Hello, or none when the client has gone. A stream may stand by, as an attach program
/// does; what has begun has to be whole in time.
async fn next_hello(client: &mut Client, hellos: &mut Hellos) -> Result<Option<Hello>, Fault> {
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
                .map_err(|_| Fault::Client(Misbehaviour::Silent))?,
        };
        match read? {
            0 => return Ok(None),
            count => hellos.push(&chunk[..count]),
        }
    }
}

/// As an attach program does it: the end of either side is the end of both, but what had come from
/// the client before still counts.
///
/// The stream is dropped and never shut down: that resets it, and a client that still writes
/// learns of it.
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

/// Nothing is kept for a session that is quiet.
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
