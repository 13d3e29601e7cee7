//! `rejoin-server prune`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use rejoin_protocol::admin::{PruneProblem, PruneReport};

use super::print_json;
use crate::admin;

pub(super) fn prune(registry: Option<&Path>, json: bool) -> io::Result<ExitCode> {
    let report = admin::prune(registry)?;
    if json {
        print_json(&report)?;
    } else {
        print(&mut io::stdout().lock(), &report)?;
    }
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(out: &mut impl Write, report: &PruneReport) -> io::Result<()> {
    let PruneReport { dead, killed, tombstones, problems, .. } = report;
    for session in dead {
        writeln!(out, "{session} was dead and is removed")?;
    }
    for PruneProblem { session, error } in problems {
        writeln!(out, "{session} cannot be removed: {error}")?;
    }
    let (dead, tombstones) = (dead.len(), tombstones.len());
    writeln!(out, "removed: {dead} dead sessions, {killed} processes, {tombstones} old tombstones")
}
