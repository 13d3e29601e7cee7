//! The programs on a host as machines: the order in which they use the registry (SPEC section 11).
//!
//! Each machine is a program that asks for one [`Operation`] after another. An executor carries out exactly
//! that operation and reports its [`Outcome`] or its [`Failure`]:
//!
//! | machine | program | SPEC |
//! | --- | --- | --- |
//! | [`Attach`] | answers a Hello, joins it to a server, or starts one | 11.2 |
//! | [`Start`] | a server, from its Open until it serves | 11.4 |
//! | [`Rest`], [`Burial`] | a server's end: what else is ended, and the tombstone | 11.4, 11.5 |
//! | [`Guard`] | a server that looks after its entry | 11.6 |
//! | [`Sweep`] | removes what nobody came back for | 11.5 |
//!
//! # The executor's contract
//! - Carry out one operation at a time, and report it before asking for the next one.
//! - Add no operation. A program that is killed between any two operations leaves nothing that misleads
//!   others.
//! - Report a failure as it is. An answer that relies on a write is given only after the write was reported
//!   as done.
//! - Close what is still open, and not adopted, when the machine ends.

mod attach;
mod end;
mod fold;
mod guard;
mod start;
mod sweep;

use alloc::string::String;
use core::fmt;

pub use attach::{Attach, Attached};
pub use end::{Burial, Rest};
pub use fold::{Known, Recorded, Remembered};
pub use guard::{Guard, Kept};
pub use start::{Start, Started};
pub use sweep::{Sweep, Swept};

use crate::ident::Incarnation;
use crate::reason::SpawnError;
use crate::server::Past;

/// One access to the registry or to the system. *The lock file* is the one that was opened last;
/// a server has its own from the start (SPEC section 11.4).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Operation {
    /// Open the registry's folder.
    OpenRegistry {
        /// Whether to create it if it is absent; otherwise [`Outcome::Missing`].
        makes: bool,
    },
    /// Open the session's lock file, without locking it.
    OpenLock {
        /// Whether to create it if it is absent, with the space for its tombstone; otherwise
        /// [`Outcome::Missing`].
        makes: bool,
    },
    /// Try to lock the lock file. [`Outcome::Held`] if another program holds it.
    TryLock,
    /// Check what the lock's path names: [`Outcome::Path`].
    CheckPath,
    /// Connect to the session's server. Any failure means that it does not answer now.
    Connect,
    /// End processes of the session and wait until they are gone: [`Outcome::Reaped`].
    Reap {
        /// Whether to end all processes that carry the session's mark; otherwise only what an earlier process
        /// left (SPEC section 11.5).
        all: bool,
    },
    /// Read the record and the tombstone: [`Outcome::Known`]. Without the lock, the result is no reason to
    /// start or to write anything.
    ReadEntry,
    /// Write the tombstone that [`Remembered::with`] makes of the current one and this.
    WriteTombstone(Past),
    /// Remove the session's entry (its socket, its log, its record), unless the lock's path names another
    /// file than the locked one.
    RemoveEntry,
    /// Remove the lock file, unless its path names another file.
    RemoveLock,
    /// Write the record, completely or not at all, and create the entry if necessary.
    WriteRecord(Recorded),
    /// Start a server that inherits the lock and the stream.
    Fork,
    /// Create the socket, and listen.
    Bind,
    /// Start the process: [`Outcome::NotSpawned`] if that fails.
    Spawn,
    /// End the process and its descendants, and wait until they are gone.
    EndProcess,
    /// Keep the lock that was acquired last in place of the own one. This does not fail.
    Adopt,
    /// Release the lock, by closing its file. This does not fail.
    LetGo,
    /// Close the lock file, and wait for a moment before the next try. The executor decides how long: a
    /// server that starts or ends takes milliseconds. This does not fail.
    Wait,
}

/// The result of an operation.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// There is no such file, and it was not to be created.
    Missing,
    /// Another program holds the lock.
    Held,
    /// What the lock's path names.
    Path(Standing),
    /// What was found and ended.
    Reaped(Reaped),
    /// The contents of record and tombstone.
    Known(Known),
    /// The process could not be started.
    NotSpawned(SpawnError),
}

/// What the lock's path names (SPEC section 11.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Standing {
    /// The file that is open: its lock is the session's.
    Current,
    /// Nothing: the file was removed.
    Missing,
    /// Another file: this lock has no meaning any more.
    Replaced,
}

impl Standing {
    /// Whether the lock is still the session's. Checked again before something is started.
    pub(crate) fn is_kept(self) -> bool {
        self == Self::Current
    }
}

/// What reaping found (SPEC section 11.5).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Debug)]
pub struct Reaped {
    /// The highest incarnation that a process of the session claims, ended or not.
    pub found: Option<Incarnation>,
    /// How many processes were ended.
    pub ended: u32,
}

/// An operation that failed. Assume nothing about what it was to change.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Failure {
    /// What kind of failure it is.
    pub kind: FailureKind,
    /// The system's message, for people.
    pub message: String,
}

/// The kinds of failures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FailureKind {
    /// The host lacks a resource for the moment, or something takes too long: a later try may succeed.
    Busy,
    /// Something required does not exist.
    Missing,
    /// The disk is full, or the user's share of it.
    Full,
    /// The system does not allow it.
    Denied,
    /// Anything else, such as a failing disk.
    Broken,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Whether another try in a moment makes sense.
    pub fn is_busy(&self) -> bool {
        self.kind == FailureKind::Busy
    }

    /// An executor reported something that does not belong to the operation.
    fn misfit() -> Self {
        Self::new(FailureKind::Broken, "an operation came to what it cannot come to")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl core::error::Error for Failure {}

/// An executor's report about an operation.
pub type Report = Result<Outcome, Failure>;

/// What a program does next.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Next<End> {
    /// Carry out this operation, and report it to [`Program::done`].
    Do(Operation),
    /// Nothing: the program has ended with this result.
    End(End),
}

/// A program on a host: one operation after another.
pub trait Program {
    /// The type of its result.
    type End;

    /// What the program does next. The answer stays the same until the operation is done.
    fn next(&self) -> Next<Self::End>;

    /// Reports the result of the operation that [`Self::next`] asked for. Without such an operation, this
    /// changes nothing.
    fn done(&mut self, report: Report);

    /// Runs the program to its end, with every operation carried out by `execute`.
    fn run(mut self, mut execute: impl FnMut(&Operation) -> Report) -> Self::End
    where
        Self: Sized,
    {
        loop {
            match self.next() {
                Next::Do(operation) => self.done(execute(&operation)),
                Next::End(end) => return end,
            }
        }
    }
}
