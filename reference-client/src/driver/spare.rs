//! A second link beside the one that is used: opened on the suspicion that that one is dead, or kept
//! ready for when it is.
//!
//! The machine knows of one link at a time, and hears of a spare only when it has taken the other's
//! place: what the spare has reported until then is reported again. Nothing is sent on it before, so
//! that the host keeps an attach program that waits for its first word, and counts no attachment.
//!
//! Where there is a fast lane, a link that is suspected has a spare over that as well as one over ssh:
//! whichever is there first takes its place, as after a loss.

use std::time::Duration;

use rejoin_protocol::client::Event as MachineEvent;
use rejoin_protocol::{Frame, Link, Timer};
use rejoin_ssh::{Attempt, LinkError};
use tokio::time::Instant;

use super::Driver;
use crate::link::{LiveLink, Report, Way};
use crate::power;

/// What a spare may report before it is used: it is open, it has begun to speak, it greets.
const MOST_REPORTS: usize = 4;
/// How long after a failure another one is opened that only stands by.
const PAUSE: Duration = Duration::from_mins(1);
/// How long a session may be idle until nothing stands by for it any more.
const IDLE: Duration = Duration::from_mins(15);
/// Between two attempts to open one while the link that is used is silent.
const RETRY: Duration = Duration::from_secs(1);
/// How long a link has in any case that is suspected: its other end may be busy.
const LEAST_GRACE: Duration = Duration::from_millis(100);
/// How often it is considered whether one that stands by is still wanted.
const REVIEW: Duration = Duration::from_secs(30);
/// A login that takes longer than this many of the last one's time leads nowhere.
const PATIENCE: u32 = 3;

/// A link beside the one that is used.
pub(super) struct Spare {
    pub(super) live: LiveLink,
    since: Instant,
    /// What it has reported.
    reports: Vec<Report>,
    /// When the host has greeted.
    ready: Option<Instant>,
}

/// What is known about the link that is used.
pub(super) struct Pulse {
    /// When it was opened.
    began: Instant,
    /// When it last said anything.
    heard: Instant,
    /// When the first thing was said that is not answered.
    said: Option<Instant>,
    /// The first Ping that is not answered.
    asked: Option<Question>,
    /// When anything but heartbeats last went either way.
    busy: Instant,
    /// How long the last login took.
    login: Duration,
    /// For how long it had been greeted when it was taken, if it stood by.
    stood_by: Option<Duration>,
    /// Before then, none is opened to stand by.
    not_before: Instant,
    /// When it was last considered whether there should be a spare.
    looked: Instant,
    /// When one was last opened.
    tried: Instant,
}

/// A Ping.
#[derive(Clone, Copy)]
struct Question {
    /// When it should have been answered.
    limit: Instant,
    /// How long nothing else may have been heard either, behind which the answer could be.
    quiet: Duration,
}

impl Spare {
    pub(super) fn new(live: LiveLink) -> Self {
        Self { live, since: Instant::now(), reports: Vec::new(), ready: None }
    }
}

impl Pulse {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        let login = Duration::from_secs(1);
        Self {
            began: now,
            heard: now,
            said: None,
            asked: None,
            busy: now,
            login,
            stood_by: None,
            not_before: now,
            looked: now,
            tried: now,
        }
    }

    pub(super) fn opened(&mut self) {
        (self.began, self.heard) = (Instant::now(), Instant::now());
        self.answered();
        self.stood_by = None;
    }

    /// The host was reached. How long that took says nothing about how long logins take.
    pub(super) fn reached(&mut self) {
        self.began = Instant::now();
    }

    /// Since when the link is there, or is being opened.
    pub(super) fn age(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// What was said has arrived. Something else that is heard does not show that: after an outage, each
    /// direction heals in its own time.
    pub(super) fn answered(&mut self) {
        (self.said, self.asked) = (None, None);
    }

    pub(super) fn said(&mut self) {
        self.busy();
        self.said.get_or_insert_with(Instant::now);
    }

    /// A Ping was sent. An answer takes one round trip, and a login about twelve.
    pub(super) fn asked(&mut self, patience: Duration) {
        let limit = Instant::now() + patience.max(self.login / 2);
        self.asked.get_or_insert(Question { limit, quiet: patience / 2 });
    }

    /// Whether a Ping is not answered.
    pub(super) fn has_asked(&self) -> bool {
        self.asked.is_some()
    }

    pub(super) fn busy(&mut self) {
        self.busy = Instant::now();
    }

    pub(super) fn started(&mut self) {
        // The login of one that stood by was over before it was taken.
        if self.stood_by.is_none() {
            self.login = self.began.elapsed();
        }
    }
}

