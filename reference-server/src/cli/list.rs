//! `rejoin-server ls`.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

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
    /// Who holds it.
    client: String,
}

impl From<Listed> for Row {
    fn from(listed: Listed) -> Self {
        let state = state(&listed);
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
    Ok(registry.list()?.into_iter().map(Row::from).collect())
}

fn print(out: &mut impl Write, rows: &[Row]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no sessions");
    }
    writeln!(out, "{:<34}{:<10}{:>8}  {:<24}COMMAND", "SESSION", "STATE", "AGE", "HELD BY")?;
    for row in rows {
        writeln!(
            out,
            "{:<34}{:<10}{:>8}  {:<24}{}",
            row.session,
            row.state,
            row.started.map_or_else(String::new, age),
            row.client,
            row.command
        )?;
    }
    Ok(())
}

fn age(started: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = now.as_secs().saturating_sub(started);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
