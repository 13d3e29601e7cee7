//! The client machine: one session, over every link loss (SPEC section 7).
//!
//! ```text
//!               Reconnect            LinkOpened             Welcome
//!   Detached --------------> Dialing ----------> Attaching ---------> Attached
//!      ^                        |                    |                    |
//!      +------------------------+--------------------+--------------------+   link lost
//!
//!   from every state: Ended, once the session is over for this client
//! ```
//!
//! # The driver's contract
//! - Carry out the effects of a step in their order, before the next step.
//! - A new client is `Detached`: fire [`Timer::Reconnect`] when it should start, and later whenever an
//!   attempt is worthwhile at once, for example when the network is back.
//! - Name every link with a number of its own; answer every [`Effect::Connect`] with
//!   [`Event::LinkOpened`] or [`Event::LinkFailed`].
//! - Ask [`Client::input_room`] before taking input from the application.
//! - Report [`Event::Taken`] when the application has taken the output, not when it was offered.

mod answer;
mod ask;
mod attached;
mod ending;
mod notice;

use alloc::vec::Vec;
use bytes::Bytes;

pub use notice::{Ending, Loss, Notice, Patience};

use crate::error::Misbehaviour;
use crate::frame::{Frame, From};
use crate::ident::{
    AttachNumber, ClientInstance, ClientName, Epoch, Holder, HostId, Incarnation, SessionId, Tenure,
};
use crate::item::{ExitStatus, Item};
use crate::machine::{Link, Timer};
use crate::receive::Receive;
use crate::replay::ReplayLog;
use crate::seq::Seq;
use crate::spec::{Overflow, ProcessSpec};
use crate::version::{Version, VersionRange};

/// How much input is sent right after a Resume, in bytes of window. It is more than anybody types during an
/// outage, and little compared with what a link carries that is soon cut again.
const EARLY_FLIGHT: u64 = 16 * 1024;

/// How many replacements a client starts in a row. The count restarts if one stays attached until
/// [`Timer::Stable`] fires.
pub const MAX_REPLACEMENTS: u8 = 5;

/// What does not change while a client lives.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// The session.
    pub session: SessionId,
    /// The client instance: new, never used before.
    pub instance: ClientInstance,
    /// The client's name, for people.
    pub name: ClientName,
    /// The versions that the client understands.
    pub versions: VersionRange,
    /// What to start, encoded; none if this client cannot start anything.
    #[cfg_attr(feature = "record", serde(with = "crate::record::payload::optional"))]
    pub spec: Option<Bytes>,
    /// What to do when the process is gone.
    pub on_loss: OnLoss,
    /// Whether to take over a session that another client owns, once.
    pub take_over: bool,
    /// How much input to keep before the server has said its window, in bytes of window.
    pub window: u64,
}

/// What to do when the process is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum OnLoss {
    /// Report the loss and start a new process in the same session.
    Respawn,
    /// Report the loss and end.
    Fail,
}

/// The machine's state.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Client {
    phase: Phase,
    attach: AttachNumber,
    version: Version,
    incarnation: Incarnation,
    epoch: Option<Epoch>,
    tenure: Tenure,
    host: Option<HostId>,
    claim: Option<Claim>,
    may_take_over: bool,
    is_closing: bool,
    patience: Option<Patience>,
    replacements: u8,
    exit: Option<ExitStatus>,
    /// Whether the last report to the application said that it is attached.
    is_told_attached: bool,
    input: ReplayLog,
    output: Receive,
}

/// The phase of the client's link.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
enum Phase {
    Detached,
    Dialing,
    /// A link is open. `greeted` is the host at its other end; with `is_asked`, a Hello waits for its answer.
    Attaching {
        link: Link,
        greeted: Option<HostId>,
        is_asked: bool,
    },
    Attached {
        link: Link,
    },
    Ended(Ending),
}

/// A session that another client instance owned, and that is not ours yet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Claim {
    expected: Option<Holder>,
    from: From,
}

