//! Why a connection cannot go on, split by whose fault it is.

use std::error;
use std::fmt;

/// Why a connection cannot go on. With every one but [`Caller`](Error::Caller) the client is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The server, or somebody between here and it, broke the protocol. Nothing it said counts.
    Peer(Violation),
    /// The server keeps to the protocol, but is not one for this client. Another client may succeed.
    Unsuitable(Unsuitable),
    /// What was learnt about the server is no longer so. It is to be learnt anew.
    Mispredicted(Misprediction),
    /// The server ended the connection and said why.
    Disconnected {
        /// A number of RFC 4253 section 11.1.
        reason: u32,
        /// Its own words, made [printable](rejoin_text::printable_bytes), at most 1024 bytes.
        message: String,
    },
    /// The call was not one to make; it changed nothing.
    Caller(Misuse),
    /// This machine has no random numbers to give, or its cryptography failed.
    Local,
}

/// How the protocol was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Violation {
    /// A length, a number or a text that cannot be.
    Malformed,
    /// A packet was altered on its way.
    Altered,
    /// A message that has no place where it came; its kind.
    Unexpected(u8),
    /// The host does not have the private key of the host key that it shows.
    HostSignature,
    /// More than was granted: data beyond the window, or noise without an end.
    TooMuch,
}

/// Why a server is not one for this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unsuitable {
    /// It does not speak SSH 2.
    Version,
    /// It has none of the methods of this kind that were offered.
    NoCommon(Method),
    /// It does not have strict key exchange, without which what it says can be cut short unnoticed
    /// (CVE-2023-48795).
    NotStrict,
    /// It did not understand a message that was needed.
    Unimplemented,
    /// It takes data in tiny pieces only.
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

/// What was not as predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misprediction {
    /// The server no longer has this.
    Missing(Method),
    /// The server numbers its channels in another way.
    Channel {
        /// The number that was used.
        predicted: u32,
        /// The number that is right.
        found: u32,
    },
}

/// What a caller did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// The client did not wait for this, or it is over.
    OutOfTurn,
    /// What was handed in is longer than any server takes.
    TooLong,
    /// Nothing to choose from: a list of methods is empty.
    NoMethods,
    /// More was said to be consumed than was handed out.
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
            Self::Local => f.write_str("this machine's cryptography failed"),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the host sent what is not SSH"),
            Self::Altered => f.write_str("a packet of the host was altered on its way"),
            Self::Unexpected(kind) => write!(f, "the host sent message {kind} out of place"),
            Self::HostSignature => {
                f.write_str("the host does not have the private key of the host key that it shows")
            }
            Self::TooMuch => f.write_str("the host sent more than it was allowed to"),
        }
    }
}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => f.write_str("the host does not speak SSH 2"),
            Self::NoCommon(method) => write!(f, "the host has no {method} of those offered"),
            Self::NotStrict => f.write_str("the host's ssh server has no strict key exchange"),
            Self::Unimplemented => {
                f.write_str("the host's ssh server does not know a message that is needed")
            }
            Self::SmallPackets => f.write_str("the host's ssh server takes tiny packets only"),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kex => "key exchange",
            Self::HostKey => "kind of host key",
            Self::Cipher => "cipher",
            Self::Compression => "compression",
        })
    }
}

impl fmt::Display for Misprediction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(method) => write!(f, "the host no longer has the {method} it had"),
            Self::Channel { predicted, found } => {
                write!(f, "the host gave its channel number {found}, not {predicted} as before")
            }
        }
    }
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfTurn => "the SSH client does not wait for this now",
            Self::TooLong => "longer than an ssh server takes",
            Self::NoMethods => "no methods to offer to the host",
            Self::TooMuchConsumed => "more was consumed than was handed out",
        })
    }
}

/// A message of this kind where it has no place.
pub(crate) fn unexpected(kind: u8) -> Error {
    Error::Peer(Violation::Unexpected(kind))
}
