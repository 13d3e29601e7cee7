//! The machine of forwards, searched to the end for two of them, and checked against what it promises.

use std::collections::{BTreeMap, BTreeSet};

use rejoin_protocol::forwards::{Effect, Event, Forwards, LAST_STEP, Outcome, Slot};

const SLOTS: [Slot; 2] = [Slot(0), Slot(1)];

/// The machine with what its surroundings know of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct World {
    machine: Forwards,
    /// What the user was told last, where that is that it is missing.
    told: BTreeSet<Slot>,
    /// What the connection lacks.
    missing: BTreeSet<Slot>,
    /// What of that can be made.
    possible: BTreeSet<Slot>,
    trying: BTreeSet<Slot>,
    pause: Option<u8>,
    is_open: bool,
}

impl World {
    /// Everything that can happen, which is not only what should.
    fn events() -> Vec<Event> {
        let mut events = vec![Event::Closed];
        let states = [None, Some(false), Some(true)];
        for (first, second) in states.iter().flat_map(|&it| states.map(|other| (it, other))) {
            let missing = SLOTS.into_iter().zip([first, second]);
            let missing = missing.filter_map(|(slot, state)| Some((slot, state?)));
            events.push(Event::Opened(missing.collect()));
        }
        events.push(Event::Timer);
        for slot in SLOTS {
            let outcomes = [Outcome::Made, Outcome::Failed, Outcome::Impossible];
            events.extend(outcomes.map(|outcome| Event::Tried(slot, outcome)));
        }
        events
    }

    fn step(&self, event: &Event) -> Self {
        let mut next = self.clone();
        let is_expected = next.happens(event);
        let effects = next.machine.step(event.clone());
        if !is_expected {
            assert_eq!((effects.len(), &next.machine), (0, &self.machine), "{event:?}");
        }
        for effect in effects {
            next.carry_out(effect);
        }
        next.check();
        next
    }

    /// Whether this can happen now.
    fn happens(&mut self, event: &Event) -> bool {
        match event {
            Event::Opened(missing) => {
                self.missing = missing.keys().copied().collect();
                self.possible = missing.iter().filter(|it| *it.1).map(|it| *it.0).collect();
                self.is_open = true;
                true
            }
            Event::Closed => {
                (self.is_open, self.possible) = (false, BTreeSet::new());
                true
            }
            Event::Timer => self.pause.take().is_some(),
            Event::Tried(slot, outcome) => {
                let is_expected = self.trying.remove(slot);
                if is_expected && *outcome == Outcome::Made {
                    self.missing.remove(slot);
                }
                if is_expected && *outcome != Outcome::Failed {
                    self.possible.remove(slot);
                }
                is_expected
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Try(slot) => {
                assert!(self.is_open && self.pause.is_none());
                assert!(self.possible.contains(&slot), "it cannot be made");
                assert!(self.trying.insert(slot), "it is tried already");
            }
            Effect::Abandon => self.trying.clear(),
            Effect::Arm(step) => {
                assert!(step <= LAST_STEP && self.pause.replace(step).is_none());
            }
            Effect::Disarm => assert!(self.pause.take().is_some(), "no pause runs"),
            Effect::TellMissing(slot, is_tried_again) => {
                assert!(self.told.insert(slot), "its absence is known");
                assert!(self.missing.contains(&slot));
                assert_eq!(is_tried_again, self.possible.contains(&slot));
            }
            Effect::TellMade(slot) => {
                assert!(self.told.remove(&slot), "nobody was told that it was missing");
                assert!(!self.missing.contains(&slot));
            }
        }
    }

    fn check(&self) {
        let told: BTreeSet<_> = self.machine.missing().collect();
        assert_eq!(told, self.told);
        if self.is_open {
            assert_eq!(self.told, self.missing, "what is missing was told, and nothing else");
        }
        let is_wanted = !self.possible.is_empty();
        assert_eq!(is_wanted, self.pause.is_some() || !self.trying.is_empty(), "{self:?}");
        assert!(self.pause.is_none() || self.trying.is_empty());
    }
}

#[test]
fn every_reachable_state_keeps_what_is_promised() {
    let mut seen = BTreeSet::from([World::default()]);
    let mut waiting = vec![World::default()];
    while let Some(world) = waiting.pop() {
        for event in World::events() {
            let next = world.step(&event);
            if seen.insert(next.clone()) {
                waiting.push(next);
            }
        }
    }
    // Fewer would mean that the search has not reached what it is about.
    assert!(seen.len() > 100, "{} states", seen.len());
}

fn opened(missing: &[(Slot, bool)]) -> Event {
    Event::Opened(missing.iter().copied().collect::<BTreeMap<_, _>>())
}

#[test]
fn pauses_grow_while_a_forward_is_missing_and_begin_anew_with_a_connection() {
    let mut machine = Forwards::new();
    let mut steps = Vec::new();
    let mut effects = machine.step(opened(&[(Slot(0), true)]));
    for _ in 0..9 {
        steps.extend(effects.iter().filter_map(|effect| match effect {
            Effect::Arm(step) => Some(*step),
            _ => None,
        }));
        assert_eq!(machine.step(Event::Timer), [Effect::Try(Slot(0))]);
        effects = machine.step(Event::Tried(Slot(0), Outcome::Failed));
    }
    assert_eq!(steps, [0, 1, 2, 3, 4, 5, 6, 6, 6]);
    assert_eq!(machine.step(opened(&[(Slot(0), true)])), [Effect::Disarm, Effect::Arm(0)]);
}

#[test]
fn an_absence_over_several_connections_is_told_once_and_so_is_its_end() {
    let mut machine = Forwards::new();
    let told = machine.step(opened(&[(Slot(3), false)]));
    assert_eq!(told, [Effect::TellMissing(Slot(3), false)]);
    assert_eq!(machine.step(Event::Closed), []);
    assert_eq!(machine.step(opened(&[(Slot(3), false)])), []);
    assert_eq!(machine.step(opened(&[])), [Effect::TellMade(Slot(3))]);
    assert_eq!(machine.step(opened(&[])), []);
}
