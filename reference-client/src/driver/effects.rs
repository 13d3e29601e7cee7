//! Carries out what the client machine decides.

use std::time::Duration;

use rejoin_protocol::client::{Effect, Patience};
use rejoin_protocol::{Frame, Item, Link, Seq, Timer};
use tokio::sync::oneshot;

use super::Driver;
use crate::event::Event;
use crate::os;
use crate::output::{Output, Taken, output_of};

/// Signals that wait for room; more than that say nothing new.
const MOST_RETURNED: usize = 16;

impl Driver {
    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            // The path machine has been told that a link is wanted.
            Effect::Connect => {}
            Effect::Send(link, frame) => self.send(link, frame),
            Effect::Close(link) => self.close(link),
            Effect::Deliver(seq, item) => self.deliver(seq, item),
            Effect::Tell(notice) => self.notice(notice),
            Effect::Return(item) => self.keep(item),
            Effect::Arm(timer) => self.arm(timer),
            Effect::Disarm(timer) => self.timers.disarm(timer),
        }
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
        let Some(live) = self.link.as_ref().filter(|live| live.link == link) else { return };
        match frame {
            Frame::Item { .. } => self.paths.sent(),
            Frame::Ping { .. } => self.paths.pinged(),
            Frame::Hello(_) => self.paths.asked(),
            _ => {}
        }
        live.send(frame);
        self.timers.restart(Timer::Heartbeat, self.paths.timing().heartbeat);
    }

    pub(super) fn close(&mut self, link: Link) {
        let Some(live) = self.link.take_if(|live| live.link == link) else { return };
        let (done, farewell) = oneshot::channel::<()>();
        let gone = async move {
            live.end().await;
            drop(done);
        };
        self.paths.given_up(link, Box::pin(gone));
        self.farewell = Some(Box::pin(async move {
            let _ = farewell.await;
        }));
    }

    pub(super) fn deliver(&mut self, seq: Seq, item: Item) {
        let incarnation = self.machine.incarnation();
        let taken = Taken { incarnation, next: item.end(seq) };
        let Some(output) = output_of(incarnation, seq, item) else { return };
        let timeline = self.link.as_mut().and_then(|live| live.progress().output());
        self.offer(Some(taken), output);
        // One that took too long was reported without its first output.
        if let Some(timeline) = timeline.filter(|_| self.timeline.take().is_some()) {
            self.tell(Event::Timeline(timeline));
        }
    }

    /// Offers the application what comes next in the output's order.
    pub(super) fn offer(&self, taken: Option<Taken>, output: Output) {
        // Without a reader, the watch on what is taken reports that.
        let _ = self.told.output.send((taken, output));
    }

    pub(super) fn arm(&mut self, timer: Timer) {
        let timing = self.paths.timing();
        let after = match timer {
            Timer::Handshake => timing.login,
            Timer::Heartbeat => timing.heartbeat,
            Timer::LinkSilent => timing.silent,
            Timer::Reconnect => return self.paths.wanted(false),
            Timer::GiveUp => self.patience(),
            Timer::Stable => timing.stable,
            Timer::Retention => return,
        };
        self.timers.arm(timer, after);
    }

    pub(super) fn patience(&mut self) -> Duration {
        let timing = self.paths.timing();
        match self.machine.patience() {
            Some(Patience::Open) => {
                self.open_ends = Some(os::boottime() + timing.open);
                timing.open
            }
            Some(Patience::Close) => timing.close,
            Some(Patience::Hindrance | Patience::Link) | None => timing.hindrance,
        }
    }
}
