//! What the application is told (SPEC section 7.8).

use crate::error::Misbehaviour;
use crate::frame::How;
use crate::ident::{ClientName, Epoch, HostId, Incarnation, Tenure};
use crate::item::ExitStatus;
use crate::reason::Reason;
use crate::seq::Seq;

/// A change that an application may care about.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Notice {
    /// Attached to the process: also where the session has moved to another link.
    Attached {
        /// By which wish.
        how: How,
        /// The server.
        epoch: Epoch,
        /// The process.
        incarnation: Incarnation,
        /// The client's tenure.
        tenure: Tenure,
        /// The host, where its Greeting has come already.
        host: Option<HostId>,
        /// The first output that follows.
        next_output: Seq,
        /// The number that the application's next input gets.
        next_input: Seq,
    },
    /// The link is gone; the client reconnects.
    Detached(Loss),
    /// The process is gone, and a fresh one takes its place.
    Replaced {
        /// The old one.
        old: Incarnation,
        /// The fresh one.
        new: Incarnation,
        /// How that is known.
        reason: Reason,
        /// Payload bytes of input whose fate is unknown.
        unacknowledged_input: u64,
        /// The first output of the old process that was never received.
        next_output: Seq,
    },
    /// The process is gone, and the client is done.
    Lost {
        /// How that is known; or which counter leaves no number for a fresh process.
        reason: Reason,
        /// How many fresh processes were lost before this one, none of which had stayed
        /// [stable](crate::Timer::Stable): at [`MAX_REPLACEMENTS`](super::MAX_REPLACEMENTS), no further one
        /// is started.
        replacements: u8,
        /// Payload bytes of input whose fate is unknown.
        unacknowledged_input: u64,
        /// The first output that was never received.
        next_output: Seq,
    },
    /// The wish was refused for good; the client is done.
    Refused(Reason),
    /// The wish was refused for now; the client tries again.
    Hindered(Reason),
    /// Another client took the session over; this one is done.
    Superseded {
        /// The other's tenure.
        by: Tenure,
        /// Who it is; empty if the host did not say.
        name: ClientName,
    },
    /// The process ended, and all of its output was taken.
    Exited {
        /// How.
        status: ExitStatus,
        /// Payload bytes of input that it never took.
        unacknowledged_input: u64,
    },
    /// The session is ended and forgotten.
    Closed {
        /// How many processes the host has ended for that; 0 where it did not say.
        ended: u32,
    },
    /// What was waited for did not come in time: its outcome is unknown.
    GaveUp(Patience),
}

/// How a link was lost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Loss {
    /// It ended.
    Cut,
    /// Nothing came for too long.
    Silent,
    /// The server broke a rule.
    Misbehaved(Misbehaviour),
}

/// What a client does not wait for without end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Patience {
    /// The answer to an Open. Beyond a time well below a tombstone's life, repeating it could
    /// start the process a second time.
    Open,
    /// The answer to a Close.
    Close,
    /// An end to a refusal that is for now: `Unresponsive` or `DifferentHost`.
    Hindrance,
    /// A link: how long, the driver decides.
    Link,
}

/// How the session ended for this client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Ending {
    /// The process exited and everything was delivered.
    Exited,
    /// It was ended and forgotten, as asked for.
    Closed,
    /// The process is gone.
    Lost,
    /// Another client has it.
    Superseded,
    /// The server refused.
    Refused,
    /// Something did not come in time.
    GaveUp,
    /// The application left; the process stays.
    Left,
}
