//! The record: the state of a session's incarnation, in its entry.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rejoin_protocol::{Epoch, Incarnation, Tenure};
use serde::{Deserialize, Serialize};

use super::seal::{self, Found};
use crate::host;
use crate::reap::Predecessor;
use crate::server_process::ServerProcess;

const MARK: [u8; 4] = *b"rjRC";

/// The most bytes kept of a command or a name.
const MAX_TEXT: usize = 1024;

/// The state of a session while its entry exists.
///
/// Decisions use only `phase`, `incarnation`, `tenure` and `process`; the rest is for display.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The progress of the start.
    pub phase: Phase,
    /// The process.
    pub incarnation: Incarnation,
    /// The tenure of its holder.
    pub tenure: Tenure,
    /// The epoch of its server; unknown while reserved.
    pub epoch: Option<Epoch>,
    /// The command, in printable characters.
    pub command: String,
    /// The name of the client that started it, in printable characters.
    pub client: String,
    /// When the record was first written.
    pub started: Stamp,
    /// The server's process. It never decides whether the server lives.
    pub server: Option<ServerProcess>,
    /// Whether the process has a terminal.
    pub has_terminal: bool,
    /// Whether a client is attached. For display only.
    pub is_attached: bool,
    /// The time of the last input, output, attach or detach, in seconds since boot, to the minute.
    /// For display only.
    pub active: u64,
    /// The process, once it was started. It leads a kernel session.
    pub process: Option<ServerProcess>,
}

impl Record {
    /// A record for an incarnation whose server is about to start. Makes texts printable and
    /// shortens them.
    pub fn reserved(incarnation: Incarnation, tenure: Tenure, command: &str, client: &str) -> Self {
        let started = Stamp::now();
        Self {
            phase: Phase::Reserved,
            incarnation,
            tenure,
            epoch: None,
            command: rejoin_text::printable(command, MAX_TEXT),
            client: rejoin_text::printable(client, MAX_TEXT),
            started,
            server: None,
            has_terminal: false,
            is_attached: false,
            active: started.boottime,
            process: None,
        }
    }

    /// The same, when its server (the calling process) is about to fork the process.
    pub fn starting(self, epoch: Epoch) -> Self {
        let server = Some(ServerProcess::current());
        Self { phase: Phase::Starting, epoch: Some(epoch), server, ..self }
    }

    /// The same, for a process with a terminal or without.
    pub fn with_terminal(self, has_terminal: bool) -> Self {
        Self { has_terminal, ..self }
    }

    /// Whether its server's process still exists. Used to spare processes, never to kill or start
    /// them.
    pub(crate) fn is_server_seen(&self) -> bool {
        self.server.is_some_and(|server| server.is_seen())
    }

    /// The incarnation, if it was used: from `Starting` on, its process may have run.
    pub fn used(&self) -> Option<Incarnation> {
        (self.phase == Phase::Starting).then_some(self.incarnation)
    }
}

/// How far the start of an incarnation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// A server was about to start. If the lock is free, the incarnation was never used.
    Reserved,
    /// Its server was about to fork the process, or has done so. If the lock is free, the
    /// incarnation was used.
    Starting,
}

/// A time, on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Wall clock time, in seconds since 1970.
    pub unix: u64,
    /// Seconds since boot, including time asleep.
    pub boottime: u64,
}

impl Stamp {
    /// Now.
    #[expect(clippy::disallowed_methods, reason = "`unix` is read, and decides nothing")]
    pub fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { unix: since_1970.as_secs(), boottime: host::boottime().as_secs() }
    }
}

impl From<&Record> for Predecessor {
    fn from(record: &Record) -> Self {
        Self { leader: record.process, incarnation: record.used() }
    }
}

/// Reads the record in `entry`.
pub(super) fn read(entry: &Path) -> io::Result<Found<Record>> {
    match fs::read(entry.join(super::RECORD)) {
        // rejoin never writes an empty record: a new record replaces the old one atomically.
        Ok(bytes) if bytes.is_empty() => Ok(Found::Damaged),
        Ok(bytes) => Ok(seal::open(MARK, &bytes)),
        Err(error) if super::is_absent(&error) => Ok(Found::Nothing),
        Err(error) => Err(error),
    }
}

/// Writes the record into `entry` atomically, and creates `entry` if necessary. It is not synced:
/// no process survives a power failure.
pub(super) fn write(entry: &Path, record: &Record) -> io::Result<()> {
    let sealed = seal::seal(MARK, record)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the record is too long"))?;
    let is_new = make_entry(entry)?;
    let temporary = entry.join(super::RECORD_TEMPORARY);
    let written = create(&temporary)
        .and_then(|mut file| file.write_all(&sealed))
        .and_then(|()| fs::rename(&temporary, entry.join(super::RECORD)));
    if written.is_err() {
        // Leave no more files on a full disk. A sweep removes the rest later.
        let _ = fs::remove_file(&temporary);
        if is_new {
            let _ = fs::remove_dir(entry);
        }
    }
    written
}

fn make_entry(entry: &Path) -> io::Result<bool> {
    match fs::DirBuilder::new().mode(0o700).create(entry) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record::reserved(Incarnation(3), Tenure(2), "top\x1b[2J", "me@here")
    }

    #[test]
    fn reads_the_record_that_was_written_last() {
        let folder = tempfile::tempdir().unwrap();
        let entry = folder.path().join("entry");
        assert_eq!(read(&entry).unwrap(), Found::Nothing);
        write(&entry, &record()).unwrap();
        let starting = record().starting(Epoch::from_bytes([7; 16]));
        write(&entry, &starting).unwrap();
        assert_eq!(read(&entry).unwrap(), Found::Whole(starting));
        assert_eq!(fs::read_dir(&entry).unwrap().count(), 1);
    }

    #[test]
    fn a_reserved_incarnation_was_not_used_a_starting_one_was() {
        assert_eq!(record().used(), None);
        assert_eq!(record().starting(Epoch::from_bytes([7; 16])).used(), Some(Incarnation(3)));
    }

    #[test]
    fn a_torn_or_empty_record_is_damaged_not_absent() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &record()).unwrap();
        let path = folder.path().join(super::super::RECORD);
        let whole = fs::read(&path).unwrap();
        for length in [0, 1, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read(folder.path()).unwrap(), Found::Damaged);
        }
    }

    #[test]
    fn a_record_that_cannot_be_written_leaves_no_entry() {
        let folder = tempfile::tempdir().unwrap();
        let entry = folder.path().join("entry");
        let mut long = record();
        long.command = "x".repeat(70_000);
        assert!(write(&entry, &long).is_err());
        assert!(!entry.exists());
    }

    #[test]
    fn control_characters_stay_out_of_a_record() {
        assert_eq!(record().command, "top[2J");
    }

    #[test]
    fn distinguishes_a_server_from_a_later_process_with_its_pid() {
        let server = ServerProcess::current();
        assert!(server.is_seen());
        assert!(!ServerProcess { start: server.start + 1, ..server }.is_seen());
    }
}
