//! The sessions on this host.

use std::io;
use std::path::Path;

use rejoin_protocol::admin::{AdminVersion, SessionInfo, SessionStatus, Text};

use crate::host;
use crate::registry::{Listed, Phase, Record, Registry, sweep};

/// Sweeps the registry, and lists its sessions, the oldest first. Without a folder, the user's own
/// is meant; if it does not exist, there are no sessions.
///
/// # Errors
/// The registry cannot be used or read.
pub fn list(registry: Option<&Path>) -> io::Result<Vec<SessionInfo>> {
    let Some(registry) = Registry::open_existing(registry).map_err(io::Error::other)? else {
        return Ok(Vec::new());
    };
    sweep(&registry)?;
    let mut listed = registry.list()?;
    // A session that starts later moves no row.
    listed.sort_by_key(|listed| {
        let started = listed.record.as_ref().map(|record| record.started.boottime);
        (started.unwrap_or(u64::MAX), listed.session)
    });
    let now = host::boottime().as_secs();
    Ok(listed.iter().map(|listed| info(listed, now)).collect())
}

/// A session as it is at this time since boot.
fn info(listed: &Listed, now: u64) -> SessionInfo {
    let record = listed.record.as_ref();
    let text = |of: fn(&Record) -> &String| record.map(|record| Text::new(of(record)));
    SessionInfo {
        session: listed.session,
        status: status(listed),
        incarnation: record.map(|record| record.incarnation),
        epoch: record.and_then(|record| record.epoch),
        tenure: record.map(|record| record.tenure),
        command: text(|record| &record.command).unwrap_or_default(),
        terminal: record.is_some_and(|record| record.has_terminal),
        started: record.map(|record| record.started.unix),
        age_seconds: record.map(|record| now.saturating_sub(record.started.boottime)),
        idle_seconds: record.map(|record| now.saturating_sub(record.active)),
        client: text(|record| &record.client).unwrap_or_default(),
        version: AdminVersion::CURRENT,
    }
}

fn status(listed: &Listed) -> SessionStatus {
    match &listed.record {
        _ if !listed.is_alive => SessionStatus::Dead,
        Some(record) if record.phase == Phase::Reserved => SessionStatus::Starting,
        Some(record) if record.is_attached => SessionStatus::Attached,
        Some(_) => SessionStatus::Detached,
        None => SessionStatus::Starting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_protocol::{Epoch, Incarnation, SessionId, Tenure};

    const SESSION: SessionId = SessionId::from_bytes([1; 16]);

    #[test]
    fn a_folder_that_does_not_exist_has_no_sessions_and_is_not_created() {
        let folder = tempfile::tempdir().unwrap();
        let registry = folder.path().join("registry");
        assert!(list(Some(&registry)).unwrap().is_empty());
        assert!(!registry.exists());
    }

    #[test]
    fn a_session_is_what_its_lock_and_its_record_say() {
        let reserved = Record::reserved(Incarnation(3), Tenure(1), "make", "me@desk");
        let starting = reserved.clone().starting(Epoch::from_bytes([7; 16]));
        let attached = Record { is_attached: true, ..starting.clone() };
        for (is_alive, record, expected) in [
            (true, None, SessionStatus::Starting),
            (true, Some(reserved), SessionStatus::Starting),
            (true, Some(starting.clone()), SessionStatus::Detached),
            (true, Some(attached.clone()), SessionStatus::Attached),
            (false, Some(attached), SessionStatus::Dead),
        ] {
            assert_eq!(status(&Listed { session: SESSION, is_alive, record }), expected);
        }
        let started = starting.started.boottime;
        let listed = Listed { session: SESSION, is_alive: true, record: Some(starting) };
        let info = info(&listed, started + 5);
        assert_eq!((info.command.as_str(), info.client.as_str()), ("make", "me@desk"));
        assert_eq!((info.age_seconds, info.idle_seconds), (Some(5), Some(5)));
        assert_eq!(info.holder().unwrap().incarnation, Incarnation(3));
    }
}
