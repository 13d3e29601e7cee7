//! A breadth-first search for the shortest run that breaks a rule.
//!
//! Stateright finds that a rule can be broken, but not the shortest way: breadth-first, a later
//! counterexample overwrites an earlier one; depth-first, the first one is as long as it happens
//! to be. This search goes by levels, stops at the first world that breaks a rule, and does not
//! continue worlds that do.

use std::collections::HashSet;

use stateright::Model;

use crate::model::SessionModel;
use crate::rules::Violation;
use crate::shared::digest;
use crate::world::{Action, World};

/// A run that breaks a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Counterexample {
    /// The rule, and how.
    pub violation: Violation,
    /// Everything that happens, from the beginning.
    pub actions: Vec<Action>,
}

/// The result of a search.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SearchOutcome {
    /// A rule is broken, and not in fewer steps.
    Broken(Counterexample),
    /// No world of this many breaks a rule, and there are no more.
    Exhausted(usize),
    /// No world of this many breaks a rule; there are more.
    Unfinished(usize),
}

struct Predecessor {
    before: usize,
    action: Action,
}

/// Searches by levels until a rule is broken, or there is nothing left, or `limit` worlds were
/// seen.
pub fn shortest(session: &SessionModel, limit: usize) -> SearchOutcome {
    shortest_of(session, limit, None)
}

/// The same, for one rule: worlds that break another one are not continued, and do not count.
pub fn shortest_of(session: &SessionModel, limit: usize, rule: Option<u8>) -> SearchOutcome {
    let is_wanted = |violation: &Violation| rule.is_none_or(|rule| rule == violation.rule);
    let mut seen = HashSet::new();
    let mut steps: Vec<Predecessor> = Vec::new();
    let mut level: Vec<(usize, World)> = Vec::new();
    for world in session.init_states() {
        seen.insert(digest(&world));
        if let Some(violation) = session.violations(&world).find(is_wanted) {
            return SearchOutcome::Broken(Counterexample { violation, actions: Vec::new() });
        }
        level.push((usize::MAX, world));
    }
    let mut actions = Vec::new();
    while !level.is_empty() {
        let mut next_level = Vec::new();
        for (at, world) in level {
            actions.clear();
            session.actions(&world, &mut actions);
            for action in &actions {
                let Some(next) = session.next_state(&world, *action) else { continue };
                if !seen.insert(digest(&next)) {
                    continue;
                }
                steps.push(Predecessor { before: at, action: *action });
                let here = steps.len() - 1;
                if let Some(violation) = session.violations(&next).find(is_wanted) {
                    let actions = path(&steps, here);
                    return SearchOutcome::Broken(Counterexample { violation, actions });
                }
                // The successors of a world that breaks another rule show nothing new, unless only a
                // ledger says so, or it only fails to settle.
                if next.violation.is_none() {
                    next_level.push((here, next));
                }
            }
            if seen.len() >= limit {
                return SearchOutcome::Unfinished(seen.len());
            }
        }
        level = next_level;
    }
    SearchOutcome::Exhausted(seen.len())
}

fn path(steps: &[Predecessor], last: usize) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut at = last;
    while let Some(step) = steps.get(at) {
        actions.push(step.action);
        at = step.before;
    }
    actions.reverse();
    actions
}
