//! The sweep: removes dead sessions and old tombstones.
//!
//! It never waits for a lock, and skips sessions whose lock is held.

use std::io;
use std::time::Duration;

use rejoin_protocol::SessionId;
use rejoin_protocol::registry::{Failure, Program as _, Sweep, Swept as Visited};

use super::{Access, Registry, TombstoneExpiry};
use crate::host;

/// How long a tombstone is kept, in boot time: much longer than a client repeats an unconfirmed
/// Open.
pub const TOMBSTONE_LIFE: Duration = Duration::from_hours(24);

/// The result of a sweep.
#[derive(Debug, Default)]
pub struct Swept {
    /// The sessions whose old tombstones were removed, or whose lock files had no tombstone.
    pub forgotten: Vec<SessionId>,
    /// The dead sessions whose entries were removed and folded into their tombstones.
    pub buried: Vec<SessionId>,
    /// The number of killed processes.
    pub killed: usize,
    /// The sessions that could not be swept, and why.
    pub problems: Vec<(SessionId, Failure)>,
}

impl Swept {
    fn note(&mut self, session: SessionId, visited: Visited) {
        match visited {
            Visited::Nothing => {}
            Visited::Forgotten => self.forgotten.push(session),
            Visited::Buried { ended } => {
                self.buried.push(session);
                self.killed += usize::try_from(ended).unwrap_or(usize::MAX);
            }
            Visited::Failed(failure) => self.problems.push((session, failure)),
        }
    }
}

/// Removes tombstones older than a day, buries dead sessions, and ends their remaining processes.
pub fn sweep(registry: &Registry) -> io::Result<Swept> {
    sweep_at(registry, host::boottime(), TOMBSTONE_LIFE)
}

/// The same for a given time since boot and another lifetime of tombstones.
pub fn sweep_at(registry: &Registry, boottime: Duration, life: Duration) -> io::Result<Swept> {
    let boot_id = host::boot_id()?;
    let age = TombstoneExpiry { boottime, boot_id, life };
    let mut swept = Swept::default();
    for session in registry.sessions()? {
        let mut access = Access::new(registry.clone(), session).with_age(age);
        swept.note(session, Sweep::new().run(|operation| access.carry_out(operation)));
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Lock, Record};
    use rejoin_protocol::server::Past;
    use rejoin_protocol::{Epoch, Incarnation, Tenure};
    use std::fs;
    use tempfile::TempDir;

    const SESSION: SessionId = SessionId::from_bytes([1; 16]);
    const DAY: Duration = TOMBSTONE_LIFE;

    fn registry() -> (TempDir, Registry) {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(Some(&folder.path().join("r"))).unwrap();
        (folder, registry)
    }

    fn lock(registry: &Registry) -> Lock {
        let file = registry.open_lock(SESSION, true).unwrap().unwrap();
        file.try_lock().unwrap().got().unwrap()
    }

    fn starting() -> Record {
        Record::reserved(Incarnation(4), Tenure(2), "top", "me")
            .starting(Epoch::from_bytes([9; 16]))
    }

    fn is_empty(registry: &Registry) -> bool {
        fs::read_dir(registry.dir()).unwrap().next().is_none()
    }

    #[test]
    fn a_tombstone_is_removed_with_its_lock_file_after_a_day_of_boot_time_not_before() {
        let (_folder, registry) = registry();
        let now = host::boottime();
        lock(&registry).write_tombstone(&Past::default()).unwrap();
        let early = sweep_at(&registry, now + DAY * 9 / 10, DAY).unwrap();
        assert!(early.forgotten.is_empty() && !is_empty(&registry));
        let late = sweep_at(&registry, now + DAY + Duration::from_mins(1), DAY).unwrap();
        assert_eq!(late.forgotten, [SESSION]);
        assert!(is_empty(&registry));
    }

    #[test]
    fn never_touches_a_session_whose_lock_is_held() {
        let (_folder, registry) = registry();
        let held = lock(&registry);
        held.write_tombstone(&Past::default()).unwrap();
        for has_entry in [false, true] {
            if has_entry {
                held.write_record(&starting()).unwrap();
            }
            let swept = sweep_at(&registry, host::boottime() + 9 * DAY, DAY).unwrap();
            assert!(swept.forgotten.is_empty() && swept.buried.is_empty());
            assert!(held.is_current().unwrap());
        }
        assert!(registry.read_record(SESSION).unwrap().whole().is_some());
    }

    #[test]
    fn the_entry_of_a_dead_server_is_folded_into_its_tombstone() {
        let (_folder, registry) = registry();
        lock(&registry).write_record(&starting()).unwrap();
        let swept = sweep(&registry).unwrap();
        assert_eq!(swept.buried, [SESSION]);
        assert!(!registry.has_entry(SESSION).unwrap());
        let tombstone = lock(&registry).read_tombstone().unwrap().whole().unwrap();
        assert_eq!((tombstone.used, tombstone.tenure), (Some(Incarnation(4)), Tenure(2)));
    }

    #[test]
    fn removes_a_lock_file_without_a_tombstone_at_once() {
        let (_folder, registry) = registry();
        registry.open_lock(SESSION, true).unwrap();
        assert_eq!(sweep(&registry).unwrap().forgotten, [SESSION]);
        assert!(is_empty(&registry));
    }

    #[test]
    fn keeps_a_damaged_tombstone_for_a_day() {
        let (_folder, registry) = registry();
        fs::write(registry.lock_path(SESSION), "garbage").unwrap();
        assert!(sweep(&registry).unwrap().forgotten.is_empty());
        assert!(sweep(&registry).unwrap().forgotten.is_empty());
        let late = sweep_at(&registry, host::boottime() + DAY, DAY).unwrap();
        assert_eq!(late.forgotten, [SESSION]);
    }

    #[test]
    fn a_server_that_lost_only_its_lock_file_may_put_it_back() {
        let (_folder, registry) = registry();
        // The record names this process as the server.
        lock(&registry).write_record(&starting()).unwrap();
        fs::remove_file(registry.lock_path(SESSION)).unwrap();
        assert!(sweep(&registry).unwrap().buried.is_empty());
        let mut gone = starting();
        gone.server =
            gone.server.map(|server| crate::registry::ServerProcess { start: 1, ..server });
        lock(&registry).write_record(&gone).unwrap();
        fs::remove_file(registry.lock_path(SESSION)).unwrap();
        assert_eq!(sweep(&registry).unwrap().buried, [SESSION]);
    }
}
