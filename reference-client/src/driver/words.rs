//! What is known in words: why there is no link, and which host answers.

use std::time::Duration;

use rejoin_protocol::HostId;
use rejoin_protocol::paths::{Urgency, Why};
use rejoin_ssh::LinkError;
use tokio::time::Instant;

use super::hindrance::Hindrance;
use super::tell;
use crate::event::link_word;
use crate::paths::why;

/// What a session's events are worded with. Nothing is decided by it.
pub(super) struct Words {
    pub(super) destination: String,
    /// Why the last link ended, for people and for programs.
    pub(super) last_loss: String,
    pub(super) last_kind: &'static str,
    /// What a person is needed for.
    pub(super) need: Option<LinkError>,
    /// What came on the last link that the server does not begin with.
    pub(super) noise: Option<String>,
    /// What keeps the client from its process on a host that can be reached.
    pub(super) hindrance: Option<Hindrance>,
    pub(super) host_name: Option<String>,
    /// The name of the host that the session is on.
    pub(super) session_host: Option<String>,
    /// Whether the host that answers has booted since the process was there.
    pub(super) has_booted: bool,
    pub(super) given_up: Option<Urgency>,
    /// How many attempts were told of since the session was attached.
    pub(super) attempts: u64,
    /// Whether the application believes that the session is attached: then another link is a move.
    pub(super) is_attached: bool,
    /// Whether the first attempt was not told of yet: that is what connecting means.
    pub(super) is_beginning: bool,
    detached_since: Instant,
}

impl Words {
    pub(super) fn new(destination: String) -> Self {
        Self {
            destination,
            last_loss: String::new(),
            last_kind: "other",
            need: None,
            noise: None,
            hindrance: None,
            host_name: None,
            session_host: None,
            has_booted: false,
            given_up: None,
            attempts: 0,
            is_attached: false,
            is_beginning: false,
            detached_since: Instant::now(),
        }
    }

    pub(super) fn lost(&mut self, kind: &'static str, why: String) {
        (self.last_kind, self.last_loss) = (kind, why);
    }

    pub(super) fn failed(&mut self, error: &LinkError) {
        self.lost(link_word(error.kind), error.to_string());
        if matches!(why(error.kind), Why::NeedsPerson(_)) {
            self.need = Some(error.clone());
        }
    }

    pub(super) fn no_answer(&mut self) {
        let why = tell::unanswered(self.noise.take().as_deref());
        self.lost("timeout", why);
    }

    pub(super) fn slept(&mut self) {
        "the machine was asleep".clone_into(&mut self.last_loss);
    }

    pub(super) fn detached(&mut self) {
        self.is_attached = false;
        self.detached_since = Instant::now();
    }

    /// Another link takes the place of the one that is used.
    pub(super) fn moves(&mut self) {
        if self.is_attached {
            self.detached_since = Instant::now();
        }
    }

    /// For how long there has been no link, or since when the session has moved.
    pub(super) fn away(&self) -> Duration {
        self.detached_since.elapsed()
    }

    pub(super) fn attached(&mut self) {
        self.hindrance = None;
        self.session_host.clone_from(&self.host_name);
        self.last_loss.clear();
        self.attempts = 0;
        self.is_attached = true;
    }

    /// Which host this is, as far as it says.
    pub(super) fn greeted(&mut self, host_name: &str, host: HostId, known: Option<HostId>) {
        let known = known.filter(|known| known.machine == host.machine);
        self.has_booted = known.is_some_and(|known| known.boot != host.boot);
        self.host_name = Some(rejoin_text::printable(host_name, 255));
    }
}
