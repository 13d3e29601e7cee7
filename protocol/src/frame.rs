//! Frames (SPEC section 4).

use alloc::string::String;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Misbehaviour;
use crate::ident::{
    AttachNumber, ClientInstance, ClientName, Epoch, Holder, HostId, Incarnation, SessionId, Tenure,
};
use crate::item::Item;
use crate::reason::{Counters, Reason};
use crate::seq::Seq;
use crate::version::{Capabilities, Version, VersionRange};

/// A frame: the unit that travels on a link (SPEC section 4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Frame {
    /// Server, at once and unasked.
    Greeting(Greeting),
    /// Client: who it is and what it wants.
    Hello(Hello),
    /// Server: the wish is granted and the link attached.
    Welcome(Welcome),
    /// Server: the wish is refused. The link stays open for another Hello.
    Refused(Refused),
    /// Both: one entry of a log.
    Item {
        /// Its number.
        seq: Seq,
        /// What it holds.
        item: Item,
    },
    /// Both: everything before `next` was delivered.
    Ack {
        /// The first item that is not delivered.
        next: Seq,
    },
    /// Both: asks for a Pong with the same token.
    Ping {
        /// Comes back in the Pong.
        token: u64,
    },
    /// Both: the answer to a Ping.
    Pong {
        /// The Ping's.
        token: u64,
    },
    /// Server: another client instance took the session over.
    Superseded {
        /// Its tenure.
        by: Tenure,
        /// Who it is.
        name: ClientName,
    },
    /// Client: closes the link and leaves the process running.
    Detach,
    /// Client: end the process and forget the session.
    Close,
    /// Server: the session is ended and forgotten.
    Closed {
        /// The attach that this answers.
        attach: AttachNumber,
        /// How many processes were ended for it.
        ended: u32,
    },
    /// Both: why the sender closes this link. The session continues.
    Bye(Bye),
}

/// The server's first frame (SPEC section 4.2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Greeting {
    /// The versions that the server understands.
    pub versions: VersionRange,
    /// The host that an Open must name.
    pub host: HostId,
    /// The host's name, for people; at most 255 bytes.
    pub host_name: String,
}

/// The client's first frame (SPEC section 4.3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Hello {
    /// The version that the client speaks from here on.
    pub version: Version,
    /// The session.
    pub session: SessionId,
    /// The client instance.
    pub instance: ClientInstance,
    /// The client's name, for people.
    pub name: ClientName,
    /// Higher than in every earlier Hello of this instance.
    pub attach: AttachNumber,
    /// The highest tenure that the client was entitled to.
    pub tenure: Tenure,
    /// The client's wish.
    pub wish: Wish,
}

/// A wish: what a client asks for (SPEC sections 4.3 and 7).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Wish {
    /// Start this incarnation, or attach to the one that lives.
    Open {
        /// Never used before by this session.
        incarnation: Incarnation,
        /// The host of the Greeting: no other host may start it.
        host: HostId,
        /// What to start: an encoded [`crate::spec::ProcessSpec`], opaque to the machines.
        #[cfg_attr(feature = "record", serde(with = "crate::record::payload"))]
        spec: Bytes,
    },
    /// Continue with a process that this client instance was attached to.
    Resume {
        /// Which process.
        incarnation: Incarnation,
        /// Which server.
        epoch: Epoch,
        /// The next output wanted.
        next_output: Seq,
    },
    /// Take the session over from the holder that the user saw.
    Claim {
        /// That holder. Without it, the Claim asks who the holder is.
        expected: Option<Holder>,
        /// Where the output starts.
        from: From,
    },
    /// End the process and forget the session, even if no server lives.
    Close {
        /// No Open of this incarnation or a lower one may start anything afterwards.
        incarnation: Incarnation,
        /// What to end.
        scope: Scope,
    },
    /// A wish of a later version. The Hello is answered with Incompatible; this cannot be sent.
    Unreadable,
}

/// What a Close ends (SPEC section 11.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Scope {
    /// The process, and everything else that carries the session's mark.
    Session,
    /// What is left of a process that has ended. Daemons, which have left the process, continue.
    Process,
}

/// Where a claimant's output starts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum From {
    /// At the first item that the server still holds.
    FirstHeld,
    /// At the next item that the process writes. Held items are skipped, except the exit status.
    Latest,
    /// At this item.
    Seq(Seq),
}

/// The server grants a wish (SPEC section 4.4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// The attach that this answers.
    pub attach: AttachNumber,
    /// The version spoken from here on: the Hello's.
    pub version: Version,
    /// What the server can do beyond that version.
    pub capabilities: Capabilities,
    /// The server.
    pub epoch: Epoch,
    /// The process.
    pub incarnation: Incarnation,
    /// The client's tenure.
    pub tenure: Tenure,
    /// The next input that the server wants.
    pub accepted: Seq,
    /// The first input that is not delivered to the process.
    pub handed_over: Seq,
    /// The cost of the input between the two, in bytes of window.
    pub buffered: u64,
    /// The first output held.
    pub first_output: Seq,
    /// Where the output that follows this Welcome starts.
    pub next_output: Seq,
    /// How much may be unacknowledged in each direction, in bytes of window.
    pub window: u64,
    /// Which wish was granted.
    pub how: How,
}

/// Which wish a Welcome grants.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum How {
    /// An Open.
    Opened,
    /// A Resume.
    Resumed,
    /// A Claim.
    Claimed,
}

/// The server's refusal (SPEC section 4.5).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// The attach that this answers.
    pub attach: AttachNumber,
    /// Why.
    pub reason: Reason,
    /// What is known of the session.
    pub counters: Counters,
}

/// Why a link is closed. A Bye explains and changes nothing: what counts is the link loss (SPEC section 4.9).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Bye {
    /// The receiver broke a rule.
    Misbehaved(Misbehaviour),
    /// A newer attach of the same client took its place.
    Replaced,
    /// The server is ending.
    Ending,
}
