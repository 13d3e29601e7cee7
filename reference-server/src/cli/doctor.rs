//! `rejoin-server doctor`: what of a host matters to sessions. What follows from it is said by
//! `rejoin doctor`.

use std::io::{self, Write};
use std::path::Path;

use rejoin_protocol::VersionRange;
use serde_json::{Value, json};

use crate::host;
use crate::process::Persistence;
use crate::registry::Registry;

/// Prints the report. Nothing is swept: what is left over is part of it.
pub(super) fn report(registry: Option<&Path>) -> io::Result<()> {
    let (persistence, advice) = match Persistence::look() {
        Persistence::Stays => ("stays", None),
        Persistence::InScope => ("in_scope", None),
        Persistence::Ends(advice) => ("ends", Some(advice)),
        Persistence::Unknown => ("unknown", None),
    };
    let VersionRange { min, max } = VersionRange::SUPPORTED;
    let report = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": { "min": min.0, "max": max.0 },
        "program": std::env::current_exe().ok(),
        "host": host::host_name(),
        "host_id": host::host_id().map(|id| id.to_string()).ok(),
        "persistence": persistence,
        "persistence_advice": advice,
        "registry": look_at(registry),
    });
    writeln!(io::stdout(), "{report}")
}

/// The folder of the sessions, made if need be, and how many there are.
fn look_at(registry: Option<&Path>) -> Value {
    let registry = match Registry::open(registry) {
        Ok(registry) => registry,
        Err(error) => return json!({ "error": error.to_string() }),
    };
    let folder = registry.dir();
    match registry.list() {
        Ok(listed) => {
            let living = listed.iter().filter(|listed| listed.is_alive).count();
            let dead = listed.len() - living;
            json!({ "folder": folder, "living": living, "dead": dead })
        }
        Err(error) => json!({ "folder": folder, "error": error.to_string() }),
    }
}
