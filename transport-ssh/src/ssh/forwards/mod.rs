//! Forwards that ssh could not make, and how to make them during the session.
//!
//! With `ExitOnForwardFailure=no` ssh continues without a forward that it cannot make, because another program or
//! an old connection holds the port. [`errors`] parses this from ssh's stderr. An ssh that forwards anything
//! gets its own [control socket](control), over which the forward is requested again. [`spec`] has the
//! requests.

pub(crate) mod control;
pub(crate) mod errors;
pub(crate) mod spec;
pub(crate) mod state;
