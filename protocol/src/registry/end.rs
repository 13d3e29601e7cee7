//! A server's end: which other processes are ended, and the tombstone (SPEC sections 11.4 and 11.5).

use alloc::vec::Vec;

use super::{Failure, Next, Operation, Outcome, Program, Reaped, Report, Standing};
use crate::server::{Effect, Effects, Past};

/// Buries a session: writes the tombstone, and only then removes the entry. So at any moment one of the two
/// says which incarnations were used (SPEC section 11.1).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Burying {
    Writes(Past),
    Removes(Past),
}

impl Burying {
    pub(super) fn begin(past: Past) -> Self {
        Self::Writes(past)
    }

    /// What remains to do after this operation.
    pub(super) fn rest(self) -> Option<Self> {
        match self {
            Self::Writes(past) => Some(Self::Removes(past)),
            Self::Removes(_) => None,
        }
    }

    pub(super) fn operation(&self) -> Operation {
        match self {
            Self::Writes(past) => Operation::WriteTombstone(past.clone()),
            Self::Removes(_) => Operation::RemoveEntry,
        }
    }
}

/// Carries out [`Effect::Bury`] and the effects that follow it in its step: writes the tombstone, then
/// removes the entry, then gives the answers that rely on the tombstone.
///
/// If the tombstone is not written, the answers are not sent. Their links are closed instead; the clients try
/// again and get an answer from what exists. The entry stays for the next program to read. If the name is
/// another server's by now, nothing is touched.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Burial {
    stage: Stage,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Stage {
    Reads,
    Checks(Past, Effects),
    Buries(Burying, Effects),
    Ends(Effects),
}

impl Burial {
    /// Buries this, and continues with the rest of the step.
    pub fn new(past: Past, rest: Effects) -> Self {
        Self { stage: Stage::Checks(past, rest) }
    }

    /// The end of a server whose opener left before it said what to start: it buries what is known and stops.
    pub fn unopened() -> Self {
        Self { stage: Stage::Reads }
    }
}

fn after(stage: Stage, outcome: Outcome) -> Stage {
    match (stage, outcome) {
        (Stage::Reads, Outcome::Known(known)) => {
            let past = known.fold(Reaped::default(), None);
            Stage::Checks(past, Vec::from([Effect::Stop]))
        }
        (Stage::Checks(past, rest), Outcome::Path(Standing::Current)) => {
            Stage::Buries(Burying::begin(past), rest)
        }
        (Stage::Buries(burying, rest), _) => match burying.rest() {
            Some(burying) => Stage::Buries(burying, rest),
            None => Stage::Ends(rest),
        },
        (Stage::Ends(rest), _) => Stage::Ends(rest),
        (stage, _) => failed(stage),
    }
}

fn failed(stage: Stage) -> Stage {
    match stage {
        Stage::Reads => Stage::Ends(Vec::from([Effect::Stop])),
        Stage::Checks(_, rest) | Stage::Buries(Burying::Writes(_), rest) => {
            Stage::Ends(unanswered(rest))
        }
        // The answers rely on the tombstone alone.
        Stage::Buries(Burying::Removes(_), rest) | Stage::Ends(rest) => Stage::Ends(rest),
    }
}

/// The same, but closes every link on which something was to be sent.
fn unanswered(rest: Effects) -> Effects {
    let closed = |effect| match effect {
        Effect::Send(link, _) => Effect::Close(link),
        effect => effect,
    };
    rest.into_iter().map(closed).collect()
}

impl Program for Burial {
    type End = Effects;

    fn next(&self) -> Next<Effects> {
        Next::Do(match &self.stage {
            Stage::Reads => Operation::ReadEntry,
            Stage::Checks(..) => Operation::CheckPath,
            Stage::Buries(burying, _) => burying.operation(),
            Stage::Ends(rest) => return Next::End(rest.clone()),
        })
    }

    fn done(&mut self, report: Report) {
        let stage = core::mem::replace(&mut self.stage, Stage::Reads);
        self.stage = match report {
            Ok(outcome) => after(stage, outcome),
            Err(_) => failed(stage),
        };
    }
}

/// Ends the processes that carry the session's mark besides the server's descendants, after those have ended.
/// An earlier server kept them, or they have left their process. They are ended only if all of the session is
/// to end ([`crate::server::Extent::Session`]), and only in the session's own place.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Rest {
    stage: Ending,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Ending {
    Checks,
    Reaps,
    Ends(Result<u32, Failure>),
}

impl Rest {
    /// Nothing was checked yet.
    pub fn new() -> Self {
        Self { stage: Ending::Checks }
    }
}

impl Default for Rest {
    fn default() -> Self {
        Self::new()
    }
}

impl Program for Rest {
    /// How many processes were ended, or why some may remain.
    type End = Result<u32, Failure>;

    fn next(&self) -> Next<Self::End> {
        Next::Do(match &self.stage {
            Ending::Checks => Operation::CheckPath,
            Ending::Reaps => Operation::Reap { all: true },
            Ending::Ends(end) => return Next::End(end.clone()),
        })
    }

    fn done(&mut self, report: Report) {
        self.stage = match (&self.stage, report) {
            (Ending::Ends(_), _) => return,
            (_, Err(failure)) => Ending::Ends(Err(failure)),
            (Ending::Checks, Ok(Outcome::Path(Standing::Current))) => Ending::Reaps,
            (Ending::Checks, Ok(_)) => Ending::Ends(Ok(0)),
            (Ending::Reaps, Ok(Outcome::Reaped(reaped))) => Ending::Ends(Ok(reaped.ended)),
            (Ending::Reaps, Ok(_)) => Ending::Ends(Err(Failure::misfit())),
        };
    }
}
