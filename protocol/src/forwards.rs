//! When a forward is made that ssh could not make, and what is reported of it.
//!
//! A forward is a port or a socket that one connection of a session listens on, here or on the host. Somebody
//! else may have it when the connection is opened. The machine decides when another attempt is made while the
//! connection lasts: after a pause that grows, so that neither the host nor this machine is bothered by it.
//! Each absence of a forward is reported once, and its end once.
//!
//! The machine is pure, as those of sessions are: it has no clock, and timers are names.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// A forward, as its driver numbers it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(pub u16);

/// After so many rounds of attempts the pause grows no longer.
pub const LAST_STEP: u8 = 6;

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A connection was opened. It has all forwards but these; the value says whether another attempt to make
    /// one is possible on this connection.
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
    /// It is not.
    Failed,
    /// It is not, and no other attempt is possible on this connection.
    Impossible,
}

/// Something to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Effect {
    /// Try to make this forward, and report how that ended, unless [`Abandon`](Self::Abandon) comes first.
    Try(Slot),
    /// Nobody wants to know any more how attempts end.
    Abandon,
    /// Start the pause, which is the longer the greater the step is: from 0 to [`LAST_STEP`].
    Arm(u8),
    /// Stop the pause.
    Disarm,
    /// Report that the forward is missing, and whether another attempt is made while the connection lasts.
    TellMissing(Slot, bool),
    /// Report that a forward is there whose absence was reported.
    TellMade(Slot),
}

/// Which forwards are missing, and what is done about it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Forwards {
    /// Those that are missing, as far as was reported.
    told: BTreeSet<Slot>,
    /// Those that wait for an attempt on this connection.
    waiting: BTreeSet<Slot>,
    /// Those that an attempt is made for.
    trying: BTreeSet<Slot>,
    step: u8,
}

impl Forwards {
    /// One that knows of nothing missing.
    pub const fn new() -> Self {
        Self { told: BTreeSet::new(), waiting: BTreeSet::new(), trying: BTreeSet::new(), step: 0 }
    }

    /// Takes an event, and returns what follows from it. It is total: an event that makes no sense changes
    /// nothing.
    pub fn step(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Opened(missing) => self.opened(&missing),
            Event::Closed => self.closed(),
            Event::Timer => self.timer(),
            Event::Tried(slot, outcome) => self.tried(slot, outcome),
        }
    }

    /// Those whose absence was reported, and whose presence was not.
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
