//! Numbers of items (SPEC section 2).

use core::fmt;

use serde::{Deserialize, Serialize};

/// An item's number within its direction and incarnation, from 0 (SPEC section 2).
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize,
)]
pub struct Seq(pub u64);

impl Seq {
    /// The first item's number.
    pub const ZERO: Self = Self(0);

    /// The number after this one. A process cannot send 2^64 items in its life. For a peer that claims so,
    /// the last number follows itself, and every check then refuses it.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// How many items there are from `earlier` up to this one; 0 if this one is earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
