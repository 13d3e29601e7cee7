//! What starts links.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::Link;
use super::error::LinkError;
use super::forwards::Forwards;

/// A future on the heap, so that [`Connect`] can be used as `dyn Connect`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that starts links to one destination.
pub trait Connect: Send + Sync + 'static {
    /// Starts a link.
    ///
    /// `Ok` means that the link was started, not that the other side has answered: an `ssh` that cannot
    /// reach its host is a link that ends early, and [`LinkGuard::post_mortem`](super::LinkGuard::post_mortem) says why. The caller
    /// keeps the timer for a link on which nothing arrives. A connector that waits for the other side
    /// before the link has started keeps a deadline of its own for that.
    ///
    /// Cancel-safe: dropping the future leaves nothing behind.
    fn connect(&self, attempt: Attempt) -> BoxFuture<'_, Result<Link, LinkError>>;

    /// Where the links lead, for messages.
    fn destination(&self) -> String;

    /// Says that whoever waits for a link wants it now: a person asked, or something changed.
    ///
    /// A connector that waits before it tries again waits no longer. By default there is none.
    fn hurry(&self) {}

    /// Says that an attempt to reconnect will be wanted soon: what can be done before, is done now. What is
    /// then not used ends by itself, within a minute, or with the connector. By default, nothing is done.
    /// Must be called within a tokio runtime.
    fn prepare(&self) {}

    /// A link in a hurry: one that takes fewer round trips than [`connect`](Self::connect) does, and may end
    /// sooner. None if there is none now; by default, never. Such a link has started once the host has proved
    /// to be the right one; what is written to it at once goes out together with the login.
    ///
    /// An error says nothing about what `connect` would come to. Cancel-safe as that is.
    fn fast(&self) -> Option<BoxFuture<'_, Result<Link, LinkError>>> {
        None
    }

    /// Says that a link is up, and nothing is in a hurry: what [`fast`](Self::fast) needs can be found out
    /// now, in the background. May be called at any time; it is done no more often than it does good. By
    /// default, nothing is done. Must be called within a tokio runtime.
    fn learn(&self) {}

    /// Whether all links share one connection, so that a second one is no help where the first is silent. By
    /// default, each has a connection of its own.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether a link of [`connect`](Self::connect) holds something that a second one cannot have beside it,
    /// as forwarded ports are. By default, it does not.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// The forwards of the links of [`connect`](Self::connect), if there can be any. By default, there are
    /// none.
    fn forwards(&self) -> Option<Arc<dyn Forwards>> {
        None
    }

    /// Completes when a link can be had at once that could not when this was called: where links
    /// share a connection, and it is there again. By default, never.
    fn revived(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    /// Completes when links that were made before this was called should be left for new ones, although they
    /// work: where links share a connection, and a better one is there. By default, never.
    fn renewed(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// Whether a person is there to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// Started by a person, who may be asked for a password or about a host key.
    First,
    /// Started by the program: it asks nobody, and what it cannot do unasked, it refuses at once.
    Reconnect,
}
