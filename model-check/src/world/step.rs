//! The programs on a host that are not servers, and their steps.

use rejoin_protocol::frame::Hello;
use rejoin_protocol::server::Past;
use rejoin_protocol::{Frame, Incarnation};

/// A program that runs.
// Each is a fact of its own.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Program {
    /// Where it runs.
    pub host: u8,
    /// What for.
    pub task: Task,
    /// What it does next.
    pub step: Step,
    /// The lock file that it has open.
    pub inode: Option<u8>,
    /// Whether it holds the lock.
    pub has_lock: bool,
    /// Whether its own deadline has passed.
    pub is_late: bool,
    /// History: whether it was refused by a socket, and has not looked at the lock since.
    pub has_waited: bool,
    /// History: whether what it goes by was removed since it opened the lock file.
    pub is_outdated: bool,
}

/// What a program is there for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Task {
    /// It serves a link, and looks for a server for this Hello.
    Attach {
        /// The link.
        wire: u8,
        /// The Hello that it has read.
        hello: Option<Hello>,
    },
    /// It removes what nobody came back for.
    Sweep,
}

/// What a program does next.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Step {
    /// It waits for a Hello.
    Listen,
    /// It opens the lock file.
    Open,
    /// It tries the lock.
    Try,
    /// It connects to the server.
    Connect,
    /// It looks whether the lock is still the session's.
    Check,
    /// It kills what a dead server left.
    Reap,
    /// It reads record and tombstone, knowing what it found alive.
    Read(Option<Incarnation>),
    /// It decides.
    Decide(Past),
    /// It writes the tombstone.
    Fold(Past, Then),
    /// It removes the entry.
    Remove(Then),
    /// It lets go of the lock.
    LetGo(Then),
    /// It answers.
    Answer(Box<Frame>),
    /// It looks again, before it starts a server.
    CheckAgain(Past),
    /// It writes the record.
    Reserve,
    /// It forks the server.
    Fork,
    /// It closes its own copy of the lock, and joins its stream to the server.
    Join(u8),
    /// It removes an old tombstone with its file.
    Forget,
}

/// What follows once a past is buried.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Then {
    /// This answer.
    Answer(Box<Frame>),
    /// A server.
    Start,
    /// Nothing.
    End,
}

impl Program {
    /// An attach program that serves a link.
    pub fn attach(host: u8, wire: u8) -> Self {
        Self::new(host, Task::Attach { wire, hello: None }, Step::Listen)
    }

    /// A sweep.
    pub fn sweep(host: u8) -> Self {
        Self::new(host, Task::Sweep, Step::Open)
    }

    fn new(host: u8, task: Task, step: Step) -> Self {
        Self {
            host,
            task,
            step,
            inode: None,
            has_lock: false,
            is_late: false,
            has_waited: false,
            is_outdated: false,
        }
    }

    /// Whether it waits for a Hello.
    pub fn is_listening(&self) -> bool {
        self.step == Step::Listen
    }

    /// Its link.
    pub fn wire(&self) -> Option<u8> {
        match self.task {
            Task::Attach { wire, .. } => Some(wire),
            Task::Sweep => None,
        }
    }

    pub(super) fn hello(&self) -> Option<&Hello> {
        match &self.task {
            Task::Attach { hello, .. } => hello.as_ref(),
            Task::Sweep => None,
        }
    }
}
