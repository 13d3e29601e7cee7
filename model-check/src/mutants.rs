//! Wrong on purpose: each must be caught by the property that names its rule.
//!
//! Most of what can be wrong is in the machines: the lists in `mutants/` say what, and
//! `rejoin-switched` is the machines with all of that in them. The rest is around the machines, in
//! the drivers: those mutants are the model's own ([`crate::driver_mutant`]).

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

/// Where each was caught: `name profile rule depth`, a line each.
const PINS: &str = include_str!("../mutants.txt");

/// How many worlds of a profile are searched for a mutant.
const LIMIT: usize = 400_000;

/// How many are, as long as other profiles may have a shorter run.
const NEAREST: usize = 3_000;

/// Something that is wrong on purpose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mutant {
    /// Its name on the command line.
    pub name: String,
    /// The rule that it breaks.
    pub rule: u8,
    /// What is wrong around the machines. If nothing is, the machines are wrong.
    pub driver_mutant: Option<DriverMutant>,
}

/// Where a mutant is caught, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// Which.
    pub name: String,
    /// In which profile.
    pub profile: String,
    /// By the property of which rule.
    pub rule: u8,
    /// After how many steps at least.
    pub depth: usize,
}

impl Mutant {
    /// All that is wrong around the machines.
    pub fn driver_mutants() -> Vec<Self> {
        let mutant = |driver_mutant: &DriverMutant| Self {
            name: kebab(&format!("{driver_mutant:?}")),
            rule: driver_mutant.rule(),
            driver_mutant: Some(*driver_mutant),
        };
        DriverMutant::ALL.iter().map(mutant).collect()
    }

    /// What is wrong in the machines. Who looks for it switches the machines.
    pub fn of_machine(name: &str, rule: u8) -> Self {
        Self { name: name.to_owned(), rule, driver_mutant: None }
    }

    /// A world with this twist, if it is one, and with the machines as they are.
    pub fn session(&self, profile: &Profile) -> SessionModel {
        settle::forget();
        probes::forget();
        SessionModel::new(Cx::new(*profile, self.driver_mutant))
    }

    /// Where it has to be caught, if that is known.
    pub fn pin(&self) -> Option<Pin> {
        pins().into_iter().find(|pin| pin.name == self.name)
    }
}

/// Where every mutant has to be caught.
pub fn pins() -> Vec<Pin> {
    PINS.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Looks for a mutant in one profile.
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

/// Looks for a mutant where it was caught before; if it is not there, in the nearest worlds of every
/// profile, the small ones first; and then in those farther off.
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
