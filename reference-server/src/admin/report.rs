//! What matters to sessions about this host.

use std::path::Path;

use rejoin_protocol::VersionRange;
use rejoin_protocol::admin::{self, AdminVersion, HostReport, RegistryReport, Text};

use crate::host;
use crate::process::Persistence;
use crate::registry::{Registry, RegistryError};

/// Looks at the host. Nothing is swept: what is left over is part of the report. The folder of the
/// sessions is created if it does not exist.
pub fn report(registry: Option<&Path>) -> HostReport {
    let (persistence, advice) = persistence(Persistence::look());
    let program = std::env::current_exe().ok();
    HostReport {
        program_version: env!("CARGO_PKG_VERSION").into(),
        protocol: Some(VersionRange::SUPPORTED),
        program: program.map(|program| path(&program)),
        host: Text::new(&host::host_name()),
        host_id: host::host_id().ok().map(|id| Text::new(&id.to_string())),
        persistence,
        persistence_advice: advice.map(Text::new),
        registry: look_at(Registry::open(registry)),
        version: AdminVersion::CURRENT,
    }
}

fn persistence(found: Persistence) -> (admin::Persistence, Option<&'static str>) {
    match found {
        Persistence::Stays => (admin::Persistence::Stays, None),
        Persistence::InScope => (admin::Persistence::InScope, None),
        Persistence::Ends(advice) => (admin::Persistence::Ends, Some(advice)),
        Persistence::Unknown => (admin::Persistence::Unknown, None),
    }
}

/// The folder of the sessions, and how many there are.
fn look_at(registry: Result<Registry, RegistryError>) -> RegistryReport {
    let registry = match registry {
        Ok(registry) => registry,
        Err(error) => return failed(&error.to_string()),
    };
    let folder = Some(path(registry.dir()));
    match registry.list() {
        Ok(listed) => {
            let (living, dead): (Vec<_>, Vec<_>) =
                listed.iter().partition(|listed| listed.is_alive);
            let [living, dead] = [living, dead].map(|sessions| sessions.len() as u64);
            RegistryReport { folder, living, dead, error: None }
        }
        Err(error) => RegistryReport { folder, ..failed(&error.to_string()) },
    }
}

fn failed(error: &str) -> RegistryReport {
    RegistryReport { error: Some(Text::new(error)), ..RegistryReport::default() }
}

fn path(path: &Path) -> Text {
    Text::new(&path.to_string_lossy())
}
