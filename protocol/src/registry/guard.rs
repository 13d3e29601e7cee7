//! A server that guards its entry (SPEC section 11.6).

use super::{
    Failure, Known, Next, Operation, Outcome, Program, Reaped, Recorded, Report, Standing,
};

/// Checks whether the session can still be found under its name, and restores what was removed as long as no
/// other program has the name. The lock file that the executor opens here is a second one beside the server's
/// own, until it is adopted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Guard {
    record: Option<Recorded>,
    stage: Stage,
}

/// The result of a check.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Kept {
    /// Everything is in its place.
    Whole,
    /// What was removed was restored.
    Mended,
    /// Another program has the name, and may still leave.
    Waits,
    /// Another server has the session.
    Displaced,
    /// Checking or restoring failed.
    Failed(Failure),
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Stage {
    Checks,
    Opens {
        makes: bool,
    },
    Tries,
    ChecksNew,
    /// Whether another program holds the lock, or this one got it.
    Reads {
        is_held: bool,
    },
    /// Closes a lock file that was opened and is not adopted.
    LetsGo(Kept),
    Adopts,
    Looks,
    Records,
    Binds,
    Ends(Kept),
}

impl Guard {
    /// A check by a server that has written this record.
    pub fn new(record: Option<Recorded>) -> Self {
        Self { record, stage: Stage::Checks }
    }

    /// The same, if it is known already what the path names.
    pub(super) fn at(path: Standing, record: Option<Recorded>) -> Self {
        Self { record, stage: found(path) }
    }

    fn after(&self, stage: &Stage, outcome: Outcome) -> Stage {
        match (stage, outcome) {
            (Stage::Checks, Outcome::Path(path)) => found(path),
            (Stage::Opens { .. }, Outcome::Missing) => Stage::Ends(Kept::Waits),
            (Stage::Opens { .. }, _) => Stage::Tries,
            (Stage::Tries, Outcome::Held) => Stage::Reads { is_held: true },
            (Stage::Tries, _) => Stage::ChecksNew,
            (Stage::ChecksNew, Outcome::Path(Standing::Current)) => Stage::Reads { is_held: false },
            (Stage::ChecksNew, Outcome::Path(_)) => Stage::LetsGo(Kept::Waits),
            (Stage::Reads { is_held }, Outcome::Known(known)) => self.judge(&known, *is_held),
            (Stage::Adopts, _) => Stage::Looks,
            (Stage::Looks, Outcome::Known(known)) if self.is_whole(&known) => {
                Stage::Ends(Kept::Whole)
            }
            (Stage::Looks, Outcome::Known(_)) if self.record.is_none() => Stage::Binds,
            (Stage::Looks, Outcome::Known(_)) => Stage::Records,
            (Stage::Records, _) => Stage::Binds,
            (Stage::Binds, _) => Stage::Ends(Kept::Mended),
            (Stage::LetsGo(end) | Stage::Ends(end), _) => Stage::Ends(end.clone()),
            (stage, _) => failed(stage, Failure::misfit()),
        }
    }

    /// A socket alone is not enough, because other programs believe the record. While this server holds the
    /// lock, a missing record and the record of another server are mistakes.
    fn is_whole(&self, known: &Known) -> bool {
        let epoch_of = |record: &Option<Recorded>| record.as_ref().map(|record| record.epoch);
        known.has_socket
            && (self.record.is_none() || epoch_of(&known.record) == epoch_of(&self.record))
    }

    /// If another server had the name meanwhile, the session belongs to that server. An attach program that
    /// only holds the lock, or has only reserved, may still leave.
    fn judge(&self, known: &Known, is_held: bool) -> Stage {
        let is_taken = self.is_taken(known);
        if is_held {
            return Stage::LetsGo(if is_taken { Kept::Displaced } else { Kept::Waits });
        }
        let was_used = known.fold(Reaped::default(), None).used.is_some();
        if is_taken && was_used { Stage::LetsGo(Kept::Displaced) } else { Stage::Adopts }
    }

    /// Whether the record or the tombstone is another server's.
    fn is_taken(&self, known: &Known) -> bool {
        let own = self.record.as_ref().and_then(|record| record.epoch);
        match &known.record {
            Some(record) => record.is_starting && record.epoch != own,
            None if known.has_damaged_record => true,
            None => known.tombstone.as_ref().is_some_and(|tombstone| tombstone.used.is_some()),
        }
    }
}

fn found(path: Standing) -> Stage {
    match path {
        Standing::Current => Stage::Looks,
        Standing::Missing => Stage::Opens { makes: true },
        Standing::Replaced => Stage::Opens { makes: false },
    }
}

fn failed(stage: &Stage, failure: Failure) -> Stage {
    match stage {
        Stage::Tries | Stage::ChecksNew | Stage::Reads { .. } | Stage::Adopts => {
            Stage::LetsGo(Kept::Failed(failure))
        }
        Stage::LetsGo(end) | Stage::Ends(end) => Stage::Ends(end.clone()),
        _ => Stage::Ends(Kept::Failed(failure)),
    }
}

impl Program for Guard {
    type End = Kept;

    fn next(&self) -> Next<Kept> {
        Next::Do(match &self.stage {
            Stage::Checks | Stage::ChecksNew => Operation::CheckPath,
            Stage::Opens { makes } => Operation::OpenLock { makes: *makes },
            Stage::Tries => Operation::TryLock,
            Stage::Reads { .. } | Stage::Looks => Operation::ReadEntry,
            Stage::LetsGo(_) => Operation::LetGo,
            Stage::Adopts => Operation::Adopt,
            Stage::Records => match &self.record {
                Some(record) => Operation::WriteRecord(record.clone()),
                None => Operation::Bind,
            },
            Stage::Binds => Operation::Bind,
            Stage::Ends(end) => return Next::End(end.clone()),
        })
    }

    fn done(&mut self, report: Report) {
        self.stage = match report {
            Ok(outcome) => self.after(&self.stage, outcome),
            Err(failure) => failed(&self.stage, failure),
        };
    }
}
