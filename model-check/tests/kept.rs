//! Every counterexample that was ever kept, replayed against the machines as they ship: none of
//! them breaks a rule any more. Those of `counterexamples/` were found in machines that were made
//! wrong on purpose, those of `found/` in the machines as they once were.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use rejoin_model_check::check;
use rejoin_model_check::model::SessionModel;
use rejoin_model_check::mutants::{Mutant, Pin};
use rejoin_model_check::saved_run::Script;
use rejoin_model_check::trace::Trace;
use rejoin_model_check::world::Cx;

fn kept(folder: &str) -> Vec<(PathBuf, Script)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |path: PathBuf| {
        let script = Script::parse(&fs::read_to_string(&path).unwrap());
        (path.clone(), script.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    };
    files.into_iter().map(read).collect()
}

/// Replays a run without anything wrong; whether all of it still happens.
fn holds(path: &Path, script: &Script) -> bool {
    let profile = script.profile().unwrap_or_else(|| panic!("{}: no profile", path.display()));
    let session = SessionModel::new(Cx::new(profile, None));
    let trace = Trace::of(&session, &script.actions);
    assert_eq!(trace.violation, None, "{}:\n{}", path.display(), trace.text());
    trace.lines.iter().all(|line| !line.title.starts_with("(does not happen"))
}

#[test]
fn what_broke_a_wrong_machine_breaks_no_right_one() {
    let all = kept("counterexamples");
    assert!(all.len() >= 30, "{} counterexamples are kept", all.len());
    let whole = all.iter().filter(|(path, script)| holds(path, script)).count();
    // A run that a wrong machine took apart mostly goes on to its end with the right one.
    assert!(whole * 2 > all.len(), "{whole} of {} still happen", all.len());
}

#[test]
fn what_was_found_once_is_not_found_again() {
    let all = kept("found");
    assert!(!all.is_empty());
    for (path, script) in all {
        holds(&path, &script);
    }
}

#[test]
fn every_driver_mutant_breaks_its_rule_where_it_was_caught() {
    for mutant in Mutant::driver_mutants() {
        let name = &mutant.name;
        let pin = mutant.pin().unwrap_or_else(|| panic!("{name} was never caught"));
        let file = kept("counterexamples")
            .into_iter()
            .find(|(path, _)| path.ends_with(format!("{name}.txt")));
        let (path, script) = file.unwrap_or_else(|| panic!("{name}: no run is kept"));
        let session = mutant.session(&script.profile().unwrap());
        let trace = Trace::of(&session, &script.actions);
        let rule = trace.violation.map(|violation| violation.rule);
        assert_eq!((rule, script.actions.len()), (Some(pin.rule), pin.depth), "{}", path.display());
        assert_eq!(pin.rule, mutant.rule, "{name} is caught by another rule than it names");
    }
}

#[test]
fn every_profile_has_its_count_pinned() {
    use rejoin_model_check::profiles::{CI, NIGHTLY};
    let unpinned: Vec<&str> = CI
        .iter()
        .chain(NIGHTLY)
        .map(|profile| profile.name)
        .filter(|name| check::pinned(name).is_none())
        .collect();
    assert_eq!(unpinned, [""; 0]);
}

#[test]
fn a_pin_is_read_as_it_is_written() {
    let pin: Pin = "no-tombstone hunt-steps 5 17".parse().unwrap();
    assert_eq!((pin.rule, pin.depth), (5, 17));
    assert!("no-tombstone hunt-steps".parse::<Pin>().is_err());
}