impl Driver {
    /// Something has changed, or some time has passed: opens a spare, or does without one.
    pub(super) fn look_at_spare(&mut self) {
        let now = Instant::now();
        self.pulse.looked = now;
        if self.spare_overdue().is_some_and(|due| now >= due) {
            // Dialled into an outage, it may be waiting longer and longer to try again.
            if self.is_on_fast_lane() {
                self.lanes.ssh_overdue();
            }
            self.spare_failed(None);
        }
        if self.question_due().is_some_and(|due| now >= due) {
            self.pulse.said = None;
            self.step(MachineEvent::Timer(Timer::Heartbeat));
        }
        let is_doubtful = self.is_doubtful();
        if !is_doubtful && self.is_suspicious() {
            self.connect.prepare();
        }
        let has_any = self.spare.is_some() || self.fast_spare.is_some();
        let is_asked = self.pulse.has_asked() && has_any;
        self.move_to_ssh();
        let is_wanted = self.wants_standby() || self.wants_ssh_lane();
        // While nothing is attached, it may be the next to be used.
        if !is_doubtful && !is_asked && self.machine.is_attached() {
            self.end_doubt();
            if !is_wanted {
                self.drop_spare();
            }
        }
        if is_doubtful && self.has_ready_spare() {
            return self.switch();
        }
        if is_doubtful {
            self.open_fast_spare();
        }
        let is_barred = self.ssh_barred_until().is_some_and(|until| now < until);
        if (is_doubtful || is_wanted) && self.spare.is_none() && !is_barred {
            self.open_spare();
        }
    }

    /// The next look, when something could be different.
    pub(super) fn plan_look(&mut self) {
        self.look_due = if self.has_spares() { self.next_look() } else { None };
    }

