//! The server machine: one session, from its first Open to its tombstone (SPEC section 7).
//!
//! ```text
//!              Open                Started               Close, Retention, exit acknowledged
//!   Absent ------------> Starting ---------> Serving ------------------------> Ending ---> Gone
//!     |  refusals           |                                                            ^
//!     +---> Absent          +------------------ StartFailed -----------------------------+
//! ```
//!
//! # The driver's contract
//! - Carry out the effects of a step in their order, before the next step.
//! - Name every link; report each loss once. The driver closes links that bring no Hello.
//! - Ask [`Server::output_room`] before reading from the process: that makes the process wait.
//! - Step `Absent` only under the session's lock, with everything that the registry and reaping know. The
//!   program that leaves `Absent` keeps the lock until it ends.

mod claim;
mod ending;
mod judge;
mod serving;
mod starting;

use alloc::vec::Vec;
use bytes::Bytes;

use crate::error::Misbehaviour;
use crate::frame::{Bye, Frame, Hello, Refused};
use crate::ident::{
    AttachNumber, ClientInstance, ClientName, Epoch, Holder, HostId, Incarnation, SessionId, Tenure,
};
use crate::item::{ExitStatus, Item, Stream};
use crate::machine::{Link, Timer};
use crate::reason::{Counters, Reason, SpawnError};
use crate::receive::Receive;
use crate::replay::ReplayLog;
use crate::seq::Seq;
use crate::spec::Overflow;
use crate::version::{Capabilities, Version, VersionRange};

/// What does not change while a server lives.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// The session that the server keeps.
    pub session: SessionId,
    /// The host on which it keeps the session.
    pub host: HostId,
    /// The versions that the server understands.
    pub versions: VersionRange,
    /// The capabilities that it offers.
    pub capabilities: Capabilities,
}

/// What is known of a session without a living server: its record, its tombstone, and the processes that were
/// found, folded into one value (SPEC section 11.3).
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Past {
    /// Whether anything is known.
    pub is_known: bool,
    /// The highest incarnation that was ever used.
    pub used: Option<Incarnation>,
    /// The highest tenure.
    pub tenure: Tenure,
    /// The last failed start.
    pub failed: Option<(Incarnation, SpawnError)>,
    /// How many processes the program ended that looked. The count is reported, and not remembered.
    pub ended: u32,
}

/// The machine's state.
// One exists per process; a box would cost an allocation for every step that moves it.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Server {
    /// No process. The attach program decides from this state, under the lock.
    Absent(Past),
    /// A process was requested and does not run yet.
    Starting(Starting),
    /// The process lives, or its exit waits to be acknowledged.
    Serving(Serving),
    /// The process and its descendants are being ended.
    Ending(Ending),
    /// Only the tombstone is left.
    Gone,
}

/// See [`Server::Starting`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Starting {
    past: Past,
    incarnation: Incarnation,
    owner: Owner,
    link: Option<Link>,
}

/// See [`Server::Serving`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Serving {
    epoch: Epoch,
    incarnation: Incarnation,
    owner: Owner,
    link: Option<Link>,
    takeover: Option<Takeover>,
    /// The highest incarnation that a Close named.
    closed: Option<Incarnation>,
    input: Receive,
    output: ReplayLog,
    window: u64,
    has_exited: bool,
}

/// See [`Server::Ending`].
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Ending {
    past: Past,
    owner: Owner,
    extent: Extent,
    is_displaced: bool,
    waiting: Vec<(Link, AttachNumber)>,
}

/// The client instance that owns a session.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Owner {
    instance: ClientInstance,
    name: ClientName,
    version: Version,
    attach: AttachNumber,
    tenure: Tenure,
}

/// A takeover whose tenure is not recorded yet.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Takeover {
    owner: Owner,
    link: Option<Link>,
    from: Seq,
}

/// The limits that a process was started with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Limits {
    /// How much may be unacknowledged in each direction, in bytes of window.
    pub window: u64,
    /// What happens to output when the window is full.
    pub overflow: Overflow,
}

/// An event of a server.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Event {
    /// A frame arrived.
    Frame(Link, Frame),
    /// A link ended, or was cut.
    LinkLost(Link),
    /// Bytes that are not a frame arrived on a link.
    LinkMisbehaved(Link, Misbehaviour),
    /// A timer fired.
    Timer(Timer),
    /// The process runs; this is the new epoch.
    Started(Epoch, Limits),
    /// The process could not be started.
    StartFailed(SpawnError),
    /// The tenure of a takeover is in the record.
    TenureRecorded,
    /// The tenure of a takeover could not be written.
    TenureNotRecorded,
    /// The process has taken all input before this number.
    InputTaken(Seq),
    /// The process wrote something.
    Output(Stream, #[cfg_attr(feature = "record", serde(with = "crate::record::payload"))] Bytes),
    /// The process has ended, and all of its output was reported.
    Exited(ExitStatus),
    /// [`Effect::EndProcess`] is done, and ended this many processes.
    Ended(u32),
    /// Another server has the session's place in the registry.
    Displaced,
}

/// What ends with a server (SPEC section 11.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Extent {
    /// The process has ended: its terminal hangs up and its pipes close. Processes that have left it
    /// continue.
    HangUp,
    /// The process and all its descendants. Another server has the session, and its process has the same
    /// mark.
    Descendants,
    /// The process, its descendants, and everything else that carries the session's mark.
    Session,
}

