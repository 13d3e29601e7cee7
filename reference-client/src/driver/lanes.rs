//! The two ways to come back: ssh, and beside it a link that is sooner there and does not last as long.
//!
//! Of the two, the machine knows of the fast one first; ssh's is a [spare](super::spare), on which nothing
//! is sent until it is used. That is when it is ready, by an ordinary attach: the session moves to it, and
//! the fast link closes. Or it is when the fast one fails, which costs no wait then.

use std::time::Duration;

use rejoin_protocol::Link;
use rejoin_protocol::client::Event as MachineEvent;
use rejoin_ssh::{LinkError, LinkErrorKind};
use tokio::time::Instant;

use super::Driver;
use crate::link::{LiveLink, Way};
use crate::options::Lane;

/// How long a session has to be attached over ssh before its host is learnt: what is in a hurry comes first.
const CALM: Duration = Duration::from_secs(5);
/// How often the host may be learnt anew, if it has to be. The connector has a bound of its own.
const REVIEW: Duration = Duration::from_mins(5);
/// Between two attempts of ssh's while the fast link is used; doubled with each, up to a bound.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// What is known about the two ways.
pub(super) struct Lanes {
    wanted: Lane,
    /// The link that was opened last over the fast lane.
    fast: Option<Link>,
    /// Whether the attempt to come back has been made over the fast lane, and is next made over ssh.
    is_tried: bool,
    /// When ssh is tried again while the fast link is used.
    retry: Instant,
    pause: Duration,
    /// When the host is to be learnt.
    learning: Option<Instant>,
}

impl Lanes {
    pub(super) fn new(wanted: Lane) -> Self {
        let retry = Instant::now();
        Self { wanted, fast: None, is_tried: false, retry, pause: PAUSE, learning: None }
    }

    /// An attempt is made over ssh.
    pub(super) fn left_to_ssh(&mut self) {
        self.is_tried = false;
    }

    pub(super) fn detached(&mut self) {
        self.learning = None;
    }

    /// When the host is to be learnt.
    pub(super) fn learning_due(&self) -> Option<Instant> {
        self.learning
    }
}

impl Driver {
    /// Opens a link over the fast lane, and one over ssh beside it; whether there is that lane. Only for a
    /// session that was attached: it has nothing to ask, and something to lose.
    pub(super) fn open_fast(&mut self) -> bool {
        let is_wanted = self.lanes.wanted != Lane::Ssh && !self.lanes.is_tried;
        if !is_wanted || !self.has_spares() || self.connect.fast().is_none() {
            return false;
        }
        self.links += 1;
        let (link, reports) = (Link(self.links), self.reports.clone());
        self.lanes.is_tried = true;
        self.lanes.fast = Some(link);
        (self.lanes.retry, self.lanes.pause) = (Instant::now(), PAUSE);
        self.pulse.opened();
        let live = LiveLink::open(link, self.connect.clone(), Way::Fast, reports);
        live.course.used(self.detached_since.elapsed());
        self.link = Some(live);
        if self.lanes.wanted == Lane::Auto && !self.has_spare() {
            self.open_spare();
        }
        true
    }

    /// Whether the link that is used goes over the fast lane.
    pub(super) fn is_on_fast_lane(&self) -> bool {
        let link = self.link.as_ref().map(|live| live.link);
        link.is_some() && link == self.lanes.fast
    }

    pub(super) fn attached_over_lane(&mut self) {
        self.lanes.is_tried = false;
        let is_to_learn = self.lanes.wanted != Lane::Ssh && !self.is_on_fast_lane();
        self.lanes.learning = is_to_learn.then(|| Instant::now() + CALM);
    }

    /// Has what the fast lane needs found out.
    pub(super) fn learn(&mut self) {
        self.connect.learn();
        self.lanes.learning = Some(Instant::now() + REVIEW);
    }

    /// Whether the next attempt needs no wait, since ssh is on its way already: only the fast link has
    /// failed. If neither is, both may be tried again.
    pub(super) fn has_other_lane(&mut self) -> bool {
        let has_other = self.lanes.is_tried && self.has_spare();
        if self.lanes.wanted == Lane::Auto && !has_other {
            self.lanes.is_tried = false;
        }
        has_other
    }

    /// Whether ssh is to be, or to stay, on its way while the fast link is used.
    pub(super) fn wants_ssh_lane(&self) -> bool {
        let is_due = self.has_spare() || Instant::now() >= self.lanes.retry;
        self.lanes.wanted == Lane::Auto && self.is_on_fast_lane() && is_due
    }

    /// When the lanes are to be looked at.
    pub(super) fn lanes_due(&self) -> Option<Instant> {
        if self.lanes.wanted != Lane::Auto || !self.is_on_fast_lane() {
            return None;
        }
        let is_due = self.has_ready_spare() && self.is_movable();
        let retry = (!self.has_spare()).then_some(self.lanes.retry);
        is_due.then(Instant::now).or(retry)
    }

    /// An answer that is on its way is waited for: the session would be asked for twice.
    fn is_movable(&self) -> bool {
        self.machine.is_attached() || !self.is_link_started
    }

    /// Moves the session to ssh's link, if that is ready and this is the time.
    pub(super) fn move_to_ssh(&mut self) {
        if !self.wants_ssh_lane() || !self.has_ready_spare() || !self.is_movable() {
            return;
        }
        let Some(link) = self.link.as_ref().map(|live| live.link) else { return };
        self.last_loss = String::from("ssh is there, and takes over from the fast lane");
        self.drop_dead(link, MachineEvent::LinkLost(link));
    }

    /// ssh's link has failed beside the one that is used. What ssh does not trust is not used either.
    pub(super) fn ssh_lane_failed(&mut self, error: Option<&LinkError>) {
        if !self.is_on_fast_lane() {
            return;
        }
        self.lanes.retry = Instant::now() + self.lanes.pause;
        self.lanes.pause = (self.lanes.pause * 2).min(LONGEST_PAUSE);
        let link = self.link.as_ref().map(|live| live.link);
        if let (Some(link), Some(error)) = (link, error)
            && error.kind == LinkErrorKind::HostKey
        {
            self.link_lost(link, error);
        }
    }
}
