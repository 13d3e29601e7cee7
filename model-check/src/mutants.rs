//! Mutants: the property of its rule must catch each one.
//!
//! Most mutants are in the machines: the lists in `mutants/` describe them, and `rejoin-switched`
//! contains the machines with all of them. The others are in the drivers, and are part of the model
//! ([`crate::driver_mutant`]).

use std::str::FromStr;

use crate::driver_mutant::DriverMutant;
use crate::model::SessionModel;
use crate::probes;
use crate::profile::Profile;
use crate::profiles::{self, generated};
use crate::saved_run::SavedRun;
use crate::search::{self, Counterexample, SearchOutcome};
use crate::settle;
use crate::world::Cx;

/// Where each mutant was caught: one line `name profile rule depth` each.
const PINS: &str = include_str!("../mutants.txt");

/// How many worlds of a profile to search for a mutant.
const LIMIT: usize = 400_000;

/// How many worlds to search in the first pass over all profiles.
const NEAREST: usize = 3_000;

/// A mutant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mutant {
    /// Its name on the command line.
    pub name: String,
    /// The rule that it breaks.
    pub rule: u8,
    /// The driver mutant; `None` for a mutant of the machines.
    pub driver_mutant: Option<DriverMutant>,
}

/// Where a mutant is caught, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// The mutant.
    pub name: String,
    /// The profile.
    pub profile: String,
    /// The rule whose property caught it.
    pub rule: u8,
    /// The minimum number of steps.
    pub depth: usize,
}

impl Mutant {
    /// All mutants of the drivers.
    pub fn driver_mutants() -> Vec<Self> {
        let mutant = |driver_mutant: &DriverMutant| Self {
            name: kebab(&format!("{driver_mutant:?}")),
            rule: driver_mutant.rule(),
            driver_mutant: Some(*driver_mutant),
        };
        DriverMutant::ALL.iter().map(mutant).collect()
    }

    /// A mutant of the machines. The caller has to select it.
    pub fn of_machine(name: &str, rule: u8) -> Self {
        Self { name: name.to_owned(), rule, driver_mutant: None }
    }

    /// A model with this driver mutant, if it is one, and with the selected machines.
    pub fn session(&self, profile: &Profile) -> SessionModel {
        settle::forget();
        probes::forget();
        SessionModel::new(Cx::new(*profile, self.driver_mutant))
    }

    /// Where it must be caught, if that is pinned.
    pub fn pin(&self) -> Option<Pin> {
        pins().into_iter().find(|pin| pin.name == self.name)
    }
}

/// Where every mutant must be caught.
pub fn pins() -> Vec<Pin> {
    PINS.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Searches one profile for a mutant.
pub fn hunt(mutant: &Mutant, profile: &Profile) -> Option<Counterexample> {
    hunt_within(mutant, profile, LIMIT)
}

fn hunt_within(mutant: &Mutant, profile: &Profile, limit: usize) -> Option<Counterexample> {
    let session = mutant.session(profile);
    match search::shortest_of(&session, limit, Some(mutant.rule)) {
        SearchOutcome::Broken(found) => Some(found),
        SearchOutcome::Exhausted(_) | SearchOutcome::Unfinished(_) => None,
    }
}

/// Searches for a mutant in the profile of its pin. If that fails, it searches the nearest worlds
/// of every profile, the small profiles first, and then the worlds farther away.
pub fn hunt_everywhere(mutant: &Mutant) -> Option<SavedRun> {
    let by_hand = || profiles::HUNTS.iter().chain(profiles::CI);
    let within = |profile: &Profile, limit| {
        hunt_within(mutant, profile, limit).map(|found| (profile.name, found))
    };
    let known = mutant.pin().and_then(|pin| profiles::named(&pin.profile));
    let (profile, counterexample) = known
        .and_then(|profile| within(&profile, LIMIT))
        .or_else(|| by_hand().chain(generated::profiles()).find_map(|it| within(it, NEAREST)))
        .or_else(|| by_hand().find_map(|it| within(it, LIMIT)))?;
    let (profile, mutant) = (profile.to_owned(), Some(mutant.name.clone()));
    Some(SavedRun { profile, mutant, counterexample })
}

impl FromStr for Pin {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, profile, rule, depth] = words[..] else { return Err(()) };
        Ok(Self {
            name: name.to_owned(),
            profile: profile.to_owned(),
            rule: rule.parse().map_err(|_| ())?,
            depth: depth.parse().map_err(|_| ())?,
        })
    }
}

fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(letter.to_ascii_lowercase());
    }
    kebab
}
