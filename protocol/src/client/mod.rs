//! The client's machine: one session, through every loss of its link (SPEC section 7).
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
//! - A new client is `Detached`: fire [`Timer::Reconnect`] when it is to begin, and at any time
//!   after when an attempt is worth making at once, as when the network came back.
//! - Name every link with a number of its own; answer every [`Effect::Connect`] with
//!   [`Event::LinkOpened`] or [`Event::LinkFailed`].
//! - Ask [`Client::input_room`] before taking input from the application.
//! - Report [`Event::Taken`] when the application took the output, not when it was offered.

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

/// How much input goes out right behind a Resume, in bytes of window: more than anybody types during
/// an outage, and little beside what a link carries that is soon cut again.
const EARLY_FLIGHT: u64 = 16 * 1024;

/// How many processes in a row a client starts in the place of lost ones. Each that stays attached until
/// [`Timer::Stable`] fires begins the count anew.
pub const MAX_REPLACEMENTS: u8 = 5;

/// What does not change while a client lives.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// The session.
    pub session: SessionId,
    /// This claim to it: fresh, never used before.
    pub instance: ClientInstance,
    /// Who the client is, for people.
    pub name: ClientName,
    /// What is understood.
    pub versions: VersionRange,
    /// What to start, encoded; none if this client cannot start anything.
    #[cfg_attr(feature = "record", serde(with = "crate::record::payload::optional"))]
    pub spec: Option<Bytes>,
    /// What to do when the process is gone.
    pub on_loss: OnLoss,
    /// Whether a session that another client holds is to be taken over, once.
    pub take_over: bool,
    /// How much input is kept before the server has said its own window, in bytes of window.
    pub window: u64,
}

/// What to do when the process is gone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum OnLoss {
    /// Tell it and start a fresh process in the same session.
    Respawn,
    /// Tell it and end.
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
    /// Whether the application was told last that it is attached.
    is_told_attached: bool,
    input: ReplayLog,
    output: Receive,
}

/// Where the client stands with its link.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
enum Phase {
    Detached,
    Dialing,
    /// A link is open. `greeted` is the host at its other end; with `is_asked`, a Hello waits for
    /// its answer.
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

/// A session that another client instance held, and that is not ours yet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Claim {
    expected: Option<Holder>,
    from: From,
}

/// What happens to a client.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Event {
    /// The link asked for is open.
    LinkOpened(Link),
    /// It could not be opened.
    LinkFailed,
    /// A frame came.
    Frame(Link, Frame),
    /// A link ended, or was cut.
    LinkLost(Link),
    /// This link is open, and takes the place of the one at hand, which is to be closed: nothing was lost.
    LinkReplaced(Link),
    /// No link can be had, and the driver looks for none any more.
    Unreachable,
    /// A link brought bytes that are no frame.
    LinkMisbehaved(Link, Misbehaviour),
    /// A timer fired.
    Timer(Timer),
    /// The application has something for the process.
    Input(Item),
    /// The application has taken all output before this number.
    Taken(Seq),
    /// The application wants to leave, and the process to stay.
    Detach,
    /// The application wants the process ended and the session forgotten.
    Close,
}

/// What a client is to do.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Effect {
    /// Open a link, and report it.
    Connect,
    /// Send a frame.
    Send(Link, Frame),
    /// Close a link once everything before is sent, without waiting for its reader. A link that is
    /// still being opened is named by no effect: the driver gives it up when the client has ended.
    Close(Link),
    /// Offer an output item to the application, and report it once it is taken.
    Deliver(Seq, Item),
    /// Tell the application.
    Tell(Notice),
    /// An input item that there was no room for, or no process any more, or that is longer than
    /// [`Item::MAX_PAYLOAD`].
    Return(Item),
    /// Start a timer, again if it runs.
    Arm(Timer),
    /// Stop a timer.
    Disarm(Timer),
}

/// All that a step causes, in the order to carry it out.
pub type Effects = Vec<Effect>;

impl Client {
    /// A client that opens the session: its incarnation 0 has never been started.
    pub fn open(config: &Config) -> Self {
        Self::new(config, Incarnation(0), Tenure(0), None)
    }

    /// A client that claims a session: from the holder that its user saw, or, if none is named,
    /// from whoever holds it, if [`Config::take_over`] allows that.
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

    /// Names the host that the session is known to be on: another one is not asked.
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

    /// The session moves: for the application it stays attached, unless the new link leads nowhere.
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

    /// What is wanted is asked for on a link that is open.
    fn begin(&mut self, config: &Config, link: Link, effects: &mut Effects) {
        effects.push(Effect::Arm(Timer::Handshake));
        // Only a Resume goes out before the Greeting: it starts nothing, and the version that it
        // speaks was agreed on before.
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

    /// A frame that belongs to no answer: what only clients send is a fault, the rest is late.
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

    /// Goes back to wait for the next attempt: without a word where the application knows of no attachment.
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

    /// Sends a part of what is not acknowledged before it is known what of it has arrived: what
    /// was typed saves its round trip, and bulk does not fill a short-lived link with repetitions.
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
