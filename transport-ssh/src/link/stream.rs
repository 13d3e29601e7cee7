//! A byte stream in both directions, and what keeps it alive.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::{LinkError, LinkErrorKind};

/// A future on the heap, so that [`Connect`](super::connect::Connect) can be used as `dyn Connect`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One ordered, reliable byte stream in both directions, which can be cut at any time.
///
/// Dropping a link ends it: a child process behind it is stopped and reaped.
#[derive(Debug)]
pub struct Link {
    reader: LinkReader,
    writer: LinkWriter,
    guard: LinkGuard,
}

impl Link {
    /// A link over any pair of streams. The only known reason for its end is
    /// [`Closed`](LinkErrorKind::Closed).
    pub fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        Self::with_guard(reader, writer, LinkGuard(None))
    }

    /// A link over any pair of streams. `why` is polled for the reason once the stream has ended; if the
    /// link is dropped earlier, `why` is dropped, too.
    pub fn with_post_mortem(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        why: impl Future<Output = LinkError> + Send + 'static,
    ) -> Self {
        Self::with_guard(reader, writer, LinkGuard(Some(Box::pin(why))))
    }

    fn with_guard(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        guard: LinkGuard,
    ) -> Self {
        let reader = LinkReader(Box::new(reader));
        let writer = LinkWriter(Some(Box::new(writer)));
        Self { reader, writer, guard }
    }

    /// Splits the link into its two directions and the guard that keeps it alive.
    pub fn into_parts(self) -> (LinkReader, LinkWriter, LinkGuard) {
        (self.reader, self.writer, self.guard)
    }
}

/// The receiving half of a link.
pub struct LinkReader(Box<dyn AsyncRead + Send + Unpin>);

/// The sending half of a link. Shutting it down or dropping it sends end of file to the other side.
pub struct LinkWriter(Option<Box<dyn AsyncWrite + Send + Unpin>>);

/// Keeps a link alive, and knows why it ended. Dropping it ends the link: a child process behind it is
/// stopped and reaped in the background, as long as the runtime lives, and killed otherwise.
pub struct LinkGuard(
    /// Says why the link ended, where that is known.
    Option<BoxFuture<'static, LinkError>>,
);

impl LinkGuard {
    /// Returns why the link ended. Call it once the stream has ended, with end of file or an error.
    ///
    /// Waits about a second for a child process to exit, then stops it. The process is reaped in either
    /// case. Drop the link's two halves first, because an open pipe can keep a child alive.
    pub async fn post_mortem(self) -> LinkError {
        match self.0 {
            Some(why) => why.await,
            None => LinkError::new(LinkErrorKind::Closed, "the link was closed"),
        }
    }
}

impl AsyncRead for LinkReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl LinkWriter {
    fn open(&mut self) -> io::Result<Pin<&mut (dyn AsyncWrite + Send + Unpin)>> {
        match &mut self.0 {
            Some(writer) => Ok(Pin::new(&mut **writer)),
            None => Err(io::Error::new(io::ErrorKind::BrokenPipe, "the link was shut down")),
        }
    }
}

impl AsyncWrite for LinkWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.open()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Some(writer) => Pin::new(writer).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(writer) = &mut self.0 {
            let outcome = ready!(Pin::new(writer).poll_shutdown(cx));
            // Shutting down the pipe to a child does nothing; only closing it is end of file.
            self.0 = None;
            return Poll::Ready(outcome);
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for LinkReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkReader").finish_non_exhaustive()
    }
}

impl fmt::Debug for LinkWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.0.is_some();
        f.debug_struct("LinkWriter").field("is_open", &is_open).finish_non_exhaustive()
    }
}

impl fmt::Debug for LinkGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkGuard").finish_non_exhaustive()
    }
}
