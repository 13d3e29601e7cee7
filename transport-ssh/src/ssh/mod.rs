//! The system's own `ssh` as a link.

pub(crate) mod arguments;
pub(crate) mod builder;
pub(crate) mod classify;
pub(crate) mod configuration;
mod connect;
pub(crate) mod debug_log;
pub(crate) mod dial;
pub(crate) mod fast_connect;
pub(crate) mod fd_pass;
mod forward_retry;
pub(crate) mod forwards;
pub(crate) mod launch;
pub(crate) mod login;
mod prepared;
mod prepared_state;
mod query;
pub(crate) mod resolve;
pub(crate) mod socket_folder;
