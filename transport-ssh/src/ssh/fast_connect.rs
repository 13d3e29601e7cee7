//! The interface between the ssh connector and the fast lane.

use std::any::Any;
use std::ffi::OsString;
use std::sync::Arc;

use crate::link::child::OnOpen;
use crate::link::error::LinkError;
use crate::link::stream::BoxFuture;
use crate::link::stream::Link;

/// Starts fast links to where an ssh connector (`Ssh`) leads. What it needs to know, it learns from ssh.
pub(crate) trait FastConnect<Ssh>: Any + Send + Sync {
    /// A copy that knows nothing about the host yet.
    fn reset(&self) -> Arc<dyn FastConnect<Ssh>>;

    /// Watches the user's agent while the ssh with these options logs in, until what it returns is called.
    /// The returned function then calls `then`.
    fn watch_agent(&self, options: &[OsString], then: Option<OnOpen>) -> OnOpen;

    /// Forgets the host, because ssh no longer trusts it.
    fn distrust(&self);

    /// Starts a link, if that is possible now.
    fn link(self: Arc<Self>, ssh: Ssh) -> Option<BoxFuture<'static, Result<Link, LinkError>>>;

    /// Learns the host in the background, if that is due.
    fn learn(self: Arc<Self>, ssh: Ssh);
}
