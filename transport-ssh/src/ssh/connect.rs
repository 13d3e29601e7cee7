//! The system's `ssh` as a driver of a session sees it.

use std::fmt;
use std::sync::Arc;

use super::SshConnect;
use crate::link::Link;
use crate::link::error::{LinkError, printable};
use crate::link::forwards::Forwards;
use crate::ssh::prepared;
use crate::{Attempt, BoxFuture, Connect};

impl Connect for SshConnect {
    fn connect(&self, attempt: Attempt) -> BoxFuture<'_, Result<Link, LinkError>> {
        Box::pin(self.start(attempt))
    }

    fn prepare(&self) {
        prepared::prepare(&self.bare(), &self.prepared_ssh);
    }

    fn fast(&self) -> Option<BoxFuture<'_, Result<Link, LinkError>>> {
        self.quick_link()
    }

    fn learn(&self) {
        if let Some(quick) = &self.quick {
            Arc::clone(quick).learn(self.bare());
        }
    }

    fn is_exclusive(&self) -> bool {
        self.forwards_ports()
    }

    fn forwards(&self) -> Option<Arc<dyn Forwards>> {
        Some(Arc::new(self.own_forwards()))
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
