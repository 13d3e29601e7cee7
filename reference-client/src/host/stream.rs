//! A stream of the connection as a link.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use rejoin_protocol::mux::MAX_FRAME;
use rejoin_ssh::{Link, LinkError, LinkErrorKind};
use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf, sink};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::timeout;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

use super::Shared;

/// How long the host may take to notice that a stream was ended here.
const FAREWELL: Duration = Duration::from_secs(1);

/// How it stands with a connection.
#[derive(Clone, Debug)]
pub(super) enum Life {
    Alive,
    /// It has ended, and it is being found out why.
    Ending,
    Ended(LinkError),
}

/// What a stream keeps for as long as it lasts: its place among the others, and the connection.
pub(super) type Place = (OwnedSemaphorePermit, Arc<Shared>);

/// Makes a link of a stream, which is said to be open at once: the host speaks first, and by itself
/// yamux says nothing of a stream until something is written to it.
pub(super) fn link(
    stream: yamux::Stream,
    place: Place,
    life: watch::Receiver<Life>,
    cx: &mut Context<'_>,
) -> Link {
    let mut handle = Handle(Arc::new(Mutex::new(stream.compat())));
    // A fresh stream has room for a frame.
    let _ = Pin::new(&mut handle).poll_write(cx, &[]);
    let (reader, ended) = (handle.clone(), handle.clone());
    // Frames are written in pieces, of which each would be a frame of yamux's otherwise.
    let writer = BufWriter::with_capacity(MAX_FRAME, handle);
    Link::with_post_mortem(reader, writer, why(ended, place, life))
}

/// Waits until the host has noticed the end, too: only then everything that was written is there.
async fn why(mut stream: Handle, place: Place, mut life: watch::Receiver<Life>) -> LinkError {
    let _ = timeout(FAREWELL, tokio::io::copy(&mut stream, &mut sink())).await;
    drop((stream, place));
    if let Life::Alive = *life.borrow_and_update() {
        return closed();
    }
    match life.wait_for(|life| matches!(life, Life::Ended(_))).await.as_deref() {
        Ok(Life::Ended(error)) => error.clone(),
        _ => closed(),
    }
}

fn closed() -> LinkError {
    LinkError::new(LinkErrorKind::Closed, "the link was closed")
}

/// One of several handles on a stream: for reading, for writing, and for its end.
#[derive(Clone)]
struct Handle(Arc<Mutex<Compat<yamux::Stream>>>);

impl Handle {
    fn lock(&self) -> MutexGuard<'_, Compat<yamux::Stream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Handle {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Handle {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(cx)
    }
}
