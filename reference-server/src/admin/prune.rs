//! What dead servers left behind is removed.

use std::io;
use std::path::Path;

use rejoin_protocol::SessionId;
use rejoin_protocol::admin::{AdminVersion, MAX_ENTRIES, PruneProblem, PruneReport, Text};
use rejoin_protocol::registry::Failure;

use crate::registry::{Registry, Swept, sweep};

/// The longest error in a report, in bytes: a full disk is the same problem for every session.
const MAX_ERROR: usize = 200;

/// Sweeps the registry. Without a folder, the user's own is meant; if it does not exist, there is
/// nothing to remove. The report names at most [`MAX_ENTRIES`] sessions in each of its lists.
///
/// # Errors
/// The registry cannot be used or read. A session that cannot be removed is in the report.
pub fn prune(registry: Option<&Path>) -> io::Result<PruneReport> {
    let registry = Registry::open_existing(registry).map_err(io::Error::other)?;
    let swept = registry.map(|registry| sweep(&registry)).transpose()?;
    Ok(report(swept.unwrap_or_default()))
}

fn report(swept: Swept) -> PruneReport {
    PruneReport {
        dead: first(swept.buried),
        killed: u64::try_from(swept.killed).unwrap_or(u64::MAX),
        tombstones: first(swept.forgotten),
        problems: first(swept.problems).into_iter().map(problem).collect(),
        version: AdminVersion::CURRENT,
    }
}

fn first<T>(mut entries: Vec<T>) -> Vec<T> {
    entries.truncate(MAX_ENTRIES);
    entries
}

fn problem((session, failure): (SessionId, Failure)) -> PruneProblem {
    let error = rejoin_text::printable(&failure.to_string(), MAX_ERROR);
    PruneProblem { session, error: Text::new(&error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_no_more_entries_than_a_client_reads() {
        let forgotten = vec![SessionId::from_bytes([1; 16]); MAX_ENTRIES + 1];
        let swept = Swept { forgotten, ..Swept::default() };
        assert_eq!(report(swept).tombstones.len(), MAX_ENTRIES);
    }
}
