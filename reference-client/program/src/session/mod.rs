//! One session on this end's streams and terminal.

pub(crate) mod attached;
pub(crate) mod background;
pub(crate) mod cause;
pub(crate) mod escape;
pub(crate) mod first_connection;
pub(crate) mod input;
pub(crate) mod keyboard;
pub(crate) mod local_command;
pub(crate) mod preferences;
pub(crate) mod repeated_messages;
pub(crate) mod signals;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stdin;
pub(crate) mod writer;
