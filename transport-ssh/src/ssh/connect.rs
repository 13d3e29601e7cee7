//! The system's `ssh` as a driver of a session sees it.

use std::fmt;

use super::SshConnect;
use crate::error::{LinkError, printable};
use crate::forwards::Forwards;
use crate::link::Link;
use crate::{Attempt, BoxFuture, Connect, parked};

impl Connect for SshConnect {
    fn connect(&self, attempt: Attempt) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(self.start(attempt))
    }

    fn prepare(&self) {
        parked::prepare(&self.bare(), &self.yard);
    }

    fn fast(&self) -> Option<BoxFuture<'_, Result<Link, LinkError>>> {
        self.fast_link()
    }

    fn learn(&self) {
        self.learn_host();
    }

    fn is_exclusive(&self) -> bool {
        self.forwards_ports()
    }

    fn forwards(&self) -> Option<Forwards> {
        Some(self.own_forwards())
    }

    fn destination(&self) -> String {
        printable(&self.destination.to_string_lossy())
    }
}

impl fmt::Debug for SshConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshConnect")
            .field("program", &self.program)
            .field("destination", &self.destination)
            .field("options", &self.options)
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}
