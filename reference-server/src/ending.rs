//! Ending the descendants of a living server: asked first, then killed, until none is left.
//!
//! A server is a subreaper ([`crate::process::become_server`]): whatever its process left behind
//! is its child sooner or later. So "no child left" means "no descendant left", and the end needs
//! no further proof.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, wait};

use crate::procfs::{self, Handle, Stat};

const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// What asks a process to end: the terminal is gone, please end, and wake up to do so.
const REQUESTS: [Signal; 3] = [Signal::HUP, Signal::TERM, Signal::CONT];

/// A process by pid and start time.
type Name = (i32, u64);

/// The ending of all descendants of the calling process, step by step.
///
/// [`Self::step`] does not block: call it, wait for a SIGCHLD or for the pause that it names,
/// whichever is first, and call it again until it is done.
#[derive(Debug)]
pub struct Ending {
    kill_from: Instant,
    asked: BTreeSet<Name>,
    ended: BTreeSet<Name>,
    pause: Duration,
}

/// Where an [`Ending`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// No descendant is left, or none that may be ended.
    Done,
    /// Some are: step again at the next SIGCHLD, at the latest after this time.
    Again(Duration),
}

impl Ending {
    /// Begins: descendants have `grace` to end by themselves once they are asked to.
    pub fn begin(grace: Duration) -> Self {
        Self {
            kill_from: Instant::now() + grace,
            asked: BTreeSet::new(),
            ended: BTreeSet::new(),
            pause: FIRST_PAUSE,
        }
    }

    /// How many processes were asked to end, or killed.
    pub fn count(&self) -> usize {
        self.ended.len()
    }

    /// Reaps the children that have ended, telling each to `on_reaped`; then asks every
    /// descendant that was not asked yet to end, or kills them all once the grace is over.
    pub fn step(&mut self, on_reaped: &mut dyn FnMut(Pid, WaitStatus)) -> io::Result<Step> {
        if !reap_children(on_reaped)? {
            return Ok(Step::Done);
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
        // Another user's, by setuid: it is not ours to end, and nobody else will end it for us.
        if forbidden > 0 && ours == 0 {
            return Ok(Step::Done);
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let grace_left = self.kill_from.saturating_duration_since(now);
        Ok(Step::Again(if grace_left.is_zero() { self.pause } else { self.pause.min(grace_left) }))
    }
}

/// Ends all descendants of the calling process and returns when none is left: for callers that
/// may block.
pub fn end_descendants(
    grace: Duration,
    on_reaped: &mut dyn FnMut(Pid, WaitStatus),
) -> io::Result<()> {
    let mut ending = Ending::begin(grace);
    while let Step::Again(pause) = ending.step(on_reaped)? {
        std::thread::sleep(pause);
    }
    Ok(())
}

/// Reaps every child that has ended, telling each to `on_reaped`, and says whether any child is
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

/// Signals it, unless its pid is another's by now; whether that is allowed.
fn send((pid, start): Name, signals: &[Signal]) -> io::Result<bool> {
    let Some(handle) = Handle::open(pid)?.filter(|handle| handle.start() == start) else {
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
