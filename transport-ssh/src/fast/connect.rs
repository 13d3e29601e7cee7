//! The fast lane as a part of the ssh connector.

use std::any::Any;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::task::JoinSet;

use super::agent::AgentSocket;
use super::eligibility::Ineligible;
use super::event::FastLaneEvent;
use super::lane::{FastLane, asked};
use super::learn::learn;
use crate::link::child::OnOpen;
use crate::link::error::LinkError;
use crate::link::stream::BoxFuture;
use crate::link::stream::Link;
use crate::ssh::builder::SshConnect;
use crate::ssh::fast_connect::FastConnect;

impl SshConnect {
    /// Enables fast links ([`Connect::fast`](crate::Connect::fast)) over this project's own SSH client, which
    /// needs three round trips where ssh needs a dozen. Off by default.
    ///
    /// A fast link needs a host that was learnt ([`Connect::learn`](crate::Connect::learn)). For this ssh logs
    /// in once more, and reports the host key through a `KnownHostsCommand`, which `/bin/sh` runs.
    /// [`Ineligible`](crate::Ineligible) lists the other requirements; if one is missing, there are no fast
    /// links.
    pub fn fast_lane(mut self) -> Self {
        self.fast_connect = Some(Arc::new(FastLane::new()));
        self
    }

    /// Calls the function with every event of the fast lane, if it is enabled, on the runtime's threads. It
    /// must not block.
    pub fn on_fast_lane(mut self, told: impl Fn(&FastLaneEvent) + Send + Sync + 'static) -> Self {
        if self.lane().is_some() {
            self.fast_connect = Some(Arc::new(FastLane::new().on_event(Arc::new(told))));
        }
        self
    }

    /// Checks whether links can use the [fast lane](Self::fast_lane). If the host is not known yet, this learns it
    /// with two logins, without asking the user anything.
    ///
    /// # Errors
    /// The reason why they cannot. If the fast lane is not enabled: [`Ineligible::Off`].
    pub async fn check_fast_lane(&self) -> Result<(), Ineligible> {
        let Some(lane) = self.lane() else { return Err(Ineligible::Off) };
        lane.check(&self.bare()).await
    }

    fn lane(&self) -> Option<Arc<FastLane>> {
        let fast_connect: Arc<dyn Any + Send + Sync> = Arc::clone(self.fast_connect.as_ref()?) as _;
        fast_connect.downcast().ok()
    }
}

impl FastConnect<SshConnect> for FastLane {
    fn reset(&self) -> Arc<dyn FastConnect<SshConnect>> {
        Arc::new(Self { on_event: self.on_event.clone(), ..Self::new() })
    }

    /// The fast lane trusts only what ssh trusts.
    fn distrust(&self) {
        self.erase("ssh does not accept the host's key any more".to_owned());
    }

    /// Watches the agent while the user's own ssh logs in, until its link is open: an agent that asks its user
    /// for that would ask for each other login, too.
    fn watch_agent(&self, options: &[OsString], then: Option<OnOpen>) -> OnOpen {
        let mut watching = JoinSet::new();
        if let Some(agent) = AgentSocket::expected(options) {
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
        let Some(turn) = self.host_cache.begin() else { return };
        if self.has_agent_asked.load(Ordering::Relaxed) {
            return self.note(&turn, Err(asked()));
        }
        let lane = Arc::downgrade(&self);
        self.host_cache.spawn(async move {
            let learnt = learn(&ssh).await;
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
        let (host, lane) = (self.host_cache.ready()?, self);
        Some(Box::pin(async move {
            let link = lane.open(&ssh, &host).await;
            lane.make_ephemeral(host);
            link.map_err(|why| {
                lane.tell(&why.news());
                why.into_error()
            })
        }))
    }
}
