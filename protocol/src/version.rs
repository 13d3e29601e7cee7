//! Protocol versions and capabilities (SPEC section 9).

use core::fmt;

use serde::{Deserialize, Serialize};

/// A version of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Version(pub u16);

impl Version {
    /// The version that this crate speaks.
    pub const CURRENT: Self = Self(1);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// The versions that a peer understands, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct VersionRange {
    /// The oldest.
    pub min: Version,
    /// The newest.
    pub max: Version,
}

impl VersionRange {
    /// The versions that this crate understands.
    pub const SUPPORTED: Self = Self { min: Version(1), max: Version::CURRENT };

    /// Whether the range contains `version`.
    pub fn contains(self, version: Version) -> bool {
        self.min <= version && version <= self.max
    }

    /// The newest version that both understand.
    pub fn newest_common(self, other: Self) -> Option<Version> {
        let newest = self.max.min(other.max);
        (self.contains(newest) && other.contains(newest)).then_some(newest)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)
    }
}

/// What a server can do beyond its version, as a set of bits. No bit is defined yet; a client ignores bits
/// that it does not know.
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize,
)]
pub struct Capabilities(pub u32);
