//! Ends the processes that a dead server has left behind. The session's mark in their environment
//! identifies them.
//!
//! Closing a session ends all of its processes. Before a session starts another process, only the
//! leftovers of the earlier process are ended; its daemons keep running (SPEC section 11.5). To be
//! safe against reused pids, rejoin opens a pidfd first, then checks the process, then signals it
//! through the pidfd.
//!
//! Only processes of this user count: anybody can write a session's marks into an environment, and
//! root can read all environments.
//!
//! A scan misses processes that changed their user, that hide their environment (setuid,
//! undumpable), or that overwrote it to set their title. A living server finds them anyway as its
//! descendants ([`crate::termination`]), and the kernel kills the session's first process when its
//! server dies.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use rejoin_protocol::{Incarnation, SessionId};
use rustix::process::Signal;

use crate::marks::Marks;
use crate::procfs::{self, ProcessHandle, Reading, Stat};
use crate::server_process::ServerProcess;

/// How often to scan again because of processes in an exec: for much longer than an exec takes, but
/// bounded, since a process may stay unreadable.
const LOOKS_AT_UNSETTLED: u32 = 50;

/// How often to scan again because of processes that ended before they were read, and may have left
/// a new child. Low, because a busy host always has such processes.
const LOOKS_AT_GONE: u32 = 2;

/// Which of a session's processes to end.
#[derive(Clone, Debug)]
pub enum ReapScope {
    /// All processes with the session's mark.
    Session,
    /// The leftovers of an earlier process. If nothing is known of it, the marks alone decide.
    Left(Option<Predecessor>),
}

/// The earlier process of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predecessor {
    /// The process that led the kernel session. Not known if the server died while it started it.
    pub leader: Option<ServerProcess>,
    /// The highest incarnation that was used.
    pub incarnation: Option<Incarnation>,
}

impl ReapScope {
    fn includes(&self, found: &FoundProcess) -> bool {
        match self {
            Self::Session => true,
            Self::Left(predecessor) => {
                predecessor.is_some_and(|it| it.left(found)) || holds_an_end(found)
            }
        }
    }
}

impl Predecessor {
    /// Whether a process is in the kernel session that the predecessor led. If the leader is not known,
    /// its server died while it started it: no process can have left that session yet.
    fn left(&self, found: &FoundProcess) -> bool {
        match self.leader {
            Some(leader) => Stat::read(found.pid).is_some_and(|stat| leader.leads(&stat)),
            None => self.incarnation.is_some() && self.incarnation <= found.marks.incarnation,
        }
    }
}

fn holds_an_end(found: &FoundProcess) -> bool {
    !found.marks.ends.is_empty()
        && procfs::open_files(found.pid).iter().any(|file| found.marks.has_end(file))
}

/// The result of [`reap`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// The number of killed processes.
    pub killed: usize,
    /// The highest incarnation in the marks of any process of the session, killed or not. Marks are
    /// not authoritative: [`Known::fold`](rejoin_protocol::registry::Known::fold) says how far they
    /// count.
    pub highest: Option<Incarnation>,
}

/// Kills the processes of `session` within `reach`, except the calling process and its ancestors,
/// and waits until they have ended. The caller must hold the session's lock.
///
/// Fails with [`io::ErrorKind::TimedOut`] if a process is not gone `within` the time.
pub fn reap(session: SessionId, reach: &ReapScope, within: Duration) -> io::Result<Reaped> {
    let deadline = Instant::now() + within;
    let mut spared: BTreeSet<i32> = procfs::self_and_ancestors().into_iter().collect();
    let mut reaped = Reaped::default();
    let mut looks = 0;
    // A process that was found may have forked meanwhile: only a scan that finds nothing ends the
    // loop.
    loop {
        let scan = Scan::of(|marks| marks.session == Some(session))?;
        let highest = scan.found.iter().filter_map(|found| found.marks.incarnation).max();
        reaped.highest = reaped.highest.max(highest);
        let may_have_missed = scan.deserves_another(looks);
        let within_reach = scan.found.into_iter().filter(|found| reach.includes(found)).collect();
        let victims = kill(within_reach, &mut spared)?;
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

/// Kills the processes that are not spared, and returns them. Spares those that it may not kill.
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

struct FoundProcess {
    pid: i32,
    handle: ProcessHandle,
    marks: Marks,
}

#[derive(Default)]
struct Scan {
    found: Vec<FoundProcess>,
    /// The number of processes that could not be read yet.
    unsettled: usize,
    /// The number of processes that ended before they were read.
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

    /// The marks of the process with this pid, if they are wanted.
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

    /// Opens the process and reads it again: the process that was read before may have ended, and
    /// its pid may be reused. This also checks its user once more after its marks were read: a
    /// login process of root may have changed its user meanwhile.
    fn hold(&mut self, pid: i32, is_wanted: impl Fn(&Marks) -> bool) -> io::Result<()> {
        let Some(handle) = ProcessHandle::open(pid)? else {
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

    /// Whether to scan again, after so many scans that found nothing, because this one may have
    /// missed a process.
    fn deserves_another(&self, looks: u32) -> bool {
        (self.unsettled > 0 && looks < LOOKS_AT_UNSETTLED)
            || (self.gone > 0 && looks < LOOKS_AT_GONE)
    }
}
