//! Links within one program.

use tokio::io::duplex;
use tokio::sync::mpsc;

use super::connect::{Attempt, Connect};
use super::stream::BoxFuture;
use crate::link::error::{LinkError, LinkErrorKind};
use crate::link::stream::Link;

/// How much a direction holds before its writer waits: what a pipe holds on Linux.
const CAPACITY: usize = 64 * 1024;

/// Starts links whose other ends come out of a [`MemoryListener`].
#[derive(Clone, Debug)]
pub struct MemoryConnect {
    accepts: mpsc::UnboundedSender<Link>,
}

/// Yields the other ends of the links that a [`MemoryConnect`] started.
#[derive(Debug)]
pub struct MemoryListener {
    arrivals: mpsc::UnboundedReceiver<Link>,
}

/// A connector and a listener that are joined in memory. Dropping either end of a link cuts it;
/// dropping one half of an end cuts that direction.
pub fn memory() -> (MemoryConnect, MemoryListener) {
    let (accepts, arrivals) = mpsc::unbounded_channel();
    (MemoryConnect { accepts }, MemoryListener { arrivals })
}

impl MemoryListener {
    /// The next link; `None` when every connector is gone. Cancel-safe.
    pub async fn accept(&mut self) -> Option<Link> {
        self.arrivals.recv().await
    }
}

impl MemoryConnect {
    fn start(&self) -> Result<Link, LinkError> {
        let (near, far) = pair();
        self.accepts.send(far).map_err(|_| {
            LinkError::new(LinkErrorKind::Unreachable, "the in-memory listener is gone")
        })?;
        Ok(near)
    }
}

impl Connect for MemoryConnect {
    fn connect(&self, _: Attempt) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(async move { self.start() })
    }

    fn destination(&self) -> String {
        "memory".to_owned()
    }
}

/// One duplex stream per direction: the halves of a single one would not close it one by one.
fn pair() -> (Link, Link) {
    let (near_writer, far_reader) = duplex(CAPACITY);
    let (far_writer, near_reader) = duplex(CAPACITY);
    (Link::new(near_reader, near_writer), Link::new(far_reader, far_writer))
}
