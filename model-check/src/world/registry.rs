//! The registry of a host, as its programs use it: each operation of the machines of
//! `rejoin_protocol::registry`, carried out. Nothing is decided here.

use rejoin_protocol::registry::{Known, Operation, Outcome, Reaped, Standing};
use rejoin_protocol::server::Past;
use rejoin_protocol::{Epoch, Incarnation};

use super::host::Entry;
use super::{Cx, World};
use crate::driver_mutant::DriverMutant;
use crate::witness::Witness;

/// A lock file that a program has open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct OpenLockFile {
    /// Which one.
    pub inode: u8,
    /// Whether it is locked by it.
    pub has_lock: bool,
}

/// Who uses the registry.
#[derive(Debug)]
pub(super) struct RegistryUser {
    pub(super) host: u8,
    pub(super) opened: Option<OpenLockFile>,
    /// Whether somebody has asked it to end what has left the process, too.
    pub(super) may_end_all: bool,
}

impl World {
    /// Carries out one operation on the registry.
    pub(super) fn access(
        &mut self,
        cx: &Cx,
        user: &mut RegistryUser,
        operation: &Operation,
    ) -> Outcome {
        match operation {
            Operation::OpenLock { makes } => {
                let Some(inode) = self.host_mut(user.host).open_lock(*makes) else {
                    return Outcome::Missing;
                };
                user.opened = Some(OpenLockFile { inode, has_lock: false });
            }
            Operation::TryLock => return self.try_lock(cx, user),
            Operation::CheckPath => return Outcome::Path(self.standing(cx, user)),
            Operation::Reap { all } => return Outcome::Reaped(self.reap(cx, user, *all)),
            Operation::ReadEntry => return Outcome::Known(self.known(user)),
            Operation::WriteTombstone(past) => self.bury(cx, user, past),
            Operation::RemoveEntry if self.has_name(user) => {
                self.host_mut(user.host).entry = None;
            }
            Operation::RemoveLock => self.remove_lock(cx, user),
            Operation::WriteRecord(record) => {
                let entry = self.host_mut(user.host).entry.get_or_insert_with(Entry::default);
                entry.record = Some(record.clone());
            }
            Operation::LetGo | Operation::Wait => self.close(user.host, &mut user.opened),
            _ => {}
        }
        Outcome::Done
    }

    fn try_lock(&mut self, cx: &Cx, user: &mut RegistryUser) -> Outcome {
        let Some(opened) = &mut user.opened else { return Outcome::Missing };
        opened.has_lock = self.host_mut(user.host).try_lock(opened.inode);
        if opened.has_lock {
            return Outcome::Done;
        }
        cx.seen.mark(Witness::LockHeld);
        Outcome::Held
    }

    /// Closes a lock file, locked or not.
    pub(super) fn close(&mut self, host: u8, opened: &mut Option<OpenLockFile>) {
        if let Some(OpenLockFile { inode, has_lock }) = opened.take() {
            self.host_mut(host).close_lock(inode, has_lock);
        }
    }

    pub(super) fn has_name(&self, user: &RegistryUser) -> bool {
        user.opened.is_some_and(|opened| {
            self.host(user.host).is_some_and(|host| host.path == Some(opened.inode))
        })
    }

    fn standing(&self, cx: &Cx, user: &RegistryUser) -> Standing {
        if self.has_name(user) {
            return Standing::Current;
        }
        cx.seen.mark(Witness::LockReplaced);
        let is_absent = self.host(user.host).is_none_or(|host| host.path.is_none());
        if is_absent { Standing::Missing } else { Standing::Replaced }
    }

