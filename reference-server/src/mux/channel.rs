//! Standard input and output as one asynchronous stream.

use std::future::Future;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::FAREWELL;
use crate::fd_pass::NOT_A_CHANNEL;
use crate::process::watch;

/// The exec channel.
///
/// When the client stops reading, the channel drops everything written and keeps reading for a
/// moment: what the client sent before it left must still be delivered.
pub(super) struct Channel {
    input: NonBlockingStream,
    output: NonBlockingStream,
    /// How long to keep reading after the client has stopped reading.
    farewell: Option<Pin<Box<Sleep>>>,
}

impl Channel {
    pub(super) fn standard() -> io::Result<Self> {
        let input =
            NonBlockingStream::new(rustix::stdio::stdin()).map_err(|error| not_watched(&error))?;
        let output =
            NonBlockingStream::new(rustix::stdio::stdout()).map_err(|error| not_watched(&error))?;
        Ok(Self { input, output, farewell: None })
    }

    fn write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<usize> {
        if self.farewell.is_none() {
            match ready!(self.output.poll(cx, true, |fd| rustix::io::write(fd, data))) {
                Ok(count) => return Poll::Ready(count),
                Err(_) => self.farewell = Some(Box::pin(sleep(FAREWELL))),
            }
            // A pending read has to wait for this timer, too.
            cx.waker().wake_by_ref();
        }
        Poll::Ready(data.len())
    }
}

fn not_watched(error: &io::Error) -> io::Error {
    let message = format!("{NOT_A_CHANNEL}: {error}");
    io::Error::new(error.kind(), message)
}

impl AsyncRead for Channel {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { input, farewell, .. } = self.get_mut();
        let room = buf.initialize_unfilled();
        match input.poll(cx, false, |fd| rustix::io::read(fd, &mut *room)) {
            Poll::Ready(count) => Poll::Ready(count.map(|count| buf.advance(count))),
            // A read of 0 bytes is the end.
            Poll::Pending => match farewell {
                Some(farewell) => farewell.as_mut().poll(cx).map(Ok),
                None => Poll::Pending,
            },
        }
    }
}

impl AsyncWrite for Channel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, data).map(Ok)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A standard stream, non-blocking for as long as this value lives. Dropping it restores the flags,
/// because a waiting login shell may share the open file.
struct NonBlockingStream {
    fd: AsyncFd<OwnedFd>,
    flags: OFlags,
}

impl NonBlockingStream {
    fn new(fd: impl AsFd) -> io::Result<Self> {
        let own = fcntl_dupfd_cloexec(fd, 3)?;
        let flags = fcntl_getfl(&own)?;
        let half = Self { fd: watch(own)?, flags };
        fcntl_setfl(half.fd.get_ref(), flags | OFlags::NONBLOCK)?;
        Ok(half)
    }

    fn poll(
        &self,
        cx: &mut Context<'_>,
        is_writing: bool,
        mut call: impl FnMut(&OwnedFd) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let ready =
                if is_writing { self.fd.poll_write_ready(cx) } else { self.fd.poll_read_ready(cx) };
            let mut ready = ready!(ready)?;
            match call(self.fd.get_ref()) {
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                done => return Poll::Ready(Ok(done?)),
            }
        }
    }
}

impl Drop for NonBlockingStream {
    fn drop(&mut self) {
        // It fails if the file is gone, which does not matter.
        let _ = fcntl_setfl(self.fd.get_ref(), self.flags);
    }
}
