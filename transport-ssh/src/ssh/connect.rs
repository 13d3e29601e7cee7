//! Starts links over an ssh.

use std::fmt;
use std::sync::Arc;

use super::arguments::Purpose;
use super::builder::SshConnect;
use super::forward_retry::SshForwards;
use super::prepared;
use crate::link::connect::{Attempt, Connect};
use crate::link::error::{LinkError, LinkErrorKind, printable};
use crate::link::forwards::Forwards;
use crate::link::stream::{BoxFuture, Link};

impl Connect for SshConnect {
    fn connect(&self, attempt: Attempt) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(self.start(attempt))
    }

    fn prepare(&self) {
        prepared::prepare(&self.bare(), &self.prepared_ssh);
    }

    fn fast(&self) -> Option<BoxFuture<'_, Result<Link, LinkError>>> {
        self.fast_link()
    }

    fn learn(&self) {
        if let Some(fast_connect) = &self.fast_connect {
            Arc::clone(fast_connect).learn(self.bare());
        }
    }

    fn is_exclusive(&self) -> bool {
        self.forwards_ports()
    }

    fn forwards(&self) -> Option<Arc<dyn Forwards>> {
        Some(Arc::new(SshForwards::of(self.bare())))
    }

    fn destination(&self) -> String {
        printable(&self.destination.to_string_lossy())
    }
}

impl fmt::Debug for SshConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshConnect")
            .field("program", &self.program)
            .field("destination", &self.destination)
            .field("options", &self.options)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

impl SshConnect {
    pub(crate) async fn start(&self, attempt: Attempt) -> Result<Link, LinkError> {
        let ssh = self.bare();
        if attempt == Attempt::Reconnect
            && let Some(link) =
                prepared::connect(&ssh, &self.prepared_ssh, self.connect_timeout).await?
        {
            return Ok(self.judged(link));
        }
        let is_settled = self.config_query.is_settled();
        let link = self.started(attempt)?;
        if !is_settled {
            self.settle().await;
        }
        if is_settled || self.config_query.overridden().is_empty() {
            return Ok(self.judged(link));
        }
        drop(link);
        Ok(self.judged(self.started(attempt)?))
    }

    /// Finds out what a link has to override, beside the first one: ssh answers before it has a connection,
    /// since it has to know the same for that.
    async fn settle(&self) {
        let _ = self.configuration().await;
        let asks_again =
            self.config_query.is_to_be_overridden() && self.config_query.is_of_others();
        let told = if asks_again { self.resolve().await.ok() } else { None };
        self.config_query.settle(told.as_ref());
    }

    fn started(&self, attempt: Attempt) -> Result<Link, LinkError> {
        let mut launch = self.launch(attempt, self.arguments(Purpose::Link(attempt)));
        let mut find_out = prepared::on_open(&self.bare(), &self.prepared_ssh);
        if let Some(fast_connect) = self.fast_connect.as_ref().filter(|_| attempt == Attempt::First)
        {
            find_out = Some(fast_connect.watch_agent(&self.options, find_out));
        }
        let query = Arc::clone(&self.config_query);
        launch.on_open = Some(Box::new(move || {
            query.was_up();
            if let Some(find_out) = find_out {
                find_out();
            }
        }));
        launch.start()
    }

    /// The link, whose end may tell that ssh does not trust the host any more, or does not accept the
    /// address.
    fn judged(&self, link: Link) -> Link {
        let fast_connect = self.fast_connect.as_ref().map(Arc::downgrade);
        let destination = self.destination.clone();
        let (reader, writer, guard) = link.into_parts();
        Link::with_post_mortem(reader, writer, async move {
            let error = guard.post_mortem().await;
            match error.kind {
                LinkErrorKind::HostKey => {
                    if let Some(fast_connect) =
                        fast_connect.and_then(|fast_connect| fast_connect.upgrade())
                    {
                        fast_connect.distrust();
                    }
                    error
                }
                LinkErrorKind::BadArguments => {
                    LinkError::bad_address(&destination, &error.detail).unwrap_or(error)
                }
                _ => error,
            }
        })
    }

    /// A link over the other way, if there is one now.
    pub(crate) fn fast_link(&self) -> Option<BoxFuture<'static, Result<Link, LinkError>>> {
        Arc::clone(self.fast_connect.as_ref()?).link(self.bare())
    }
}
