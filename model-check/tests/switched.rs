//! Every counterexample that was found in switched machines breaks its rule in these machines, and
//! every mutant is either caught or says why it cannot be.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rejoin_switched::mutant::{self, MachineMutant};
use rejoin_switched_model::mutants::{Mutant, pins};
use rejoin_switched_model::paths::mutants as paths;
use rejoin_switched_model::saved_run::Script;
use rejoin_switched_model::trace::Trace;

fn script(mutant: &MachineMutant) -> Script {
    let file = format!("counterexamples/{}.txt", mutant.name);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|_| panic!("{} is missing", mutant.name));
    Script::parse(&text).unwrap()
}

// The selection is the process's: what depends on it stays in one test.
#[test]
fn every_mutant_of_the_machines_breaks_its_rule_where_it_was_caught() {
    for mutant in mutant::ALL.iter().filter(|mutant| mutant.unseen.is_none()) {
        let hunted = Mutant::of_machine(mutant.name, mutant.rule);
        let pin = hunted.pin().unwrap_or_else(|| panic!("{} was never caught", mutant.name));
        mutant::select(Some(mutant));
        if paths::has_profile(&pin.profile) {
            let found = paths::hunt(mutant.rule, &pin.profile);
            let found = found.map(|caught| (caught.rule, caught.depth));
            assert_eq!(found, Some((pin.rule, pin.depth)), "{}", mutant.name);
            continue;
        }
        let script = script(mutant);
        let trace = Trace::of(&hunted.session(&script.profile().unwrap()), &script.actions);
        let rules: Vec<u8> = trace.violations.iter().map(|violation| violation.rule).collect();
        assert!(rules.contains(&pin.rule), "{} breaks {rules:?}", mutant.name);
        assert_eq!(script.actions.len(), pin.depth, "{}", mutant.name);
        assert_eq!(pin.rule, mutant.rule, "{} is caught by another rule", mutant.name);
    }
}

#[test]
fn every_pin_is_of_a_mutant_that_can_be_caught() {
    let seen = mutant::ALL.iter().filter(|mutant| mutant.unseen.is_none());
    let mut names: BTreeSet<String> = seen.map(|mutant| mutant.name.to_owned()).collect();
    names.extend(Mutant::driver_mutants().into_iter().map(|mutant| mutant.name));
    let pinned: BTreeSet<String> = pins().into_iter().map(|pin| pin.name).collect();
    assert_eq!(pinned, names);
}
