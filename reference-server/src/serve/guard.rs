//! A server whose entry or lock file was removed by somebody else (SPEC section 11.6).

use std::io;

use rejoin_protocol::server::Event;

use super::Serve;
use crate::registry::{Found, Lock, Phase, Registry, Standing, Tried};

impl Serve {
    /// Looks whether the session can still be found under its name, and mends that as long as
    /// nobody else has the name.
    pub(super) fn guard_entry(&mut self) {
        if self.process.is_none() || self.ending.is_some() || self.machine.is_gone() {
            return;
        }
        if let Err(error) = self.try_guard() {
            self.note(format_args!("the session cannot be found by its name: {error}"));
        }
    }

    /// Whether the session has its name, or got it back because nobody else had it. An entry that
    /// was removed is made again.
    pub(super) fn keeps_place(&mut self) -> io::Result<bool> {
        if self.lock.standing()? != Standing::Replaced {
            self.try_guard()?;
        }
        self.lock.is_current()
    }

    fn try_guard(&mut self) -> io::Result<()> {
        match self.lock.standing()? {
            Standing::Current => self.mend_entry(),
            Standing::Missing => {
                self.note(format_args!("the lock file was removed; it is made again"));
                Registry::open(Some(self.registry.dir())).map_err(io::Error::other)?;
                self.lock_again(true)
            }
            Standing::Replaced => self.lock_again(false),
        }
    }

    fn mend_entry(&mut self) -> io::Result<()> {
        let session = self.session();
        if self.registry.socket_path(session).exists() {
            return Ok(());
        }
        if let Some(record) = &self.record {
            self.lock.write_record(record)?;
        }
        self.listener = Some(self.listen()?);
        self.log = crate::log::BoundedLog::open(&self.registry.log_path(session)).ok();
        self.note(format_args!("the entry was removed; it is made again"));
        Ok(())
    }

    fn lock_again(&mut self, create: bool) -> io::Result<()> {
        let Some(file) = self.registry.open_lock(self.session(), create)? else { return Ok(()) };
        match file.try_lock()? {
            Tried::Got(lock) => self.adopt(lock),
            Tried::Held(_) => {
                if self.is_taken()? {
                    self.step(Event::Displaced);
                }
                Ok(())
            }
        }
    }

    /// The name is free. If another server had it meanwhile, the session is that one's.
    fn adopt(&mut self, lock: Lock) -> io::Result<()> {
        if !lock.is_current()? {
            return Ok(());
        }
        if lock.read_past()?.used.is_some() && self.is_taken()? {
            self.step(Event::Displaced);
            return Ok(());
        }
        self.lock = lock;
        self.mend_entry()
    }

    /// Whether the record is another server's. An attach that merely holds the lock, or has only
    /// reserved, may still go away.
    fn is_taken(&self) -> io::Result<bool> {
        let own = self.record.as_ref().and_then(|record| record.epoch);
        Ok(match self.registry.read_record(self.session())? {
            Found::Whole(record) => record.phase == Phase::Starting && record.epoch != own,
            Found::Nothing => self.registry.tombstone_used(self.session())?.is_some(),
            Found::Damaged => true,
        })
    }
}