    /// By the file that is open, else by the one that has the name.
    pub(super) fn known(&self, user: &RegistryUser) -> Known {
        let Some(host) = self.host(user.host) else { return Known::default() };
        let inode = user.opened.map(|opened| opened.inode).or(host.path);
        let inode = inode.and_then(|inode| host.inode(inode));
        let entry = host.entry.as_ref();
        let record = entry.and_then(|entry| entry.record.clone());
        let epoch = record.as_ref().and_then(|record| record.epoch);
        Known {
            has_lock: host.path.is_some(),
            has_entry: entry.is_some(),
            has_socket: entry.is_some_and(|entry| entry.socket.is_some()),
            is_server_seen: epoch.is_some_and(|epoch| self.is_seen(user.host, epoch)),
            is_old: inode.is_some_and(|inode| inode.is_old),
            record,
            tombstone: inode.and_then(|inode| inode.tombstone.clone()),
            ..Known::default()
        }
    }

    fn is_seen(&self, host: u8, epoch: Epoch) -> bool {
        self.servers.iter().flatten().any(|server| {
            let own = server.record.as_ref().and_then(|record| record.epoch);
            server.host == host && own == Some(epoch)
        })
    }

    fn bury(&mut self, cx: &Cx, user: &RegistryUser, past: &Past) {
        let Some(OpenLockFile { inode, .. }) =
            user.opened.filter(|_| !cx.has_mutant(DriverMutant::NoTombstone))
        else {
            return;
        };
        let has_name = self.has_name(user);
        let host = self.host_mut(user.host);
        if host.entry.is_some() {
            cx.seen.mark(Witness::Folded);
        }
        host.bury(inode, past);
        if let Some((incarnation, _)) = past.failed.as_ref().filter(|_| has_name) {
            self.ghost.edit().tell_failure(user.host, *incarnation);
        }
    }

    fn remove_lock(&mut self, cx: &Cx, user: &RegistryUser) {
        let Some(OpenLockFile { inode, .. }) = user.opened else { return };
        let host = self.host_mut(user.host);
        let has_tombstone = host.inode(inode).is_some_and(|inode| inode.tombstone.is_some());
        host.remove_lock_file(inode);
        if has_tombstone {
            cx.seen.mark(Witness::Swept);
            self.forget_superseded(user.host);
        }
    }

    /// Kills what carries the session in its environment, and says what it found.
    fn reap(&mut self, cx: &Cx, user: &RegistryUser, all: bool) -> Reaped {
        let Some(host) = self.host(user.host) else { return Reaped::default() };
        let recorded = host.entry.as_ref().and_then(|entry| entry.record.as_ref());
        let recorded = recorded.map(|record| record.incarnation);
        let by_record = cx.has_mutant(DriverMutant::ReapByEpoch);
        let is_ours = |incarnation: &Incarnation| !by_record || recorded == Some(*incarnation);
        let mut reaped = Reaped::default();
        let mut end = |incarnation| {
            reaped.found = reaped.found.max(Some(incarnation));
            reaped.ended += 1;
            cx.seen.mark(Witness::Reaped);
        };
        host.leftovers.iter().map(|it| it.incarnation).filter(is_ours).for_each(&mut end);
        for s in 0..self.servers.len() {
            let living = self.servers[s].as_ref().filter(|it| it.host == user.host);
            let Some(process) = living.and_then(|it| it.process.as_ref()) else { continue };
            if process.is_alive && is_ours(&process.incarnation) {
                end(process.incarnation);
                if let Some(server) = &mut self.servers[s] {
                    server.edit().process_is_killed();
                }
                if !self.ghost.was_wiped {
                    self.violate(7, "the process of a living server is reaped");
                }
            }
        }
        if reaped.ended > 0 {
            self.host_mut(user.host).leftovers.retain(|it| !is_ours(&it.incarnation));
        }
        reaped.found = reaped.found.max(self.host(user.host).and_then(|host| host.daemon));
        if all && self.host_mut(user.host).daemon.take().is_some() {
            reaped.ended += 1;
            cx.seen.mark(Witness::DaemonEnded);
            if !user.may_end_all {
                self.violate(9, "a daemon is ended though nobody has closed its session");
            }
        }
        reaped
    }
}
