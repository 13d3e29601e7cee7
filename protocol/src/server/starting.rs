//! A process that was requested and does not run yet (SPEC section 7.2).

use super::judge::{self, Objection};
use super::{
    Config, Effect, Effects, Event, Limits, Owner, Past, Server, Serving, Starting, refusal,
};
use crate::frame::{Bye, Frame, Hello, How, Refused, Wish};
use crate::ident::Epoch;
use crate::machine::{Link, Timer};
use crate::reason::{Counters, Reason, SpawnError};
use crate::seq::Seq;

impl Starting {
    pub(super) fn step(mut self, config: &Config, event: Event, effects: &mut Effects) -> Server {
        match event {
            Event::Started(epoch, limits) => return self.started(config, epoch, limits, effects),
            Event::StartFailed(error) => {
                self.failed(error, effects);
                return Server::Gone;
            }
            Event::Frame(link, Frame::Hello(hello)) => self.hello(config, link, &hello, effects),
            Event::LinkLost(link) if self.link == Some(link) => self.link = None,
            Event::LinkMisbehaved(link, _) => {
                effects.push(Effect::Close(link));
                self.link = self.link.filter(|opener| *opener != link);
            }
            _ => {}
        }
        Server::Starting(self)
    }

    /// A newer Open of the opener replaces the older one; everything else is too early. A Claim or a Resume
    /// of the opener is about an earlier process, and must not be answered as its Open.
    fn hello(&mut self, config: &Config, link: Link, hello: &Hello, effects: &mut Effects) {
        match judge::judge_owner(config, &self.owner, hello) {
            Ok(()) if !matches!(hello.wish, Wish::Open { .. }) => {
                effects.push(refusal(link, hello, Reason::Unresponsive, self.counters()));
            }
            Ok(()) => {
                self.owner = Owner { tenure: self.owner.tenure, ..Owner::of(hello) };
                if let Some(old) = self.link.replace(link).filter(|old| *old != link) {
                    effects.push(Effect::Send(old, Frame::Bye(Bye::Replaced)));
                    effects.push(Effect::Close(old));
                }
            }
            Err(Objection::Reason(reason)) => {
                effects.push(refusal(link, hello, reason, self.counters()));
            }
            Err(Objection::OtherInstance) => {
                effects.push(refusal(link, hello, Reason::Unresponsive, self.counters()));
            }
        }
    }

    fn counters(&self) -> Counters {
        Counters { used: self.past.used, tenure: self.owner.tenure, epoch: None }
    }

    fn started(self, config: &Config, epoch: Epoch, limits: Limits, out: &mut Effects) -> Server {
        let mut serving = Serving::new(epoch, self.incarnation, self.owner, limits);
        out.push(Effect::Arm(Timer::Retention));
        if let Some(link) = self.link {
            serving.attach(config, link, Seq::ZERO, How::Opened, out);
        }
        Server::Serving(serving)
    }

    fn failed(self, error: SpawnError, effects: &mut Effects) {
        let burnt = Past {
            is_known: true,
            used: Some(self.incarnation),
            tenure: self.owner.tenure.max(self.past.tenure),
            failed: Some((self.incarnation, error.clone())),
            ended: 0,
        };
        let counters = Counters { used: burnt.used, tenure: burnt.tenure, epoch: None };
        effects.push(Effect::Bury(burnt));
        if let Some(link) = self.link {
            let (attach, reason) = (self.owner.attach, Reason::SpawnFailed(error));
            effects.push(Effect::Send(link, Frame::Refused(Refused { attach, reason, counters })));
            effects.push(Effect::Close(link));
        }
        effects.push(Effect::Stop);
    }
}
