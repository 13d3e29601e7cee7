//! Events of the path machine.

use super::{Path, Timer};
use crate::machine::Link;

/// An event of a link, of the session, or of the computer that the client runs on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Event {
    /// The session has no link and wants one. With `may_ask`, a person is present for the first dial.
    Wanted {
        /// Whether a person may be asked for a password.
        may_ask: bool,
    },
    /// The session does not want a link any more, for now.
    Unwanted,
    /// A link is open: it can be written to.
    Opened(Link),
    /// The host's end of a link sent something, even if only noise: the login no longer asks a person.
    Begun(Link),
    /// The Greeting arrived on a link.
    Greeted(Link),
    /// A link could not be opened, or has ended.
    Ended(Link, Why),
    /// The session has sent its first Hello to a host.
    Asked,
    /// The session is attached over the used link.
    Attached,
    /// The session made progress over the attached link: new output, or an acknowledgement. Not reported
    /// while a replacement has not proved to be stable.
    Progressed,
    /// The client machine has closed the used link.
    GivenUp(Link),
    /// Something that the host acknowledges was sent on the used link.
    Sent,
    /// A Ping was sent on the used link.
    Pinged,
    /// Any bytes arrived on the used link.
    Heard,
    /// A Pong or an Ack arrived on the used link.
    Answered,
    /// A timer fired.
    Timer(Timer),
    /// Paths that failed before may work now, and working links may be dead.
    Woken(Wake),
    /// A person asks for an attempt now.
    Retry {
        /// Whether the person may be asked for a password.
        may_ask: bool,
    },
    /// A link over this path, which could not be had before, can be had at once.
    Available(Path),
    /// The used link still works, and a better one can be had over the same path.
    Outdated,
    /// Whether a standby link is worth its cost.
    Standby(bool),
    /// Whether bytes are expected on the used link: not while it carries no session.
    Expecting(bool),
    /// Nothing is wanted any more.
    Stop,
}

/// Why the computer that the client runs on makes an attempt worthwhile.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Wake {
    /// It slept.
    Slept,
    /// Its network changed.
    NetworkChanged,
}

/// Why a link ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Why {
    /// The host was unreachable, or the connection was cut before the login.
    Unreachable,
    /// It ended, for no known reason.
    Closed,
    /// The host needs something that only a person can do or give.
    NeedsPerson(Need),
    /// The path does not exist now: nothing was dialled.
    Unavailable,
    /// Another failure, which a retry would not change soon on a path of the client's own.
    Failed,
}

/// What a person is needed for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Need {
    /// A passphrase, a password, a second factor.
    Login,
    /// A decision about the host's key, which is unknown or has changed.
    HostKey,
    /// The server program is missing on the host, or must not run there.
    Server,
}
