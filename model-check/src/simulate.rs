//! Long random runs of the same world, with budgets that no search could exhaust. The seed
//! determines the run.

use rejoin_protocol::spec::Overflow;
use stateright::Model;

use crate::budget::{Budget, Chance as C};
use crate::model::SessionModel;
use crate::names::InputKind;
use crate::profile::{Profile, Role};
use crate::search::Counterexample;
use crate::world::{Action, Cx};

/// What a simulated world may do: much more than a searched one.
const LONG: Profile = Profile {
    name: "long",
    about: "long random runs",
    roles: &[Role::Opener, Role::CLAIMANT, Role::CLAIMANT],
    attempts: 200,
    has_slow_application: true,
    has_slow_process: true,
    has_late_reports: true,
    window: 640,
    budget: Budget::of(&[
        (C::Input, 14),
        (C::Output, 14),
        (C::Exit, 1),
        (C::Cut, 30),
        (C::Silence, 6),
        (C::Timeout, 6),
        (C::NoLink, 4),
        (C::ServerKill, 2),
        (C::Leftover, 2),
        (C::AttachKill, 2),
        (C::AttachDeadline, 2),
        (C::FailedStart, 2),
        (C::ClientRestart, 2),
        (C::Join, 2),
        (C::TenureFailure, 2),
        (C::Fault, 3),
        (C::Ping, 4),
        (C::Sweep, 3),
        (C::EntryWipe, 1),
        (C::Wipe, 1),
        (C::Daemon, 2),
        (C::Retention, 1),
        (C::ClientKill, 1),
        (C::Detach, 1),
        (C::Close, 1),
        (C::GiveUp, 1),
        (C::Reboot, 1),
        (C::OtherHost, 2),
        (C::Snapshot, 1),
        (C::StaleState, 1),
        (C::NoRegistry, 2),
        (C::Upgrade, 1),
        (C::ServerPing, 4),
        (C::Garble, 3),
        (C::Repeat, 2),
    ]),
    ..Profile::CALM
};

/// The world of a seed: the seed also picks its windows and its grain.
pub fn profile(seed: u64) -> Profile {
    Profile {
        is_stepwise: seed & 1 == 1,
        overflow: if seed & 2 == 2 { Overflow::DropOldest } else { Overflow::Block },
        window: if seed & 4 == 4 { 160 } else { 640 },
        has_slow_process: seed & 8 == 8,
        inputs: if seed & 16 == 16 { MIXED } else { &[] },
        outputs: if seed & 32 == 32 { &[1, 20, 3] } else { &[] },
        roles: if seed & 64 == 64 { CLOSED } else { LONG.roles },
        budget: LONG.budget.but(&rare(seed)),
        ..LONG
    }
}

const CLOSED: &[Role] = &[Role::Opener, Role::CLAIMANT, Role::Closer];
const MIXED: &[InputKind] =
    &[InputKind::Bytes(1), InputKind::Signal, InputKind::Bytes(20), InputKind::Resize];

/// What ends a run, or most of it, is left out of most runs: otherwise few would be long.
fn rare(seed: u64) -> Vec<C> {
    const ENDS: [C; 13] = [
        C::Exit,
        C::Wipe,
        C::EntryWipe,
        C::Retention,
        C::ClientKill,
        C::Detach,
        C::Close,
        C::GiveUp,
        C::Reboot,
        C::OtherHost,
        C::Snapshot,
        C::StaleState,
        C::Upgrade,
    ];
    let mut rng = Rng::new(!seed);
    let kept: Vec<C> = (0..3).filter_map(|_| ENDS.get(rng.below(ENDS.len())).copied()).collect();
    // A server is put by and rolled back without its registry.
    let is_wiped = kept.contains(&C::Wipe) || kept.contains(&C::EntryWipe);
    let is_left_out = |it: &C| !kept.contains(it) || is_wiped && *it == C::Snapshot;
    ENDS.into_iter().filter(is_left_out).collect()
}

/// The random numbers of a run (xorshift, seeded by splitmix): nothing that is checked depends on
/// their quality.
struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Self {
        let mixed = (seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        Self((mixed ^ mixed >> 31) | 1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        usize::try_from((self.0 >> 11) % bound).unwrap_or_default()
    }
}

/// How a run went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RandomRun {
    /// It broke no rule in so many steps.
    Holds(usize),
    /// It broke one.
    Broken(Counterexample),
}

/// Runs the world of a seed, for at most so many steps.
pub fn run(seed: u64, most: usize) -> (SessionModel, RandomRun) {
    let session = SessionModel::new(Cx::new(profile(seed), None));
    let mut rng = Rng::new(seed);
    let mut taken = Vec::new();
    let mut world = session.beginning();
    let mut actions = Vec::new();
    for step in 0..most {
        actions.clear();
        session.actions(&world, &mut actions);
        let Some(action) = choose(&mut rng, &actions) else {
            return (session, RandomRun::Holds(step));
        };
        taken.push(action);
        world.act(&session.cx, action);
        // To let it settle costs as much as dozens of steps: now and then is enough.
        let violation = if rng.below(4) == 0 { session.violation(&world) } else { world.violation };
        if let Some(violation) = violation {
            return (session, RandomRun::Broken(Counterexample { violation, actions: taken }));
        }
    }
    match session.violation(&world) {
        Some(violation) => {
            (session, RandomRun::Broken(Counterexample { violation, actions: taken }))
        }
        None => (session, RandomRun::Holds(most)),
    }
}

/// Most of the time something that gets the session on; now and then a fault.
fn choose(rng: &mut Rng, actions: &[Action]) -> Option<Action> {
    let is_fault = |action: &&Action| action.is_fault();
    let faults = actions.iter().filter(is_fault).count();
    if actions.is_empty() {
        return None;
    }
    let wants_fault = faults == actions.len() || (faults > 0 && rng.below(6) == 0);
    let of_kind: Vec<Action> =
        actions.iter().filter(|it| it.is_fault() == wants_fault).copied().collect();
    of_kind.get(rng.below(of_kind.len())).copied()
}
