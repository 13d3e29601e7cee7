//! The link that carries the streams.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use rejoin_protocol::mux::{CLIENT_MAGIC, HOST_MAGIC, yamux_config};
use rejoin_protocol::preamble::{Noise, Preamble};
use rejoin_ssh::{Connect, Link, LinkError, LinkErrorKind, LinkGuard, LinkReader, LinkWriter};
use rejoin_text::printable_bytes;
use tokio::io::ReadBuf;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufStream, Chain};
use tokio::sync::watch;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt as _};
use yamux::{Connection, Mode};

use super::stream::Life;
use crate::link::Way;

/// How much is read from the link at once, and written to it.
const READ: usize = 64 * 1024;
const WRITE: usize = 16 * 1024;

/// Whether anything came since it was looked last. Shared with what reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<AtomicBool>);

impl Heard {
    fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether something did, which counts once.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// A connection that is there.
pub(super) struct Carried {
    pub(super) connection: Connection<Compat<BufStream<Transport>>>,
    pub(super) guard: LinkGuard,
    pub(super) life: watch::Sender<Life>,
    pub(super) heard: Heard,
}

/// What becomes of a dial.
pub(super) enum Report {
    /// The link is open.
    Opened,
    /// The host's end says something.
    Begun,
    /// The host carries streams.
    Ready(Box<Carried>),
    /// It does not, or the link has ended.
    Failed(LinkError),
}

/// Opens a link, and reports how far it has come. Whoever asked for it keeps the time.
pub(super) async fn open(connect: &dyn Connect, way: Way, report: impl Fn(Report)) {
    let opened = match way.open(connect).await {
        Ok(link) => meet(link, &report).await,
        Err(error) => Err(error),
    };
    report(match opened {
        Ok(carried) => Report::Ready(Box::new(carried)),
        Err(error) => Report::Failed(error),
    });
}

async fn meet(link: Link, report: &impl Fn(Report)) -> Result<Carried, LinkError> {
    report(Report::Opened);
    let (mut reader, mut writer, guard) = link.into_parts();
    let unread = match greet(&mut reader, &mut writer, report).await {
        Ok(unread) => unread,
        Err(Some(error)) => return Err(error),
        Err(None) => {
            drop((reader, writer));
            return Err(guard.post_mortem().await);
        }
    };
    let (life, heard) = (watch::Sender::new(Life::Alive), Heard::default());
    let transport = Transport {
        reader: Cursor::new(unread).chain(reader),
        writer,
        is_broken: false,
        life: life.clone(),
        heard: heard.clone(),
    };
    let stream = BufStream::with_capacity(READ, WRITE, transport).compat();
    let connection = Connection::new(stream, yamux_config(), Mode::Client);
    Ok(Carried { connection, guard, life, heard })
}

/// What came behind the host's magic. Without an error of its own, the link has ended.
async fn greet(
    reader: &mut LinkReader,
    writer: &mut LinkWriter,
    report: &impl Fn(Report),
) -> Result<Bytes, Option<LinkError>> {
    // A link that has ended says so when it is read.
    let _ = say_magic(writer).await;
    let (mut preamble, mut buffer) = (Preamble::of_host(HOST_MAGIC), BytesMut::new());
    let mut is_begun = false;
    loop {
        if !reader.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {
            return Err(None);
        }
        if !std::mem::replace(&mut is_begun, true) {
            report(Report::Begun);
        }
        match preamble.find(&mut buffer) {
            Ok(true) => {
                let Noise { skipped, start } = preamble.noise();
                tracing::debug!(skipped, start = shown(start), "the host carries streams");
                return Ok(buffer.freeze());
            }
            Ok(false) => {}
            Err(_) => return Err(Some(not_a_mux(preamble.noise()))),
        }
    }
}

async fn say_magic(writer: &mut LinkWriter) -> io::Result<()> {
    writer.write_all(&CLIENT_MAGIC).await?;
    writer.flush().await
}

fn not_a_mux(noise: &Noise) -> LinkError {
    let start = shown(&noise.start);
    let message =
        format!("the host does not answer as `rejoin-server mux` does, but says: {start}");
    LinkError::new(LinkErrorKind::Other, message)
}

fn shown(noise: &[u8]) -> String {
    printable_bytes(noise, 80)
}

/// The link, which notes what it is used for.
///
/// What is written to a link that takes nothing more is dropped: what it had brought is still
/// read, and then its end.
pub(super) struct Transport {
    reader: Chain<Cursor<Bytes>, LinkReader>,
    writer: LinkWriter,
    is_broken: bool,
    /// Told before a stream can notice, so that each can tell its end from the connection's.
    life: watch::Sender<Life>,
    heard: Heard,
}

impl Transport {
    fn broken(&mut self) {
        self.is_broken = true;
        self.life.send_replace(Life::Ending);
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.reader).poll_read(cx, buf);
        match &polled {
            Poll::Ready(Ok(())) if buf.filled().len() > before => self.heard.note(),
            Poll::Ready(_) => self.broken(),
            Poll::Pending => {}
        }
        polled
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.is_broken {
            match Pin::new(&mut self.writer).poll_write(cx, data) {
                Poll::Ready(Err(_)) => self.broken(),
                other => return other,
            }
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_broken {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
