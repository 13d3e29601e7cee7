//! What is to be done.

use alloc::vec::Vec;

use super::{Need, Path};
use crate::machine::Link;

/// Something to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Effect {
    /// Open a link over a path, and report what becomes of it.
    Dial {
        /// The path.
        path: Path,
        /// The number that the link has from now on.
        link: Link,
        /// Whether a person may be asked.
        mode: Mode,
    },
    /// The session uses this link from now on.
    Use(Link),
    /// The session uses the new link instead of the old one, which is closed. Nothing was lost.
    Replace {
        /// The link that was used.
        old: Link,
        /// The link that is used from now on.
        new: Link,
    },
    /// Close this link. If it is the one that is used, it is lost for the session.
    ///
    /// A link over an [exclusive](super::Properties::is_exclusive) path that is dropped or replaced keeps
    /// its number until it has ended: report that.
    Drop(Link),
    /// A link will probably be wanted soon: do what can be done before.
    Prepare,
    /// Send a Ping on the link that is used.
    Ask,
    /// Find out what a quick path needs.
    Learn,
    /// Start a timer, again if it runs.
    Arm(Timer, Class, u8),
    /// Stop a timer.
    Disarm(Timer),
    /// Tell the application.
    Tell(Story),
    /// No link can be had: the session is over for this client.
    GiveUp(Urgency),
}

/// All that a step causes, in the order to carry it out.
pub type Effects = Vec<Effect>;

/// Whether a dial may ask a person for something.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Mode {
    /// It may.
    Asking,
    /// It may not: what needs a person fails.
    Alone,
}

/// What the application is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Story {
    /// The session has no link. The next attempt is under way, or made when the first of the timers
    /// [`Timer::Pause`] fires. One for each attempt, whatever number of paths it takes.
    Waiting,
    /// A person is needed: told once for each need.
    Needs(Need),
    /// [`MANY_ENDS`](super::MANY_ENDS) links in a row have ended after the host had greeted, before the
    /// session was attached.
    Ends,
}

/// Why a machine gives up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Urgency {
    /// The first link failed, and nothing was asked of the host yet: as with ssh, that is the end.
    First,
    /// No link came about for as long as the application is willing to wait.
    Patience,
}

/// The timers, by name. Each fires once for each time that it was armed, and not after it was disarmed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// The pause between two dials of a path, from the first one's beginning.
    Pause(Path),
    /// A link that was dialled over this path has not greeted, or was used and is not attached.
    Dial(Path),
    /// The link that is used was attached for a while.
    Calm,
    /// It was attached for long enough for another one to be opened beside it.
    Settled,
    /// Nothing came on it. The driver starts this again with each byte that comes, while it runs.
    Silence,
    /// What was sent on it is not acknowledged.
    Question,
    /// A Ping on it is not answered. The driver puts this off while bytes come that the answer may be behind.
    Answer,
    /// It is suspected, and has this long to show that it works.
    Doubt,
    /// It is doubted, and holds what another one over its path would need.
    Hold,
    /// The session has no link.
    Patience,
    /// What a quick path needs is to be found out.
    Learn,
}

impl Timer {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Pause(Path::Main),
        Self::Pause(Path::Fast),
        Self::Dial(Path::Main),
        Self::Dial(Path::Fast),
        Self::Calm,
        Self::Settled,
        Self::Silence,
        Self::Question,
        Self::Answer,
        Self::Doubt,
        Self::Hold,
        Self::Patience,
        Self::Learn,
    ];
}

/// What kind of time a timer runs for. With each step it is twice as long, up to a bound of the class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Class {
    /// Of a pause: the session waits (reference: 50 ms to 2 s, with jitter).
    Retry,
    /// Of a pause: the session has a link, and another one would be better (1 s to 1 min).
    Aside,
    /// Of a pause: the session has a link, and another one is to stand by (1 min).
    Standby,
    /// Of a pause: only a person can help (1 min to 1 h).
    Person,
    /// Of a pause: a quicker link is dialled at the same moment, and goes first (40 ms).
    HeadStart,
    /// A login (three times as long as the last one took, from 4 s to 1 min).
    Login,
    /// A login in which a person may be asked (3 min).
    Asking,
    /// An answer of a link that works (half a login, 1 s at least).
    Answer,
    /// The time of [`Timer::Silence`], [`Timer::Question`], [`Timer::Calm`] and so on: each has one of its own.
    Usual,
    /// The same where something happened that makes a dead link probable (a tenth of a second or so).
    Suspicious,
}
