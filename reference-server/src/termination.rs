//! Ends the descendants of a living server: first asks them to end, then kills them, until no
//! descendant is left.
//!
//! A server is a subreaper ([`crate::process::become_server`]): every process that its descendants
//! leave behind becomes its child. So "no child left" means "no descendant left".

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, wait};

use crate::procfs::{self, ProcessHandle, Stat};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// The signals that ask a process to end: hang up, terminate, and continue if stopped.
const REQUESTS: [Signal; 3] = [Signal::HUP, Signal::TERM, Signal::CONT];

/// A process, identified by pid and start time.
type Name = (i32, u64);

/// The termination of all descendants of the calling process, step by step.
///
/// [`Self::step`] does not block. Call it, wait for a SIGCHLD or for the pause that it returns,
/// whichever comes first, and repeat until it is done.
#[derive(Debug)]
pub struct Termination {
    kill_from: Instant,
    asked: BTreeSet<Name>,
    ended: BTreeSet<Name>,
    pause: Duration,
}

/// The progress of a [`Termination`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum TerminationStep {
    /// No descendant is left that this user may end.
    Done,
    /// Descendants are left: step again at the next SIGCHLD, and at the latest after this time.
    Again(Duration),
}

impl Termination {
    /// Begins. Descendants have the time `grace` to end after they are asked to.
    pub fn begin(grace: Duration) -> Self {
        Self {
            kill_from: Instant::now() + grace,
            asked: BTreeSet::new(),
            ended: BTreeSet::new(),
            pause: FIRST_PAUSE,
        }
    }

    /// The number of processes that were asked to end or killed.
    pub fn count(&self) -> usize {
        self.ended.len()
    }

    /// Reaps the children that have ended, and calls `on_reaped` for each. Then it asks every new
    /// descendant to end, or kills all descendants once the grace is over.
    pub fn step(
        &mut self,
        on_reaped: &mut dyn FnMut(Pid, WaitStatus),
    ) -> io::Result<TerminationStep> {
        if !reap_children(on_reaped)? {
            return Ok(TerminationStep::Done);
        }
        let now = Instant::now();
        let is_final = now >= self.kill_from;
        let (mut ours, mut forbidden) = (0, 0);
        for descendant in descendants()? {
            let is_ours = if is_final {
                send(descendant, &[Signal::KILL])?
            } else if self.asked.insert(descendant) {
                send(descendant, &REQUESTS)?
            } else {
                continue;
            };
            if is_ours {
                self.ended.insert(descendant);
            }
            if is_final {
                *if is_ours { &mut ours } else { &mut forbidden } += 1;
            }
        }
        // Only setuid processes of other users are left, which this process may not signal.
        if forbidden > 0 && ours == 0 {
            return Ok(TerminationStep::Done);
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let grace_left = self.kill_from.saturating_duration_since(now);
        Ok(TerminationStep::Again(if grace_left.is_zero() {
            self.pause
        } else {
            self.pause.min(grace_left)
        }))
    }
}

/// Ends all descendants of the calling process, and blocks until no descendant is left.
pub fn end_descendants(
    grace: Duration,
    on_reaped: &mut dyn FnMut(Pid, WaitStatus),
) -> io::Result<()> {
    let mut termination = Termination::begin(grace);
    while let TerminationStep::Again(pause) = termination.step(on_reaped)? {
        std::thread::sleep(pause);
    }
    Ok(())
}

/// Reaps every child that has ended, calls `on_reaped` for each, and returns whether any child is
/// left.
pub fn reap_children(on_reaped: &mut dyn FnMut(Pid, WaitStatus)) -> io::Result<bool> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => on_reaped(pid, status),
            Ok(None) => return Ok(true),
            Err(Errno::CHILD) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Every living descendant of the calling process.
fn descendants() -> io::Result<Vec<Name>> {
    let mut children: BTreeMap<i32, Vec<Stat>> = BTreeMap::new();
    for stat in procfs::pids()?.into_iter().filter_map(Stat::read) {
        children.entry(stat.parent).or_default().push(stat);
    }
    let mut parents = vec![rustix::process::getpid().as_raw_nonzero().get()];
    let mut found = Vec::new();
    while let Some(parent) = parents.pop() {
        for child in children.remove(&parent).unwrap_or_default() {
            parents.push(child.pid);
            if !child.is_zombie {
                found.push((child.pid, child.start));
            }
        }
    }
    Ok(found)
}

/// Sends the signals, unless the pid belongs to another process by now. Returns whether that is
/// allowed.
fn send((pid, start): Name, signals: &[Signal]) -> io::Result<bool> {
    let Some(handle) = ProcessHandle::open(pid)?.filter(|handle| handle.start() == start) else {
        return Ok(true);
    };
    for signal in signals {
        match handle.signal(*signal) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
            Err(error) => return Err(error),
            Ok(()) => {}
        }
    }
    Ok(true)
}
