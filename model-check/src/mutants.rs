//! Wrong on purpose: each must be caught by the property that names its rule.
//!
//! Half of what can be wrong is in the machines: those mutants are in `rejoin-protocol`, behind
//! `--cfg rejoin_mutants`. The other half is around them, in the orders of operations and in the
//! drivers: those are the model's own ([`crate::twist`]).

use std::str::FromStr;

use crate::files::Kept;
use crate::model::Session;
use crate::profile::Profile;
use crate::profiles;
use crate::search::{self, Counterexample, Outcome};
use crate::settle;
use crate::twist::Twist;
use crate::world::Cx;

#[cfg(rejoin_mutants)]
use rejoin_protocol::mutant::Mutant;

/// Where each was caught: `name profile rule depth`, a line each.
const PINS: &str = include_str!("../mutants.txt");

/// What changes nothing that this world can show; the README says why.
pub const EQUIVALENT: &[&str] = &["unsent-ack-ignored", "wrong-host-served"];

/// How many worlds of a profile are searched for a mutant.
const LIMIT: usize = 400_000;

/// Something that is wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrong {
    /// Around the machines.
    Twist(Twist),
    /// In a machine.
    #[cfg(rejoin_mutants)]
    Machine(Mutant),
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

impl Wrong {
    /// All that this build has and that this world can show: all of it has to be caught.
    pub fn all() -> Vec<Self> {
        let all = Twist::ALL.iter().copied().map(Self::Twist);
        #[cfg(rejoin_mutants)]
        let all = Mutant::ALL.into_iter().map(Self::Machine).chain(all);
        all.filter(|wrong| !EQUIVALENT.contains(&wrong.name().as_str())).collect()
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|wrong| wrong.name() == name)
    }

    /// Its name on the command line.
    pub fn name(self) -> String {
        match self {
            Self::Twist(twist) => kebab(&format!("{twist:?}")),
            #[cfg(rejoin_mutants)]
            Self::Machine(mutant) => kebab(&format!("{mutant:?}")),
        }
    }

    /// The rule that it breaks.
    pub fn rule(self) -> u8 {
        match self {
            Self::Twist(twist) => twist.rule(),
            #[cfg(rejoin_mutants)]
            Self::Machine(mutant) => mutant.rule(),
        }
    }

    /// A world that is wrong in this way, and in no other.
    pub fn session(self, profile: &Profile) -> Session {
        settle::forget();
        let twist = match self {
            Self::Twist(twist) => Some(twist),
            #[cfg(rejoin_mutants)]
            Self::Machine(_) => None,
        };
        #[cfg(rejoin_mutants)]
        rejoin_protocol::mutant::select(match self {
            Self::Machine(mutant) => Some(mutant),
            Self::Twist(_) => None,
        });
        Session::new(Cx::new(*profile, twist))
    }

    /// Where it has to be caught, if that is known.
    pub fn pin(self) -> Option<Pin> {
        let name = self.name();
        PINS.lines().filter_map(|line| line.parse().ok()).find(|pin: &Pin| pin.name == name)
    }
}

/// Looks for a mutant in one profile.
pub fn hunt(wrong: Wrong, profile: &Profile) -> Option<Counterexample> {
    let session = wrong.session(profile);
    match search::shortest_of(&session, LIMIT, Some(wrong.rule())) {
        Outcome::Broken(found) => Some(found),
        Outcome::Exhausted(_) | Outcome::Unfinished(_) => None,
    }
}

/// Looks for a mutant in every profile, the small ones first.
pub fn hunt_everywhere(wrong: Wrong) -> Option<Kept> {
    let found = profiles::HUNTS
        .iter()
        .chain(profiles::CI)
        .find_map(|profile| hunt(wrong, profile).map(|found| (profile.name, found)));
    found.map(|(profile, counterexample)| Kept {
        profile: profile.to_owned(),
        wrong: Some(wrong.name()),
        counterexample,
    })
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
