//! `rejoin-server ls`.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::host;
use crate::registry::{Listed, Phase, Record, Registry, sweep};

/// A session as `ls --json` shows it.
#[derive(Debug, Serialize)]
struct Row {
    session: String,
    /// `attached`, `detached` or `starting`; `dead` until somebody sweeps it up.
    state: &'static str,
    incarnation: Option<u64>,
    epoch: Option<String>,
    tenure: Option<u64>,
    command: String,
    terminal: bool,
    /// When its first server started, in seconds since 1970.
    started: Option<u64>,
    /// How long ago that is, in seconds, whatever became of the clock on the wall since.
    age_seconds: Option<u64>,
    /// For how many seconds nothing went in or out and nobody came or went, to a minute.
    idle_seconds: Option<u64>,
    /// Who holds it.
    client: String,
}

impl Row {
    /// As it is at this time since boot.
    fn of(listed: &Listed, now: u64) -> Self {
        let state = state(listed);
        let record = listed.record.as_ref();
        let text = |of: fn(&Record) -> &String| record.map(of).cloned().unwrap_or_default();
        Self {
            session: listed.session.to_string(),
            state,
            incarnation: record.map(|record| record.incarnation.0),
            epoch: record.and_then(|record| record.epoch).map(|epoch| epoch.to_string()),
            tenure: record.map(|record| record.tenure.0),
            command: text(|record| &record.command),
            terminal: record.is_some_and(|record| record.has_terminal),
            started: record.map(|record| record.started.unix),
            age_seconds: record.map(|record| now.saturating_sub(record.started.boottime)),
            idle_seconds: record.map(|record| now.saturating_sub(record.active)),
            client: text(|record| &record.client),
        }
    }
}

fn state(listed: &Listed) -> &'static str {
    match &listed.record {
        _ if !listed.is_alive => "dead",
        Some(record) if record.phase == Phase::Reserved => "starting",
        Some(record) if record.is_attached => "attached",
        Some(_) => "detached",
        None => "starting",
    }
}

pub(super) fn list(registry: Option<&Path>, json: bool) -> io::Result<()> {
    let rows = rows(registry)?;
    if json {
        let text = serde_json::to_string(&rows).map_err(io::Error::other)?;
        writeln!(io::stdout(), "{text}")
    } else {
        print(&mut io::stdout().lock(), &rows)
    }
}

fn rows(registry: Option<&Path>) -> io::Result<Vec<Row>> {
    let Some(registry) = Registry::open_existing(registry).map_err(io::Error::other)? else {
        return Ok(Vec::new());
    };
    sweep(&registry)?;
    let mut listed = registry.list()?;
    // The oldest first: what is started later moves no row.
    listed.sort_by_key(|listed| {
        let started = listed.record.as_ref().map(|record| record.started.boottime);
        (started.unwrap_or(u64::MAX), listed.session)
    });
    let now = host::boottime().as_secs();
    Ok(listed.iter().map(|listed| Row::of(listed, now)).collect())
}

fn print(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no sessions");
    }
    let [session, state, age, idle, client] = ["SESSION", "STATE", "AGE", "IDLE", "HELD BY"];
    writeln!(out, "{session:<34}{state:<10}{age:>8}{idle:>8}  {client:<24}COMMAND")?;
    for Row { session, state, age_seconds, idle_seconds, client, command, .. } in rows {
        let [age, idle] =
            [age_seconds, idle_seconds].map(|seconds| seconds.map_or_else(String::new, rounded));
        writeln!(out, "{session:<34}{state:<10}{age:>8}{idle:>8}  {client:<24}{command}")?;
    }
    Ok(())
}

fn rounded(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