    fn next_look(&self) -> Option<Instant> {
        let Pulse { began, looked, tried, not_before, .. } = self.pulse;
        let barred = self.ssh_barred_until().unwrap_or(looked);
        let doubt = match self.doubt() {
            Some(doubt) if !self.is_doubtful() && !self.is_suspicious() => Some(self.early(doubt)),
            Some(doubt) if !self.is_doubtful() => Some(doubt),
            Some(_) if self.spare.is_none() => Some((tried + RETRY).max(barred)),
            _ => None,
        };
        let standby = (self.standby && self.machine.is_attached()).then(|| match &self.spare {
            Some(_) => looked + REVIEW,
            None => (began + self.timing.doubt).max(not_before).max(looked + RETRY).max(barred),
        });
        [self.spare_overdue(), doubt, standby, self.question_due(), self.lanes_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Only for a session that is or was attached: what starts a process takes the usual way.
    pub(super) fn has_spares(&self) -> bool {
        let is_known = self.machine.holder().is_some() && !self.machine.is_ended();
        let is_asking = self.is_asking_allowed && !self.is_link_started;
        is_known && !is_asking && !self.needs_user && self.connect.is_exclusive()
    }

    /// When the link that is used has been silent for too long: from then on it is worth a second
    /// one. One that is being opened may take as long as logins do; over the fast lane, which takes a
    /// quarter of that, half as long, and as long again for each next word. One that has just greeted over
    /// ssh, and brings no answer, is not to blame: the session's server is.
    fn doubt(&self) -> Option<Instant> {
        let Pulse { began, heard, asked, login, stood_by, .. } = self.pulse;
        self.link.as_ref()?;
        if self.machine.is_attached() {
            let silent = heard + self.timing.doubt;
            let unanswered = asked.map(|Question { limit, quiet }| limit.max(heard + quiet));
            Some(unanswered.map_or(silent, |limit| silent.min(limit)))
        } else if stood_by.is_some_and(|time| time >= self.timing.doubt) {
            // That it was greeted proves nothing any more.
            Some(heard + self.timing.doubt / 4)
        } else if self.is_on_fast_lane() {
            Some(heard + self.timing.unanswered.max(login / 2))
        } else {
            (!self.is_link_started).then(|| began + self.login_limit())
        }
    }

    /// When the spare has taken too long.
    fn spare_overdue(&self) -> Option<Instant> {
        let opening = self.spare.as_ref().filter(|spare| spare.ready.is_none())?;
        let usual = self.login_limit();
        let most = self.timing.login.max(usual);
        Some(opening.since + usual.saturating_mul(self.lanes.patience()).min(most))
    }

    /// When to ask a link whether it still is one: what was sent on it may be answered by nobody for
    /// other reasons, as input is by a process that does not read.
    fn question_due(&self) -> Option<Instant> {
        let Pulse { said, asked, .. } = self.pulse;
        let is_open = self.machine.is_attached() && asked.is_none();
        said.filter(|_| is_open).map(|said| said + self.grace())
    }

    fn is_doubtful(&self) -> bool {
        self.has_spares() && self.doubt().is_some_and(|doubt| Instant::now() >= doubt)
    }

    /// Whether the link that is used may soon be one that is worth a second one.
    fn is_suspicious(&self) -> bool {
        self.has_spares() && self.doubt().is_some_and(|doubt| Instant::now() >= self.early(doubt))
    }

    /// A little earlier than this doubt.
    fn early(&self, doubt: Instant) -> Instant {
        doubt.checked_sub(self.grace()).unwrap_or(doubt)
    }

    /// How long a link has that is suspected, or that something was said on.
    fn grace(&self) -> Duration {
        self.timing.doubt / 8
    }

    fn login_limit(&self) -> Duration {
        (self.pulse.login * PATIENCE).max(self.timing.doubt)
    }

    fn wants_standby(&self) -> bool {
        let Pulse { began, busy, not_before, .. } = self.pulse;
        self.standby
            && self.machine.is_attached()
            && began.elapsed() >= self.timing.doubt
            && busy.elapsed() < IDLE
            && Instant::now() >= not_before
            && !power::is_on_battery()
    }

    pub(super) fn open_spare(&mut self) {
        if !self.has_spares() {
            return;
        }
        let spare = Spare::new(self.open_live(Way::Usual(Attempt::Reconnect)));
        self.pulse.tried = spare.since;
        self.lanes.ssh_opened();
        self.spare = Some(spare);
    }

    pub(super) fn drop_spare(&mut self) {
        if let Some(spare) = self.spare.take() {
            tokio::spawn(spare.live.end());
        }
    }

    /// What a link reports that is not used.
    pub(super) fn spare_reports(&mut self, link: Link, report: Report) {
        let is_fast = self.fast_spare.as_ref().is_some_and(|spare| spare.live.link == link);
        let spare = if is_fast { &mut self.fast_spare } else { &mut self.spare };
        let Some(spare) = spare.as_mut().filter(|spare| spare.live.link == link) else { return };
        if matches!(report, Report::Heard(_)) {
            // Nobody is asked for a spare, and noise brings it no further.
            return;
        }
        let is_greeting = |frames: &Vec<Frame>| matches!(frames[..], [Frame::Greeting(_)]);
        let is_welcome = match &report {
            Report::Opened | Report::Started(_) => true,
            Report::Frames(frames) => is_greeting(frames),
            Report::Heard(_) | Report::Misbehaved(..) | Report::Lost(_) => false,
        };
        if !is_welcome || spare.reports.len() >= MOST_REPORTS {
            let error = if let Report::Lost(error) = &report { Some(error) } else { None };
            return if is_fast { self.drop_fast_spare() } else { self.spare_failed(error) };
        }
        match report {
            // How long it took to reach the host says nothing about how long logins take.
            Report::Opened => spare.since = Instant::now(),
            Report::Frames(_) => {
                spare.ready = Some(Instant::now());
                if !is_fast {
                    self.pulse.login = spare.since.elapsed();
                    self.lanes.ssh_greeted();
                }
            }
            _ => {}
        }
        spare.reports.push(report);
        if self.link.is_none() && self.has_ready_spare() {
            // Nothing is used, and nothing has to be waited for any more.
            return self.attempt_now();
        }
        self.look_at_spare();
    }

    fn spare_failed(&mut self, error: Option<&LinkError>) {
        self.drop_spare();
        self.pulse.not_before = Instant::now() + PAUSE;
        self.ssh_lane_failed(error);
    }

    /// What worked before may be dead without a word: it has less time to show that it is not.
    pub(super) fn suspect(&mut self) {
        let quiet = (self.pulse.login / 6).max(LEAST_GRACE).min(self.grace());
        self.pulse.asked = Some(Question { limit: Instant::now() + quiet, quiet });
        if self.has_spares() {
            self.connect.prepare();
        }
    }

    /// The other link was there first. What the silent one still brings does not count.
    fn switch(&mut self) {
        let Some(link) = self.link.as_ref().map(|live| live.link) else { return };
        self.last_loss = String::from("nothing was heard for too long, and another connection was");
        self.drop_dead(link, MachineEvent::LinkLost(link));
    }

    /// Whether there is one, ready or not.
    pub(super) fn has_spare(&self) -> bool {
        self.spare.is_some()
    }

    /// Whether ssh's is there.
    pub(super) fn has_ready_ssh(&self) -> bool {
        self.spare.as_ref().is_some_and(|spare| spare.ready.is_some())
    }

    fn has_ready_fast(&self) -> bool {
        self.fast_spare.as_ref().is_some_and(|spare| spare.ready.is_some())
    }

    /// Whether the next attempt needs no wait: a link is there.
    pub(super) fn has_ready_spare(&self) -> bool {
        self.has_ready_ssh() || self.has_ready_fast()
    }

    /// Takes a spare for the attempt that is to be made; whether there is one that leads somewhere.
    pub(super) fn use_spare(&mut self) -> bool {
        if !self.has_ready_ssh() && self.has_ready_fast() && self.open_fast() {
            return true;
        }
        let is_fresh = |spare: &Spare| spare.since.elapsed() < self.timing.doubt;
        let Some(spare) = self.spare.take_if(|spare| spare.ready.is_some() || is_fresh(spare))
        else {
            return false;
        };
        self.take_up(spare);
        true
    }

    /// It is the link that is used.
    pub(super) fn take_up(&mut self, spare: Spare) {
        let link = spare.live.link;
        self.pulse.opened();
        self.pulse.began = spare.since;
        self.pulse.stood_by = spare.ready.map(|at| at.elapsed());
        spare.live.course.used(self.detached_since.elapsed());
        self.link = Some(spare.live);
        self.replayed.extend(spare.reports.into_iter().map(|report| (link, report)));
    }
}
