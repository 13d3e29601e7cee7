//! What must hold of a server's effects.

use rejoin_protocol::frame::{How, Welcome};
use rejoin_protocol::server::Effect;
use rejoin_protocol::{AttachNumber, Frame, Incarnation, Item, Link, Seq};

use super::server_side::Walk;
use super::shown;
use super::violation::{Held, Property, require};

impl<'a> Walk<'a> {
    pub(super) fn effect(&mut self, effect: &'a Effect) -> Held {
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
            Effect::Start { incarnation, .. } => self.start(*incarnation)?,
            Effect::RecordTenure(..) => self.waits_for.tenure += 1,
            Effect::HandOver(seq, item) => self.hand_over(*seq, item)?,
            Effect::EndProcess(_) => {
                self.waits_for.end = true;
                self.is_ending = true;
            }
            Effect::Bury(_) => self.is_buried = true,
            Effect::Stop => {
                self.is_stopped = true;
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
    fn start(&mut self, incarnation: Incarnation) -> Held {
        if self.is_attach {
            return Ok(());
        }
        self.waits_for.start = true;
        let before = self.view.start.replace((self.step, incarnation));
        require(before.is_none(), Property::StartedOnce, || {
            String::from("one server starts a second process")
        })
    }

    fn hand_over(&mut self, seq: Seq, item: &'a Item) -> Held {
        let next = Seq(self.view.handed_over.len() as u64);
        require(seq == next, Property::HandedOverOnce, || {
            format!("number {seq} is handed over where {next} comes next")
        })?;
        require(!self.has_exited && !self.is_ending, Property::HandedOverOnce, || {
            format!("number {seq} is handed over to a process that has ended")
        })?;
        self.view.handed_over.push((self.step, self.speaker, item));
        Ok(())
    }

    fn sent(&mut self, link: Link, frame: &Frame) -> Held {
        match frame {
            Frame::Welcome(welcome) => self.welcome(link, welcome),
            Frame::Refused(refused) => self.answers(link, refused.attach),
            Frame::Closed { attach, .. } => self.answers(link, *attach),
            Frame::Item { seq, item } => self.item(link, *seq, item),
            Frame::Ack { next } => {
                self.served(link)?;
                require(*next <= self.taken, Property::AcknowledgedIsTaken, || {
                    format!("acknowledged before {next}, taken before {}", self.taken)
                })
            }
            _ => Ok(()),
        }
    }

    fn answers(&self, link: Link, attach: AttachNumber) -> Held {
        let asked = self.hello.get(&link).map(|(attach, _)| *attach);
        require(asked == Some(attach), Property::AnswerNamesAttach, || {
            format!("attach {attach} is answered where {asked:?} was asked")
        })
    }

    fn served(&self, link: Link) -> Held {
        require(self.attached == Some(link), Property::OneLinkServed, || {
            format!("{link:?} is served, and {:?} is attached", self.attached)
        })
    }

    fn welcome(&mut self, link: Link, welcome: &Welcome) -> Held {
        self.answers(link, welcome.attach)?;
        require(self.attached.is_none_or(|other| other == link), Property::OneLinkServed, || {
            format!("{link:?} is attached beside {:?}", self.attached)
        })?;
        require(
            welcome.how != How::Claimed || self.is_takeover || !self.is_first_claim(),
            Property::TenureFirst,
            || String::from("a claim is granted before its tenure is recorded"),
        )?;
        require(Some(welcome.epoch) == self.view.epoch, Property::SameItems, || {
            format!("{} is not this server's epoch", welcome.epoch)
        })?;
        self.check_counters(welcome)?;
        self.attached = Some(link);
        self.owner = self.hello.get(&link).map(|(_, instance)| *instance);
        self.next_output = welcome.next_output;
        Ok(())
    }

    /// Its owner may claim what it holds already.
    fn is_first_claim(&self) -> bool {
        self.speaker.is_none() || self.speaker != self.owner
    }

    /// Accepted and handed over are two counters; a process that has ended is handed nothing.
    fn check_counters(&self, welcome: &Welcome) -> Held {
        let Welcome { accepted, handed_over, next_output, .. } = welcome;
        require(*handed_over <= self.taken, Property::AcknowledgedIsTaken, || {
            format!("told before {handed_over}, taken before {}", self.taken)
        })?;
        let known = Seq(self.view.handed_over.len() as u64);
        require(*accepted == known || self.has_exited, Property::HandedOverOnce, || {
            format!("accepted before {accepted}, handed over before {known}")
        })?;
        let written = Seq(self.view.written.len() as u64);
        require(*next_output <= written, Property::SentInOrder, || {
            format!("output goes on at {next_output}, and was written before {written}")
        })
    }

    fn item(&mut self, link: Link, seq: Seq, item: &Item) -> Held {
        self.served(link)?;
        let next = self.next_output;
        require(seq == next, Property::SentInOrder, || {
            format!("number {seq} is sent where {next} comes next")
        })?;
        self.next_output = item.end(seq);
        let written = usize::try_from(seq.0).ok().and_then(|at| self.view.written.get(at));
        let is_same = matches!(item, Item::Gap { .. }) || written == Some(item);
        require(is_same, Property::SameItems, || {
            format!("under number {seq} the process did not write {}", shown(item))
        })?;
        let is_last = self.next_output.0 == self.view.written.len() as u64;
        require(is_last || !matches!(item, Item::Exit(_)), Property::ExitIsLast, || {
            format!("the exit is sent under number {seq}, and more follows")
        })
    }
}
