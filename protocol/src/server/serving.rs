//! A living process: attach, deliver, acknowledge, detach (SPEC sections 7.3 to 7.5).

use bytes::Bytes;

use super::judge::{self, Objection};
use super::{
    Config, Effect, Effects, Ending, Event, Extent, Limits, Owner, Past, Server, Serving, refusal,
};
use crate::error::{Divergence, Misbehaviour};
use crate::frame::{Bye, Frame, Hello, How, Refused, Scope, Welcome, Wish};
use crate::ident::{AttachNumber, Epoch, Holder, Incarnation};
use crate::item::{ExitStatus, Item, Stream};
use crate::machine::{Link, Timer};
use crate::reason::{Counters, Reason};
use crate::receive::{Arrival, Receive};
use crate::replay::ReplayLog;
use crate::seq::Seq;

/// Whether the session continues after an event.
pub(super) enum After {
    Serve,
    /// The session ends, and this much with it. This link waits for the Closed that answers this attach.
    End(Extent, Option<(Link, AttachNumber)>),
}

impl Serving {
    pub(super) fn new(
        epoch: Epoch,
        incarnation: Incarnation,
        owner: Owner,
        limits: Limits,
    ) -> Self {
        Self {
            epoch,
            incarnation,
            owner,
            link: None,
            takeover: None,
            closed: None,
            input: Receive::starting_at(Seq::ZERO, limits.window),
            output: ReplayLog::new(limits.window, limits.overflow),
            window: limits.window,
            has_exited: false,
        }
    }

    pub(super) fn holder(&self) -> Holder {
        Holder { epoch: self.epoch, incarnation: self.incarnation, tenure: self.owner.tenure }
    }

    pub(super) fn step(mut self, config: &Config, event: Event, effects: &mut Effects) -> Server {
        let after = match event {
            Event::Frame(link, frame) => self.frame(config, link, frame, effects),
            Event::Timer(timer) => self.timer(timer, effects),
            Event::Displaced => return self.end(Extent::Descendants, None, effects),
            other => {
                self.serve(config, other, effects);
                After::Serve
            }
        };
        match after {
            After::Serve => Server::Serving(self),
            After::End(extent, waiting) => self.end(extent, waiting, effects),
        }
    }

    /// The events that never end a session.
    fn serve(&mut self, config: &Config, event: Event, effects: &mut Effects) {
        match event {
            Event::LinkLost(link) => self.link_lost(link, effects),
            Event::LinkMisbehaved(link, what) => self.close_for(link, what, effects),
            Event::TenureRecorded => self.take_over(config, effects),
            Event::TenureNotRecorded => self.drop_takeover(effects),
            Event::InputTaken(next) => self.input_taken(next, effects),
            Event::Output(stream, data) => self.output(stream, data, effects),
            Event::Exited(status) => self.exited(status, effects),
            _ => {}
        }
    }

    fn frame(&mut self, config: &Config, link: Link, frame: Frame, effects: &mut Effects) -> After {
        if let Frame::Hello(hello) = frame {
            return self.hello(config, link, &hello, effects);
        }
        if self.link != Some(link) {
            // An older link, or one whose Hello was refused with items right behind it.
            return After::Serve;
        }
        match frame {
            Frame::Item { seq, item } => self.item(link, seq, item, effects),
            Frame::Ack { next } => return self.acknowledge(link, next, effects),
            Frame::Ping { token } => effects.push(Effect::Send(link, Frame::Pong { token })),
            Frame::Detach => {
                effects.push(Effect::Close(link));
                self.claimant_lost(link);
                self.detach(effects);
            }
            Frame::Close => return After::End(Extent::Session, Some((link, self.owner.attach))),
            Frame::Pong { .. } | Frame::Bye(_) => {}
            _ => self.close_for(link, Misbehaviour::WrongSide, effects),
        }
        After::Serve
    }

    fn timer(&mut self, timer: Timer, effects: &mut Effects) -> After {
        match (timer, self.link) {
            (Timer::Heartbeat, Some(link)) => {
                effects.push(Effect::Send(link, Frame::Ping { token: 0 }));
            }
            (Timer::LinkSilent, Some(link)) => {
                self.close_for(link, Misbehaviour::Silent, effects);
            }
            (Timer::Retention, None) => return After::End(Extent::Session, None),
            _ => {}
        }
        After::Serve
    }

