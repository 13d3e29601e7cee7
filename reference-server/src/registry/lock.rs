//! The lock of a session. Its holder acts for the session.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rejoin_protocol::SessionId;
use rejoin_protocol::registry::Standing;
use rejoin_protocol::server::Past;
use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags, fallocate, flock, fstat, lstat};
use rustix::io::{Errno, pwrite};

use super::record::{self, Record};
use super::tombstone::{self, Tombstone};
use super::{Found, Registry};
use crate::log::OLD_SUFFIX;

/// A session's lock file, open but not locked.
#[derive(Debug)]
pub struct LockFile {
    file: OwnedFd,
    registry: Registry,
    session: SessionId,
}

/// The result of trying a lock.
#[derive(Debug)]
#[must_use]
pub enum LockAttempt {
    /// This program has the lock.
    Got(Lock),
    /// Another program has it: the session's server lives, or an attach program or a probe holds it
    /// for a moment.
    Held(LockFile),
}

impl LockAttempt {
    /// The lock, if this program got it.
    pub fn got(self) -> Option<Lock> {
        match self {
            Self::Got(lock) => Some(lock),
            Self::Held(_) => None,
        }
    }
}

impl LockFile {
    pub(super) fn open(
        registry: &Registry,
        session: SessionId,
        create: bool,
    ) -> io::Result<Option<Self>> {
        let make = if create { OFlags::CREATE } else { OFlags::empty() };
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY | make;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match rustix::fs::open(registry.lock_path(session), flags, mode) {
            Ok(file) => file,
            Err(Errno::NOENT) if !create => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let opened = Self { file, registry: registry.clone(), session };
        if create { opened.with_room().map(Some) } else { Ok(Some(opened)) }
    }

    /// Reserves space, so that a tombstone can be written later even if the disk is full.
    fn with_room(self) -> io::Result<Self> {
        if tombstone::has_room(&self.file)? {
            return Ok(self);
        }
        // Allocating changes no existing byte, so that it needs no lock.
        match fallocate(&self.file, FallocateFlags::empty(), 0, tombstone::BLOCK as u64) {
            Ok(()) => Ok(self),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.with_zeros(),
            Err(error) => {
                if let LockAttempt::Got(lock) = self.try_lock()? {
                    lock.discard()?;
                }
                Err(error.into())
            }
        }
    }

    /// The same on a file system that cannot allocate. Only the lock's holder writes zeros, because
    /// another program may be writing a tombstone.
    fn with_zeros(self) -> io::Result<Self> {
        let Self { registry, session, .. } = &self;
        let (registry, session) = (registry.clone(), *session);
        match self.try_lock()? {
            LockAttempt::Held(file) => return Ok(file),
            LockAttempt::Got(lock) => {
                if !tombstone::has_room(&lock.file)?
                    && let Err(error) = pwrite(&lock.file, &[0; tombstone::BLOCK], 0)
                {
                    lock.discard()?;
                    return Err(error.into());
                }
            }
        }
        // The lock belongs to the open file: opening it again gives a file without the lock.
        Self::open(&registry, session, false)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Tries the lock without waiting. After getting it, check [`Lock::is_current`].
    pub fn try_lock(self) -> io::Result<LockAttempt> {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(LockAttempt::Got(Lock {
                file: self.file,
                registry: self.registry,
                session: self.session,
            })),
            Err(Errno::WOULDBLOCK) => Ok(LockAttempt::Held(self)),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether another program has the lock. If not, the lock taken for the test is released at
    /// once.
    pub(super) fn probe(self) -> io::Result<bool> {
        match flock(&self.file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// The tombstone. Without the lock, another program may replace it at any time.
    pub(super) fn read_tombstone(&self) -> io::Result<Found<Tombstone>> {
        tombstone::read(&self.file)
    }
}

/// A session's lock, held until this and every inherited copy is closed.
///
/// There is no unlock operation: it would take the lock from a server that inherited it.
#[derive(Debug)]
pub struct Lock {
    file: OwnedFd,
    registry: Registry,
    session: SessionId,
}

impl Lock {
    /// The lock that was inherited as an open descriptor. It is not locked again.
    pub fn from_fd(registry: Registry, session: SessionId, file: OwnedFd) -> Self {
        Self { file, registry, session }
    }

    /// The descriptor, to be inherited. The lock is held as long as it is open.
    pub fn into_fd(self) -> OwnedFd {
        self.file
    }

    /// The session.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What the lock's path names now. Only with [`Standing::Current`] is this the session's lock.
    pub fn standing(&self) -> io::Result<Standing> {
        let locked = fstat(&self.file)?;
        match lstat(self.registry.lock_path(self.session)) {
            Ok(named) if (named.st_dev, named.st_ino) == (locked.st_dev, locked.st_ino) => {
                Ok(Standing::Current)
            }
            Ok(_) => Ok(Standing::Replaced),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(Standing::Missing),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the path still names the locked file. If not, close it and open the path again.
    pub fn is_current(&self) -> io::Result<bool> {
        Ok(self.standing()? == Standing::Current)
    }

    /// Writes the record atomically, and creates the entry if necessary.
    pub fn write_record(&self, record: &Record) -> io::Result<()> {
        record::write(&self.registry.entry_path(self.session), record)
    }

    /// Folds `past` into the tombstone, which never goes backwards (SPEC section 11.3).
    pub fn write_tombstone(&self, past: &Past) -> io::Result<()> {
        let old = self.read_tombstone()?.whole().map(Tombstone::into_remembered);
        tombstone::write(&self.file, &Tombstone::of(old.unwrap_or_default().with(past)))
    }

    /// Removes the entry, if this is the session's lock. The lock file stays.
    ///
    /// Files that are not rejoin's stay, together with the entry.
    pub fn remove_entry(&self) -> io::Result<()> {
        if self.is_current()? {
            remove_entry(&self.registry.entry_path(self.session))?;
        }
        Ok(())
    }

    /// Removes the lock file while it is locked. Programs that have it open notice by
    /// [`Self::is_current`].
    pub fn remove_file(&self) -> io::Result<()> {
        if self.is_current()? {
            fs::remove_file(self.registry.lock_path(self.session))?;
        }
        Ok(())
    }

    /// Removes a new lock file for which the disk has no space.
    fn discard(&self) -> io::Result<()> {
        let is_blank = self.read_tombstone()? == Found::Nothing;
        if is_blank && !self.registry.has_entry(self.session)? {
            self.remove_file()
        } else {
            Ok(())
        }
    }

    /// The tombstone.
    pub fn read_tombstone(&self) -> io::Result<Found<Tombstone>> {
        tombstone::read(&self.file)
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Removes an entry, the record last, so that after a kill the entry is still recognised.
fn remove_entry(entry: &Path) -> io::Result<()> {
    let old_log = format!("{}{OLD_SUFFIX}", super::LOG);
    for name in [super::SOCKET, super::LOG, &old_log, super::RECORD_TEMPORARY, super::RECORD] {
        unless_absent(fs::remove_file(entry.join(name)))?;
    }
    match unless_absent(fs::remove_dir(entry)) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed,
    }
}

fn unless_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if super::is_absent(&error) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Access;
    use rejoin_protocol::{Epoch, Incarnation, SpawnError, SpawnErrorKind, Tenure};
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;
    use tempfile::TempDir;

    const SESSION: SessionId = SessionId::from_bytes([1; 16]);

    fn registry() -> (TempDir, Registry) {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(Some(&folder.path().join("r"))).unwrap();
        (folder, registry)
    }

    fn open(registry: &Registry) -> LockFile {
        registry.open_lock(SESSION, true).unwrap().unwrap()
    }

    fn lock(registry: &Registry) -> Lock {
        open(registry).try_lock().unwrap().got().unwrap()
    }

    fn names(path: &Path) -> Vec<String> {
        let names = fs::read_dir(path).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn starting(incarnation: u64) -> Record {
        Record::reserved(Incarnation(incarnation), Tenure(1), "top", "me")
            .starting(Epoch::from_bytes([9; 16]))
    }

    #[test]
    fn creates_a_private_lock_file_with_space_for_the_tombstone_only_on_request() {
        let (_folder, registry) = registry();
        assert!(registry.open_lock(SESSION, false).unwrap().is_none());
        assert!(names(registry.dir()).is_empty());
        open(&registry);
        let metadata = fs::metadata(registry.lock_path(SESSION)).unwrap();
        assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (1024, 0o600));
    }

    #[test]
    fn only_one_gets_the_lock() {
        let (_folder, registry) = registry();
        let first = lock(&registry);
        let second = match open(&registry).try_lock().unwrap() {
            LockAttempt::Held(file) => file,
            LockAttempt::Got(_) => panic!("two locks"),
        };
        drop(first);
        assert!(second.try_lock().unwrap().got().is_some());
    }

    #[test]
    fn notices_a_removed_and_a_replaced_lock_file() {
        let (_folder, registry) = registry();
        let old = lock(&registry);
        assert!(old.is_current().unwrap());
        fs::remove_file(registry.lock_path(SESSION)).unwrap();
        assert_eq!(old.standing().unwrap(), Standing::Missing);
        let new = lock(&registry);
        assert_eq!(old.standing().unwrap(), Standing::Replaced);
        assert!(new.is_current().unwrap());
        // The holder of a lock that is no longer current removes nothing.
        old.remove_file().unwrap();
        assert!(new.is_current().unwrap());
        fs::remove_dir_all(registry.dir()).unwrap();
        assert_eq!(new.standing().unwrap(), Standing::Missing);
    }

    fn used(incarnation: u64) -> Past {
        Past { is_known: true, used: Some(Incarnation(incarnation)), ..Past::default() }
    }

    #[test]
    fn reads_the_record_and_tombstone_that_it_wrote() {
        let (_folder, registry) = registry();
        let lock = lock(&registry);
        lock.write_tombstone(&Past { tenure: Tenure(7), ..used(2) }).unwrap();
        lock.write_record(&starting(4)).unwrap();
        let known = Access::of_server(lock).known().unwrap();
        assert!(known.has_lock && known.has_entry && !known.has_socket && known.is_server_seen);
        let record = known.record.unwrap();
        assert_eq!((record.used(), record.tenure), (Some(Incarnation(4)), Tenure(1)));
        let tombstone = known.tombstone.unwrap();
        assert_eq!((tombstone.used, tombstone.tenure), (Some(Incarnation(2)), Tenure(7)));
    }

    #[test]
    fn burying_leaves_only_the_lock_file_with_the_tombstone() {
        let (_folder, registry) = registry();
        let lock = lock(&registry);
        lock.write_record(&starting(4)).unwrap();
        let _listener = UnixListener::bind(registry.socket_path(SESSION)).unwrap();
        for name in ["log", "log.1", "record.tmp"] {
            fs::write(registry.entry_path(SESSION).join(name), "x").unwrap();
        }
        let error = SpawnError::new(SpawnErrorKind::NotFound, "no such program");
        let failed = Some((Incarnation(5), error));
        lock.write_tombstone(&Past { failed: failed.clone(), ..used(4) }).unwrap();
        lock.remove_entry().unwrap();
        assert_eq!(names(registry.dir()), [format!("{SESSION}.lock")]);
        lock.write_tombstone(&Past::default()).unwrap();
        let tombstone = lock.read_tombstone().unwrap().whole().unwrap();
        assert_eq!((tombstone.used, tombstone.failed), (Some(Incarnation(5)), failed));
        assert!(lock.is_current().unwrap());
    }

    #[test]
    fn burying_keeps_foreign_files() {
        let (_folder, registry) = registry();
        let lock = lock(&registry);
        lock.write_record(&starting(0)).unwrap();
        fs::write(registry.entry_path(SESSION).join("notes"), "mine").unwrap();
        lock.remove_entry().unwrap();
        assert_eq!(names(&registry.entry_path(SESSION)), ["notes"]);
    }

    #[test]
    fn reports_and_replaces_a_damaged_tombstone() {
        let (_folder, registry) = registry();
        let lock = lock(&registry);
        fs::write(registry.lock_path(SESSION), "garbage").unwrap();
        assert_eq!(lock.read_tombstone().unwrap(), Found::Damaged);
        lock.write_tombstone(&used(1)).unwrap();
        let tombstone = lock.read_tombstone().unwrap().whole().unwrap();
        assert_eq!(tombstone.used, Some(Incarnation(1)));
    }

    #[test]
    fn removes_nothing_under_another_lock() {
        let (_folder, registry) = registry();
        let old = lock(&registry);
        fs::remove_file(registry.lock_path(SESSION)).unwrap();
        let new = lock(&registry);
        new.write_record(&starting(4)).unwrap();
        old.remove_entry().unwrap();
        old.remove_file().unwrap();
        assert_eq!(names(&registry.entry_path(SESSION)), ["record"]);
        assert!(new.is_current().unwrap());
    }

    #[test]
    fn reserves_space_by_writing_zeros() {
        let (_folder, registry) = registry();
        fs::write(registry.lock_path(SESSION), "").unwrap();
        let file = registry.open_lock(SESSION, false).unwrap().unwrap();
        let file = file.with_zeros().unwrap();
        assert!(!registry.is_alive(SESSION).unwrap());
        assert_eq!(file.read_tombstone().unwrap(), Found::Nothing);
        assert_eq!(fs::metadata(registry.lock_path(SESSION)).unwrap().len(), 1024);
    }
}
