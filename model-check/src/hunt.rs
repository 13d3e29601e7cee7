//! The command `mutants`, and runs of mutants for `replay`: all of it with the switched machines.

use std::time::Instant;

use rejoin_switched::mutant::{self, Mutant};
use rejoin_switched_model::files::{Kept, Script};
use rejoin_switched_model::mutants::{self, Wrong};
use rejoin_switched_model::profiles;
use rejoin_switched_model::trace::Trace;

use crate::cli::{Outcome, memory, own_file, write};

/// Something that is wrong on purpose, and the switch of the machines for it.
struct Hunted {
    wrong: Wrong,
    /// None for what is wrong around the machines.
    machine: Option<&'static Mutant>,
}

impl Hunted {
    /// All that the model can show: all of it has to be caught.
    fn all() -> Vec<Self> {
        let machine = |mutant: &'static Mutant| Self {
            wrong: Wrong::in_the_machines(mutant.name, mutant.rule),
            machine: Some(mutant),
        };
        let machines = mutant::ALL.iter().filter(|mutant| mutant.unseen.is_none()).map(machine);
        let twists = Wrong::twists().into_iter().map(|wrong| Self { wrong, machine: None });
        machines.chain(twists).collect()
    }

    fn named(name: &str) -> Result<Self, String> {
        let unseen = mutant::ALL.iter().find(|mutant| mutant.name == name);
        if let Some(reason) = unseen.and_then(|mutant| mutant.unseen) {
            return Err(format!("no run shows the mutant \"{name}\": {reason}"));
        }
        let found = Self::all().into_iter().find(|hunted| hunted.wrong.name == name);
        found.ok_or_else(|| format!("there is no mutant \"{name}\""))
    }

    /// Makes the machines of this process wrong in this way, and in no other.
    fn select(&self) {
        mutant::select(self.machine);
    }

    fn hunt(&self, pin: bool) -> Option<Kept> {
        self.select();
        if pin { mutants::hunt_everywhere(&self.wrong) } else { self.at_its_pin() }
    }

    fn at_its_pin(&self) -> Option<Kept> {
        let profile = profiles::named(&self.wrong.pin()?.profile)?;
        mutants::hunt(&self.wrong, &profile).map(|counterexample| Kept {
            profile: profile.name.to_owned(),
            wrong: Some(self.wrong.name.clone()),
            counterexample,
        })
    }
}

/// Looks for those that are named, or for all.
pub(crate) fn hunt(names: &[String], pin: bool) -> Outcome {
    let chosen = if names.is_empty() {
        Hunted::all()
    } else {
        names.iter().map(|name| Hunted::named(name)).collect::<Result<_, _>>()?
    };
    let began = Instant::now();
    println!("{:<34} {:<14} {:>4} {:>6}  how", "mutant", "profile", "rule", "steps");
    let mut survivors = 0;
    for hunted in &chosen {
        let name = &hunted.wrong.name;
        let Some(found) = hunted.hunt(pin) else {
            println!("{name:<34} SURVIVES");
            survivors += 1;
            continue;
        };
        show_kept(name, &found);
        if pin {
            keep(name, &found)?;
        } else {
            survivors += usize::from(!is_as_pinned(&hunted.wrong, &found));
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

fn show_kept(name: &str, kept: &Kept) {
    let found = &kept.counterexample;
    println!(
        "{name:<34} {:<14} {:>4} {:>6}  {}",
        kept.profile,
        found.violation.rule,
        found.actions.len(),
        found.violation.what
    );
}

fn is_as_pinned(wrong: &Wrong, kept: &Kept) -> bool {
    let Some(pin) = wrong.pin() else { return false };
    let found = &kept.counterexample;
    let is_same = pin.rule == found.violation.rule && pin.depth == found.actions.len();
    if !is_same {
        println!("    has to break rule {} after {} steps", pin.rule, pin.depth);
    }
    is_same
}

/// Writes where it was caught, and its counterexample to a file of its own.
fn keep(name: &str, kept: &Kept) -> Result<(), String> {
    let path = own_file("mutants.txt");
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let is_other = |line: &&str| line.split(' ').next() != Some(name);
    let mut lines: Vec<String> = old.lines().filter(is_other).map(str::to_owned).collect();
    let (rule, depth) = (kept.counterexample.violation.rule, kept.counterexample.actions.len());
    lines.push(format!("{name} {} {rule} {depth}", kept.profile));
    lines.sort();
    write(&path, &(lines.join("\n") + "\n"))?;
    write(&own_file("counterexamples").join(name).with_extension("txt"), &kept.to_string())
}

/// Shows the run of a mutant that was kept in a file of this text.
pub(crate) fn replay(text: &str, name: &str, mermaid: bool) -> Outcome {
    let hunted = Hunted::named(name)?;
    let script = Script::parse(text).map_err(|error| error.to_string())?;
    let profile = script.profile().ok_or(format!("there is no profile \"{}\"", script.profile))?;
    hunted.select();
    let trace = Trace::of(&hunted.wrong.session(&profile), &script.actions);
    print!("{}", if mermaid { trace.mermaid() } else { trace.text() });
    Ok(true)
}
