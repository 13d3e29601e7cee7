//! The command `mutants`, and runs of mutants for `replay`: all of it with the switched machines.

use std::time::Instant;

use rejoin_switched::mutant::{self, MachineMutant};
use rejoin_switched_model::mutants::{self, Mutant};
use rejoin_switched_model::paths::mutants::{self as paths, CaughtPathMutant};
use rejoin_switched_model::profiles;
use rejoin_switched_model::saved_run::{SavedRun, Script};
use rejoin_switched_model::trace::Trace;

use crate::cli::{CommandResult, memory, own_file, write};

/// Something that is wrong on purpose, and the switch of the machines for it.
struct HuntedMutant {
    mutant: Mutant,
    /// None for what is wrong around the machines.
    machine: Option<&'static MachineMutant>,
}

impl HuntedMutant {
    /// All that the model can show: all of it has to be caught.
    fn all() -> Vec<Self> {
        let machine = |mutant: &'static MachineMutant| Self {
            mutant: Mutant::of_machine(mutant.name, mutant.rule),
            machine: Some(mutant),
        };
        let machines = mutant::ALL.iter().filter(|mutant| mutant.unseen.is_none()).map(machine);
        let driver_mutants =
            Mutant::driver_mutants().into_iter().map(|mutant| Self { mutant, machine: None });
        machines.chain(driver_mutants).collect()
    }

    fn named(name: &str) -> Result<Self, String> {
        let unseen = mutant::ALL.iter().find(|mutant| mutant.name == name);
        if let Some(reason) = unseen.and_then(|mutant| mutant.unseen) {
            return Err(format!("no run shows the mutant \"{name}\": {reason}"));
        }
        let found = Self::all().into_iter().find(|hunted| hunted.mutant.name == name);
        found.ok_or_else(|| format!("there is no mutant \"{name}\""))
    }

    /// Makes the machines of this process wrong in this way, and in no other.
    fn select(&self) {
        mutant::select(self.machine);
    }

    fn hunt(&self, pin: bool) -> Option<CaughtMutant> {
        self.select();
        if pin { self.everywhere() } else { self.at_its_pin() }
    }

    /// The numbers of the path machine's rules are its own: what is wrong in it is hunted for there alone.
    fn everywhere(&self) -> Option<CaughtMutant> {
        let rule = self.mutant.rule;
        if self.machine.is_some_and(MachineMutant::is_of_paths) {
            return paths::hunt_alone(rule).map(CaughtMutant::OfPaths);
        }
        let of_session = mutants::hunt_everywhere(&self.mutant).map(CaughtMutant::OfSession);
        of_session.or_else(|| paths::hunt_together(rule).map(CaughtMutant::OfPaths))
    }

    fn at_its_pin(&self) -> Option<CaughtMutant> {
        let pin = self.mutant.pin()?;
        if paths::has_profile(&pin.profile) {
            return paths::hunt(self.mutant.rule, &pin.profile).map(CaughtMutant::OfPaths);
        }
        let profile = profiles::named(&pin.profile)?;
        let counterexample = mutants::hunt(&self.mutant, &profile)?;
        Some(CaughtMutant::OfSession(SavedRun {
            profile: profile.name.to_owned(),
            mutant: Some(self.mutant.name.clone()),
            counterexample,
        }))
    }
}

/// How a mutant was caught.
enum CaughtMutant {
    /// In the worlds of the session, with a run that is kept.
    OfSession(SavedRun),
    /// In those of the path machine.
    OfPaths(CaughtPathMutant),
}

impl CaughtMutant {
    fn profile(&self) -> &str {
        match self {
            Self::OfSession(kept) => &kept.profile,
            Self::OfPaths(caught) => caught.profile,
        }
    }

    fn rule(&self) -> u8 {
        match self {
            Self::OfSession(kept) => kept.counterexample.violation.rule,
            Self::OfPaths(caught) => caught.rule,
        }
    }

    fn depth(&self) -> usize {
        match self {
            Self::OfSession(kept) => kept.counterexample.actions.len(),
            Self::OfPaths(caught) => caught.depth,
        }
    }

    fn what(&self) -> &str {
        match self {
            Self::OfSession(kept) => kept.counterexample.violation.what,
            Self::OfPaths(caught) => caught.what,
        }
    }
}

/// Looks for those that are named, or for all.
pub(crate) fn hunt(names: &[String], pin: bool) -> CommandResult {
    let chosen = if names.is_empty() {
        HuntedMutant::all()
    } else {
        names.iter().map(|name| HuntedMutant::named(name)).collect::<Result<_, _>>()?
    };
    let began = Instant::now();
    println!("{:<34} {:<14} {:>4} {:>6}  how", "mutant", "profile", "rule", "steps");
    let mut survivors = 0;
    for hunted in &chosen {
        let name = &hunted.mutant.name;
        let Some(found) = hunted.hunt(pin) else {
            println!("{name:<34} SURVIVES");
            survivors += 1;
            continue;
        };
        show_found(name, &found);
        if let (CaughtMutant::OfPaths(caught), false) = (&found, names.is_empty()) {
            print!("\n{}\n", caught.story);
        }
        if pin {
            keep(name, &found)?;
        } else {
            survivors += usize::from(!is_as_pinned(&hunted.mutant, &found));
        }
    }
    println!(
        "{} mutants, {survivors} not caught as they have to be, {} s; {}",
        chosen.len(),
        began.elapsed().as_secs(),
        memory()
    );
    Ok(survivors == 0)
}

fn show_found(name: &str, found: &CaughtMutant) {
    println!(
        "{name:<34} {:<14} {:>4} {:>6}  {}",
        found.profile(),
        found.rule(),
        found.depth(),
        found.what()
    );
}

fn is_as_pinned(mutant: &Mutant, found: &CaughtMutant) -> bool {
    let Some(pin) = mutant.pin() else { return false };
    let is_same = pin.rule == found.rule() && pin.depth == found.depth();
    if !is_same {
        println!("    has to break rule {} after {} steps", pin.rule, pin.depth);
    }
    is_same
}

/// Writes where it was caught, and its counterexample to a file of its own.
fn keep(name: &str, found: &CaughtMutant) -> Result<(), String> {
    let path = own_file("mutants.txt");
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let is_other = |line: &&str| line.split(' ').next() != Some(name);
    let mut lines: Vec<String> = old.lines().filter(is_other).map(str::to_owned).collect();
    lines.push(format!("{name} {} {} {}", found.profile(), found.rule(), found.depth()));
    lines.sort();
    write(&path, &(lines.join("\n") + "\n"))?;
    match found {
        CaughtMutant::OfSession(kept) => {
            let file = own_file("counterexamples").join(name).with_extension("txt");
            write(&file, &kept.to_string())
        }
        CaughtMutant::OfPaths(_) => Ok(()),
    }
}

/// Shows the run of a mutant that was kept in a file of this text.
pub(crate) fn replay(text: &str, name: &str, mermaid: bool) -> CommandResult {
    let hunted = HuntedMutant::named(name)?;
    let script = Script::parse(text).map_err(|error| error.to_string())?;
    let profile = script.profile().ok_or(format!("there is no profile \"{}\"", script.profile))?;
    hunted.select();
    let trace = Trace::of(&hunted.mutant.session(&profile), &script.actions);
    print!("{}", if mermaid { trace.mermaid() } else { trace.text() });
    Ok(true)
}
