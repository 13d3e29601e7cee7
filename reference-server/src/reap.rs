//! Ending what a dead server has left behind, found by the session's mark in its environment.
//!
//! A session that is closed is ended whole. Before another process is started, only what the earlier one
//! left is ended: a daemon has left it, and goes on (SPEC section 11.5). Never by a
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
use std::io;
use std::time::{Duration, Instant};

use rejoin_protocol::{Incarnation, SessionId};
use rustix::process::Signal;

use crate::marks::Marks;
use crate::procfs::{self, Handle, Reading, Stat};
use crate::registry::{Found, Record};

/// How often to look again because of processes that are between two programs: for far longer
/// than an exec takes, and bounded, since a process may stay unreadable for ever.
const LOOKS_AT_UNSETTLED: u32 = 50;

/// How often to look again because of processes that ended unread, and may have left a child that
/// came after the list was made. Few, since on a busy host there are always some.
const LOOKS_AT_GONE: u32 = 2;

/// Which of a session's processes are ended.
#[derive(Clone, Debug)]
pub enum Reach {
    /// All that carry its mark.
    Session,
    /// What an earlier process left, as far as its record and the marks tell.
    Left(Option<Record>),
}

impl Reach {
    /// What an earlier process left, if `record` is that of its session.
    pub fn left(record: Found<Record>) -> Self {
        Self::Left(record.whole())
    }

    fn includes(&self, found: &FoundProcess) -> bool {
        match self {
            Self::Session => true,
            Self::Left(record) => {
                record.as_ref().is_some_and(|record| left_by(record, found)) || holds_an_end(found)
            }
        }
    }
}

/// Whether a process is in the kernel session that the record's process led. Where that is not known,
/// its server died while it started it: nothing can have left it yet.
fn left_by(record: &Record, found: &FoundProcess) -> bool {
    match record.process {
        Some(process) => Stat::read(found.pid).is_some_and(|stat| process.leads(&stat)),
        None => record.used().is_some() && record.used() <= found.marks.incarnation,
    }
}

fn holds_an_end(found: &FoundProcess) -> bool {
    !found.marks.ends.is_empty()
        && procfs::open_files(found.pid).iter().any(|file| found.marks.has_end(file))
}

/// What reaping found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reaped {
    /// How many processes were killed.
    pub killed: usize,
    /// The highest incarnation that any process of the session claimed, ended or not. Its environment is no authority:
    /// [`Known::fold`](rejoin_protocol::registry::Known::fold) says how far it counts.
    pub highest: Option<Incarnation>,
}

/// Kills the processes of `session` that are within `reach`, except the calling one and its ancestors, and
/// waits until they have ended. To be called by the holder of the session's lock.
///
/// Fails with [`io::ErrorKind::TimedOut`] if some are not gone `within` the time.
pub fn reap(session: SessionId, reach: &Reach, within: Duration) -> io::Result<Reaped> {
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
