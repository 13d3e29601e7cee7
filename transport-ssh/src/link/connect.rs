//! Connectors, which start links.

use std::sync::Arc;

use super::error::LinkError;
use super::forwards::Forwards;
use super::stream::{BoxFuture, Link};

/// A connector: starts links to one destination.
pub trait Connect: Send + Sync + 'static {
    /// Starts a link.
    ///
    /// `Ok` means that the link was started, not that the other side has answered: an `ssh` that cannot
    /// reach its host is a link that ends early, and [`LinkGuard::post_mortem`](super::stream::LinkGuard::post_mortem) says why. The caller
    /// has a timeout for a link on which nothing arrives. A connector that waits for the other side
    /// before it returns has its own timeout for that.
    ///
    /// Cancel-safe: dropping the future leaves nothing behind.
    fn connect(&self, attempt: Attempt) -> BoxFuture<'_, Result<Link, LinkError>>;

    /// The destination of the links, for messages.
    fn destination(&self) -> String;

    /// Ends the connector's own backoff: a person asked for a retry, or something changed.
    ///
    /// By default does nothing, for connectors without a backoff.
    fn retry_now(&self) {}

    /// Prepares a reconnect that will be needed soon. If it is not used, what was prepared ends within a
    /// minute, or with the connector. By default does nothing. Must be called within a tokio runtime.
    fn prepare(&self) {}

    /// Starts a link that needs fewer round trips than one of [`connect`](Self::connect), and may end sooner.
    /// `None` if that is not possible now, which is the default. The future returns when the host has proved
    /// its identity. What is written to the link at once is sent together with the login.
    ///
    /// An error does not mean that `connect` would fail. Cancel-safe, like `connect`.
    fn fast(&self) -> Option<BoxFuture<'_, Result<Link, LinkError>>> {
        None
    }

    /// Finds out in the background what [`fast`](Self::fast) needs. Call it when a link is up and quiet. It
    /// may be called at any time; the connector limits how often it acts. By default does nothing. Must be
    /// called within a tokio runtime.
    fn learn(&self) {}

    /// Whether all links share one connection, so a second link does not help if the first is silent. By
    /// default, each link has its own connection.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether a link of [`connect`](Self::connect) holds something that a second link cannot have at the
    /// same time, such as forwarded ports. By default false.
    fn is_exclusive(&self) -> bool {
        false
    }

    /// The forwards of the links of [`connect`](Self::connect), if the connector supports forwarding. By
    /// default `None`.
    fn forwards(&self) -> Option<Arc<dyn Forwards>> {
        None
    }

    /// Completes when a shared connection that was lost when this was called is up again, so links can
    /// start at once. By default never.
    fn revived(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    /// Completes when a shared connection has been replaced by a better one, so links started before this
    /// call should be replaced, although they still work. By default never.
    fn renewed(&self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// Whether a person can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attempt {
    /// A person started it, and may be asked for a password or about a host key.
    First,
    /// The program started it. It asks nobody, and fails at once if it would have to.
    Reconnect,
}
