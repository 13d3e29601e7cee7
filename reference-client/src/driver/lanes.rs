//! The two ways to come back: ssh, and beside it a link that is sooner there and does not last as long.
//!
//! Of the two, the machine knows of the fast one first; ssh's is a [spare](super::spare), on which nothing
//! is sent until it is used. That is when it is ready, by an ordinary attach: the session moves to it, and
//! the fast link closes. Or it is when the fast one fails, which costs no wait then.
//!
//! A fast link that is not attached by then has something wrong with it, since ssh takes four times as many
//! round trips: it is not waited for. What was asked for on it may be asked for again.

use std::time::Duration;

use rejoin_protocol::client::Event as MachineEvent;
use rejoin_protocol::{Link, SessionId};
use rejoin_ssh::{LinkError, LinkErrorKind};
use tokio::time::Instant;

use super::Driver;
use super::spare::Spare;
use crate::event::{self, Event};
use crate::link::Way;
use crate::options::Lane;

/// How long a session has to be attached before its host is learnt: what is in a hurry comes first. So long
/// a link over ssh has to hold, too, until those count no more that did not.
const CALM: Duration = Duration::from_secs(5);
/// How much longer it takes some sessions: those that are back together do not log in together again.
const SPREAD: Duration = Duration::from_secs(5);
/// How often the host may be learnt anew, if it has to be. The connector has a bound of its own.
const REVIEW: Duration = Duration::from_mins(5);
/// How much later than the fast lane ssh starts. At the very start the two would want the same processor,
/// and hosts admit few connections at a time that have not logged in yet (`MaxStartups`). Coming back is to
/// take no more than 50 ms longer than with ssh alone, whatever becomes of the fast link.
const HEAD_START: Duration = Duration::from_millis(40);
/// Between two attempts of ssh's while the fast link is used, and between two moves to it; doubled with
/// each, up to a bound.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Where ssh wants something from a person, an attempt is made less often than where nothing else is up, by
/// this: hosts ban whoever fails to log in five times in ten minutes.
const LEISURE: u32 = 4;
const LONGEST_LEISURE: Duration = Duration::from_hours(1);
/// By how much the time at most grows that ssh may take: doubled so many times.
const MOST_OVERDUE: u32 = 6;

/// What is known about the two ways.
pub(super) struct Lanes {
    wanted: Lane,
    /// The link that was opened last over the fast lane.
    fast: Option<Link>,
    /// Whether the attempt to come back has been made over the fast lane, and is next made over ssh.
    is_tried: bool,
    /// Whether ssh has been opened since then.
    is_ssh_tried: bool,
    /// Whether a spare was opened over the fast lane for the link that is suspected.
    is_doubt_met: bool,
    /// When ssh is tried again while the fast link is used.
    retry: Instant,
    /// When a session that is attached over the fast lane moves to ssh at the earliest.
    move_from: Instant,
    pause: Duration,
    /// What ssh wants from a person.
    wish: Option<Wish>,
    /// How many times in a row ssh took too long.
    overdue: u32,
    /// Since when the session is attached over ssh.
    over_ssh: Option<Instant>,
    /// How long a session has to be attached before its host is learnt.
    pub(super) calm: Duration,
    /// When the host is to be learnt.
    learning: Option<Instant>,
}

/// What ssh wants from a person.
struct Wish {
    kind: LinkErrorKind,
    /// In words.
    message: String,
    is_told: bool,
}

impl Lanes {
    pub(super) fn new(wanted: Lane, session: SessionId) -> Self {
        let now = Instant::now();
        // Ids are random.
        let [part, ..] = *session.as_bytes();
        Self {
            wanted,
            fast: None,
            is_tried: false,
            is_ssh_tried: false,
            is_doubt_met: false,
            retry: now,
            move_from: now,
            pause: PAUSE,
            wish: None,
            overdue: 0,
            over_ssh: None,
            calm: CALM + SPREAD * u32::from(part) / u32::from(u8::MAX),
            learning: None,
        }
    }

    /// An attempt is made over ssh.
    pub(super) fn left_to_ssh(&mut self) {
        self.is_tried = false;
    }

    /// A link over ssh is being opened.
    pub(super) fn ssh_opened(&mut self) {
        self.is_ssh_tried = true;
    }

    /// One has begun to speak.
    pub(super) fn ssh_greeted(&mut self) {
        self.overdue = 0;
    }

