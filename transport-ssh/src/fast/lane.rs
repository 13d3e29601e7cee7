//! The fast lane of one connector.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rejoin_ssh2::{Client, EphemeralKey, Error};
use tokio::time::Instant;

use super::eligibility::Ineligible;
use super::event::{FastLaneEvent, OnFastLaneEvent};
use super::handshake::{ExpectedHost, FastLaneError, Handshake, nonblocking};
use super::host_cache::{self, HostCache, HostProfile, LearningTurn};
use super::learn::learn;
use super::pump::{self, OnLogin};
use crate::Attempt;
use crate::link::stderr::{KeepAllLines, LineSink, StderrTail};
use crate::link::stream::Link;
use crate::ssh::builder::SshConnect;

/// How much longer a predicted connection may take than the login from which the host was learnt.
const SLACK: Duration = Duration::from_secs(2);

/// The fast lane of one connector.
pub(crate) struct FastLane {
    pub(super) on_event: Option<OnFastLaneEvent>,
    pub(super) host_cache: HostCache,
    /// Whether the agent has asked its user while ssh logged in.
    pub(super) has_agent_asked: Arc<AtomicBool>,
}

impl FastLane {
    pub(crate) fn new() -> Self {
        Self { on_event: None, host_cache: HostCache::default(), has_agent_asked: Arc::default() }
    }

    pub(crate) fn on_event(self, told: OnFastLaneEvent) -> Self {
        Self { on_event: Some(told), ..self }
    }

    pub(super) fn tell(&self, news: &FastLaneEvent) {
        tracing::debug!(%news, "fast lane");
        if let Some(on_event) = &self.on_event {
            on_event(news);
        }
    }

    pub(super) fn erase(&self, why: String) {
        self.host_cache.erase(Ineligible::Erased(why));
    }

    /// Whether the lane can be taken. The host is learnt for that, if it was not yet.
    pub(crate) async fn check(self: &Arc<Self>, ssh: &SshConnect) -> Result<(), Ineligible> {
        if self.host_cache.ready().is_none() {
            let turn = self.host_cache.begin_now();
            let has_asked = self.has_agent_asked.load(Ordering::Relaxed);
            let learning = Box::pin(learn(ssh));
            let learnt = if has_asked { Err(asked()) } else { learning.await };
            self.note(&turn, learnt);
        }
        self.host_cache.obstacle().map_or(Ok(()), Err)
    }

    pub(super) fn note(
        self: &Arc<Self>,
        turn: &LearningTurn,
        learnt: Result<HostProfile, Ineligible>,
    ) {
        match learnt {
            Ok(host) => {
                let host = Arc::new(host);
                if self.host_cache.learn(turn, Arc::clone(&host)) {
                    self.make_ephemeral(host);
                    self.tell(&FastLaneEvent::Learnt);
                }
            }
            Err(why) => {
                self.host_cache.fail(&why);
                self.tell(&FastLaneEvent::Ineligible(why));
            }
        }
    }

    pub(super) fn make_ephemeral(self: &Arc<Self>, host: Arc<HostProfile>) {
        if !self.host_cache.is_without_ephemeral() {
            return;
        }
        let lane: Weak<Self> = Arc::downgrade(self);
        self.host_cache.spawn(async move {
            let made = host_cache::make_ephemeral(&host).await;
            if let (Some(lane), Ok(made)) = (lane.upgrade(), made) {
                lane.host_cache.keep(made);
            }
        });
    }

    pub(super) async fn open(
        self: &Arc<Self>,
        ssh: &SshConnect,
        host: &HostProfile,
    ) -> Result<Link, FastLaneError> {
        self.check_speed(host).map_err(FastLaneError::Unsigned)?;
        // Without the key there need be no connection that the host counts.
        if !host.signer.has(&host.key).await.map_err(FastLaneError::Unsigned)? {
            // It may have another one in its place.
            self.erase(FastLaneError::Keyless.to_string());
            return Err(FastLaneError::Keyless);
        }
        let route = host.route.clone().in_segments_of(host.segment);
        let stream = route.dial(ssh.patience(), true).await.map_err(FastLaneError::Unreached)?;
        let ephemeral = self.ephemeral(host).await.map_err(FastLaneError::Failed)?;
        let config = host.config(ephemeral, ssh.command_bytes());
        let client = Client::new(config).map_err(FastLaneError::Failed)?;
        let stream = nonblocking(stream).map_err(FastLaneError::Lost)?;
        let deadline = Instant::now() + SLACK + host.login;
        let mut handshake = Handshake::new(client, stream, deadline);
        let expected = ExpectedHost { pin: &host.pin, learnt: Some(&host.learnt) };
        let proved = handshake.prove(expected, &host.signer, &host.key).await;
        let signature = proved.inspect_err(|why| {
            if self.check_speed(host).is_ok() && handshake.is_identified() {
                self.failed(why);
            }
        })?;
        let tail = StderrTail::default();
        let sink =
            LineSink::new(Attempt::Reconnect, tail.clone(), ssh.listener(), Box::new(KeepAllLines));
        Ok(pump::link(handshake, signature, self.outcome(), (sink, tail)))
    }

    /// Fails if the key ever did not sign at once. Such a key is never used again.
    fn check_speed(&self, host: &HostProfile) -> io::Result<()> {
        host.signer.check_speed(&host.key).inspect_err(|error| {
            self.host_cache.erase(Ineligible::Signature(error.to_string()));
        })
    }

    /// A connection has failed once the host had identified itself.
    fn failed(&self, why: &FastLaneError) {
        if !why.is_of_network() || self.host_cache.lost() {
            self.erase(why.to_string());
        }
    }

    async fn ephemeral(&self, host: &HostProfile) -> Result<EphemeralKey, Error> {
        match self.host_cache.ephemeral(host) {
            Some(made) => Ok(made),
            None => host_cache::make_ephemeral(host).await,
        }
    }

    /// A callback for the result of a login.
    fn outcome(self: &Arc<Self>) -> OnLogin {
        let lane = Arc::downgrade(self);
        Box::new(move |started| {
            let Some(lane) = lane.upgrade() else { return };
            match started {
                Ok(()) => {
                    lane.host_cache.confirm();
                    lane.tell(&FastLaneEvent::Taken);
                }
                Err(why) => {
                    lane.failed(why);
                    lane.tell(&why.news());
                }
            }
        })
    }
}

/// Why a host is not learnt whose login the user has confirmed.
pub(super) fn asked() -> Ineligible {
    Ineligible::Signature("the ssh agent asked for confirmation when ssh logged in".to_owned())
}
