//! A client on an attached link, and what an application can query (SPEC section 7.7).

use super::{Client, Effect, Effects, Ending, Loss, Notice, Patience, Phase};
use crate::error::{Divergence, Misbehaviour};
use crate::frame::Frame;
use crate::ident::{AttachNumber, Epoch, Holder, HostId, Incarnation, Tenure};
use crate::item::Item;
use crate::machine::Link;
use crate::reason::Reason;
use crate::receive::Arrival;
use crate::seq::Seq;

impl Client {
    pub(super) fn attached_frame(&mut self, link: Link, frame: Frame, effects: &mut Effects) {
        match frame {
            Frame::Item { seq, item } => self.item(link, seq, item, effects),
            Frame::Ack { next } => self.acknowledged(link, next, effects),
            Frame::Ping { token } => effects.push(Effect::Send(link, Frame::Pong { token })),
            Frame::Superseded { by, name } => {
                let notice = Notice::Superseded { by, name };
                self.end(Ending::Superseded, Some(notice), effects);
            }
            Frame::Refused(refused) if refused.attach == self.attach => {
                self.end(Ending::Refused, Some(Notice::Refused(refused.reason)), effects);
            }
            Frame::Closed { attach, ended } => self.closed(attach, ended, effects),
            Frame::Pong { .. } | Frame::Refused(_) | Frame::Bye(_) => {}
            _ => self.misbehaved(link, Misbehaviour::WrongSide, effects),
        }
    }

    fn item(&mut self, link: Link, seq: Seq, item: Item, effects: &mut Effects) {
        if item.is_input() {
            return self.misbehaved(link, Misbehaviour::WrongSide, effects);
        }
        match self.output.accept(seq, item) {
            Arrival::New(seq, item) => {
                if let Item::Exit(status) = item {
                    self.exit = Some(status);
                }
                effects.push(Effect::Deliver(seq, item));
            }
            Arrival::Duplicate => {}
            Arrival::Ahead => self.misbehaved(link, Misbehaviour::SkippedItems, effects),
            Arrival::Excess => self.misbehaved(link, Misbehaviour::WindowExceeded, effects),
        }
    }

    fn acknowledged(&mut self, link: Link, next: Seq, effects: &mut Effects) {
        if self.input.acknowledge(next).is_err() {
            let reason = Reason::Diverged(Divergence::InputAhead);
            return self.end(Ending::Refused, Some(Notice::Refused(reason)), effects);
        }
        self.send_input(link, effects);
    }

    pub(super) fn taken(&mut self, next: Seq, effects: &mut Effects) {
        if !self.output.hand_over(next) {
            return;
        }
        if let Phase::Attached { link } = self.phase {
            let next = self.output.handed_over();
            effects.push(Effect::Send(link, Frame::Ack { next }));
        }
        if self.is_all_taken() {
            self.exited(effects);
        }
    }

    fn exited(&mut self, effects: &mut Effects) {
        if let Some(status) = self.exit.filter(|_| !self.is_closing) {
            let unacknowledged_input = self.input.unacknowledged_bytes();
            effects.push(Effect::Tell(Notice::Exited { status, unacknowledged_input }));
            self.begin_closing(effects);
        }
    }

    fn is_all_taken(&self) -> bool {
        self.output.handed_over() == self.output.accepted()
    }

    /// How many payload bytes the next input item may have; 0 if the application has to wait.
    pub fn input_room(&self) -> usize {
        if self.is_ended() { 0 } else { self.input.room() }
    }

    /// Payload bytes of input that the process is not known to have taken.
    pub fn unacknowledged_input(&self) -> u64 {
        self.input.unacknowledged_bytes()
    }

    /// The first input that the process is not known to have taken.
    pub fn next_input(&self) -> Seq {
        self.input.base()
    }

    /// What the client waits for while [`crate::Timer::GiveUp`] runs.
    pub fn patience(&self) -> Option<Patience> {
        self.patience
    }

    /// The holder that a Claim must name; none before the first Welcome of an incarnation.
    pub fn holder(&self) -> Option<Holder> {
        let epoch: Option<Epoch> = self.epoch;
        epoch.map(|epoch| Holder { epoch, incarnation: self.incarnation, tenure: self.tenure })
    }

    /// How many replacements were started in a row, at most [`super::MAX_REPLACEMENTS`]. While there are any,
    /// a driver's backoff does not restart.
    pub fn replacements(&self) -> u8 {
        self.replacements
    }

    /// The incarnation that the client has, or asks for.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The highest tenure that the client was entitled to.
    pub fn tenure(&self) -> Tenure {
        self.tenure
    }

    /// The host that the session is on, once known.
    pub fn host(&self) -> Option<HostId> {
        self.host
    }

    /// The first output that the application has not taken.
    pub fn next_output(&self) -> Seq {
        self.output.handed_over()
    }

    /// Whether a Hello was sent to a host: before that, nothing can have been started.
    pub fn has_asked(&self) -> bool {
        self.attach > AttachNumber(0)
    }

    /// Whether a link is attached.
    pub fn is_attached(&self) -> bool {
        matches!(self.phase, Phase::Attached { .. })
    }

    /// Whether there is no link, and none was requested: [`Timer::Reconnect`](crate::Timer::Reconnect) may
    /// fire.
    pub fn is_detached(&self) -> bool {
        self.phase == Phase::Detached
    }

    /// Whether a link was requested and is not open yet.
    pub fn is_dialing(&self) -> bool {
        self.phase == Phase::Dialing
    }

    /// Whether the session is over for this client.
    pub fn is_ended(&self) -> bool {
        self.ending().is_some()
    }

    /// How the session ended for this client.
    pub fn ending(&self) -> Option<Ending> {
        match self.phase {
            Phase::Ended(ending) => Some(ending),
            _ => None,
        }
    }

    /// The state's name, for logs.
    pub fn name(&self) -> &'static str {
        match self.phase {
            Phase::Detached => "Detached",
            Phase::Dialing => "Dialing",
            Phase::Attaching { is_asked: false, .. } => "Greeting",
            Phase::Attaching { .. } => "Attaching",
            Phase::Attached { .. } if self.is_closing => "Closing",
            Phase::Attached { .. } => "Attached",
            Phase::Ended(_) => "Ended",
        }
    }
}

impl core::fmt::Display for Loss {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Cut => f.write_str("the connection was lost"),
            Self::Silent => f.write_str("the connection fell silent"),
            Self::Misbehaved(what) => write!(f, "the connection was closed: {what}"),
        }
    }
}