    /// One took too long.
    pub(super) fn ssh_overdue(&mut self) {
        self.overdue = (self.overdue + 1).min(MOST_OVERDUE);
    }

    /// How many times as long as usual ssh may take.
    pub(super) fn patience(&self) -> u32 {
        1 << self.overdue
    }

    /// Somebody asks for an attempt now.
    pub(super) fn hurry(&mut self) {
        self.retry = Instant::now();
    }

    /// A link over ssh that did not hold is not moved to again at once.
    pub(super) fn detached(&mut self) {
        self.learning = None;
        let Some(since) = self.over_ssh.take() else { return };
        let pause = if since.elapsed() >= CALM {
            self.pause = PAUSE;
            Duration::ZERO
        } else {
            self.next_pause(PAUSE, LONGEST_PAUSE)
        };
        self.move_from = Instant::now() + pause;
    }

    /// Each is twice as long as the one before, within these bounds.
    fn next_pause(&mut self, least: Duration, most: Duration) -> Duration {
        let pause = self.pause.max(least).min(most);
        self.pause = pause.saturating_mul(2).min(most);
        pause
    }

    /// Where ssh is known to want something from a person, no other attempt is an occasion for one more.
    fn plan_ssh_behind_fast(&mut self) {
        let start = Instant::now() + HEAD_START;
        self.retry = if self.wish.is_some() { self.retry.max(start) } else { start };
    }

    fn end_head_start(&mut self) {
        if !self.is_ssh_tried && self.wish.is_none() {
            self.retry = Instant::now();
        }
    }

    /// When the host is to be learnt.
    pub(super) fn learning_due(&self) -> Option<Instant> {
        self.learning
    }
}

impl Driver {
    /// Has a link over the fast lane, and one opened over ssh beside it; whether there is that lane.
    /// Only for a session that was attached: it has nothing to ask, and something to lose.
    pub(super) fn open_fast(&mut self) -> bool {
        let is_wanted = self.lanes.wanted != Lane::Ssh && !self.lanes.is_tried;
        if !is_wanted || !self.has_fast_lane() {
            return false;
        }
        let spare = self.fast_spare.take();
        let spare = spare.unwrap_or_else(|| Spare::new(self.open_live(Way::Fast)));
        self.lanes.is_tried = true;
        self.lanes.is_ssh_tried = self.has_spare();
        self.lanes.fast = Some(spare.live.link);
        self.lanes.plan_ssh_behind_fast();
        self.take_up(spare);
        true
    }

    fn has_fast_lane(&self) -> bool {
        let is_there = self.fast_spare.is_some() || self.connect.fast().is_some();
        is_there && self.has_spares()
    }

    /// Beside a link over ssh that may be dead, a spare over the fast lane: once, as long as the doubt lasts.
    pub(super) fn open_fast_spare(&mut self) {
        let is_wanted = self.lanes.wanted != Lane::Ssh && !self.lanes.is_doubt_met;
        if !is_wanted || self.is_on_fast_lane() || !self.has_fast_lane() {
            return;
        }
        self.lanes.is_doubt_met = true;
        self.fast_spare = Some(Spare::new(self.open_live(Way::Fast)));
    }

    pub(super) fn drop_fast_spare(&mut self) {
        if let Some(spare) = self.fast_spare.take() {
            tokio::spawn(spare.live.end());
        }
    }

    /// The link that was suspected is one.
    pub(super) fn end_doubt(&mut self) {
        self.lanes.is_doubt_met = false;
        self.drop_fast_spare();
    }

    /// Whether the link that is used goes over the fast lane.
    pub(super) fn is_on_fast_lane(&self) -> bool {
        let link = self.link.as_ref().map(|live| live.link);
        link.is_some() && link == self.lanes.fast
    }

    pub(super) fn attached_over_lane(&mut self) {
        self.lanes.is_tried = false;
        self.end_doubt();
        let is_fast = self.is_on_fast_lane();
        if is_fast {
            self.lanes.end_head_start();
        } else {
            self.lanes.over_ssh = Some(Instant::now());
            self.lanes.wish = None;
        }
        let is_to_learn = match self.lanes.wanted {
            Lane::Auto => !is_fast,
            Lane::Ssh => false,
            Lane::Fast => true,
        };
        self.lanes.learning = is_to_learn.then(|| Instant::now() + self.lanes.calm);
    }