/// An event of a client.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Event {
    /// The requested link is open.
    LinkOpened(Link),
    /// The requested link could not be opened.
    LinkFailed,
    /// A frame arrived.
    Frame(Link, Frame),
    /// A link ended, or was cut.
    LinkLost(Link),
    /// This link is open, and replaces the current one, which is to be closed. Nothing was lost.
    LinkReplaced(Link),
    /// No link can be had, and the driver has stopped trying.
    Unreachable,
    /// Bytes that are not a frame arrived on a link.
    LinkMisbehaved(Link, Misbehaviour),
    /// A timer fired.
    Timer(Timer),
    /// The application has something for the process.
    Input(Item),
    /// The application has taken all output before this number.
    Taken(Seq),
    /// The application leaves; the process continues.
    Detach,
    /// The application wants to end the process and forget the session.
    Close,
}

/// An effect of a client.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Effect {
    /// Open a link, and report the result.
    Connect,
    /// Send a frame.
    Send(Link, Frame),
    /// Close a link once everything before is sent, without waiting for its reader. No effect names a link
    /// that is still being opened: the driver abandons it when the client has ended.
    Close(Link),
    /// Offer an output item to the application, and report it once it is taken.
    Deliver(Seq, Item),
    /// Report to the application.
    Tell(Notice),
    /// Return an input item: there was no room, there is no process any more, or it is longer than
    /// [`Item::MAX_PAYLOAD`].
    Return(Item),
    /// Start a timer, or restart it.
    Arm(Timer),
    /// Stop a timer.
    Disarm(Timer),
}

/// The effects of a step, in the order to carry them out.
pub type Effects = Vec<Effect>;

impl Client {
    /// A client that opens the session: its incarnation 0 has never been started.
    pub fn open(config: &Config) -> Self {
        Self::new(config, Incarnation(0), Tenure(0), None)
    }

    /// A client that claims a session from the holder that its user saw. If no holder is named, it claims the
    /// session from its current holder, if [`Config::take_over`] allows that.
    pub fn claim(config: &Config, expected: Option<Holder>, from: From) -> Self {
        let incarnation = expected.map_or(Incarnation(0), |holder| holder.incarnation);
        let tenure = expected.map_or(Tenure(0), |holder| holder.tenure);
        let mut client = Self::new(config, incarnation, tenure, Some(Claim { expected, from }));
        client.may_take_over &= expected.is_none();
        client
    }

    /// A client that only ends the session.
    pub fn close(config: &Config, incarnation: Incarnation, tenure: Tenure) -> Self {
        let mut client = Self::new(config, incarnation, tenure, None);
        client.is_closing = true;
        client
    }

    /// Names the host on which the session is known to be. The client sends no wish to another host.
    pub fn with_host(mut self, host: HostId) -> Self {
        self.host = Some(host);
        self
    }

    fn new(
        config: &Config,
        incarnation: Incarnation,
        tenure: Tenure,
        claim: Option<Claim>,
    ) -> Self {
        Self {
            phase: Phase::Detached,
            attach: AttachNumber(0),
            version: config.versions.max,
            incarnation,
            epoch: None,
            tenure,
            host: None,
            claim,
            may_take_over: config.take_over,
            is_closing: false,
            patience: None,
            replacements: 0,
            exit: None,
            is_told_attached: false,
            input: ReplayLog::new(config.window, Overflow::Block),
            output: Receive::starting_at(Seq::ZERO, ProcessSpec::MAX_WINDOW),
        }
    }

    /// Takes an event, and returns every effect of it.
    pub fn step(&mut self, config: &Config, event: Event) -> Effects {
        let mut effects = Effects::new();
        if !matches!(self.phase, Phase::Ended(_)) {
            self.live(config, event, &mut effects);
        } else if let Event::LinkOpened(link) | Event::LinkReplaced(link) = event {
            effects.push(Effect::Close(link));
        } else if let Event::Input(item) = event {
            effects.push(Effect::Return(item));
        }
        effects
    }

