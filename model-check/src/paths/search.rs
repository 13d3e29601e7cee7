//! The search by levels: how many worlds there are, and the shortest run that breaks a rule.

use std::collections::HashSet;

use stateright::{Model, Property};

use super::action::PathAction;
use super::profile::PathProfile;
use super::rules::{BrokenPathRule, NAMES};
use super::settle::SettledWorlds;
use super::world::PathWorld;
use crate::shared::digest;

/// The world of a profile, as a model that Stateright can search.
#[derive(Clone, Debug)]
pub struct PathModel {
    /// The bounds.
    pub profile: PathProfile,
}

impl Model for PathModel {
    type State = PathWorld;
    type Action = PathAction;

    fn init_states(&self) -> Vec<PathWorld> {
        vec![PathWorld::new(&self.profile)]
    }

    fn actions(&self, world: &PathWorld, actions: &mut Vec<PathAction>) {
        world.actions(&self.profile, actions);
    }

    fn next_state(&self, world: &PathWorld, action: PathAction) -> Option<PathWorld> {
        let mut next = world.clone();
        next.act(&self.profile, action);
        Some(next)
    }

    fn format_action(&self, action: &PathAction) -> String {
        action.to_string()
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let condition = |_: &Self, world: &PathWorld| world.broken.is_none();
        vec![Property::always("P1 to P6, P9 and P10", condition), {
            let settles = |model: &Self, world: &PathWorld| {
                world.broken.is_some()
                    || SettledWorlds::default().check(&model.profile, world).is_none()
            };
            Property::always(NAMES[6], settles)
        }]
    }
}

/// A run that breaks a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokenRun {
    /// The rule, and how.
    pub broken: BrokenPathRule,
    /// Everything that happens, from the beginning.
    pub actions: Vec<PathAction>,
}

/// What a search came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PathSearchResult {
    /// How many worlds there are, as far as they were searched.
    pub worlds: usize,
    /// How many steps the longest way to a new one takes.
    pub depth: usize,
    /// After how many steps the last session was attached.
    pub settled: u32,
    /// The shortest run that breaks a rule.
    pub run: Option<BrokenRun>,
}

/// Searches a profile by levels, to its end or until a rule is broken.
pub fn search(profile: &PathProfile) -> PathSearchResult {
    search_within(profile, usize::MAX, None)
}

/// Searches a profile until so many worlds were seen, or until this rule is broken: a run that breaks another
/// one ends, and says nothing.
pub fn search_for(profile: &PathProfile, limit: usize, rule: u8) -> PathSearchResult {
    search_within(profile, limit, Some(rule))
}

fn search_within(profile: &PathProfile, limit: usize, rule: Option<u8>) -> PathSearchResult {
    let model = PathModel { profile: profile.clone() };
    let mut search = Search { rule, ..Search::default() };
    let mut level = Vec::new();
    for world in model.init_states() {
        search.seen.insert(digest(&world).get());
        level.push((usize::MAX, world));
    }
    let mut found = PathSearchResult { worlds: 1, depth: 0, settled: 0, run: None };
    while !level.is_empty() && found.worlds < limit {
        let next = search.level(&model, level);
        found.worlds = search.seen.len();
        found.settled = search.settled.longest;
        match next {
            Ok(next) => level = next,
            Err(run) => {
                found.run = Some(run);
                return found;
            }
        }
        found.depth += usize::from(!level.is_empty());
    }
    found
}

#[derive(Default)]
struct Search {
    seen: HashSet<u64, ahash::RandomState>,
    steps: Vec<(usize, PathAction)>,
    settled: SettledWorlds,
    /// The only rule that is looked for, if not every one is.
    rule: Option<u8>,
}

impl Search {
    fn level(
        &mut self,
        model: &PathModel,
        level: Vec<(usize, PathWorld)>,
    ) -> Result<Vec<(usize, PathWorld)>, BrokenRun> {
        let mut next_level = Vec::new();
        let mut actions = Vec::new();
        for (at, world) in level {
            actions.clear();
            model.actions(&world, &mut actions);
            for action in &actions {
                let Some(next) = model.next_state(&world, *action) else { continue };
                if !self.seen.insert(digest(&next).get()) {
                    continue;
                }
                self.steps.push((at, *action));
                let here = self.steps.len() - 1;
                let broken = next.broken.or_else(|| self.settled.check(&model.profile, &next));
                match broken {
                    Some(broken) if self.rule.is_none_or(|rule| rule == broken.rule) => {
                        return Err(BrokenRun { broken, actions: self.path(here) });
                    }
                    Some(_) => {}
                    None => next_level.push((here, next)),
                }
            }
        }
        Ok(next_level)
    }

    fn path(&self, last: usize) -> Vec<PathAction> {
        let mut actions = Vec::new();
        let mut at = last;
        while let Some((before, action)) = self.steps.get(at) {
            actions.push(*action);
            at = *before;
        }
        actions.reverse();
        actions
    }
}
