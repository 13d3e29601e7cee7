//! The registry: the state of all sessions of a user on this host.
//!
//! A private, local folder holds a *lock file* and an *entry* for each session:
//!
//! ```text
//! <session>.lock    locked by the session's server as long as it lives; also the tombstone's file
//! <session>/        the entry: exists while the session does
//!     record        incarnation, epoch, tenure, command, start time, phase
//!     socket        where the server listens
//!     log           what the server has to say
//! ```
//!
//! **A session lives exactly as long as its lock is held.** No pid, socket or timeout decides that.
//! The lock belongs to the open file: a fork inherits it, exec closes it, and it is released when
//! its last descriptor is closed. rejoin never unlocks explicitly, because that would take the lock
//! from every process that inherited it.
//!
//! The machines of [`rejoin_protocol::registry`] decide the order of operations; this module
//! carries them out. A socket is only unlinked together with its entry, under the lock.

mod access;
mod folder;
mod lock;
mod record;
mod seal;
mod sweep;
mod tombstone;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rejoin_protocol::SessionId;

pub use crate::server_process::ServerProcess;
pub(crate) use access::{Access, TombstoneExpiry, failure, recorded};
pub use folder::{FOLDER_VARIABLE, RegistryError};
pub use lock::{Lock, LockAttempt, LockFile};
pub use record::{Phase, Record, Stamp};
pub use seal::Found;
pub use sweep::{Swept, TOMBSTONE_LIFE, sweep, sweep_at};
pub use tombstone::Tombstone;

const LOCK_SUFFIX: &str = ".lock";
const RECORD: &str = "record";
const RECORD_TEMPORARY: &str = "record.tmp";
const SOCKET: &str = "socket";
const LOG: &str = "log";

/// The folder with all sessions of one user on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    dir: PathBuf,
}

impl Registry {
    /// The folder itself: absolute, and verified when the registry was opened.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The session's lock file, which outlives its entry as the tombstone.
    pub fn lock_path(&self, session: SessionId) -> PathBuf {
        self.dir.join(format!("{session}{LOCK_SUFFIX}"))
    }

    /// The session's entry.
    pub fn entry_path(&self, session: SessionId) -> PathBuf {
        self.dir.join(session.to_string())
    }

    /// The socket of the session's server.
    pub fn socket_path(&self, session: SessionId) -> PathBuf {
        self.entry_path(session).join(SOCKET)
    }

    /// The log of the session's server.
    pub fn log_path(&self, session: SessionId) -> PathBuf {
        self.entry_path(session).join(LOG)
    }

    /// Opens the session's lock file without locking it.
    ///
    /// With `create`, a missing file is created with space for its tombstone: on a full disk this
    /// fails, and leaves nothing behind. Without `create`, a missing file is `None`.
    pub fn open_lock(&self, session: SessionId, create: bool) -> io::Result<Option<LockFile>> {
        LockFile::open(self, session, create)
    }

    /// Whether the session's server lives, by its lock, without waiting.
    ///
    /// It probes with a shared lock, which it releases at once. If an attach program tries the lock
    /// at that moment, it takes the session for living, fails to connect, and tries again, as it
    /// does anyway. Other probes are not disturbed.
    pub fn is_alive(&self, session: SessionId) -> io::Result<bool> {
        match self.open_lock(session, false)? {
            Some(file) => file.probe(),
            None => Ok(false),
        }
    }

    /// Reads the session's record, with or without its lock. Decisions need the lock.
    pub fn read_record(&self, session: SessionId) -> io::Result<Found<Record>> {
        record::read(&self.entry_path(session))
    }

    /// Whether the session has an entry.
    pub fn has_entry(&self, session: SessionId) -> io::Result<bool> {
        match fs::symlink_metadata(self.entry_path(session)) {
            Ok(_) => Ok(true),
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Every session with an entry or a lock file, in order, once each.
    fn sessions(&self) -> io::Result<Vec<SessionId>> {
        let mut sessions: Vec<SessionId> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let name = name.to_string_lossy();
            sessions.extend(name.strip_suffix(LOCK_SUFFIX).unwrap_or(&name).parse::<SessionId>());
        }
        sessions.sort_unstable();
        sessions.dedup();
        Ok(sessions)
    }

    /// All sessions, in order, without tombstones and without entries that have neither a record
    /// nor a living server.
    pub fn list(&self) -> io::Result<Vec<Listed>> {
        let mut listed = Vec::new();
        for session in self.sessions()? {
            if self.has_entry(session)? {
                let is_alive = self.is_alive(session)?;
                let record = self.read_record(session)?.whole();
                if is_alive || record.is_some() {
                    listed.push(Listed { session, is_alive, record });
                }
            }
        }
        Ok(listed)
    }
}

/// One session of [`Registry::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The session.
    pub session: SessionId,
    /// Whether its server lives. A sweep removes a dead session.
    pub is_alive: bool,
    /// Its record; `None` while it is being written, or if it is damaged.
    pub record: Option<Record>,
}

impl Listed {
    /// Whether its process runs, or has ended, and no client is attached.
    pub fn is_detached(&self) -> bool {
        let is_detached = |record: &Record| record.phase != Phase::Reserved && !record.is_attached;
        self.is_alive && self.record.as_ref().is_some_and(is_detached)
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoin_protocol::server::Past;
    use rejoin_protocol::{Incarnation, Tenure};
    use tempfile::TempDir;

    const SESSION: SessionId = SessionId::from_bytes([1; 16]);

    fn registry() -> (TempDir, Registry) {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(Some(&folder.path().join("registry"))).unwrap();
        (folder, registry)
    }

    fn lock(registry: &Registry, session: SessionId) -> Lock {
        let file = registry.open_lock(session, true).unwrap().unwrap();
        file.try_lock().unwrap().got().unwrap()
    }

    #[test]
    fn a_session_lives_while_its_lock_is_held() {
        let (_folder, registry) = registry();
        assert!(!registry.is_alive(SESSION).unwrap());
        let lock = lock(&registry, SESSION);
        assert!(registry.is_alive(SESSION).unwrap());
        drop(lock);
        assert!(!registry.is_alive(SESSION).unwrap());
    }

    #[test]
    fn does_not_list_tombstones_and_remnants() {
        let (_folder, registry) = registry();
        let [living, dead, buried, remnant] = [1, 2, 3, 4].map(|n| SessionId::from_bytes([n; 16]));
        let record = Record::reserved(Incarnation(0), Tenure(0), "top", "me");
        let held = lock(&registry, living);
        held.write_record(&record).unwrap();
        lock(&registry, dead).write_record(&record).unwrap();
        lock(&registry, buried).write_tombstone(&Past::default()).unwrap();
        drop(lock(&registry, remnant));
        fs::create_dir(registry.entry_path(remnant)).unwrap();
        fs::write(registry.dir().join("notes"), "not a session").unwrap();

        let listed = registry.list().unwrap();
        let shown: Vec<_> = listed.iter().map(|listed| (listed.session, listed.is_alive)).collect();
        assert_eq!(shown, [(living, true), (dead, false)]);
        assert_eq!(listed[0].record, Some(record));
    }
}