    fn hello(&mut self, config: &Config, link: Link, hello: &Hello, out: &mut Effects) -> After {
        if let Wish::Close { incarnation, scope } = hello.wish {
            return match judge::judge_close(config, &self.owner, hello) {
                Ok(()) => {
                    self.closed = Some(incarnation);
                    self.closed_by(link, hello, out);
                    After::End(self.extent(scope), Some((link, hello.attach)))
                }
                Err(reason) => self.refuse(link, hello, reason, out),
            };
        }
        match judge::judge_owner(config, &self.owner, hello) {
            Ok(()) => match self.position(hello) {
                Ok((from, how)) => {
                    self.owner = Owner { tenure: self.owner.tenure, ..Owner::of(hello) };
                    self.close_other(link, Frame::Bye(Bye::Replaced), out);
                    self.attach(config, link, from, how, out);
                    After::Serve
                }
                Err(reason) => self.refuse(link, hello, reason, out),
            },
            Err(Objection::Reason(reason)) => self.refuse(link, hello, reason, out),
            Err(Objection::OtherInstance) => self.other_instance(link, hello, out),
        }
    }

    /// A living process is ended, whatever scope a Close names.
    fn extent(&self, scope: Scope) -> Extent {
        match scope {
            Scope::Process if self.has_exited => Extent::HangUp,
            Scope::Process | Scope::Session => Extent::Session,
        }
    }

    /// A client that closes another's session takes it over. The owner gets Superseded, and does not start
    /// the process again.
    fn closed_by(&mut self, link: Link, hello: &Hello, effects: &mut Effects) {
        if hello.instance == self.owner.instance {
            return;
        }
        let highest = self.owner.tenure.max(hello.tenure);
        let tenure = highest.next().unwrap_or_else(|| {
            // No higher tenure is left to keep the owner from opening it again. So all incarnations count as
            // used.
            self.closed = Some(Incarnation(u64::MAX));
            highest
        });
        self.owner.tenure = tenure;
        self.close_other(link, Frame::Superseded { by: tenure, name: hello.name.clone() }, effects);
    }

    pub(super) fn refuse(
        &self,
        link: Link,
        hello: &Hello,
        reason: Reason,
        effects: &mut Effects,
    ) -> After {
        effects.push(refusal(link, hello, reason, self.counters()));
        After::Serve
    }

    pub(super) fn counters(&self) -> Counters {
        Counters {
            used: Some(self.incarnation),
            tenure: self.owner.tenure,
            epoch: Some(self.epoch),
        }
    }

    /// Where the output starts on the owner's new attach.
    fn position(&self, hello: &Hello) -> Result<(Seq, How), Reason> {
        match hello.wish {
            // Its version was checked before.
            Wish::Unreadable => Err(Reason::Unknown),
            Wish::Open { .. } | Wish::Close { .. } => Ok((self.output.base(), How::Opened)),
            Wish::Claim { from, .. } => Ok((self.claim_position(from)?, How::Claimed)),
            Wish::Resume { incarnation, epoch, next_output } => {
                if epoch != self.epoch {
                    return Err(Reason::EpochMismatch { current: self.epoch });
                }
                if incarnation != self.incarnation || hello.tenure != self.owner.tenure {
                    return Err(Reason::Diverged(Divergence::Identity));
                }
                if next_output > self.output.next() {
                    return Err(Reason::Diverged(Divergence::OutputAhead));
                }
                if next_output < self.output.base() {
                    return Err(Reason::Diverged(Divergence::OutputBehind));
                }
                Ok((next_output, How::Resumed))
            }
        }
    }

    /// Sends this on the link that was attached so far, if it is another one, and closes that link.
    pub(super) fn close_other(&mut self, link: Link, farewell: Frame, effects: &mut Effects) {
        if let Some(old) = self.link.take().filter(|old| *old != link) {
            effects.push(Effect::Send(old, farewell));
            effects.push(Effect::Close(old));
            self.claimant_lost(old);
        }
    }

    pub(super) fn attach(
        &mut self,
        config: &Config,
        link: Link,
        from: Seq,
        how: How,
        effects: &mut Effects,
    ) {
        self.link = Some(link);
        self.output.rewind(from);
        effects.push(Effect::Disarm(Timer::Retention));
        effects.push(Effect::Arm(Timer::Heartbeat));
        effects.push(Effect::Arm(Timer::LinkSilent));
        let welcome = Welcome {
            attach: self.owner.attach,
            version: self.owner.version,
            capabilities: config.capabilities,
            epoch: self.epoch,
            incarnation: self.incarnation,
            tenure: self.owner.tenure,
            accepted: self.input.accepted(),
            handed_over: self.input.handed_over(),
            buffered: self.input.buffered(),
            first_output: self.output.base(),
            next_output: self.output.sent(),
            window: self.window,
            how,
        };
        effects.push(Effect::Send(link, Frame::Welcome(welcome)));
        self.send_output(effects);
    }

    fn send_output(&mut self, effects: &mut Effects) {
        let Some(link) = self.link else { return };
        while let Some((seq, item)) = self.output.take_sendable() {
            effects.push(Effect::Send(link, Frame::Item { seq, item }));
        }
    }

