//! Linux.

pub(super) mod battery;
pub(super) mod clock;
pub(super) mod network;
