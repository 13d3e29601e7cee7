//! The server's machine: one session, from its first Open to its tombstone (SPEC section 7).
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
//! - Name every link; report each loss once. A link without a Hello is the driver's to close.
//! - Ask [`Server::output_room`] before reading the process: that is how its writer waits.
//! - `Absent` is stepped under the session's lock only, with everything that the registry and
//!   reaping know; the process that leaves `Absent` keeps the lock until it ends.

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
    /// The session that is kept.
    pub session: SessionId,
    /// The host that it is kept on.
    pub host: HostId,
    /// What is understood.
    pub versions: VersionRange,
    /// What is offered beyond it.
    pub capabilities: Capabilities,
}

/// What is known of a session without a living server: its record, its tombstone, and what was
/// found alive of it, folded into one (SPEC section 11.3).
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Past {
    /// Whether there was anything to know.
    pub is_known: bool,
    /// The highest incarnation that was ever used.
    pub used: Option<Incarnation>,
    /// The highest tenure.
    pub tenure: Tenure,
    /// The last failed start.
    pub failed: Option<(Incarnation, SpawnError)>,
    /// How many processes were ended by who looked. It is told, and not remembered.
    pub ended: u32,
}

/// The machine's state.
// One exists per process; a box would cost an allocation for every step that moves it.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Server {
    /// No process. What the attach program decides from, under the lock.
    Absent(Past),
    /// A process was asked for and is not there yet.
    Starting(Starting),
    /// The process lives, or its exit waits to be acknowledged.
    Serving(Serving),
    /// The process and its descendants are being ended.
    Ending(Ending),
    /// Nothing is left but the tombstone.
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

/// The client instance that a session belongs to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Owner {
    instance: ClientInstance,
    name: ClientName,
    version: Version,
    attach: AttachNumber,
    tenure: Tenure,
}

/// A claim that waits for its tenure to be recorded.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
struct Takeover {
    owner: Owner,
    link: Option<Link>,
    from: Seq,
}

/// What a process was started with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Limits {
    /// How much may be unacknowledged in each direction, in bytes of window.
    pub window: u64,
    /// What happens to output beyond it.
    pub overflow: Overflow,
}

/// What happens to a server.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Event {
    /// A frame came.
    Frame(Link, Frame),
    /// A link ended, or was cut.
    LinkLost(Link),
    /// A link brought bytes that are no frame.
    LinkMisbehaved(Link, Misbehaviour),
    /// A timer fired.
    Timer(Timer),
    /// The process runs, under this fresh epoch.
    Started(Epoch, Limits),
    /// The process could not be started.
    StartFailed(SpawnError),
    /// The tenure of a takeover stands in the record.
    TenureRecorded,
    /// It could not be written.
    TenureNotRecorded,
    /// The process has taken all input before this number.
    InputTaken(Seq),
    /// The process wrote something.
    Output(Stream, #[cfg_attr(feature = "record", serde(with = "crate::record::payload"))] Bytes),
    /// The process has ended, and all that it wrote was reported.
    Exited(ExitStatus),
    /// What [`Effect::EndProcess`] asked for is done, and so many processes were ended for it.
    Ended(u32),
    /// Another server holds the session's place in the registry.
    Displaced,
}

/// What ends with a server (SPEC section 11.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Extent {
    /// The process has ended by itself: its terminal hangs up and its pipes close. What runs on after
    /// that has left it.
    HangUp,
    /// The process and all its descendants: another server has the session, and its process the same mark.
    Descendants,
    /// The process, its descendants, and everything else that carries the session's mark.
    Session,
}

/// What a server is to do.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Effect {
    /// Send a frame.
    Send(Link, Frame),
    /// Close a link once everything before is sent, without waiting for its reader.
    Close(Link),
    /// Write the record, start the process, and report it.
    Start {
        /// Which one.
        incarnation: Incarnation,
        /// The tenure of who opens it.
        tenure: Tenure,
        /// Who opens it, for people.
        name: ClientName,
        /// What to start, encoded.
        #[cfg_attr(feature = "record", serde(with = "crate::record::payload"))]
        spec: Bytes,
    },
    /// Write a tenure to the record, and report that.
    RecordTenure(Tenure, ClientName),
    /// Give an input item to the process, in order, and report it once it is taken.
    HandOver(Seq, Item),
    /// End so much, wait until it is gone, and report it.
    EndProcess(Extent),
    /// Write this to the tombstone, then remove the entry.
    Bury(Past),
    /// End.
    Stop,
    /// Start a timer, again if it runs.
    Arm(Timer),
    /// Stop a timer.
    Disarm(Timer),
}

/// All that a step causes, in the order to carry it out.
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

    /// How many payload bytes of output the log takes now: 0 if the process has to wait.
    pub fn output_room(&self) -> usize {
        match self {
            Self::Serving(serving) => serving.output.room(),
            _ => 0,
        }
    }

    /// What was sent on the attached link and is not acknowledged, in bytes of cost.
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

    /// What a claim must name, and who holds the session, for people.
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
    /// What speaks against a Hello whatever the session's state is: the attach program asks this
    /// before it takes the lock (SPEC section 7.2).
    pub fn objection(&self, hello: &Hello) -> Option<Reason> {
        judge::objection(self, hello)
    }
}

fn step_absent(past: Past, config: &Config, event: Event, effects: &mut Effects) -> Server {
    let Event::Frame(link, Frame::Hello(hello)) = event else {
        match event {
            // Items may stand right behind a Resume that was refused.
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

/// A link on which the other side broke a rule ends with why.
fn misbehaved(link: Link, what: Misbehaviour, effects: &mut Effects) {
    effects.push(Effect::Send(link, Frame::Bye(Bye::Misbehaved(what))));
    effects.push(Effect::Close(link));
}

/// A state that has nothing to say to a link closes it.
fn close_link_of(event: &Event, effects: &mut Effects) {
    if let Event::Frame(link, _) | Event::LinkMisbehaved(link, _) = event {
        effects.push(Effect::Close(*link));
    }
}
