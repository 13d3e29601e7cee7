//! A server whose entry or lock file was removed by somebody else (SPEC section 11.6).

use rejoin_protocol::server::Event;

use super::host::Entry;
use super::{Cx, World};
use crate::witness::Witness;

impl World {
    /// Looks whether the session can still be found under its name, and mends that.
    pub fn guard(&mut self, cx: &Cx, s: u8) {
        let (host, inode) = (self.server(s).host, self.server(s).inode);
        let Some(at) = self.host(host) else { return };
        match at.path {
            Some(path) if path == inode => self.mend(cx, s),
            path => {
                let is_held =
                    path.and_then(|path| at.inode(path)).is_some_and(|inode| inode.holders > 0);
                let is_taken = self.is_taken(s, path);
                let has_past =
                    path.and_then(|path| at.inode(path)?.tombstone.as_ref()?.used).is_some();
                if is_held && !is_taken {
                    return;
                }
                if is_taken && (is_held || has_past) {
                    cx.seen.mark(Witness::Displaced);
                    self.step_server(cx, s, Event::Displaced);
                    return;
                }
                self.adopt(cx, s);
            }
        }
    }

    pub(super) fn adopt(&mut self, cx: &Cx, s: u8) {
        let (host, old) = (self.server(s).host, self.server(s).inode);
        let registry = self.host_mut(host);
        let Some(new) = registry.open_lock(true) else { return };
        registry.try_lock(new);
        registry.close_lock(old, true);
        self.server_mut(s).inode = new;
        self.mend(cx, s);
    }

    pub(super) fn mend(&mut self, cx: &Cx, s: u8) {
        let host = self.server(s).host;
        let is_whole = self.host(host).is_some_and(|host| host.entry.is_some());
        if is_whole {
            return;
        }
        cx.seen.mark(Witness::Mended);
        let record = self.server(s).record.clone();
        self.server_mut(s).is_listening = true;
        self.host_mut(host).entry = Some(Entry { record, socket: Some(s) });
    }

    /// Whether the record, or the tombstone, is another server's.
    fn is_taken(&self, s: u8, path: Option<u8>) -> bool {
        let server = self.server(s);
        let own = server.record.as_ref().and_then(|record| record.epoch);
        let Some(host) = self.host(server.host) else { return false };
        let record = host.entry.as_ref().and_then(|entry| entry.record.as_ref());
        match record {
            Some(record) => record.is_starting && record.epoch != own,
            None => path.and_then(|path| host.inode(path)?.tombstone.as_ref()?.used).is_some(),
        }
    }

    /// Whether a guard would find something to do.
    pub fn needs_guard(&self, s: u8) -> bool {
        let server = self.server(s);
        let is_quiet = server.todo.is_empty() && !server.is_ending && server.process.is_some();
        let has_entry = self.host(server.host).is_some_and(|host| host.entry.is_some());
        is_quiet && !server.machine.is_gone() && !(self.has_place(s) && has_entry)
    }
}