/// An effect of a server.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Effect {
    /// Send a frame.
    Send(Link, Frame),
    /// Close a link once everything before is sent, without waiting for its reader.
    Close(Link),
    /// Write the record, start the process, and report the result.
    Start {
        /// The incarnation.
        incarnation: Incarnation,
        /// The opener's tenure.
        tenure: Tenure,
        /// The opener's name, for people.
        name: ClientName,
        /// What to start, encoded.
        #[cfg_attr(feature = "record", serde(with = "crate::record::payload"))]
        spec: Bytes,
    },
    /// Write a tenure to the record, and report the result.
    RecordTenure(Tenure, ClientName),
    /// Deliver an input item to the process, in order, and report when it is taken.
    HandOver(Seq, Item),
    /// End this much, wait until it is gone, and report it.
    EndProcess(Extent),
    /// Write this to the tombstone, then remove the entry.
    Bury(Past),
    /// End.
    Stop,
    /// Start a timer, or restart it.
    Arm(Timer),
    /// Stop a timer.
    Disarm(Timer),
}

/// The effects of a step, in the order to carry them out.
pub type Effects = Vec<Effect>;

impl Server {
    /// Takes an event, and returns every effect of it.
    pub fn step(&mut self, config: &Config, event: Event) -> Effects {
        let mut effects = Effects::new();
        let state = core::mem::replace(self, Self::Gone);
        *self = match state {
            Self::Absent(past) => step_absent(past, config, event, &mut effects),
            Self::Starting(starting) => starting.step(config, event, &mut effects),
            Self::Serving(serving) => serving.step(config, event, &mut effects),
            Self::Ending(ending) => ending.step(config, event, &mut effects),
            Self::Gone => {
                close_link_of(&event, &mut effects);
                Self::Gone
            }
        };
        effects
    }

    /// How many payload bytes of output the log accepts now; 0 if the process has to wait.
    pub fn output_room(&self) -> usize {
        match self {
            Self::Serving(serving) => serving.output.room(),
            _ => 0,
        }
    }

    /// The cost of what was sent on the attached link and is not acknowledged, in bytes.
    pub fn output_in_flight(&self) -> u64 {
        match self {
            Self::Serving(serving) if serving.link.is_some() => serving.output.in_flight(),
            _ => 0,
        }
    }

    /// The link that is attached.
    pub fn attached(&self) -> Option<Link> {
        match self {
            Self::Serving(serving) => serving.link,
            _ => None,
        }
    }

    /// The holder that a Claim must name, and the owner's name for people.
    pub fn holder(&self) -> Option<(Holder, &ClientName)> {
        match self {
            Self::Serving(serving) => Some((serving.holder(), &serving.owner.name)),
            _ => None,
        }
    }

    /// Whether the session is over and its server may end.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone)
    }

    /// The state's name, for logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Absent(_) => "Absent",
            Self::Starting(_) => "Starting",
            Self::Serving(serving) if serving.has_exited => "Exited",
            Self::Serving(serving) if serving.link.is_some() => "Attached",
            Self::Serving(_) => "Detached",
            Self::Ending(_) => "Ending",
            Self::Gone => "Gone",
        }
    }
}

impl Config {
    /// Why a Hello is refused regardless of the session's state. The attach program asks this before it takes
    /// the lock (SPEC section 7.2).
    pub fn objection(&self, hello: &Hello) -> Option<Reason> {
        judge::objection(self, hello)
    }
}

fn step_absent(past: Past, config: &Config, event: Event, effects: &mut Effects) -> Server {
    let Event::Frame(link, Frame::Hello(hello)) = event else {
        match event {
            // Items may follow a Resume that was refused.
            Event::Frame(_, Frame::Item { .. }) => {}
            Event::Frame(link, Frame::Bye(_)) => effects.push(Effect::Close(link)),
            Event::Frame(link, _) => misbehaved(link, Misbehaviour::WrongSide, effects),
            Event::LinkMisbehaved(link, what) => misbehaved(link, what, effects),
            _ => {}
        }
        return Server::Absent(past);
    };
    match judge::judge_absent(&past, config, &hello) {
        judge::Absent::Start { incarnation, spec } => {
            let owner = Owner::of(&hello);
            let (tenure, name) = (owner.tenure, owner.name.clone());
            effects.push(Effect::Start { incarnation, tenure, name, spec });
            Server::Starting(Starting { past, incarnation, owner, link: Some(link) })
        }
        judge::Absent::Refuse(reason) => {
            let counters = Counters { used: past.used, tenure: past.tenure, epoch: None };
            if past.is_known {
                effects.push(Effect::Bury(past.clone()));
            }
            effects.push(refusal(link, &hello, reason, counters));
            Server::Absent(past)
        }
        judge::Absent::Forget(past) => {
            effects.push(Effect::Bury(past.clone()));
            let closed = Frame::Closed { attach: hello.attach, ended: past.ended };
            effects.push(Effect::Send(link, closed));
            Server::Absent(past)
        }
    }
}

impl Owner {
    fn of(hello: &Hello) -> Self {
        Self {
            instance: hello.instance,
            name: hello.name.clone(),
            version: hello.version,
            attach: hello.attach,
            tenure: hello.tenure,
        }
    }
}

fn refusal(link: Link, hello: &Hello, reason: Reason, counters: Counters) -> Effect {
    Effect::Send(link, Frame::Refused(Refused { attach: hello.attach, reason, counters }))
}

/// Closes a link on which the other side broke a rule, and says why.
fn misbehaved(link: Link, what: Misbehaviour, effects: &mut Effects) {
    effects.push(Effect::Send(link, Frame::Bye(Bye::Misbehaved(what))));
    effects.push(Effect::Close(link));
}

/// In this state, a link is closed without an answer.
fn close_link_of(event: &Event, effects: &mut Effects) {
    if let Event::Frame(link, _) | Event::LinkMisbehaved(link, _) = event {
        effects.push(Effect::Close(*link));
    }
}
