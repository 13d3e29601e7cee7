//! A host: its registry, and what is left of dead servers.

use rejoin_protocol::registry::{Recorded, Remembered};
use rejoin_protocol::server::Past;
use rejoin_protocol::{HostId, Incarnation};

/// How many lock files a host may have at once, with and without the name.
pub const INODES: usize = 4;

/// A host.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Host {
    /// Its name, with its boot.
    pub id: HostId,
    /// Whether its programs were replaced by later ones.
    pub is_upgraded: bool,
    /// Which lock file has the session's name.
    pub path: Option<u8>,
    /// The lock files.
    pub inodes: [Option<LockFile>; INODES],
    /// The session's entry.
    pub entry: Option<Entry>,
    /// Processes whose server is dead.
    pub leftovers: Vec<Leftover>,
    /// Which process has started a daemon that still runs, and carries the session's mark.
    pub daemon: Option<Incarnation>,
}

/// A process whose server is dead.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Leftover {
    /// Which process of the session.
    pub incarnation: Incarnation,
    /// Whether its start counted. Who came after a registry was removed cannot have known of a
    /// start under the old one.
    pub is_counted: bool,
}

/// A lock file, which is the tombstone's file too.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct LockFile {
    /// How many programs hold the lock: it is inherited at fork.
    pub holders: u8,
    /// How many programs have it open, holders included.
    pub opens: u8,
    /// What it remembers.
    pub tombstone: Option<Remembered>,
    /// Whether it is more than a day old.
    pub is_old: bool,
}

/// A session's entry.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// The record.
    pub record: Option<Recorded>,
    /// Which server's socket it has.
    pub socket: Option<u8>,
}

impl Host {
    /// A host that has never heard of the session.
    pub fn new(id: HostId) -> Self {
        Self {
            id,
            is_upgraded: false,
            path: None,
            inodes: [const { None }; INODES],
            entry: None,
            leftovers: Vec::new(),
            daemon: None,
        }
    }

    /// Opens the lock file, made if need be.
    #[allow(clippy::expect_used)]
    pub fn open_lock(&mut self, create: bool) -> Option<u8> {
        if self.path.is_none() && create {
            let free = self.inodes.iter().position(Option::is_none);
            // Every open file belongs to one of the few programs of a world.
            let free = free.expect("fewer lock files than programs");
            self.inodes[free] = Some(LockFile::default());
            self.path = u8::try_from(free).ok();
        }
        let at = self.path?;
        if let Some(inode) = self.inode_mut(at) {
            inode.opens += 1;
        }
        Some(at)
    }

    /// The lock file.
    pub fn inode(&self, at: u8) -> Option<&LockFile> {
        self.inodes[usize::from(at)].as_ref()
    }

    /// The lock file, to be changed.
    pub fn inode_mut(&mut self, at: u8) -> Option<&mut LockFile> {
        self.inodes[usize::from(at)].as_mut()
    }

    /// Tries the lock.
    pub fn try_lock(&mut self, at: u8) -> bool {
        let Some(inode) = self.inode_mut(at) else { return false };
        let is_free = inode.holders == 0;
        inode.holders += u8::from(is_free);
        is_free
    }

    /// A program closes its lock file, locked by it or not.
    pub fn close_lock(&mut self, at: u8, is_holder: bool) {
        if let Some(inode) = self.inode_mut(at) {
            inode.opens -= 1;
            inode.holders -= u8::from(is_holder);
        }
        self.tidy();
    }

    /// A file without a name that nobody has open is gone.
    pub fn tidy(&mut self) {
        for at in 0..INODES {
            let is_named = self.path.is_some_and(|path| usize::from(path) == at);
            if !is_named && self.inodes[at].as_ref().is_some_and(|inode| inode.opens == 0) {
                self.inodes[at] = None;
            }
        }
    }

    /// Writes a tombstone.
    pub fn bury(&mut self, at: u8, past: &Past) {
        let Some(inode) = self.inode_mut(at) else { return };
        inode.tombstone = Some(inode.tombstone.take().unwrap_or_default().with(past));
        inode.is_old = false;
    }

    /// Removes the lock file, if it still has the name.
    pub fn remove_lock_file(&mut self, at: u8) {
        if self.path == Some(at) {
            self.path = None;
        }
    }
}
