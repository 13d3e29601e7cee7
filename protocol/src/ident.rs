//! Names that never repeat: sessions, epochs, client instances, hosts, and the counters that
//! order claims on them (SPEC section 2).

use core::fmt;
use core::str::FromStr;

use alloc::string::String;
use rejoin_text::printable;
use serde::{Deserialize, Serialize};

/// A text that is not 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id: 32 hexadecimal digits are expected")
    }
}

impl core::error::Error for ParseIdError {}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Makes the id from these 16 bytes. For a fresh id, the caller passes 16 random bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes, as they are on the wire.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self)
            }
        }
    };
}

random_id! {
    /// A session: what the user sees as one remote process. The client makes the id. A session outlives
    /// links, restarts of the client and, with a replacement, processes (SPEC section 2).
    SessionId
}

random_id! {
    /// One server: it makes the id when it has started its process. A different epoch means that the old
    /// process is gone (SPEC section 2).
    Epoch
}

random_id! {
    /// One client's claim to a session: new for each claim, never used again (SPEC section 2).
    ClientInstance
}

fn parse_hex(text: &str) -> Result<[u8; 16], ParseIdError> {
    let digits = text.as_bytes();
    if digits.len() != 32 {
        return Err(ParseIdError);
    }
    let mut bytes = [0; 16];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (hex_digit(pair[0])? << 4) | hex_digit(pair[1])?;
    }
    Ok(bytes)
}

fn hex_digit(digit: u8) -> Result<u8, ParseIdError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(ParseIdError),
    }
}

/// A host: the machine and its current boot (SPEC section 2).
///
/// Processes outlive links but not a boot: the same machine with another boot id has lost them all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct HostId {
    /// Which machine: stable over reboots.
    pub machine: [u8; 16],
    /// Which boot of it.
    pub boot: [u8; 16],
}

impl HostId {
    /// Whether both name the same machine, whatever its boot.
    pub fn is_same_machine(&self, other: &Self) -> bool {
        self.machine == other.machine
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.machine.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl $name {
            /// The next value; none after 2^64 - 1, where the counter is [exhausted](Counter).
            pub const fn next(self) -> Option<Self> {
                match self.0.checked_add(1) {
                    Some(next) => Some(Self(next)),
                    None => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// The number, from 0, of a process within its session (SPEC section 2).
    Incarnation
}

counter! {
    /// Rises with every attach that one client instance asks for, from 1 (SPEC section 2).
    AttachNumber
}

counter! {
    /// Rises when another client instance takes the session over; 0 for the opener
    /// (SPEC section 2).
    Tenure
}

/// A counter that has no next value. Counters never wrap and never repeat their last value: a side that needs
/// the next value reports this instead (SPEC section 8.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Counter {
    /// [`Incarnation`]: the session can start no more processes.
    Incarnation,
    /// [`Tenure`]: the session cannot be taken over any more.
    Tenure,
    /// [`AttachNumber`]: this client instance cannot attach any more.
    AttachNumber,
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incarnation => "incarnation",
            Self::Tenure => "tenure",
            Self::AttachNumber => "attach number",
        })
    }
}

/// The holder that a Claim must name: the one that its user saw (SPEC section 7.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// The server that keeps the process.
    pub epoch: Epoch,
    /// The process.
    pub incarnation: Incarnation,
    /// The owner's tenure.
    pub tenure: Tenure,
}

/// A client's name for people: `user@machine`. Never compared, never trusted. A longer name is cut when it is
/// read, too, because it must fit into every frame that carries it.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "String")]
pub struct ClientName(String);

impl From<String> for ClientName {
    fn from(name: String) -> Self {
        Self::new(&name)
    }
}

impl ClientName {
    /// The longest name, in bytes; the rest is cut off at a character boundary.
    pub const MAX_LEN: usize = 128;

    /// Takes `name`, made [printable] and cut to [`Self::MAX_LEN`].
    pub fn new(name: &str) -> Self {
        Self(printable(name, Self::MAX_LEN))
    }

    /// The name made [printable], even if a peer sent it.
    pub fn to_printable(&self) -> String {
        printable(&self.0, Self::MAX_LEN)
    }
}
