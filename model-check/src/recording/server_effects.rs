//! What must hold of a server's effects.

use rejoin_protocol::frame::{How, Welcome, Wish};
use rejoin_protocol::server::Effect;
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{AttachNumber, Frame, Incarnation, Item, Link, Seq};

use super::server_side::ServerWalk;
use crate::properties::server::{self as properties, Holding, Welcoming};
use crate::properties::{Property, PropertyResult, client, require};

impl<'a> ServerWalk<'a> {
    pub(super) fn effect(&mut self, effect: &'a Effect) -> PropertyResult {
        match effect {
            Effect::Send(link, frame) => {
                self.links.sent_to(*link)?;
                self.sent(*link, frame)?;
            }
            Effect::Close(link) => {
                self.links.close(*link);
                if self.attached == Some(*link) {
                    self.attached = None;
                }
            }
            Effect::Start { incarnation, tenure, .. } => {
                self.recorded = *tenure;
                self.start(*incarnation)?;
            }
            Effect::RecordTenure(tenure, _) => self.waits_for.tenures.push_back(*tenure),
            Effect::HandOver(seq, item) => self.hand_over(*seq, item)?,
            Effect::EndProcess(_) => {
                self.waits_for.end = true;
                self.is_ending = true;
            }
            Effect::Bury(_) => {
                self.is_buried = true;
                properties::buried(self.has_exited && !self.may_end, self.is_alive())?;
            }
            Effect::Stop => {
                self.is_stopped = true;
                properties::stopped(self.is_alive())?;
                let is_buried = self.is_buried || self.is_displaced;
                require(is_buried, Property::TombstoneFirst, || {
                    String::from("the server ends without a tombstone")
                })?;
            }
            Effect::Arm(timer) => self.timers.arm(*timer),
            Effect::Disarm(timer) => self.timers.disarm(*timer),
        }
        Ok(())
    }

    /// An attach program does not start anything itself.
    fn start(&mut self, incarnation: Incarnation) -> PropertyResult {
        if self.is_attach {
            return Ok(());
        }
        self.waits_for.start = true;
        let before = self.view.start.replace((self.step, incarnation));
        properties::started(incarnation, before.is_none())
    }

    fn hand_over(&mut self, seq: Seq, item: &'a Item) -> PropertyResult {
        let next = Seq(self.view.handed_over.len() as u64);
        properties::handed_over(seq, next)?;
        require(!self.has_exited && !self.is_ending, Property::HandedOverOnce, || {
            format!("number {seq} is handed over to a process that has ended")
        })?;
        self.view.handed_over.push((self.step, self.speaker, item));
        Ok(())
    }

    fn sent(&mut self, link: Link, frame: &Frame) -> PropertyResult {
        match frame {
            Frame::Welcome(welcome) => self.welcome(link, welcome),
            Frame::Refused(refused) => {
                properties::refused(&refused.reason, self.is_alive())?;
                self.answers(link, refused.attach)
            }
            Frame::Closed { attach, .. } => self.answers(link, *attach),
            Frame::Item { seq, item } => self.item(link, *seq, item),
            Frame::Ack { next } => {
                properties::served(link, self.attached)?;
                client::acknowledged(*next, Some(self.taken))
            }
            _ => Ok(()),
        }
    }

    fn answers(&self, link: Link, attach: AttachNumber) -> PropertyResult {
        properties::answered(self.hello.get(&link).map(|hello| hello.attach), attach)
    }

    fn welcome(&mut self, link: Link, welcome: &Welcome) -> PropertyResult {
        self.answers(link, welcome.attach)?;
        properties::replaces(link, self.attached)?;
        require(
            welcome.how != How::Claimed || self.is_takeover || !self.is_first_claim(),
            Property::TenureFirst,
            || String::from("a claim is granted before its tenure is recorded"),
        )?;
        require(Some(welcome.epoch) == self.view.epoch, Property::SameItems, || {
            format!("{} is not this server's epoch", welcome.epoch)
        })?;
        self.check_counters(welcome)?;
        self.check_owner(link, welcome)?;
        self.attached = Some(link);
        self.next_output = welcome.next_output;
        Ok(())
    }

    /// Whoever is welcomed is the owner, and the owner before it is superseded.
    fn check_owner(&mut self, link: Link, welcome: &Welcome) -> PropertyResult {
        let Some(hello) = self.hello.get(&link) else { return Ok(()) };
        let who = hello.instance;
        let expected = match hello.wish {
            Wish::Claim { expected, .. } => expected.map(|holder| holder.tenure),
            _ => None,
        };
        let is_superseded = self.superseded.contains(&who);
        let Self { owner: before, recorded, .. } = *self;
        let by = Welcoming { who, is_superseded, before, expected, recorded };
        properties::welcomed(welcome, &by)?;
        self.superseded.extend(before.map(|before| before.who).filter(|before| *before != who));
        self.owner = Some(Holding { who, attach: welcome.attach, tenure: welcome.tenure });
        Ok(())
    }

    /// Its owner may claim what it holds already.
    fn is_first_claim(&self) -> bool {
        self.speaker.is_none() || self.speaker != self.owner.map(|owner| owner.who)
    }

    /// Accepted and handed over are two counters; a process that has ended is handed nothing.
    fn check_counters(&self, welcome: &Welcome) -> PropertyResult {
        let Welcome { accepted, next_output, .. } = welcome;
        let blocks = self.limits.is_some_and(|limits| limits.overflow == Overflow::Block);
        properties::told(welcome, self.taken, self.acked, blocks)?;
        let known = Seq(self.view.handed_over.len() as u64);
        require(*accepted == known || self.has_exited, Property::HandedOverOnce, || {
            format!("accepted before {accepted}, handed over before {known}")
        })?;
        properties::sent(*next_output, self.written())
    }

    fn item(&mut self, link: Link, seq: Seq, item: &Item) -> PropertyResult {
        properties::served(link, self.attached)?;
        let next = self.next_output;
        require(seq == next, Property::SentInOrder, || {
            format!("number {seq} is sent where {next} comes next")
        })?;
        self.next_output = item.end(seq);
        properties::sent(self.next_output, self.written())?;
        let written = usize::try_from(seq.0).ok().and_then(|at| self.view.written.get(at));
        client::arrived(seq, item, written)?;
        let is_last = self.next_output == self.written();
        require(is_last || !matches!(item, Item::Exit(_)), Property::ExitIsLast, || {
            format!("the exit is sent under number {seq}, and more follows")
        })
    }
}
