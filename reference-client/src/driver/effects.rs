//! Carries out what the client machine decides.

use std::sync::Arc;
use std::time::Duration;

use rejoin_protocol::client::{Effect, Patience};
use rejoin_protocol::{Frame, Item, Link, Seq, Timer};
use rejoin_ssh::Attempt;
use tokio::time::Instant;

use super::Driver;
use crate::link::{LiveLink, Way};
use crate::session::{Output, Taken, output_of};
use crate::wake;

/// Signals that wait for room; more than that say nothing new.
const MOST_RETURNED: usize = 16;

impl Driver {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Connect => self.open_link(),
            Effect::Send(link, frame) => self.send(link, frame),
            Effect::Close(link) => self.close(link),
            Effect::Deliver(seq, item) => self.deliver(seq, item),
            Effect::Tell(notice) => self.notice(notice),
            Effect::Return(item) => self.keep(item),
            Effect::Arm(timer) => self.arm(timer),
            Effect::Disarm(timer) => self.timers.disarm(timer),
        }
    }

    pub(super) fn open_link(&mut self) {
        // Once: at the start, and whenever a person pressed a key to be asked.
        let may_ask = std::mem::take(&mut self.may_ask);
        // Until the link is there, whoever opens it keeps the time: it may have much to send first.
        self.asking_until = None;
        self.is_asking_allowed = false;
        self.is_link_opened = false;
        self.is_link_started = false;
        self.noise = None;
        // A link that is there is sooner there than any.
        if !may_ask && !self.has_ready_spare() && self.open_fast() {
            return;
        }
        self.lanes.left_to_ssh();
        // One that is only being opened asks nobody.
        if (!may_ask || self.has_ready_spare()) && self.use_spare() {
            return;
        }
        self.is_asking_allowed = may_ask;
        self.pulse.opened();
        let attempt = if may_ask { Attempt::First } else { Attempt::Reconnect };
        let live = self.open_live(Way::Usual(attempt));
        live.course.used(self.detached_since.elapsed());
        self.link = Some(live);
    }

    pub(super) fn open_live(&mut self, way: Way) -> LiveLink {
        self.links += 1;
        let (link, reports) = (Link(self.links), self.reports.clone());
        LiveLink::open(link, Arc::clone(&self.connect), way, reports)
    }

    /// What there was no room for. Input waits until there is some, so that this is a size or a
    /// signal, or comes when no process is left to take it. Of sizes only the last one counts.
    fn keep(&mut self, item: Item) {
        if matches!(item, Item::Resize(_)) {
            self.returned.retain(|kept| !matches!(kept, Item::Resize(_)));
        }
        if !matches!(item, Item::Input(_)) && self.returned.len() < MOST_RETURNED {
            self.returned.push(item);
        }
    }

    pub(super) fn send(&mut self, link: Link, frame: Frame) {
        if let Some(live) = self.link.as_ref().filter(|live| live.link == link) {
            match frame {
                Frame::Item { .. } => self.pulse.said(),
                Frame::Ping { .. } => self.pulse.asked(self.timing.unanswered),
                _ => {}
            }
            live.send(frame);
            self.timers.restart(Timer::Heartbeat, self.timing.heartbeat);
        }
    }

    pub(super) fn close(&mut self, link: Link) {
        if let Some(live) = self.link.take_if(|live| live.link == link) {
            self.farewell = Some(Box::pin(live.end()));
        }
    }

    pub(super) fn deliver(&mut self, seq: Seq, item: Item) {
        let incarnation = self.machine.incarnation();
        let taken = Taken { incarnation, next: item.end(seq) };
        let Some(output) = output_of(incarnation, seq, item) else { return };
        if let Some(live) = &mut self.link {
            live.course.output();
        }
        self.offer(Some(taken), output);
    }

    /// Offers the application what comes next in the output's order.
    pub(super) fn offer(&self, taken: Option<Taken>, output: Output) {
        // Without a reader, the watch on what is taken reports that.
        let _ = self.output.send((taken, output));
    }

    pub(super) fn arm(&mut self, timer: Timer) {
        let timing = &self.timing;
        let after = match timer {
            Timer::Handshake => timing.login,
            Timer::Heartbeat => timing.heartbeat,
            Timer::LinkSilent => timing.silent,
            Timer::Reconnect => return self.plan_attempt(),
            Timer::GiveUp => self.patience(),
            Timer::Stable => timing.stable,
            Timer::Retention => return,
        };
        self.timers.arm(timer, after);
    }

    pub(super) fn patience(&mut self) -> Duration {
        match self.machine.patience() {
            Some(Patience::Open) => {
                self.open_ends = Some(wake::boottime() + self.timing.open);
                self.timing.open
            }
            Some(Patience::Close) => self.timing.close,
            Some(Patience::Hindrance) | None => self.timing.hindrance,
        }
    }

    pub(super) fn plan_attempt(&mut self) {
        self.drop_link();
        let delay = if self.needs_user {
            self.unreachable_since = Instant::now();
            self.timing.needs_user
        } else if self.has_other_lane() || self.has_ready_spare() {
            Duration::ZERO
        } else {
            self.backoff.next_delay(&self.timing).saturating_sub(self.time_without_answer())
        };
        if self.timing.give_up.is_some_and(|limit| self.unreachable_since.elapsed() >= limit) {
            return self.abandon("timeout", "no connection came about in time");
        }
        if !delay.is_zero() {
            self.connect.prepare();
        }
        self.tell_attempt(delay);
        self.timers.arm(Timer::Reconnect, delay);
        self.revived = Some(self.connect.revived());
    }

    /// How long the last attempt took, if nothing ever came of it: an attempt that waited for an answer
    /// until its time was over was pause enough.
    fn time_without_answer(&self) -> Duration {
        if self.is_link_started { Duration::ZERO } else { self.pulse.age() }
    }

    pub(super) fn drop_link(&mut self) {
        if let Some(link) = self.link.as_ref().map(|live| live.link) {
            self.close(link);
        }
    }
}
