//! Mutants of the path machine, and mutants that only its profiles can show.

use super::check::story;
use super::duo;
use super::profile::{self, PathProfile};
use super::search::{BrokenRun, search_for};

/// How many worlds of a profile are searched for a mutant.
const LIMIT: usize = 400_000;

/// A mutant that was caught.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CaughtPathMutant {
    /// In which profile.
    pub profile: &'static str,
    /// By the property of which rule: of the path machine alone, or of the session in the composed worlds.
    pub rule: u8,
    /// How the rule was broken.
    pub what: &'static str,
    /// After how many steps at least.
    pub depth: usize,
    /// The shortest run, for people.
    pub story: String,
}

/// Whether a profile is one of the path machine, alone or with the other machines.
pub fn has_profile(name: &str) -> bool {
    profile::named(name).is_some() || duo::profiles().iter().any(|profile| profile.name == name)
}

/// Looks in one profile of the path machine, alone or with the other machines.
pub fn hunt(rule: u8, profile: &str) -> Option<CaughtPathMutant> {
    match profile::named(profile) {
        Some(profile) => alone(rule, &profile),
        None => {
            duo::profiles().iter().find(|it| it.name == profile).and_then(|it| together(rule, it))
        }
    }
}

/// Looks in every profile of the path machine alone.
pub fn hunt_alone(rule: u8) -> Option<CaughtPathMutant> {
    profile::all().iter().find_map(|profile| alone(rule, profile))
}

/// Looks in every profile that has the other machines as well.
pub fn hunt_together(rule: u8) -> Option<CaughtPathMutant> {
    duo::profiles().iter().find_map(|profile| together(rule, profile))
}

fn alone(rule: u8, profile: &PathProfile) -> Option<CaughtPathMutant> {
    let run = search_for(profile, LIMIT, rule).run?;
    let story = story(profile, &run);
    let BrokenRun { broken, actions } = run;
    let (what, depth) = (broken.what, actions.len());
    Some(CaughtPathMutant { profile: profile.name, rule, what, depth, story })
}

/// A run that breaks another rule first does not count.
fn together(rule: u8, profile: &duo::DuoProfile) -> Option<CaughtPathMutant> {
    let (broken, actions) = duo::search(profile, LIMIT).run?;
    let lines: Vec<_> = actions.iter().map(|action| format!("{action:?}\n")).collect();
    let story = lines.concat();
    let (what, depth) = (broken.what, actions.len());
    (broken.rule == rule).then_some(CaughtPathMutant {
        profile: profile.name,
        rule,
        what,
        depth,
        story,
    })
}
