//! The search of the three machines by levels, with rule 15 as a fair schedule.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Instant;

use rejoin_protocol::Timer;

use super::super::rules::BrokenPathRule;
use super::act::DuoAction;
use super::world::{DuoBudget, DuoProfile, DuoWorld, LastNotice, profiles};
use crate::shared::digest;

/// The number of steps within which everything settles.
const LIMIT: usize = 200;

/// What a search came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DuoSearchResult {
    /// How many worlds there are.
    pub worlds: usize,
    /// After how many steps the last one settled.
    pub settled: usize,
    /// The shortest run that breaks a rule.
    pub run: Option<(BrokenPathRule, Vec<DuoAction>)>,
}

/// Searches a profile to its end, or until so many worlds were seen or a rule is broken.
pub fn search(profile: &DuoProfile, limit: usize) -> DuoSearchResult {
    let mut seen: HashSet<u64, ahash::RandomState> = HashSet::default();
    let mut steps: Vec<(usize, DuoAction)> = Vec::new();
    let mut level = vec![(usize::MAX, DuoWorld::new(profile))];
    let mut found = DuoSearchResult { worlds: 1, settled: 0, run: None };
    while !level.is_empty() && found.worlds < limit {
        let mut next_level = Vec::new();
        for (at, world) in level {
            for action in world.actions() {
                let mut next = world.clone();
                next.act(profile, action);
                if !seen.insert(digest(&next).get()) {
                    continue;
                }
                steps.push((at, action));
                let here = steps.len() - 1;
                let settled = next.broken.map_or_else(|| settle(profile, &next), Err);
                match settled {
                    Ok(after) => found.settled = found.settled.max(after),
                    Err(broken) => {
                        found.run = Some((broken, path(&steps, here)));
                        found.worlds = seen.len();
                        return found;
                    }
                }
                next_level.push((here, next));
            }
        }
        level = next_level;
        found.worlds = seen.len();
    }
    found
}

fn path(steps: &[(usize, DuoAction)], last: usize) -> Vec<DuoAction> {
    let mut actions = Vec::new();
    let mut at = last;
    while let Some((before, action)) = steps.get(at) {
        actions.push(*action);
        at = *before;
    }
    actions.reverse();
    actions
}

/// Faults stop: what is on its way arrives, links open, and timers fire once nothing else goes on.
fn settle(profile: &DuoProfile, world: &DuoWorld) -> Result<usize, BrokenPathRule> {
    let mut world = world.clone();
    world.left = DuoBudget { early: 1, doubts: 1, ..DuoBudget::default() };
    for after in 0..LIMIT {
        if is_settled(&world) {
            return Ok(after);
        }
        let actions = world.actions();
        let is_quiet =
            |action: &&DuoAction| !matches!(action, DuoAction::Path(_) | DuoAction::Client(_));
        let is_idle = |action: &&DuoAction| matches!(action, DuoAction::Path(_));
        let patient = |action: &&DuoAction| !matches!(action, DuoAction::Client(Timer::Heartbeat));
        let next = actions.iter().find(is_quiet).or_else(|| {
            let timers: Vec<&DuoAction> = actions.iter().filter(is_idle).collect();
            let at = after % (timers.len() + 1);
            timers.get(at).copied().or_else(|| actions.iter().rfind(patient))
        });
        let Some(next) = next else {
            return Err(BrokenPathRule { rule: 15, what: "the session waits for ever" });
        };
        world.act(profile, *next);
        world.left = DuoBudget { early: 1, doubts: 1, ..DuoBudget::default() };
        if let Some(broken) = world.broken {
            return Err(broken);
        }
    }
    Err(BrokenPathRule { rule: 15, what: "the session does not settle" })
}

fn is_settled(world: &DuoWorld) -> bool {
    if world.told == LastNotice::Ended {
        return true;
    }
    let is_delivered = world.got == world.written && world.client.unacknowledged_input() == 0;
    let is_served =
        world.server.attached().is_some() && world.server.attached() == world.client.link();
    world.client.is_attached() && !world.paths.is_doubted() && is_delivered && is_served
}

/// Searches all of them, and says how it went.
pub fn run() -> bool {
    let profiles = profiles();
    let holds: Vec<bool> = profiles.iter().map(check).collect();
    let seen = |what: usize| profiles.iter().any(|it| it.seen[what].load(Ordering::Relaxed));
    let names = ["a session moves", "a process is replaced", "a session is taken over"];
    let unseen = (0..).zip(names).filter(|(what, _)| !seen(*what)).map(|(_, name)| name);
    let unseen: Vec<&str> = unseen.collect();
    for name in &unseen {
        println!("never seen: {name}");
    }
    unseen.is_empty() && holds.into_iter().all(|holds| holds)
}

fn check(profile: &DuoProfile) -> bool {
    let began = Instant::now();
    let DuoSearchResult { worlds, settled, run } = search(profile, usize::MAX);
    let seconds = began.elapsed().as_secs_f64();
    let pinned = crate::check::pinned(profile.name);
    let is_pinned = pinned.is_none_or(|pinned| pinned == worlds);
    let result = match &run {
        Some((broken, _)) => format!("BROKEN: rule {}: {}", broken.rule, broken.what),
        None if is_pinned => "every rule holds".to_owned(),
        None => format!("there have to be {} worlds", pinned.unwrap_or_default()),
    };
    let name = profile.name;
    println!("{name:<14} {worlds:>11} {:>6} {seconds:>8.1} {:>9} {settled:>14}  {result}", "", "");
    for action in run.iter().flat_map(|(_, actions)| actions) {
        println!("       {action:?}");
    }
    run.is_none() && is_pinned
}
