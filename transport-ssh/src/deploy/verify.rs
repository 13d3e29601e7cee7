//! Checks whether a server answered on a link, and forgets the server program if not.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::deployment::Deployment;
use crate::link::error::{LinkError, LinkErrorKind};

/// Notes when the bytes with which a server starts have arrived.
pub(super) struct MagicReader<R> {
    reader: R,
    expected: Vec<u8>,
    /// The last bytes that came, one fewer than are expected.
    tail: Vec<u8>,
    is_heard: Arc<AtomicBool>,
}

impl<R> MagicReader<R> {
    /// Without anything that is expected, any byte counts.
    pub(super) fn new(reader: R, expected: Vec<u8>, is_heard: Arc<AtomicBool>) -> Self {
        Self { reader, expected, tail: Vec::new(), is_heard }
    }

    fn look(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || self.is_heard.load(Ordering::Relaxed) {
            return;
        }
        self.tail.extend_from_slice(bytes);
        let length = self.expected.len();
        if length == 0 || self.tail.windows(length).any(|window| window == self.expected) {
            self.is_heard.store(true, Ordering::Relaxed);
            self.tail = Vec::new();
        } else {
            let surplus = self.tail.len().saturating_sub(length - 1);
            self.tail.drain(..surplus);
        }
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for MagicReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.reader).poll_read(cx, buf);
        self.look(&buf.filled()[before..]);
        polled
    }
}

/// A link on which a server was started by its name alone. If the server did not answer, the next link checks
/// the file first.
pub(super) struct UnverifiedServer {
    deployment: Arc<Deployment>,
    is_heard: Arc<AtomicBool>,
}

impl UnverifiedServer {
    pub(super) fn new(deployment: Arc<Deployment>, is_heard: Arc<AtomicBool>) -> Self {
        Self { deployment, is_heard }
    }

    /// Classifies the end of the link. If the host was not reached, the program is still trusted. If the program
    /// is missing, nobody needs to act, because it is uploaded again.
    pub(super) fn judge(self, error: LinkError) -> LinkError {
        use LinkErrorKind::{
            Closed, HostKey, NeedsUser, ProgramMissing, ServerMissing, Unreachable,
        };
        match error.kind {
            HostKey | NeedsUser | ProgramMissing | Unreachable => {
                self.is_heard.store(true, Ordering::Relaxed);
                error
            }
            ServerMissing => {
                let message =
                    format!("{}; rejoin uploads it again on the next connection", error.message);
                LinkError::new(Closed, message).with_detail(error.detail)
            }
            _ => error,
        }
    }
}

impl Drop for UnverifiedServer {
    fn drop(&mut self) {
        if !self.is_heard.load(Ordering::Relaxed) {
            self.deployment.distrust();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    async fn is_heard(expected: &[u8], chunks: &[&[u8]]) -> bool {
        let heard = Arc::new(AtomicBool::new(false));
        let mut tester = tokio_chunks(chunks);
        let mut watched = MagicReader::new(&mut tester, expected.to_vec(), Arc::clone(&heard));
        let mut all = Vec::new();
        watched.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, chunks.concat());
        heard.load(Ordering::Relaxed)
    }

    /// Each read brings one of the chunks.
    fn tokio_chunks(chunks: &[&[u8]]) -> impl AsyncRead + Unpin + use<> {
        let chunks: Vec<_> = chunks.iter().map(|chunk| chunk.to_vec()).collect();
        let mut joined: Box<dyn AsyncRead + Unpin> = Box::new(tokio::io::empty());
        for chunk in chunks {
            joined = Box::new(joined.chain(io::Cursor::new(chunk)));
        }
        joined
    }

    #[tokio::test]
    async fn the_first_words_are_found_in_any_pieces_and_behind_noise() {
        assert!(is_heard(b"MAGIC", &[b"MAGIC and more"]).await);
        assert!(is_heard(b"MAGIC", &[b"noise MA", b"G", b"IC", b"x"]).await);
        assert!(is_heard(b"MAGIC", &[b"MMAGI", b"MAGIC"]).await);
        assert!(!is_heard(b"MAGIC", &[b"MAG", b"-IC", b"MAGI"]).await);
        assert!(!is_heard(b"MAGIC", &[]).await);
        assert!(is_heard(b"", &[b"x"]).await);
        assert!(!is_heard(b"", &[]).await);
    }
}
