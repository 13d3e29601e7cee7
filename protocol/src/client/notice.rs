//! What a client reports to its application (SPEC section 7.8).

use crate::error::Misbehaviour;
use crate::frame::How;
use crate::ident::{ClientName, Epoch, HostId, Incarnation, Tenure};
use crate::item::ExitStatus;
use crate::reason::Reason;
use crate::seq::Seq;

/// A change that matters to an application.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Notice {
    /// Attached to the process, also after a move to another link.
    Attached {
        /// By which wish.
        how: How,
        /// The server.
        epoch: Epoch,
        /// The process.
        incarnation: Incarnation,
        /// The client's tenure.
        tenure: Tenure,
        /// The host, if its Greeting has arrived already.
        host: Option<HostId>,
        /// The first output that follows.
        next_output: Seq,
        /// The number that the application's next input gets.
        next_input: Seq,
    },
    /// The link is gone; the client reconnects.
    Detached(Loss),
    /// The process is gone, and a new one replaces it.
    Replaced {
        /// The old incarnation.
        old: Incarnation,
        /// The new incarnation.
        new: Incarnation,
        /// The reason by which that is known.
        reason: Reason,
        /// Payload bytes of input whose fate is unknown.
        unacknowledged_input: u64,
        /// The first output of the old process that was never received.
        next_output: Seq,
    },
    /// The process is gone, and the client ends.
    Lost {
        /// The reason by which that is known; or the counter that has no number left for a replacement.
        reason: Reason,
        /// How many replacements were lost before this one, none of which had become
        /// [stable](crate::Timer::Stable). At [`MAX_REPLACEMENTS`](super::MAX_REPLACEMENTS), the client
        /// starts no further one.
        replacements: u8,
        /// Payload bytes of input whose fate is unknown.
        unacknowledged_input: u64,
        /// The first output that was never received.
        next_output: Seq,
    },
    /// The wish was refused permanently; the client ends.
    Refused(Reason),
    /// The wish was refused temporarily; the client tries again.
    Hindered(Reason),
    /// Another client took the session over; this client ends.
    Superseded {
        /// The other's tenure.
        by: Tenure,
        /// The other's name; empty if the host did not say.
        name: ClientName,
    },
    /// The process ended, and all of its output was taken.
    Exited {
        /// How.
        status: ExitStatus,
        /// Payload bytes of input that the process never took.
        unacknowledged_input: u64,
    },
    /// The session is ended and forgotten.
    Closed {
        /// How many processes the host has ended for that; 0 if it did not say.
        ended: u32,
    },
    /// A deadline passed: the outcome is unknown.
    GaveUp(Patience),
}

/// How a link was lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Loss {
    /// It ended.
    Cut,
    /// Nothing arrived for too long.
    Silent,
    /// The server broke a rule.
    Misbehaved(Misbehaviour),
}

/// What a client waits for with a deadline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Patience {
    /// The answer to an Open. The deadline is well below a tombstone's life: a later repetition could start
    /// the process a second time.
    Open,
    /// The answer to a Close.
    Close,
    /// The end of a temporary refusal: `Unresponsive` or `DifferentHost`.
    Hindrance,
    /// A link. The driver decides how long.
    Link,
}

/// How the session ended for this client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Ending {
    /// The process exited and everything was delivered.
    Exited,
    /// It was ended and forgotten, as requested.
    Closed,
    /// The process is gone.
    Lost,
    /// Another client took it over.
    Superseded,
    /// The server refused.
    Refused,
    /// A deadline passed.
    GaveUp,
    /// The application left; the process stays.
    Left,
}
