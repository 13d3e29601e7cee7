//! The identity of a process, which holds even if its pid is used again.

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use crate::procfs;

/// A process, identified by its pid and start time: a later process can have the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerProcess {
    /// Its pid.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

impl ServerProcess {
    /// The calling process.
    pub fn current() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self { pid: pid.unsigned_abs(), start: procfs::start_of(pid).unwrap_or_default() }
    }

    /// The one that has this pid now.
    pub fn of(pid: Pid) -> Self {
        let pid = pid.as_raw_nonzero().get();
        Self { pid: pid.unsigned_abs(), start: procfs::start_of(pid).unwrap_or_default() }
    }

    /// Whether it leads, or led, the kernel session of this process.
    pub(crate) fn leads(&self, process: &procfs::Stat) -> bool {
        let leader = process.session;
        // While a kernel session exists, its number is given to no other process.
        u32::try_from(leader) == Ok(self.pid)
            && procfs::start_of(leader).is_none_or(|start| start == self.start)
    }

    /// Whether it can still be seen.
    pub(crate) fn is_seen(&self) -> bool {
        let now = i32::try_from(self.pid).ok().and_then(procfs::Stat::read);
        now.is_some_and(|stat| stat.start == self.start && !stat.is_zombie)
    }
}
