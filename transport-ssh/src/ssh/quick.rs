//! Another way to the host than ssh's, for links in a hurry.

use std::any::Any;
use std::ffi::OsString;
use std::sync::Arc;

use super::SshConnect;
use crate::link::Link;
use crate::link::child::OnOpen;
use crate::link::connect::BoxFuture;
use crate::link::error::LinkError;

/// Links in a hurry to where an [`SshConnect`] leads. What it needs to know, it learns from ssh.
pub(crate) trait QuickLinks: Any + Send + Sync {
    /// The same for another host, of which nothing is known yet.
    fn anew(&self) -> Arc<dyn QuickLinks>;

    /// Watches the user's agent while the ssh with these options logs in, until what it returns is called.
    /// That then calls `then`.
    fn watch_agent(&self, options: &[OsString], then: Option<OnOpen>) -> OnOpen;

    /// ssh no longer trusts the host.
    fn distrust(&self);

    /// A link, if there can be one now.
    fn link(
        self: Arc<Self>,
        ssh: SshConnect,
    ) -> Option<BoxFuture<'static, Result<Link, LinkError>>>;

    /// Learns the host in the background, if that is due.
    fn learn(self: Arc<Self>, ssh: SshConnect);
}
