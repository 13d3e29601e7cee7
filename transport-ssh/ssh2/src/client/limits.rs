//! How much a client holds.

/// How much output of the command may be on its way or unconsumed, in bytes.
pub const WINDOW: usize = 2 << 20;
/// How much input for the command is taken before the server takes it, in bytes; and about as much again may
/// wait to be written.
pub const MAX_OUTPUT: usize = 1 << 20;
