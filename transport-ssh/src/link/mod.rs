//! What every transport needs: links, connectors, their errors, and child processes as links.

pub(crate) mod child;
pub(crate) mod clock;
pub(crate) mod command;
pub(crate) mod connect;
pub(crate) mod error;
pub(crate) mod exit;
pub(crate) mod forwards;
pub(crate) mod memory;
pub(crate) mod milestones;
pub(crate) mod stderr;
pub(crate) mod stream;
pub(crate) mod unix;
