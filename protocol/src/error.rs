//! Errors in what a peer sends (SPEC sections 3 and 10).

use core::fmt;

use serde::{Deserialize, Serialize};

/// Bytes that are not a frame. The fault is the peer's or the link's. It costs the link, never the session
/// (SPEC section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FrameError {
    /// The frame is longer than its kind may be.
    TooLong {
        /// The kind byte.
        kind: u8,
        /// The announced length in bytes, kind byte included.
        length: u32,
        /// The longest length for this kind.
        limit: u32,
    },
    /// The length does not even cover the kind byte.
    Empty,
    /// A kind that this version does not know and that is not ignorable.
    UnknownKind(u8),
    /// The header does not decode.
    BadHeader(u8),
    /// There are bytes after the header of a kind that has no payload.
    UnexpectedPayload(u8),
    /// The stream does not start with the magic, or too much precedes it.
    NoMagic,
    /// The payload of an Input or Output is longer than [`Item::MAX_PAYLOAD`](crate::Item::MAX_PAYLOAD), or
    /// that of an Output is empty.
    BadPayload(u8),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { kind, length, limit } => {
                write!(
                    f,
                    "a frame of kind {kind:#04x} has {length} bytes, {limit} at most are allowed"
                )
            }
            Self::Empty => f.write_str("a frame without a kind"),
            Self::UnknownKind(kind) => write!(f, "a frame of the unknown kind {kind:#04x}"),
            Self::BadHeader(kind) => write!(f, "a frame of kind {kind:#04x} has a bad header"),
            Self::UnexpectedPayload(kind) => {
                write!(f, "a frame of kind {kind:#04x} has bytes behind its header")
            }
            Self::NoMagic => f.write_str("the other side does not speak the rejoin protocol"),
            Self::BadPayload(kind) => {
                write!(f, "a frame of kind {kind:#04x} has a payload that is too long or empty")
            }
        }
    }
}

impl core::error::Error for FrameError {}

/// What a peer did that the protocol does not allow (SPEC section 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Misbehaviour {
    /// It sent bytes that are not a frame.
    Frame(FrameError),
    /// It sent a frame that only the other side sends, or an item of the other direction.
    WrongSide,
    /// It skipped items: one arrived with a higher number than the next one wanted.
    SkippedItems,
    /// It sent more than the window allows.
    WindowExceeded,
    /// It was silent for too long.
    Silent,
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::WrongSide => f.write_str("a frame from the wrong side"),
            Self::SkippedItems => f.write_str("items are missing in between"),
            Self::WindowExceeded => f.write_str("more was sent than the window allows"),
            Self::Silent => f.write_str("nothing was heard for too long"),
        }
    }
}

/// Numbers that contradict each other: one side forgot what it acknowledged, or acknowledges what was never
/// sent. The cause is a machine restored from a snapshot, or a copied disk (SPEC section 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Divergence {
    /// The client wants or acknowledges output that the server never sent.
    OutputAhead,
    /// The client wants output that it already acknowledged.
    OutputBehind,
    /// The server accepted input that the client never sent.
    InputAhead,
    /// The server has lost input that it acknowledged before.
    InputBehind,
    /// Both name the same server with different processes or tenures.
    Identity,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutputAhead => "the client has seen output that the server never sent",
            Self::OutputBehind => "the client has forgotten output that it acknowledged",
            Self::InputAhead => "the server has taken input that the client never sent",
            Self::InputBehind => "the server has forgotten input that it acknowledged",
            Self::Identity => "the two sides disagree on which process this is",
        })
    }
}
