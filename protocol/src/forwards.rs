//! Decides when to make a forward that ssh could not make, and what to report about it.
//!
//! A forward is a port or a socket on which one connection of a session listens, here or on the host. Another
//! program may have it when the connection is opened. The machine decides when to try again while the
//! connection lasts: after a pause that grows, so that the attempts burden neither the host nor this machine.
//! It reports each missing forward once, and once when the forward is there.
//!
//! The machine is pure, like those of sessions: it has no clock, and timers are names.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// A forward's number, which the driver chooses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(pub u16);

/// After this many rounds of attempts the pause stops growing.
pub const LAST_STEP: u8 = 6;

/// An event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A connection was opened. It has all forwards except these; the value says whether another attempt is
    /// possible on this connection.
    Opened(BTreeMap<Slot, bool>),
    /// The connection is gone.
    Closed,
    /// The pause is over.
    Timer,
    /// An attempt has ended.
    Tried(Slot, Outcome),
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// The forward is there.
    Made,
    /// The forward is not there.
    Failed,
    /// The forward is not there, and no other attempt is possible on this connection.
    Impossible,
}

/// An effect.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Try to make this forward, and report how that ended, unless [`Abandon`](Self::Abandon) comes first.
    Try(Slot),
    /// The results of attempts are no longer wanted.
    Abandon,
    /// Start the pause. It grows with the step: from 0 to [`LAST_STEP`].
    Arm(u8),
    /// Stop the pause.
    Disarm,
    /// Report that the forward is missing, and whether another attempt follows while the connection lasts.
    TellMissing(Slot, bool),
    /// Report that a forward that was reported missing is there.
    TellMade(Slot),
}

/// The state: which forwards are missing, and what happens to each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Forwards {
    /// The forwards that are missing, according to the reports.
    told: BTreeSet<Slot>,
    /// The forwards that wait for an attempt on this connection.
    waiting: BTreeSet<Slot>,
    /// Those that an attempt is made for.
    trying: BTreeSet<Slot>,
    step: u8,
}

impl Forwards {
    /// A machine that knows of no missing forward.
    pub const fn new() -> Self {
        Self { told: BTreeSet::new(), waiting: BTreeSet::new(), trying: BTreeSet::new(), step: 0 }
    }

    /// Takes an event, and returns its effects. It is total: an event that makes no sense changes nothing.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Opened(missing) => self.opened(&missing),
            Event::Closed => self.closed(),
            Event::Timer => self.timer(),
            Event::Tried(slot, outcome) => self.tried(slot, outcome),
        }
    }

    /// The forwards that were reported missing, and not reported made.
    pub fn missing(&self) -> impl Iterator<Item = Slot> {
        self.told.iter().copied()
    }

    /// Whether a pause runs.
    pub fn is_pausing(&self) -> bool {
        self.trying.is_empty() && !self.waiting.is_empty()
    }

    /// Those that an attempt is made for.
    pub fn trying(&self) -> impl Iterator<Item = Slot> {
        self.trying.iter().copied()
    }

    fn opened(&mut self, missing: &BTreeMap<Slot, bool>) -> Vec<Effect> {
        let mut effects = self.closed();
        let made: Vec<_> = self.missing().filter(|slot| !missing.contains_key(slot)).collect();
        for slot in made {
            self.told.remove(&slot);
            effects.push(Effect::TellMade(slot));
        }
        for (&slot, &is_possible) in missing {
            if self.told.insert(slot) {
                effects.push(Effect::TellMissing(slot, is_possible));
            }
            if is_possible {
                self.waiting.insert(slot);
            }
        }
        self.pause(&mut effects);
        effects
    }

    fn closed(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.is_pausing() {
            effects.push(Effect::Disarm);
        }
        if !self.trying.is_empty() {
            effects.push(Effect::Abandon);
        }
        self.waiting.clear();
        self.trying.clear();
        self.step = 0;
        effects
    }

    fn timer(&mut self) -> Vec<Effect> {
        if !self.is_pausing() {
            return Vec::new();
        }
        self.trying = core::mem::take(&mut self.waiting);
        self.trying().map(Effect::Try).collect()
    }

    fn tried(&mut self, slot: Slot, outcome: Outcome) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !self.trying.remove(&slot) {
            return effects;
        }
        match outcome {
            Outcome::Made => {
                if self.told.remove(&slot) {
                    effects.push(Effect::TellMade(slot));
                }
            }
            Outcome::Failed => {
                self.waiting.insert(slot);
            }
            Outcome::Impossible => {}
        }
        if self.trying.is_empty() {
            self.pause(&mut effects);
        }
        effects
    }

    fn pause(&mut self, effects: &mut Vec<Effect>) {
        if self.is_pausing() {
            effects.push(Effect::Arm(self.step));
            self.step = (self.step + 1).min(LAST_STEP);
        }
    }
}