    /// Has what the fast lane needs found out.
    pub(super) fn learn(&mut self) {
        self.connect.learn();
        self.lanes.learning = Some(Instant::now() + REVIEW);
    }

    /// Whether the next attempt needs no wait, since only the fast link has failed, and ssh is on its way
    /// already or was not tried. If neither is, both may be tried again.
    pub(super) fn has_other_lane(&mut self) -> bool {
        self.lanes.is_tried &= self.has_spare() || !self.lanes.is_ssh_tried;
        self.lanes.is_tried
    }

    /// The link that is used has failed. A host that was out of reach is so over both lanes, and if both
    /// were tried, the fast one may be the first again to be there.
    pub(super) fn lane_failed(&mut self, error: &LinkError) {
        let is_out_of_reach = error.kind == LinkErrorKind::Unreachable;
        if self.is_on_fast_lane() && is_out_of_reach && self.lanes.is_ssh_tried {
            self.lanes.is_tried = false;
        }
    }

    /// Whether ssh is to be, or to stay, on its way while the fast link is used.
    pub(super) fn wants_ssh_lane(&self) -> bool {
        let is_due = self.has_spare() || Instant::now() >= self.lanes.retry;
        self.lanes.wanted == Lane::Auto && self.is_on_fast_lane() && is_due
    }

    /// Before when ssh is not tried beside the fast link, even if that says nothing.
    pub(super) fn ssh_barred_until(&self) -> Option<Instant> {
        let is_barred = self.is_on_fast_lane() && self.lanes.wish.is_some();
        is_barred.then_some(self.lanes.retry)
    }

    /// When the lanes are to be looked at.
    pub(super) fn lanes_due(&self) -> Option<Instant> {
        if self.lanes.wanted != Lane::Auto || !self.is_on_fast_lane() {
            None
        } else if self.has_ready_ssh() {
            Some(self.move_due())
        } else {
            (!self.has_spare()).then_some(self.lanes.retry)
        }
    }

    /// When the session may move to ssh's link. It has nothing to lose where it is not attached.
    fn move_due(&self) -> Instant {
        if self.machine.is_attached() { self.lanes.move_from } else { Instant::now() }
    }

    /// Moves the session to ssh's link, if that is ready and this is the time.
    pub(super) fn move_to_ssh(&mut self) {
        let is_due = self.has_ready_ssh() && Instant::now() >= self.move_due();
        if !is_due || !self.wants_ssh_lane() {
            return;
        }
        let Some(link) = self.link.as_ref().map(|live| live.link) else { return };
        self.last_loss = String::from(event::MOVE);
        self.drop_dead(link, MachineEvent::LinkLost(link));
    }

    /// ssh's link has failed beside the one that is used. What ssh does not trust is not used either.
    pub(super) fn ssh_lane_failed(&mut self, error: Option<&LinkError>) {
        let Some(link) = self.link.as_ref().map(|live| live.link) else { return };
        if !self.is_on_fast_lane() {
            return;
        }
        let wish = error.and_then(|error| Some((error, self.diagnosis(error)?)));
        let (least, most) = match wish {
            Some(_) => (self.timing.needs_user * LEISURE, LONGEST_LEISURE),
            None => (PAUSE, LONGEST_PAUSE),
        };
        self.lanes.retry = Instant::now() + self.lanes.next_pause(least, most);
        let Some((error, message)) = wish else { return };
        let is_distrust = error.kind == LinkErrorKind::HostKey;
        let before = self.lanes.wish.take().filter(|before| before.kind == error.kind);
        let is_told = is_distrust || before.is_some_and(|before| before.is_told);
        self.lanes.wish = Some(Wish { kind: error.kind, message, is_told });
        if is_distrust {
            self.link_lost(link, error);
        } else {
            self.tell_wish();
        }
    }

    /// Tells what ssh wants from a person, once, as soon as the session goes on without. As long as it does
    /// not, the attempts are told.
    pub(super) fn tell_wish(&mut self) {
        if !self.machine.is_attached() {
            return;
        }
        if let Some(wish) = self.lanes.wish.as_mut().filter(|wish| !wish.is_told) {
            wish.is_told = true;
            let message = format!("{}; the session goes on without ssh", wish.message);
            self.tell(Event::Notice { message });
        }
    }
}
