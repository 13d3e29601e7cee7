//! Effects of the path machine.

use alloc::vec::Vec;

use super::{Need, Path};
use crate::machine::Link;

/// An effect.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Effect {
    /// Open a link over a path, and report what happens to it.
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
    /// A link will probably be wanted soon: prepare it.
    Prepare,
    /// Send a Ping on the used link.
    Ask,
    /// Learn what a quick path needs.
    Learn,
    /// Start a timer, or restart it.
    Arm(Timer, Class, u8),
    /// Stop a timer.
    Disarm(Timer),
    /// Report to the application.
    Tell(Story),
    /// No link can be had: the session is over for this client.
    GiveUp(Urgency),
}

/// The effects of a step, in the order to carry them out.
pub type Effects = Vec<Effect>;

/// Whether a dial may ask a person for something.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Mode {
    /// It may.
    Asking,
    /// It may not: a dial that needs a person fails.
    Alone,
}

/// A report to the application.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Story {
    /// The session has no link. The next attempt is under way, or starts when the first of the timers
    /// [`Timer::Pause`] fires. One report per attempt, however many paths it takes.
    Waiting,
    /// A person is needed: reported once for each need.
    Needs(Need),
    /// [`MANY_ENDS`](super::MANY_ENDS) links in a row have ended after the Greeting and before the session
    /// was attached.
    Ends,
}

/// Why a machine gives up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Urgency {
    /// The first link failed, and no Hello was sent yet: the client ends, as ssh does.
    First,
    /// No link was ready within the time that the application allows.
    Patience,
}

/// The timers, by name. Each fires once for each time that it was armed, and not after it was disarmed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// The pause between two dials of a path, counted from the start of the first.
    Pause(Path),
    /// A link that was dialled over this path has not greeted, or is used and not attached.
    Dial(Path),
    /// The used link has been attached for a while.
    Calm,
    /// The used link has been attached long enough to open another one beside it.
    Settled,
    /// Nothing arrived on the used link. While the timer runs, the driver restarts it with each byte that
    /// arrives.
    Silence,
    /// Something sent on the used link is not acknowledged.
    Question,
    /// A Ping on the used link is not answered. The driver postpones this while bytes arrive that may precede
    /// the answer.
    Answer,
    /// The used link is suspected, and has this long to show that it works.
    Doubt,
    /// The used link is doubted, and holds something that another link over its path would need.
    Hold,
    /// The session has had no link for as long as the application waits.
    Patience,
    /// The time to learn what a quick path needs.
    Learn,
}

impl Timer {
    /// All timers.
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

/// The kind of a timer's duration. It doubles with each step, up to a bound of the class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Class {
    /// A pause while the session waits (reference: 50 ms to 2 s, with jitter).
    Retry,
    /// A pause for a better link beside a working one (1 s to 2 min).
    Aside,
    /// A pause for a standby link (1 min).
    Standby,
    /// A pause because only a person can help (2 min to 1 h).
    Person,
    /// A head start for a quicker link that is dialled at the same moment (40 ms).
    HeadStart,
    /// A login (three times the last login, from 30 s to 1 min).
    Login,
    /// A login in which a person may be asked (3 min).
    Asking,
    /// An answer of a link that should work (half a login, from 1 s to 30 s).
    Answer,
    /// The durations of [`Timer::Silence`], [`Timer::Question`], [`Timer::Calm`] and so on: each has its own.
    Usual,
    /// The same after an event that makes a dead link probable (0.1 s to 0.5 s).
    Suspicious,
}