    fn live(&mut self, config: &Config, event: Event, effects: &mut Effects) {
        match event {
            Event::LinkOpened(link) => self.link_opened(config, link, effects),
            Event::LinkFailed if self.phase == Phase::Dialing => {
                self.not_hindered(effects);
                self.detached(Loss::Cut, effects);
            }
            Event::Frame(link, frame) => self.frame(config, link, frame, effects),
            Event::LinkLost(link) if self.link() == Some(link) => self.detached(Loss::Cut, effects),
            Event::LinkReplaced(link) => self.link_replaced(config, link, effects),
            Event::Unreachable => {
                self.end(Ending::GaveUp, Some(Notice::GaveUp(Patience::Link)), effects);
            }
            Event::LinkFailed | Event::LinkLost(_) => {}
            Event::LinkMisbehaved(link, what) => self.misbehaved(link, what, effects),
            Event::Timer(timer) => self.timer(timer, effects),
            Event::Input(item) => self.input(item, effects),
            Event::Taken(next) => self.taken(next, effects),
            Event::Detach => self.leave(effects),
            Event::Close => self.close_session(effects),
        }
    }

    /// The link that is open, attached or not.
    pub fn link(&self) -> Option<Link> {
        match self.phase {
            Phase::Attaching { link, .. } | Phase::Attached { link } => Some(link),
            Phase::Detached | Phase::Dialing | Phase::Ended(_) => None,
        }
    }

    fn link_opened(&mut self, config: &Config, link: Link, effects: &mut Effects) {
        if self.phase != Phase::Dialing {
            effects.push(Effect::Close(link));
            return;
        }
        self.begin(config, link, effects);
    }

    /// The session moves to another link. For the application it stays attached, unless the new link does not
    /// become attached.
    fn link_replaced(&mut self, config: &Config, link: Link, effects: &mut Effects) {
        match self.phase {
            Phase::Attaching { link: old, .. } | Phase::Attached { link: old } => {
                effects.push(Effect::Close(old));
                self.stop_watching(effects);
            }
            Phase::Dialing => {}
            Phase::Detached | Phase::Ended(_) => return effects.push(Effect::Close(link)),
        }
        self.begin(config, link, effects);
    }

    /// Sends the current wish on a link that is open.
    fn begin(&mut self, config: &Config, link: Link, effects: &mut Effects) {
        effects.push(Effect::Arm(Timer::Handshake));
        // Only a Resume is sent before the Greeting: it starts nothing, and its version was agreed on before.
        let is_asked = self.epoch.is_some() && !self.is_closing;
        self.phase = Phase::Attaching { link, greeted: None, is_asked };
        if is_asked {
            self.ask(config, link, None, effects);
            self.input.rewind(self.input.base());
            self.send_early(link, effects);
        }
    }

    fn frame(&mut self, config: &Config, link: Link, frame: Frame, effects: &mut Effects) {
        if self.link() != Some(link) {
            return;
        }
        match (frame, self.phase.clone()) {
            (Frame::Greeting(greeting), Phase::Attaching { is_asked, greeted: None, .. }) => {
                self.greeted(config, link, &greeting, is_asked, effects);
            }
            (Frame::Welcome(welcome), Phase::Attaching { is_asked: true, .. }) => {
                self.welcome(link, &welcome, effects);
            }
            (Frame::Refused(refused), Phase::Attaching { greeted, is_asked: true, .. }) => {
                if refused.attach == self.attach {
                    self.refused(config, link, greeted, refused, effects);
                }
            }
            (Frame::Closed { attach, ended }, Phase::Attaching { is_asked: true, .. }) => {
                self.closed(attach, ended, effects);
            }
            (Frame::Bye(_), _) => {}
            (frame, Phase::Attached { .. }) => self.attached_frame(link, frame, effects),
            (frame, _) => self.unexpected(link, &frame, effects),
        }
    }

    /// Handles a frame that is not an answer: a frame that only clients send is misbehaviour, any other is
    /// late.
    fn unexpected(&mut self, link: Link, frame: &Frame, effects: &mut Effects) {
        let is_fault =
            matches!(frame, Frame::Hello(_) | Frame::Detach | Frame::Close | Frame::Greeting(_));
        if is_fault {
            self.misbehaved(link, Misbehaviour::WrongSide, effects);
        }
    }

