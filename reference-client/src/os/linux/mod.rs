//! Linux.

pub(super) mod battery;
pub(super) mod network;