    fn item(&mut self, link: Link, seq: Seq, item: Item, effects: &mut Effects) {
        if !item.is_input() {
            return self.close_for(link, Misbehaviour::WrongSide, effects);
        }
        match self.input.accept(seq, item) {
            // A process that has ended takes nothing; the client learns how much it never took.
            Arrival::New(..) if self.has_exited => {}
            Arrival::New(seq, item) => effects.push(Effect::HandOver(seq, item)),
            Arrival::Duplicate => {}
            Arrival::Ahead => self.close_for(link, Misbehaviour::SkippedItems, effects),
            Arrival::Excess => self.close_for(link, Misbehaviour::WindowExceeded, effects),
        }
    }

    fn acknowledge(&mut self, link: Link, next: Seq, effects: &mut Effects) -> After {
        if self.output.acknowledge(next).is_err() {
            let refused = Refused {
                attach: self.owner.attach,
                reason: Reason::Diverged(Divergence::OutputAhead),
                counters: self.counters(),
            };
            effects.push(Effect::Send(link, Frame::Refused(refused)));
            effects.push(Effect::Close(link));
            self.claimant_lost(link);
            self.detach(effects);
            return After::Serve;
        }
        if self.has_exited && self.output.base() == self.output.next() {
            return After::End(Extent::HangUp, Some((link, self.owner.attach)));
        }
        self.send_output(effects);
        After::Serve
    }

    fn input_taken(&mut self, next: Seq, effects: &mut Effects) {
        if !self.input.hand_over(next) {
            return;
        }
        if let Some(link) = self.link {
            let next = self.input.handed_over();
            effects.push(Effect::Send(link, Frame::Ack { next }));
        }
    }

    /// The driver asked for room before it read, so the log accepts what the process wrote.
    fn output(&mut self, stream: Stream, data: Bytes, effects: &mut Effects) {
        if self.has_exited || data.is_empty() {
            return;
        }
        if self.output.push(Item::Output { stream, data }).is_ok() {
            self.send_output(effects);
        }
    }

    fn exited(&mut self, status: ExitStatus, effects: &mut Effects) {
        if self.has_exited {
            return;
        }
        self.has_exited = true;
        if self.output.push(Item::Exit(status)).is_ok() {
            self.send_output(effects);
        }
    }

    fn link_lost(&mut self, link: Link, effects: &mut Effects) {
        self.claimant_lost(link);
        if self.link == Some(link) {
            self.detach(effects);
        }
    }

    /// A claimant may have used the link on which the owner is attached.
    fn claimant_lost(&mut self, link: Link) {
        if let Some(takeover) = &mut self.takeover {
            takeover.link = takeover.link.filter(|claimant| *claimant != link);
        }
    }

    fn close_for(&mut self, link: Link, what: Misbehaviour, effects: &mut Effects) {
        effects.push(Effect::Send(link, Frame::Bye(Bye::Misbehaved(what))));
        effects.push(Effect::Close(link));
        self.link_lost(link, effects);
    }

    pub(super) fn detach(&mut self, effects: &mut Effects) {
        self.link = None;
        effects.push(Effect::Disarm(Timer::Heartbeat));
        effects.push(Effect::Disarm(Timer::LinkSilent));
        effects.push(Effect::Arm(Timer::Retention));
    }

    /// The record may have the tenure of a takeover in progress.
    fn past(&self) -> Past {
        let claimed = self.takeover.as_ref().map(|takeover| takeover.owner.tenure);
        Past {
            is_known: true,
            used: Some(self.incarnation).max(self.closed),
            tenure: self.owner.tenure.max(claimed.unwrap_or_default()),
            failed: None,
            ended: 0,
        }
    }

    fn end(
        self,
        extent: Extent,
        waiting: Option<(Link, AttachNumber)>,
        effects: &mut Effects,
    ) -> Server {
        let past = self.past();
        let answered = waiting.map(|(link, _)| link);
        let claimant = self.takeover.and_then(|takeover| takeover.link);
        let claimant = claimant.filter(|claimant| Some(*claimant) != self.link);
        let others = self.link.into_iter().chain(claimant);
        for link in others.filter(|link| Some(*link) != answered) {
            effects.push(Effect::Send(link, Frame::Bye(Bye::Ending)));
            effects.push(Effect::Close(link));
        }
        effects.push(Effect::Disarm(Timer::Heartbeat));
        effects.push(Effect::Disarm(Timer::LinkSilent));
        effects.push(Effect::Disarm(Timer::Retention));
        effects.push(Effect::EndProcess(extent));
        let waiting = waiting.into_iter().collect();
        let is_displaced = extent == Extent::Descendants;
        Server::Ending(Ending { past, owner: self.owner, extent, is_displaced, waiting })
    }
}
