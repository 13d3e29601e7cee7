//! A registry in memory that fails where a test wants it to.

use rejoin_protocol::registry::{
    Failure, FailureKind, Known, Operation, Outcome, Program, Reaped, Recorded, Remembered, Report,
    Standing,
};
use rejoin_protocol::{Epoch, Incarnation, SpawnError, Tenure};

use crate::common::EPOCH;

/// The registry of one session, and what was done to it.
#[derive(Clone, Debug)]
pub(crate) struct Fake {
    pub(crate) known: Known,
    /// Whether another program holds the lock.
    pub(crate) is_held: bool,
    /// What the path names, by turns; the last one stays.
    pub(crate) standings: Vec<Standing>,
    pub(crate) reaped: Reaped,
    pub(crate) spawned: Result<(), SpawnError>,
    /// Which operation fails, and how.
    pub(crate) fails: Option<(usize, FailureKind)>,
    pub(crate) done: Vec<Operation>,
    pub(crate) has_lock: bool,
    /// Whether a lock file is open that is no server's own.
    pub(crate) has_opened: bool,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            known: Known::default(),
            is_held: false,
            standings: vec![Standing::Current],
            reaped: Reaped::default(),
            spawned: Ok(()),
            fails: None,
            done: Vec::new(),
            has_lock: false,
            has_opened: false,
        }
    }
}

impl Fake {
    /// What a server left that died while its process ran.
    pub(crate) fn dead(incarnation: u64) -> Self {
        let record = Some(recorded(incarnation, true, EPOCH));
        let known =
            Known { has_lock: true, has_entry: true, has_socket: true, record, ..Known::default() };
        let reaped = Reaped { found: Some(Incarnation(incarnation)), ended: 2 };
        Self { known, reaped, ..Self::default() }
    }

    pub(crate) fn buried(used: u64) -> Self {
        let tombstone = Remembered { used: Some(Incarnation(used)), ..Remembered::default() };
        let known = Known { has_lock: true, tombstone: Some(tombstone), ..Known::default() };
        Self { known, ..Self::default() }
    }

    /// An entry without a record, left by one who lost his place.
    pub(crate) fn remnant() -> Self {
        let known = Known { has_entry: true, has_socket: true, ..Known::default() };
        Self { known, ..Self::default() }
    }

    pub(crate) fn failing(self, at: usize, kind: FailureKind) -> Self {
        Self { fails: Some((at, kind)), ..self }
    }

    pub(crate) fn carry_out(&mut self, operation: &Operation) -> Report {
        self.done.push(operation.clone());
        assert!(self.done.len() < 60, "it runs in circles: {:?}", self.done);
        match self.fails {
            // A file that is closed is closed.
            _ if matches!(operation, Operation::LetGo | Operation::Wait) => {}
            Some((at, kind)) if at + 1 == self.done.len() => return Err(Failure::new(kind, "no")),
            _ => {}
        }
        match operation {
            Operation::OpenRegistry { makes: false } if !self.known.has_lock => {
                return Ok(Outcome::Missing);
            }
            Operation::OpenLock { makes } => {
                if !makes && !self.known.has_lock {
                    return Ok(Outcome::Missing);
                }
                (self.known.has_lock, self.has_opened) = (true, true);
            }
            Operation::TryLock if self.is_held => return Ok(Outcome::Held),
            Operation::TryLock => self.has_lock = true,
            Operation::CheckPath => return Ok(Outcome::Path(self.standing())),
            Operation::Connect if self.known.has_socket => {}
            Operation::Connect => return Err(Failure::new(FailureKind::Missing, "refused")),
            Operation::Reap { .. } => return Ok(Outcome::Reaped(self.reaped)),
            Operation::ReadEntry => return Ok(Outcome::Known(self.known.clone())),
            Operation::WriteTombstone(past) => {
                let old = self.known.tombstone.take().unwrap_or_default();
                self.known.tombstone = Some(old.with(past));
            }
            Operation::RemoveEntry => {
                assert!(self.remembers_record(), "the record goes and nothing remembers it");
                (self.known.has_entry, self.known.has_socket, self.known.record) =
                    (false, false, None);
            }
            Operation::RemoveLock => {
                assert_eq!(self.known.tombstone, None, "a tombstone goes that is not old");
                self.known.has_lock = false;
            }
            Operation::WriteRecord(record) => {
                self.known.has_entry = true;
                self.known.record = Some(record.clone());
            }
            Operation::Bind => self.known.has_socket = true,
            Operation::Spawn => {
                if let Err(error) = &self.spawned {
                    return Ok(Outcome::NotSpawned(error.clone()));
                }
            }
            Operation::LetGo | Operation::Wait | Operation::Adopt => {
                (self.has_lock, self.has_opened) = (false, false);
            }
            _ => {}
        }
        Ok(Outcome::Done)
    }

    pub(crate) fn standing(&mut self) -> Standing {
        if self.standings.len() > 1 { self.standings.remove(0) } else { self.standings[0] }
    }

    pub(crate) fn used(&self) -> Option<Incarnation> {
        self.known.tombstone.as_ref().and_then(|tombstone| tombstone.used)
    }

    pub(crate) fn remembers_record(&self) -> bool {
        self.known.record.as_ref().is_none_or(|record| record.used() <= self.used())
    }

    pub(crate) fn has_done(&self, wanted: &Operation) -> bool {
        self.done.contains(wanted)
    }
}

pub(crate) fn recorded(incarnation: u64, is_starting: bool, epoch: Epoch) -> Recorded {
    let epoch = is_starting.then_some(epoch);
    Recorded { incarnation: Incarnation(incarnation), tenure: Tenure(0), is_starting, epoch }
}

pub(crate) fn run<P: Program>(program: P, fake: &mut Fake) -> P::End {
    program.run(|operation| fake.carry_out(operation))
}
