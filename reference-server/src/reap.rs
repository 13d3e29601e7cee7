//! Ending what a dead server has left behind: every process that carries the session's mark in
//! its environment, wherever it went.
//!
//! By session and not by epoch, since a record may be older than the server that died. Never by a
//! bare pid: a process is held by a pidfd, then recognised, then signalled through the pidfd.
//!
//! Only processes of this user count: anybody can write a session's marks into the environment of a
//! process, and root could read all of them.
//!
//! What no scan sees is a process that became another user's, one that hides its environment
//! (setuid, undumpable), and one that overwrote it to set its title. Those that a living server
//! keeps are found anyway, as its descendants ([`crate::ending`]), and the first of them is killed
//! by the kernel when its server dies.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rejoin_protocol::{Incarnation, SessionId};
use rustix::process::Signal;

use crate::marks::Marks;
use crate::procfs::{self, Handle, Reading};

/// How often to look again because of processes that are between two programs: for far longer
/// than an exec takes, and bounded, since a process may stay unreadable for ever.
const LOOKS_AT_UNSETTLED: u32 = 50;

/// How often to look again because of processes that ended unread, and may have left a child that
/// came after the list was made. Few, since on a busy host there are always some.
const LOOKS_AT_GONE: u32 = 2;

/// What reaping found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// How many processes were killed.
    pub killed: usize,
    /// The highest incarnation that any of them claimed. Its environment is no authority:
    /// [`Lock::read_past`](crate::registry::Lock::read_past) says how far it counts.
    pub highest: Option<Incarnation>,
}

/// Kills every process of `session` except the calling one and its ancestors, and waits until
/// they have ended. To be called by the holder of the session's lock.
///
/// Fails with [`io::ErrorKind::TimedOut`] if some are not gone `within` the time.
pub fn reap(session: SessionId, within: Duration) -> io::Result<Reaped> {
    let deadline = Instant::now() + within;
    let mut spared: BTreeSet<i32> = procfs::self_and_ancestors().into_iter().collect();
    let mut reaped = Reaped::default();
    let mut looks = 0;
    // What was found may have forked meanwhile: only a scan that finds nothing ends this.
    loop {
        let scan = Scan::of(|marks| marks.session == Some(session))?;
        let highest = scan.found.iter().filter_map(|found| found.marks.incarnation).max();
        reaped.highest = reaped.highest.max(highest);
        let may_have_missed = scan.deserves_another(looks);
        let victims = kill(scan.found, &mut spared)?;
        if victims.is_empty() {
            if !may_have_missed {
                return Ok(reaped);
            }
            looks += 1;
            procfs::nap(deadline.saturating_duration_since(Instant::now()));
        }
        reaped.killed += victims.len();
        wait_for(&victims, deadline)?;
    }
}

/// Kills what is not spared, and returns that. What may not be killed is spared from then on.
fn kill(found: Vec<FoundProcess>, spared: &mut BTreeSet<i32>) -> io::Result<Vec<FoundProcess>> {
    let mut victims = Vec::new();
    for process in found {
        if spared.contains(&process.pid) {
            continue;
        }
        match process.handle.signal(Signal::KILL) {
            Ok(()) => victims.push(process),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                spared.insert(process.pid);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(victims)
}

fn wait_for(victims: &[FoundProcess], deadline: Instant) -> io::Result<()> {
    for victim in victims {
        if !victim.handle.wait(deadline)? {
            let message = format!("process {} does not end although it was killed", victim.pid);
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
    }
    Ok(())
}

/// The sessions of processes that `registry` (a folder) kept, and whose server is gone.
///
/// Another registry's processes are none of ours, and neither are those that see other files
/// under the same path.
pub(crate) fn orphaned_sessions(registry: &Path) -> io::Result<BTreeSet<SessionId>> {
    let is_orphan = |marks: &Marks| {
        let keeper = marks.keeper.as_ref();
        keeper.is_some_and(|keeper| keeper.registry == registry && !keeper.server.is_seen())
    };
    let own = mount_namespace("self");
    let scan = Scan::of(is_orphan)?;
    let ours = scan.found.iter().filter(|found| mount_namespace(&found.pid.to_string()) == own);
    Ok(ours.filter_map(|found| found.marks.session).collect())
}

fn mount_namespace(pid: &str) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

struct FoundProcess {
    pid: i32,
    handle: Handle,
    marks: Marks,
}

#[derive(Default)]
struct Scan {
    found: Vec<FoundProcess>,
    /// How many processes could not be judged yet.
    unsettled: usize,
    /// How many ended before they could be judged.
    gone: usize,
}

impl Scan {
    fn of(is_wanted: impl Fn(&Marks) -> bool) -> io::Result<Self> {
        let mut scan = Self::default();
        for pid in procfs::pids()? {
            if scan.judges(pid, &is_wanted).is_some() {
                scan.hold(pid, &is_wanted)?;
            }
        }
        Ok(scan)
    }

    /// The marks of whoever has the pid, if they are wanted.
    fn judges(&mut self, pid: i32, is_wanted: impl Fn(&Marks) -> bool) -> Option<Marks> {
        match Reading::of(pid) {
            Reading::Whole(environment) => Some(Marks::parse(&environment)).filter(is_wanted),
            Reading::Unsettled => {
                self.unsettled += 1;
                None
            }
            Reading::Gone => {
                self.gone += 1;
                None
            }
            Reading::Hidden => None,
        }
    }

    /// Holds the process and looks at it again: the one looked at before may have ended, and its
    /// pid may be another's by now. The second look also asks once more whose it is, behind the
    /// first reading of its marks: a login of root's may have become another user's in between.
    fn hold(&mut self, pid: i32, is_wanted: impl Fn(&Marks) -> bool) -> io::Result<()> {
        let Some(handle) = Handle::open(pid)? else {
            self.gone += 1;
            return Ok(());
        };
        let Some(marks) = self.judges(pid, is_wanted) else { return Ok(()) };
        if handle.is_gone()? {
            self.gone += 1;
        } else {
            self.found.push(FoundProcess { pid, handle, marks });
        }
        Ok(())
    }

    /// Whether a scan that found nothing may have missed something, after so many others.
    fn deserves_another(&self, looks: u32) -> bool {
        (self.unsettled > 0 && looks < LOOKS_AT_UNSETTLED)
            || (self.gone > 0 && looks < LOOKS_AT_GONE)
    }
}
