//! Why a connection failed, split by fault.

use std::error;
use std::fmt;

/// Why a connection failed. After every error but [`Caller`](Error::Caller) the client is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The server, or an attacker in between, broke the protocol.
    Peer(Violation),
    /// The server follows the protocol, but this client does not support it. Another client may succeed.
    Unsuitable(Unsuitable),
    /// The server is no longer as predicted. It must be learnt again.
    Mispredicted(Misprediction),
    /// The server ended the connection and said why.
    Disconnected {
        /// A number of RFC 4253 section 11.1.
        reason: u32,
        /// The server's message, made [printable](rejoin_text::printable_bytes), at most 1024 bytes.
        message: String,
    },
    /// The call was invalid, and changed nothing.
    Caller(Misuse),
    /// This machine has no random numbers, or its cryptography failed.
    Local,
}

/// How the protocol was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// An invalid length, number or text.
    Malformed,
    /// A packet was altered in transit.
    Altered,
    /// An unexpected message; its type.
    Unexpected(u8),
    /// The host did not prove that it has the private part of its host key.
    HostSignature,
    /// More data than allowed: beyond the window, or endless text.
    TooMuch,
}

/// Why this client does not support a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unsuitable {
    /// It does not speak SSH 2.
    Version,
    /// It supports no method of this kind that was offered.
    NoCommon(Method),
    /// It does not support strict key exchange, without which messages can be removed unnoticed
    /// (CVE-2023-48795).
    NotStrict,
    /// It did not understand a message that was needed.
    Unimplemented,
    /// It accepts only tiny packets.
    SmallPackets,
}

/// What is negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// The key exchange.
    Kex,
    /// The kind of the host key.
    HostKey,
    /// The cipher.
    Cipher,
    /// The compression, which has to be none.
    Compression,
}

/// Which prediction was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misprediction {
    /// The server no longer supports this.
    Missing(Method),
    /// The server numbers its channels in another way.
    Channel {
        /// The number that was used.
        predicted: u32,
        /// The actual number.
        found: u32,
    },
}

/// What a caller did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// The client did not expect this, or is over.
    OutOfTurn,
    /// The input is longer than any server accepts.
    TooLong,
    /// A list of methods is empty.
    NoMethods,
    /// More was reported as consumed than was delivered.
    TooMuchConsumed,
}

impl error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(violation) => violation.fmt(f),
            Self::Unsuitable(unsuitable) => unsuitable.fmt(f),
            Self::Mispredicted(misprediction) => misprediction.fmt(f),
            Self::Disconnected { reason, message } => {
                write!(f, "the host ended the connection: {message} (reason {reason})")
            }
            Self::Caller(misuse) => misuse.fmt(f),
            Self::Local => f.write_str("cryptography failed on this machine"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the host sent malformed SSH data"),
            Self::Altered => f.write_str("a packet from the host was altered in transit"),
            Self::Unexpected(kind) => {
                write!(f, "the host sent an unexpected message of type {kind}")
            }
            Self::HostSignature => {
                f.write_str("the host did not prove that it has the private key of its host key")
            }
            Self::TooMuch => f.write_str("the host sent more than it may"),
        }
    }
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => f.write_str("the host does not speak SSH 2"),
            Self::NoCommon(method) => write!(f, "the host supports no {method} that was offered"),
            Self::NotStrict => {
                f.write_str("the host's ssh server does not support strict key exchange")
            }
            Self::Unimplemented => {
                f.write_str("the host's ssh server does not support a required message")
            }
            Self::SmallPackets => f.write_str("the host's ssh server accepts only tiny packets"),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kex => "key exchange",
            Self::HostKey => "host key type",
            Self::Cipher => "cipher",
            Self::Compression => "compression",
        })
    }
}

impl fmt::Display for Misprediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(method) => {
                write!(f, "the host no longer supports the {method} that it used before")
            }
            Self::Channel { predicted, found } => {
                write!(f, "the host assigned channel number {found}, not {predicted} as before")
            }
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfTurn => "the SSH client does not expect this now",
            Self::TooLong => "longer than an ssh server accepts",
            Self::NoMethods => "no methods to offer to the host",
            Self::TooMuchConsumed => "more was reported as consumed than was delivered",
        })
    }
}

/// A message of this kind where it has no place.
pub(crate) fn unexpected(kind: u8) -> Error {
    Error::Peer(Violation::Unexpected(kind))
}
