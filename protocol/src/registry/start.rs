//! A server's start: from its Open until it serves (SPEC section 11.4).

use super::{Failure, Guard, Next, Operation, Outcome, Program, Recorded, Report, Standing};
use crate::reason::{SpawnError, SpawnErrorKind};

/// Starts a server's process. The server holds the lock that it inherited, and never locks again.
///
/// It listens first, then checks that the lock is still the session's, then records that the incarnation is
/// used, then starts the process. In any other order a crash in between leaves a process that nobody knows
/// of, or a number that is used twice.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Start {
    record: Recorded,
    stage: Stage,
}

/// The result of a start.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Started {
    /// The process runs, and the session is this server's.
    Serves,
    /// Another program has the session's place: the server ends, and touches nothing.
    Leaves,
    /// The process could not be started or kept.
    Fails(SpawnError),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Stage {
    Binds,
    Checks,
    Records,
    Spawns,
    ChecksAgain,
    Guards(Guard),
    ChecksLast,
    EndsProcess(Started),
    Ends(Started),
}

impl Start {
    /// A start for which this record is written: in the phase `starting`, with a new epoch.
    pub fn new(record: Recorded) -> Self {
        Self { record, stage: Stage::Binds }
    }

    /// The record to write before the process is started.
    pub fn record(&self) -> &Recorded {
        &self.record
    }

    fn after(&self, stage: Stage, outcome: Outcome) -> Stage {
        match (stage, outcome) {
            (Stage::Binds, _) => Stage::Checks,
            (Stage::Checks, Outcome::Path(path)) if path.is_kept() => Stage::Records,
            (Stage::Checks, Outcome::Path(_)) => Stage::Ends(Started::Leaves),
            (Stage::Records, _) => Stage::Spawns,
            (Stage::Spawns, Outcome::NotSpawned(error)) => Stage::Ends(Started::Fails(error)),
            (Stage::Spawns, _) => Stage::ChecksAgain,
            (Stage::ChecksAgain, Outcome::Path(Standing::Replaced)) => Stage::ChecksLast,
            // The registry was removed, but nobody took the session's place: the session gets it back.
            (Stage::ChecksAgain, Outcome::Path(path)) => {
                Stage::Guards(Guard::at(path, Some(self.record.clone())))
            }
            // The program that took the name in between has reaped before this process existed.
            (Stage::ChecksLast, Outcome::Path(path)) if path.is_kept() => {
                Stage::Ends(Started::Serves)
            }
            (Stage::ChecksLast, Outcome::Path(_)) => left(),
            (Stage::EndsProcess(end) | Stage::Ends(end), _) => Stage::Ends(end),
            (stage, _) => failed(stage, &Failure::misfit()),
        }
    }

    fn guarded(mut guard: Guard, report: Report) -> Stage {
        guard.done(report);
        match guard.next() {
            Next::Do(_) => Stage::Guards(guard),
            Next::End(super::Kept::Failed(failure)) => failed(Stage::ChecksLast, &failure),
            Next::End(_) => Stage::ChecksLast,
        }
    }
}

/// A running process is ended before its server ends.
fn left() -> Stage {
    Stage::EndsProcess(Started::Leaves)
}

fn failed(stage: Stage, failure: &Failure) -> Stage {
    let fails = Started::Fails(SpawnError::new(SpawnErrorKind::Other, &failure.message));
    match stage {
        Stage::Binds | Stage::Checks | Stage::Records | Stage::Spawns => Stage::Ends(fails),
        Stage::ChecksAgain | Stage::Guards(_) | Stage::ChecksLast => Stage::EndsProcess(fails),
        // A process that cannot be ended ends with its server: the system ensures that.
        Stage::EndsProcess(end) | Stage::Ends(end) => Stage::Ends(end),
    }
}

impl Program for Start {
    type End = Started;

    fn next(&self) -> Next<Started> {
        Next::Do(match &self.stage {
            Stage::Binds => Operation::Bind,
            Stage::Checks | Stage::ChecksAgain | Stage::ChecksLast => Operation::CheckPath,
            Stage::Records => Operation::WriteRecord(self.record.clone()),
            Stage::Spawns => Operation::Spawn,
            Stage::Guards(guard) => match guard.next() {
                Next::Do(operation) => operation,
                Next::End(_) => Operation::CheckPath,
            },
            Stage::EndsProcess(_) => Operation::EndProcess,
            Stage::Ends(end) => return Next::End(end.clone()),
        })
    }

    fn done(&mut self, report: Report) {
        let stage = core::mem::replace(&mut self.stage, Stage::Binds);
        self.stage = match (stage, report) {
            (Stage::Guards(guard), report) => Self::guarded(guard, report),
            (stage, Ok(outcome)) => self.after(stage, outcome),
            (stage, Err(failure)) => failed(stage, &failure),
        };
    }
}