    fn timer(&mut self, timer: Timer, effects: &mut Effects) {
        match (timer, self.phase.clone()) {
            (Timer::Reconnect, Phase::Detached) => {
                self.phase = Phase::Dialing;
                effects.push(Effect::Connect);
                if self.is_closing {
                    self.be_patient(Patience::Close, effects);
                }
            }
            (Timer::Handshake, Phase::Attaching { link, greeted, .. }) => {
                effects.push(Effect::Close(link));
                if greeted.is_some() {
                    self.unresponsive(effects);
                }
                self.detached(Loss::Cut, effects);
            }
            (Timer::Heartbeat, Phase::Attached { link }) => {
                effects.push(Effect::Send(link, Frame::Ping { token: 0 }));
            }
            (Timer::LinkSilent, Phase::Attached { link }) => {
                effects.push(Effect::Close(link));
                self.detached(Loss::Silent, effects);
            }
            (Timer::Stable, Phase::Attached { .. }) => self.replacements = 0,
            (Timer::GiveUp, _) => self.give_up(effects),
            _ => {}
        }
    }

    /// Returns to waiting for the next attempt. Reports nothing if the application does not know of an
    /// attachment.
    fn detached(&mut self, loss: Loss, effects: &mut Effects) {
        self.tell_detached(loss, effects);
        self.phase = Phase::Detached;
        self.stop_watching(effects);
        effects.push(Effect::Arm(Timer::Reconnect));
    }

    fn tell_detached(&mut self, loss: Loss, effects: &mut Effects) {
        if core::mem::take(&mut self.is_told_attached) {
            effects.push(Effect::Tell(Notice::Detached(loss)));
        }
    }

    fn stop_watching(&self, effects: &mut Effects) {
        effects.push(Effect::Disarm(Timer::Handshake));
        effects.push(Effect::Disarm(Timer::Heartbeat));
        effects.push(Effect::Disarm(Timer::LinkSilent));
        if self.replacements > 0 {
            effects.push(Effect::Disarm(Timer::Stable));
        }
    }

    fn misbehaved(&mut self, link: Link, what: Misbehaviour, effects: &mut Effects) {
        if self.link() == Some(link) {
            let bye = Frame::Bye(crate::frame::Bye::Misbehaved(what));
            effects.push(Effect::Send(link, bye));
            effects.push(Effect::Close(link));
            if !self.is_attached() && self.patience.is_none() {
                self.be_patient(Patience::Hindrance, effects);
            }
            self.detached(Loss::Misbehaved(what), effects);
        }
    }

    fn input(&mut self, item: Item, effects: &mut Effects) {
        let is_too_long = item.payload().len() > Item::MAX_PAYLOAD;
        if self.exit.is_some() || self.is_closing || !item.is_input() || is_too_long {
            effects.push(Effect::Return(item));
            return;
        }
        match (self.input.push(item), &self.phase) {
            (Err(item), _) => effects.push(Effect::Return(item)),
            (Ok(_), Phase::Attached { link }) => self.send_input(*link, effects),
            (Ok(_), _) => {}
        }
    }

    /// Sends a part of the unacknowledged input before it is known how much has arrived. Typed input saves
    /// its round trip, and bulk input does not fill a short-lived link with repetitions.
    fn send_early(&mut self, link: Link, effects: &mut Effects) {
        while self.input.in_flight() < EARLY_FLIGHT && self.send_next_input(link, effects) {}
    }

    fn send_input(&mut self, link: Link, effects: &mut Effects) {
        while self.send_next_input(link, effects) {}
    }

    fn send_next_input(&mut self, link: Link, effects: &mut Effects) -> bool {
        let Some((seq, item)) = self.input.take_sendable() else { return false };
        effects.push(Effect::Send(link, Frame::Item { seq, item }));
        true
    }
}
