//! The sweep: removes what dead servers left (SPEC section 11.5).

use super::end::Burying;
use super::{Failure, Known, Next, Operation, Outcome, Program, Reaped, Report, Standing};
use crate::server::Past;

/// A sweep's visit to one session. It only tries the lock, and changes nothing if the lock is held.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sweep {
    stage: Stage,
}

/// The result of a visit.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Swept {
    /// Nothing was to be removed.
    Nothing,
    /// A tombstone was old enough and was removed, or a lock file had no tombstone.
    Forgotten,
    /// A dead server's entry was folded into the tombstone and removed.
    Buried {
        /// How many processes it had left, which were ended.
        ended: u32,
    },
    /// Looking or removing failed.
    Failed(Failure),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Stage {
    /// First without the lock: a lock that is held even for a moment makes other programs try again.
    Looks,
    Opens(Aim),
    Tries(Aim),
    Checks(Aim),
    Reaps,
    Reads(Reaped),
    LooksAgain,
    Buries(Burying, Swept),
    /// Gives a tombstone of unknown age an age from now on.
    Dates,
    RemovesLock(Swept),
    Ends(Swept),
}

/// What to remove.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Aim {
    /// A dead server's entry.
    Entry,
    /// A tombstone, with its lock file.
    Tombstone,
}

impl Sweep {
    /// A new visit.
    pub fn new() -> Self {
        Self { stage: Stage::Looks }
    }
}

impl Default for Sweep {
    fn default() -> Self {
        Self::new()
    }
}

fn after(stage: &Stage, outcome: Outcome) -> Stage {
    match (stage, outcome) {
        (Stage::Looks, Outcome::Known(known)) => aim(&known),
        (Stage::Opens(_), Outcome::Missing)
        | (Stage::Tries(_), Outcome::Held)
        | (Stage::Dates, _) => nothing(),
        (Stage::Opens(aim), _) => Stage::Tries(*aim),
        (Stage::Tries(aim), _) => Stage::Checks(*aim),
        (Stage::Checks(Aim::Entry), Outcome::Path(Standing::Current)) => Stage::Reaps,
        (Stage::Checks(Aim::Tombstone), Outcome::Path(Standing::Current)) => Stage::LooksAgain,
        (Stage::Checks(_), Outcome::Path(_)) => nothing(),
        (Stage::Reaps, Outcome::Reaped(reaped)) => Stage::Reads(reaped),
        (Stage::Reads(reaped), Outcome::Known(known)) => bury(&known, *reaped),
        (Stage::LooksAgain, Outcome::Known(known)) => forget(&known),
        (Stage::Buries(burying, swept), _) => match burying.clone().rest() {
            Some(burying) => Stage::Buries(burying, swept.clone()),
            None => Stage::Ends(swept.clone()),
        },
        (Stage::RemovesLock(swept) | Stage::Ends(swept), _) => Stage::Ends(swept.clone()),
        _ => Stage::Ends(Swept::Failed(Failure::misfit())),
    }
}

fn nothing() -> Stage {
    Stage::Ends(Swept::Nothing)
}

/// If only the lock file is missing, and the server that the record names is still visible, that server will
/// notice and restore the file, unless a client asks for the session before.
fn aim(known: &Known) -> Stage {
    if known.has_entry {
        let may_put_back = !known.has_lock && known.is_server_seen;
        if may_put_back { nothing() } else { Stage::Opens(Aim::Entry) }
    } else if known.has_lock && is_over(known) {
        Stage::Opens(Aim::Tombstone)
    } else {
        nothing()
    }
}

/// Whether the tombstone is old enough, or no tombstone can be read.
fn is_over(known: &Known) -> bool {
    known.is_old || known.tombstone.is_none()
}

fn bury(known: &Known, reaped: Reaped) -> Stage {
    if reaped.ended > 0 || known.has_entry {
        let swept = Swept::Buried { ended: reaped.ended };
        return Stage::Buries(Burying::begin(known.fold(reaped, None)), swept);
    }
    // Another program was faster.
    if known.has_tombstone() { nothing() } else { Stage::RemovesLock(Swept::Nothing) }
}

fn forget(known: &Known) -> Stage {
    if known.has_entry || !is_over(known) {
        nothing()
    } else if known.has_damaged_tombstone {
        Stage::Dates
    } else {
        Stage::RemovesLock(Swept::Forgotten)
    }
}

impl Program for Sweep {
    type End = Swept;

    fn next(&self) -> Next<Swept> {
        Next::Do(match &self.stage {
            Stage::Looks | Stage::Reads(_) | Stage::LooksAgain => Operation::ReadEntry,
            Stage::Opens(aim) => Operation::OpenLock { makes: *aim == Aim::Entry },
            Stage::Tries(_) => Operation::TryLock,
            Stage::Checks(_) => Operation::CheckPath,
            Stage::Reaps => Operation::Reap { all: false },
            Stage::Buries(burying, _) => burying.operation(),
            Stage::Dates => Operation::WriteTombstone(Past::default()),
            Stage::RemovesLock(_) => Operation::RemoveLock,
            Stage::Ends(swept) => return Next::End(swept.clone()),
        })
    }

    fn done(&mut self, report: Report) {
        self.stage = match report {
            Ok(outcome) => after(&self.stage, outcome),
            Err(_) if matches!(self.stage, Stage::Ends(_)) => return,
            Err(failure) => Stage::Ends(Swept::Failed(failure)),
        };
    }
}
