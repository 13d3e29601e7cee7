//! The end of a process and its descendants (SPEC section 7.5).

use super::{Config, Effect, Effects, Ending, Event, Extent, Server, judge};
use crate::frame::{Bye, Frame, Hello, Scope, Wish};
use crate::machine::Link;

impl Ending {
    pub(super) fn step(mut self, config: &Config, event: Event, effects: &mut Effects) -> Server {
        match event {
            Event::Ended(count) => {
                self.ended(count, effects);
                return Server::Gone;
            }
            Event::Displaced => self.is_displaced = true,
            Event::LinkLost(lost) => self.waiting.retain(|(link, _)| *link != lost),
            // Ending may take a while, and a client that waits must not take that for silence.
            Event::Frame(link, Frame::Ping { token }) => {
                effects.push(Effect::Send(link, Frame::Pong { token }));
            }
            Event::Frame(link, Frame::Hello(hello)) => self.hello(config, link, &hello, effects),
            Event::LinkMisbehaved(link, _) => {
                self.waiting.retain(|(waiting, _)| *waiting != link);
                effects.push(Effect::Close(link));
            }
            _ => {}
        }
        Server::Ending(self)
    }

    /// Only a Close may wait, unless it asks for more than is being ended. The attach program answers any
    /// other wish once this server has ended.
    fn hello(&mut self, config: &Config, link: Link, hello: &Hello, effects: &mut Effects) {
        self.waiting.retain(|(waiting, _)| *waiting != link);
        if let Wish::Close { incarnation, scope } = hello.wish
            && (self.extent != Extent::HangUp || scope == Scope::Process)
            && judge::judge_close(config, &self.owner, hello).is_ok()
        {
            self.past.used = self.past.used.max(Some(incarnation));
            self.waiting.push((link, hello.attach));
            return;
        }
        effects.push(Effect::Send(link, Frame::Bye(Bye::Ending)));
        effects.push(Effect::Close(link));
    }

    fn ended(self, ended: u32, effects: &mut Effects) {
        if !self.is_displaced {
            effects.push(Effect::Bury(self.past));
        }
        for (link, attach) in self.waiting {
            // The server that took this one's place is not closed.
            if !self.is_displaced {
                effects.push(Effect::Send(link, Frame::Closed { attach, ended }));
            }
            effects.push(Effect::Close(link));
        }
        effects.push(Effect::Stop);
    }
}
