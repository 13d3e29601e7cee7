//! What the registry remembers, in the machine's words and back.

use rejoin_protocol::server;

use crate::registry::{self, Failure};

pub(crate) fn to_machine(past: &registry::Past) -> server::Past {
    server::Past {
        is_known: past.known,
        used: past.used,
        tenure: past.tenure,
        failed: past.failed.clone().map(|failed| (failed.incarnation, failed.error)),
        ended: 0,
    }
}

pub(crate) fn from_machine(past: &server::Past) -> registry::Past {
    registry::Past {
        known: past.is_known,
        used: past.used,
        tenure: past.tenure,
        failed: past.failed.clone().map(|(incarnation, error)| Failure { incarnation, error }),
        damaged: false,
    }
}
