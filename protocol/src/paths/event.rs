//! What happens.

use super::{Path, Timer};
use crate::machine::Link;

/// Something that happened to a link, to the session or to the machine that it runs on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Event {
    /// The session has no link and wants one. With `may_ask`, a person is there for the first dial.
    Wanted {
        /// Whether a person may be asked for a password.
        may_ask: bool,
    },
    /// It does not want one any more, for now.
    Unwanted,
    /// A link can be written to.
    Opened(Link),
    /// The host's end of a link says something, if only noise: nobody is asked for anything any more.
    Begun(Link),
    /// The host has greeted on a link.
    Greeted(Link),
    /// A link could not be opened, or has ended.
    Ended(Link, Why),
    /// The session has asked a host for something, for the first time.
    Asked,
    /// The session is attached over the link that is used.
    Attached,
    /// The attached link brought the session on: output that is new, or an acknowledgement. Not reported
    /// while a process that replaced a lost one has not proved to be stable.
    Progressed,
    /// The client machine has closed the link that is used.
    GivenUp(Link),
    /// Something was sent on the link that is used that the host acknowledges.
    Sent,
    /// A Ping was sent on it.
    Pinged,
    /// Anything came on it.
    Heard,
    /// What was sent on it has arrived: a Pong or an Ack came.
    Answered,
    /// A timer fired.
    Timer(Timer),
    /// What failed before may work now, and what worked may be dead.
    Woken(Wake),
    /// A person asks for an attempt now.
    Retry {
        /// Whether the person may be asked for a password.
        may_ask: bool,
    },
    /// A link over this path can be had at once that could not before.
    Available(Path),
    /// The link that is used still works, and a better one can be had over the same path.
    Outdated,
    /// Whether a ready link beside the one that is used is worth its cost.
    Standby(bool),
    /// Whether something is expected to come on the link that is used: not while it carries no session.
    Expecting(bool),
    /// Nothing is wanted any more.
    Stop,
}

/// Why the machine that the client runs on makes an attempt worthwhile.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Wake {
    /// It did not run for a while.
    Slept,
    /// Its network changed.
    NetworkChanged,
}

/// Why a link ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Why {
    /// The host could not be reached, or the connection was cut before anybody had logged in.
    Unreachable,
    /// It ended, and there is nothing more to know.
    Closed,
    /// The host wants something that only a person can do or give.
    NeedsPerson(Need),
    /// The path does not exist now: nothing was dialled.
    Unavailable,
    /// Something else, which trying again soon would not change on a path of the client's own.
    Failed,
}

/// What only a person can do or give.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Need {
    /// A passphrase, a password, a second factor.
    Login,
    /// A look at the host's key, which is unknown or has changed.
    HostKey,
    /// The server program is missing on the host, or must not be run there.
    Server,
}
