//! The fast lane as a part of the ssh connector.

use std::any::Any;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinSet;

use super::agent::Agent;
use super::{FastLane, FastNews, Ineligible, asked, learn};
use crate::link::Link;
use crate::link::child::OnOpen;
use crate::link::connect::BoxFuture;
use crate::link::error::LinkError;
use crate::ssh::SshConnect;
use crate::ssh::quick::QuickLinks;

impl SshConnect {
    /// Has links in a hurry ([`Connect::fast`](crate::Connect::fast)) go over an SSH client of this crate's
    /// own, which needs three round trips where ssh needs a dozen. Off unless this is called.
    ///
    /// Such a link needs a host that was learnt ([`Connect::learn`](crate::Connect::learn)), for which ssh
    /// logs in once more: it has this program, with these arguments and some of its own behind them, told the
    /// host key that it accepts. The program has to hand the latter to
    /// [`report_host_key`](crate::report_host_key) and end; ssh runs it without a shell.
    /// [`Ineligible`](crate::Ineligible) says what else it takes; where anything is missing, there are no
    /// such links.
    pub fn fast_lane(
        mut self,
        program: impl Into<OsString>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into);
        let words = std::iter::once(program.into()).chain(arguments).collect();
        self.quick = Some(Arc::new(FastLane::new(words)));
        self
    }

    /// Has it told what becomes of the fast lane, if there is one. The function is called on the runtime's
    /// threads and must not block.
    pub fn on_fast_lane(mut self, told: impl Fn(&FastNews) + Send + Sync + 'static) -> Self {
        if let Some(lane) = self.lane() {
            let words = lane.helper.clone();
            self.quick = Some(Arc::new(FastLane::new(words).on_news(Arc::new(told))));
        }
        self
    }

    /// Whether links can go over the [fast lane](Self::fast_lane). The host is learnt for that, with two
    /// logins, unless it was before; nobody is asked anything.
    ///
    /// # Errors
    /// Why they cannot. Without a fast lane: [`Ineligible::Off`].
    pub async fn check_fast_lane(&self) -> Result<(), Ineligible> {
        let Some(lane) = self.lane() else { return Err(Ineligible::Off) };
        lane.check(&self.bare()).await
    }

    fn lane(&self) -> Option<Arc<FastLane>> {
        let quick: Arc<dyn Any + Send + Sync> = Arc::clone(self.quick.as_ref()?) as _;
        quick.downcast().ok()
    }
}

impl QuickLinks for FastLane {
    fn anew(&self) -> Arc<dyn QuickLinks> {
        Arc::new(Self { on_news: self.on_news.clone(), ..Self::new(self.helper.clone()) })
    }

    /// What ssh itself no longer trusts is not trusted here.
    fn distrust(&self) {
        self.erase("ssh does not accept the host's key any more".to_owned());
    }

    /// Watches the agent while the user's own ssh logs in, until its link is open: an agent that asks its user
    /// for that would ask for each other login, too.
    fn watch_agent(&self, options: &[OsString], then: Option<OnOpen>) -> OnOpen {
        let mut watching = JoinSet::new();
        if let Some(agent) = Agent::expected(options) {
            let has_asked = Arc::clone(&self.has_agent_asked);
            watching.spawn(async move {
                if agent.blocks().await.is_ok() {
                    has_asked.store(true, Ordering::Relaxed);
                }
            });
        }
        Box::new(move || {
            drop(watching);
            if let Some(then) = then {
                then();
            }
        })
    }

    /// Learns the host in the background, if that is due.
    fn learn(self: Arc<Self>, ssh: SshConnect) {
        let Some(turn) = self.memo.begin() else { return };
        if self.has_agent_asked.load(Ordering::Relaxed) {
            return self.note(&turn, Err(asked()));
        }
        let (lane, helper) = (Arc::downgrade(&self), self.helper.clone());
        self.memo.spawn(async move {
            let learnt = learn(&ssh, &helper).await;
            if let Some(lane) = lane.upgrade() {
                lane.note(&turn, learnt);
            }
        });
    }

    /// A link over the lane, if it can be taken.
    fn link(
        self: Arc<Self>,
        ssh: SshConnect,
    ) -> Option<BoxFuture<'static, Result<Link, LinkError>>> {
        let (host, lane) = (self.memo.ready()?, self);
        Some(Box::pin(async move {
            let link = lane.hurry(&ssh, &host).await;
            lane.make_ephemeral(host);
            link.map_err(|why| {
                lane.tell(&why.news());
                why.into_error()
            })
        }))
    }
}
