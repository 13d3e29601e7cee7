//! Exhaustive checks: every profile to its end, and proof that it was the end.

use std::time::{Duration, Instant};

use stateright::{Checker, Model};

use crate::model::SessionModel;
use crate::profile::Profile;
use crate::search::{self, Counterexample, SearchOutcome};
use crate::witness::Witness;
use crate::world::Cx;

/// What a profile has to come to: `name unique-states`, a line each.
const PINS: &str = include_str!("../pins.txt");

/// How many worlds are searched for the shortest counterexample before the one that is known has
/// to do.
const MINIMISED: usize = 3_000_000;

/// What the check of a profile came to.
#[derive(Debug)]
pub struct ProfileReport {
    /// Which profile.
    pub name: &'static str,
    /// How many different worlds there are.
    pub unique: usize,
    /// How many steps the longest way to a new one took.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// After how many steps the fair schedule settled: the mean, and the most.
    pub settled: (f64, u32),
    /// What was seen.
    pub seen: Vec<Witness>,
    /// How it went.
    pub result: ProfileVerdict,
}

/// How the check of a profile went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProfileVerdict {
    /// No rule is broken, in as many worlds as there have to be.
    Holds,
    /// No rule is broken, but there have to be so many worlds: a transition was lost or won, or
    /// the search was cut short.
    OtherCount(Option<usize>),
    /// No rule is broken, but a world had no place for something that could have happened.
    Crowded,
    /// A rule is broken.
    Broken(Counterexample),
}

/// Searches a profile to its end.
pub fn check(profile: &Profile, progress: &dyn Fn(&str, usize, Duration)) -> ProfileReport {
    let session = SessionModel::new(Cx::new(*profile, None));
    let began = Instant::now();
    // Depth-first takes least memory. A bound on time or depth would end it early without a word.
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

/// How many worlds a profile has to have.
pub fn pinned(name: &str) -> Option<usize> {
    PINS.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// What none of these has seen.
pub fn never_seen(reports: &[ProfileReport]) -> Vec<Witness> {
    let has = |witness: &Witness| reports.iter().any(|report| report.seen.contains(witness));
    Witness::ALL.iter().copied().filter(|witness| !has(witness)).collect()
}
