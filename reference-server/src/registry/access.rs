//! Carries out the operations of the machines of [`rejoin_protocol::registry`] on files. It decides
//! nothing.

use std::io;
use std::time::Duration;

use rejoin_protocol::SessionId;
use rejoin_protocol::registry::{
    Failure, FailureKind, Known, Operation, Outcome, Reaped, Recorded, Report,
};
use rustix::io::Errno;

use super::{Found, Lock, LockAttempt, LockFile, Phase, Record, Registry, Tombstone};
use crate::host;
use crate::reap::{Predecessor, ReapScope, reap};

/// How long to wait for killed processes to end.
const REAP_TIME: Duration = Duration::from_secs(5);

/// When tombstones expire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TombstoneExpiry {
    /// The time since boot.
    pub(crate) boottime: Duration,
    /// Which boot.
    pub(crate) boot_id: [u8; 16],
    /// How long tombstones are kept.
    pub(crate) life: Duration,
}

/// One program's use of a session's part of the registry.
#[derive(Debug)]
pub(crate) struct Access {
    registry: Registry,
    session: SessionId,
    /// The lock that a server holds from its start.
    own: Option<Lock>,
    /// The lock file that was opened last.
    opened: Option<Opened>,
    age: Option<TombstoneExpiry>,
}

#[derive(Debug)]
enum Opened {
    File(LockFile),
    Lock(Lock),
}

impl Access {
    pub(crate) fn new(registry: Registry, session: SessionId) -> Self {
        Self { registry, session, own: None, opened: None, age: None }
    }

    /// The same, with the age at which tombstones expire.
    pub(crate) fn with_age(self, age: TombstoneExpiry) -> Self {
        Self { age: Some(age), ..self }
    }

    /// The access of a server, which holds `lock`.
    pub(crate) fn of_server(lock: Lock) -> Self {
        let (registry, session) = (lock.registry().clone(), lock.session());
        Self { registry, session, own: Some(lock), opened: None, age: None }
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The lock that this program holds.
    ///
    /// # Errors
    /// It holds no lock.
    pub(crate) fn lock(&self) -> io::Result<&Lock> {
        match &self.opened {
            Some(Opened::Lock(lock)) => Ok(lock),
            Some(Opened::File(_)) => Err(not_locked()),
            None => self.own.as_ref().ok_or_else(not_locked),
        }
    }

    /// Closes the lock file unless it was adopted.
    pub(crate) fn close(&mut self) {
        self.opened = None;
    }

    /// Carries out one operation. Operations that need more than the registry are not supported
    /// here.
    pub(crate) fn carry_out(&mut self, operation: &Operation) -> Report {
        self.try_to(operation).map_err(|error| failure(&error))
    }

    fn try_to(&mut self, operation: &Operation) -> io::Result<Outcome> {
        match operation {
            Operation::OpenLock { makes } => {
                let Some(file) = self.registry.open_lock(self.session, *makes)? else {
                    return Ok(Outcome::Missing);
                };
                self.opened = Some(Opened::File(file));
            }
            Operation::TryLock => return self.try_lock(),
            Operation::CheckPath => return Ok(Outcome::Path(self.lock()?.standing()?)),
            Operation::Reap { all } => return self.reap(*all),
            Operation::ReadEntry => return Ok(Outcome::Known(self.known()?)),
            Operation::WriteTombstone(past) => self.lock()?.write_tombstone(past)?,
            Operation::RemoveEntry => self.lock()?.remove_entry()?,
            Operation::RemoveLock => self.lock()?.remove_file()?,
            Operation::Adopt => {
                if let Some(Opened::Lock(lock)) = self.opened.take() {
                    self.own = Some(lock);
                }
            }
            Operation::LetGo | Operation::Wait => self.close(),
            _ => return Err(io::ErrorKind::Unsupported.into()),
        }
        Ok(Outcome::Done)
    }

    fn try_lock(&mut self) -> io::Result<Outcome> {
        let Some(Opened::File(file)) = self.opened.take() else { return Err(not_locked()) };
        let (opened, outcome) = match file.try_lock()? {
            LockAttempt::Got(lock) => (Opened::Lock(lock), Outcome::Done),
            LockAttempt::Held(file) => (Opened::File(file), Outcome::Held),
        };
        self.opened = Some(opened);
        Ok(outcome)
    }

    fn reap(&self, all: bool) -> io::Result<Outcome> {
        let reach = if all {
            ReapScope::Session
        } else {
            let record = self.registry.read_record(self.session)?.whole();
            ReapScope::Left(record.as_ref().map(Predecessor::from))
        };
        let reaped = reap(self.session, &reach, REAP_TIME)?;
        let ended = u32::try_from(reaped.killed).unwrap_or(u32::MAX);
        Ok(Outcome::Reaped(Reaped { found: reaped.highest, ended }))
    }

    /// What is known from the record, the tombstone and the files.
    pub(crate) fn known(&self) -> io::Result<Known> {
        let record = self.registry.read_record(self.session)?;
        let has_damaged_record = record == Found::Damaged;
        let record = record.whole();
        let tombstone = self.tombstone()?;
        let has_damaged_tombstone = tombstone == Some(Found::Damaged);
        let has_lock = tombstone.is_some();
        let tombstone = tombstone.and_then(Found::whole);
        Ok(Known {
            has_lock,
            has_entry: self.registry.has_entry(self.session)?,
            has_socket: self.registry.socket_path(self.session).exists(),
            is_server_seen: record.as_ref().is_some_and(Record::is_server_seen),
            is_old: tombstone.as_ref().is_some_and(|tombstone| self.is_old(tombstone)),
            has_damaged_record,
            has_damaged_tombstone,
            record: record.as_ref().map(recorded),
            tombstone: tombstone.map(Tombstone::into_remembered),
        })
    }

    /// `None` without a lock file.
    fn tombstone(&self) -> io::Result<Option<Found<Tombstone>>> {
        match (&self.opened, &self.own) {
            (Some(Opened::File(file)), _) => file.read_tombstone().map(Some),
            (Some(Opened::Lock(lock)), _) | (None, Some(lock)) => lock.read_tombstone().map(Some),
            (None, None) => {
                let file = self.registry.open_lock(self.session, false)?;
                file.map(|file| file.read_tombstone()).transpose()
            }
        }
    }

    fn is_old(&self, tombstone: &Tombstone) -> bool {
        self.age.is_some_and(|age| tombstone.age(age.boottime, age.boot_id) >= age.life)
    }
}

/// The fields of a record that machines decide by.
pub(crate) fn recorded(record: &Record) -> Recorded {
    Recorded {
        incarnation: record.incarnation,
        tenure: record.tenure,
        is_starting: record.phase == Phase::Starting,
        epoch: record.epoch,
    }
}

fn not_locked() -> io::Error {
    io::Error::other("the session's lock is not held")
}

/// A system error as a failure for the machines.
pub(crate) fn failure(error: &io::Error) -> Failure {
    let kind = match (Errno::from_io_error(error), error.kind()) {
        _ if host::is_short(error) => FailureKind::Busy,
        (_, io::ErrorKind::TimedOut) => FailureKind::Busy,
        (Some(Errno::NOSPC | Errno::DQUOT), _) => FailureKind::Full,
        (Some(Errno::ACCESS | Errno::PERM | Errno::ROFS), _) => FailureKind::Denied,
        (_, io::ErrorKind::NotFound) => FailureKind::Missing,
        _ => FailureKind::Broken,
    };
    Failure::new(kind, error.to_string())
}
