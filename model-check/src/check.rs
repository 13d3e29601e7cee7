//! Exhaustive checks: searches every profile to its end, and checks that the search was complete.

use std::time::{Duration, Instant};

use stateright::{Checker, Model};

use crate::model::SessionModel;
use crate::profile::Profile;
use crate::search::{self, Counterexample, SearchOutcome};
use crate::witness::Witness;
use crate::world::Cx;

/// The expected number of worlds of each profile: one line `name unique-states` each.
const PINS: &str = include_str!("../pins.txt");

/// How many worlds to search for the shortest counterexample, before the known one is used.
const MINIMISED: usize = 3_000_000;

/// The result of checking a profile.
#[derive(Debug)]
pub struct ProfileReport {
    /// The profile.
    pub name: &'static str,
    /// The number of different worlds.
    pub unique: usize,
    /// The length of the longest path to a new world.
    pub depth: usize,
    /// The duration.
    pub took: Duration,
    /// The steps that the fair schedule needed to settle: the mean and the maximum.
    pub settled: (f64, u32),
    /// The witnesses that occurred.
    pub seen: Vec<Witness>,
    /// The verdict.
    pub result: ProfileVerdict,
}

/// The verdict on a profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProfileVerdict {
    /// No rule is broken, and the number of worlds is the pinned one.
    Holds,
    /// No rule is broken, but the pinned number of worlds is this one: a transition was lost or
    /// added, or the search was cut short.
    OtherCount(Option<usize>),
    /// No rule is broken, but a world had no slot for something that could have happened.
    Crowded,
    /// A rule is broken.
    Broken(Counterexample),
}

/// Searches a profile to its end.
pub fn check(profile: &Profile, progress: &dyn Fn(&str, usize, Duration)) -> ProfileReport {
    let session = SessionModel::new(Cx::new(*profile, None));
    let began = Instant::now();
    // Depth-first needs the least memory. A bound on time or depth would end the search early
    // without an error.
    let checker = session.clone().checker().spawn_dfs();
    while !checker.is_done() {
        std::thread::sleep(Duration::from_millis(50));
        progress(profile.name, checker.unique_state_count(), began.elapsed());
    }
    let checker = checker.join();
    let unique = checker.unique_state_count();
    let (depth, took) = (checker.max_depth(), began.elapsed());
    let result = if session.cx.seen.was_crowded() {
        ProfileVerdict::Crowded
    } else if checker.discoveries().is_empty() {
        let pinned = pinned(profile.name);
        if pinned == Some(unique) {
            ProfileVerdict::Holds
        } else {
            ProfileVerdict::OtherCount(pinned)
        }
    } else {
        ProfileVerdict::Broken(minimised(&session, checker.discoveries().into_values().next()))
    };
    let settled = (session.cx.settled.mean(), session.cx.settled.longest());
    let seen = session.cx.seen.all();
    ProfileReport { name: profile.name, unique, depth, took, settled, seen, result }
}

type FoundPath = stateright::Path<crate::world::World, crate::world::Action>;

fn minimised(session: &SessionModel, found: Option<FoundPath>) -> Counterexample {
    if let SearchOutcome::Broken(shortest) = search::shortest(session, MINIMISED) {
        return shortest;
    }
    let violation = found.as_ref().and_then(|path| session.violation(path.last_state()));
    let violation = violation
        .unwrap_or(crate::rules::Violation { rule: 15, what: "what was found does not repeat" });
    Counterexample { violation, actions: found.map_or_else(Vec::new, FoundPath::into_actions) }
}

/// The pinned number of worlds of a profile.
pub fn pinned(name: &str) -> Option<usize> {
    PINS.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The witnesses that occurred in no profile.
pub fn never_seen(reports: &[ProfileReport]) -> Vec<Witness> {
    let has = |witness: &Witness| reports.iter().any(|report| report.seen.contains(witness));
    Witness::ALL.iter().copied().filter(|witness| !has(witness)).collect()
}
