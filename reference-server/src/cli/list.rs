//! `rejoin-server ls`.

use std::io::{self, Write};
use std::path::Path;

use rejoin_protocol::admin::{MAX_ENTRIES, SessionInfo, SessionList};

use super::print_json;
use crate::admin;

pub(super) fn list(registry: Option<&Path>, json: bool) -> io::Result<()> {
    let sessions = admin::list(registry)?;
    if !json {
        return print(&mut io::stdout().lock(), &sessions);
    }
    if sessions.len() > MAX_ENTRIES {
        let count = sessions.len();
        let message = format!("{count} sessions are more than an answer holds ({MAX_ENTRIES})");
        return Err(io::Error::other(message));
    }
    print_json(&SessionList { sessions })
}

fn print(out: &mut impl Write, sessions: &[SessionInfo]) -> io::Result<()> {
    if sessions.is_empty() {
        return writeln!(out, "no sessions");
    }
    let [session, state, age, idle, client] = ["SESSION", "STATE", "AGE", "IDLE", "HELD BY"];
    writeln!(out, "{session:<34}{state:<10}{age:>8}{idle:>8}  {client:<24}COMMAND")?;
    for info in sessions {
        let [age, idle] = [info.age_seconds, info.idle_seconds]
            .map(|seconds| seconds.map_or_else(String::new, rounded));
        let SessionInfo { session, status, client, command, .. } = info;
        let session = session.to_string();
        writeln!(out, "{session:<34}{status:<10}{age:>8}{idle:>8}  {client:<24}{command}")?;
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
