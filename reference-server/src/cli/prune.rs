//! `rejoin-server prune`.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use rejoin_protocol::registry::Failure;
use serde::Serialize;

use crate::registry::{Registry, Swept, sweep};

/// What was removed, as `prune --json` tells it.
#[derive(Debug, Default, Serialize)]
struct Pruned {
    /// The sessions whose server was dead.
    dead: Vec<String>,
    /// How many processes of theirs were still there, and were ended.
    killed: usize,
    /// The sessions that had ended long ago, and are forgotten now.
    tombstones: Vec<String>,
    /// What could not be removed.
    problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
struct Problem {
    session: String,
    error: String,
}

impl From<Swept> for Pruned {
    fn from(swept: Swept) -> Self {
        let problem = |(session, error): &(_, Failure)| Problem {
            session: format!("{session}"),
            error: rejoin_text::printable(&error.to_string(), 200),
        };
        Self {
            dead: swept.buried.iter().map(ToString::to_string).collect(),
            killed: swept.killed,
            tombstones: swept.forgotten.iter().map(ToString::to_string).collect(),
            problems: swept.problems.iter().map(problem).collect(),
        }
    }
}

pub(super) fn prune(registry: Option<&Path>, json: bool) -> io::Result<ExitCode> {
    let registry = Registry::open_existing(registry).map_err(io::Error::other)?;
    let swept = registry.map(|registry| sweep(&registry)).transpose()?;
    let pruned = swept.map(Pruned::from).unwrap_or_default();
    if json {
        let text = serde_json::to_string(&pruned).map_err(io::Error::other)?;
        writeln!(io::stdout(), "{text}")?;
    } else {
        print(&mut io::stdout().lock(), &pruned)?;
    }
    Ok(if pruned.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(out: &mut impl Write, pruned: &Pruned) -> io::Result<()> {
    let Pruned { dead, killed, tombstones, problems } = pruned;
    for session in dead {
        writeln!(out, "{session} was dead and is removed")?;
    }
    for Problem { session, error } in problems {
        writeln!(out, "{session} cannot be removed: {error}")?;
    }
    let (dead, tombstones) = (dead.len(), tombstones.len());
    writeln!(out, "removed: {dead} dead sessions, {killed} processes, {tombstones} old tombstones")
}
