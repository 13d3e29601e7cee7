//! A host: its registry, and what is left of dead servers.

use rejoin_protocol::reason::SpawnError;
use rejoin_protocol::server::Past;
use rejoin_protocol::{Epoch, HostId, Incarnation, Tenure};

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
    pub inodes: [Option<Inode>; INODES],
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
pub struct Inode {
    /// How many programs hold the lock: it is inherited at fork.
    pub holders: u8,
    /// How many programs have it open, holders included.
    pub opens: u8,
    /// What it remembers.
    pub tombstone: Option<Tombstone>,
    /// Whether it is more than a day old.
    pub is_old: bool,
}

/// What is remembered of a session without a server.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct Tombstone {
    /// The highest incarnation that was used.
    pub used: Option<Incarnation>,
    /// The highest tenure.
    pub tenure: Tenure,
    /// The last failed start.
    pub failed: Option<(Incarnation, SpawnError)>,
}

/// A session's entry.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    /// The record.
    pub record: Option<Record>,
    /// Which server's socket it has.
    pub socket: Option<u8>,
}

/// What an entry says of a session.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Record {
    /// Whether the process may have been started.
    pub is_starting: bool,
    /// Which process.
    pub incarnation: Incarnation,
    /// Which server, once it starts.
    pub epoch: Option<Epoch>,
    /// Who is entitled to it.
    pub tenure: Tenure,
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
            self.inodes[free] = Some(Inode::default());
            self.path = u8::try_from(free).ok();
        }
        let at = self.path?;
        if let Some(inode) = self.inode_mut(at) {
            inode.opens += 1;
        }
        Some(at)
    }

    /// The lock file.
    pub fn inode(&self, at: u8) -> Option<&Inode> {
        self.inodes[usize::from(at)].as_ref()
    }

    /// The lock file, to be changed.
    pub fn inode_mut(&mut self, at: u8) -> Option<&mut Inode> {
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

    /// What record, tombstone and what was found alive say together. A process that was found
    /// counts up to what those two or the Hello name: `asked` (SPEC section 11.3).
    pub fn read_past(
        &self,
        at: u8,
        found: Option<Incarnation>,
        asked: Option<Incarnation>,
    ) -> Past {
        let mut past = Past::default();
        let mut named = asked;
        if let Some(tombstone) = self.inode(at).and_then(|inode| inode.tombstone.as_ref()) {
            past.is_known = true;
            past.used = tombstone.used;
            past.tenure = tombstone.tenure;
            past.failed.clone_from(&tombstone.failed);
        }
        if let Some(record) = self.entry.as_ref().and_then(|entry| entry.record.as_ref()) {
            past.is_known = true;
            past.tenure = past.tenure.max(record.tenure);
            past.used = past.used.max(record.is_starting.then_some(record.incarnation));
            named = named.max(Some(record.incarnation));
        }
        past.is_known |= found.is_some();
        past.used = past.used.max(found.min(named.max(past.used)));
        past
    }

    /// Folds a past into the tombstone, which never goes backwards.
    pub fn fold(&mut self, at: u8, past: &Past) {
        let Some(inode) = self.inode_mut(at) else { return };
        let tombstone = inode.tombstone.get_or_insert_default();
        tombstone.used = tombstone.used.max(past.used);
        tombstone.tenure = tombstone.tenure.max(past.tenure);
        if let Some((incarnation, error)) = &past.failed {
            tombstone.used = tombstone.used.max(Some(*incarnation));
            let is_later = tombstone.failed.as_ref().is_none_or(|(old, _)| incarnation >= old);
            if is_later {
                tombstone.failed = Some((*incarnation, error.clone()));
            }
        }
    }

    /// Lets go of the lock; with an entry that says nothing, and with the lock file, if that
    /// remembers nothing and there is no entry.
    pub fn withdraw(&mut self, at: u8) {
        let is_silent = self.entry.as_ref().is_some_and(|entry| entry.record.is_none());
        if is_silent && self.path == Some(at) {
            self.entry = None;
        }
        let is_blank = self.inode(at).is_some_and(|inode| inode.tombstone.is_none());
        if is_blank && self.entry.is_none() {
            self.remove_lock_file(at);
        }
        self.close_lock(at, true);
    }

    /// Removes the lock file, if it still has the name.
    pub fn remove_lock_file(&mut self, at: u8) {
        if self.path == Some(at) {
            self.path = None;
        }
    }
}
