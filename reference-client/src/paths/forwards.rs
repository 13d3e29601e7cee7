//! Drives the machine of forwards: makes those that ssh could not make, as it decides.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rejoin_protocol::forwards::{Effect, Event, Forwards, LAST_STEP, Outcome, Slot};
use rejoin_ssh::{ForwardOutcome, MissingForward};
use tokio::task::JoinSet;

use crate::timers::Timers;

/// Before the first attempt to make a forward; each pause is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// So many forwards are followed. A host can say that more are missing than anybody forwards.
const MOST: usize = 256;

/// What is to be told of a forward.
#[derive(Debug)]
pub(crate) enum ForwardStory {
    /// It is missing; whether another attempt is made while the connection lasts.
    Missing(MissingForward, bool),
    /// It is there again.
    Made(MissingForward),
}

/// Something that happened to forwards.
#[derive(Debug)]
pub(crate) enum Happened {
    Opened(Vec<MissingForward>),
    Tried(Slot, Outcome),
    PauseOver,
}

/// The only timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pause;

/// The machine of forwards with its clock and its attempts.
pub(super) struct ForwardDriver {
    forwards: Option<Arc<dyn rejoin_ssh::Forwards>>,
    machine: Forwards,
    /// What the machine calls by its place here.
    known: Vec<MissingForward>,
    attempts: JoinSet<(Slot, Outcome)>,
    timers: Timers<Pause>,
    stories: VecDeque<ForwardStory>,
}

impl ForwardDriver {
    pub(super) fn new(forwards: Option<Arc<dyn rejoin_ssh::Forwards>>) -> Self {
        Self {
            forwards,
            machine: Forwards::new(),
            known: Vec::new(),
            attempts: JoinSet::new(),
            timers: Timers::default(),
            stories: VecDeque::new(),
        }
    }

    /// Waits for the next thing that happens.
    pub(super) async fn next(&mut self) -> Happened {
        let Some(forwards) = &self.forwards else { return std::future::pending().await };
        tokio::select! {
            missing = forwards.opened() => Happened::Opened(missing),
            Some(Ok((slot, outcome))) = self.attempts.join_next() => Happened::Tried(slot, outcome),
            Pause = self.timers.next() => Happened::PauseOver,
        }
    }

    pub(super) fn handle(&mut self, happened: Happened) {
        let event = match happened {
            Happened::Opened(missing) => self.opened(missing),
            Happened::Tried(slot, outcome) => Event::Tried(slot, outcome),
            Happened::PauseOver => Event::Timer,
        };
        self.step(event);
    }

    /// The connection that had the forwards is gone.
    pub(super) fn closed(&mut self) {
        self.step(Event::Closed);
    }

    pub(super) fn story(&mut self) -> Option<ForwardStory> {
        self.stories.pop_front()
    }

    fn opened(&mut self, missing: Vec<MissingForward>) -> Event {
        let slots = missing.into_iter().filter_map(|it| {
            let can_be_made = it.can_be_made;
            Some((self.slot(it)?, can_be_made))
        });
        Event::Opened(slots.collect())
    }

    fn slot(&mut self, missing: MissingForward) -> Option<Slot> {
        let is_same =
            |it: &MissingForward| (it.kind, &it.listen) == (missing.kind, &missing.listen);
        let place = self.known.iter().position(is_same);
        let place = place.or_else(|| (self.known.len() < MOST).then_some(self.known.len()))?;
        match self.known.get_mut(place) {
            Some(known) => *known = missing,
            None => self.known.push(missing),
        }
        u16::try_from(place).ok().map(Slot)
    }

    fn step(&mut self, event: Event) {
        for effect in self.machine.step(event) {
            match effect {
                Effect::Try(slot) => self.attempt(slot),
                Effect::Abandon => self.attempts = JoinSet::new(),
                Effect::Arm(step) => self.timers.arm(Pause, pause(step)),
                Effect::Disarm => self.timers.disarm(Pause),
                Effect::TellMissing(slot, is_retried) => {
                    let story = self.known(slot).map(|it| ForwardStory::Missing(it, is_retried));
                    self.stories.extend(story);
                }
                Effect::TellMade(slot) => {
                    let story = self.known(slot).map(ForwardStory::Made);
                    self.stories.extend(story);
                }
            }
        }
    }

    fn known(&self, slot: Slot) -> Option<MissingForward> {
        self.known.get(usize::from(slot.0)).cloned()
    }

    fn attempt(&mut self, slot: Slot) {
        let making = self.forwards.as_ref().zip(self.known(slot));
        let making = making.map(|(forwards, missing)| forwards.make(&missing));
        self.attempts.spawn(async move {
            let made = match making {
                Some(making) => making.await,
                None => ForwardOutcome::Impossible,
            };
            (slot, outcome(made))
        });
    }
}

fn outcome(making: ForwardOutcome) -> Outcome {
    match making {
        ForwardOutcome::Made => Outcome::Made,
        ForwardOutcome::Failed => Outcome::Failed,
        ForwardOutcome::Impossible => Outcome::Impossible,
    }
}

fn pause(step: u8) -> Duration {
    LONGEST_PAUSE.min(FIRST_PAUSE * (1 << step.min(LAST_STEP)))
}
