//! The search itself: that it finds what is there, the shortest way, and ends where it ends.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use rejoin_model_check::budget::{Budget, Chance};
use rejoin_model_check::driver_mutant::DriverMutant;
use rejoin_model_check::model::SessionModel;
use rejoin_model_check::profile::Profile;
use rejoin_model_check::search::{self, SearchOutcome};
use rejoin_model_check::trace::Trace;
use rejoin_model_check::world::{Action, Cx};
use rejoin_model_check::{settle, simulate};
use stateright::{Checker, Model};

const SMALL: Profile =
    Profile { budget: Budget::of(&[(Chance::Output, 1), (Chance::Cut, 1)]), ..Profile::CALM };

const STEPS: Profile = Profile {
    is_stepwise: true,
    budget: Budget::of(&[(Chance::Cut, 2), (Chance::ServerKill, 1)]),
    ..Profile::CALM
};

#[test]
fn our_search_and_stateright_see_the_same_worlds() {
    let session = SessionModel::new(Cx::new(SMALL, None));
    let ours = search::shortest(&session, usize::MAX);
    let theirs = session.checker().spawn_bfs().join().unique_state_count();
    assert_eq!(ours, SearchOutcome::Exhausted(theirs));
}

#[test]
fn a_shortest_counterexample_replays_to_its_violation() {
    settle::forget();
    let session = SessionModel::new(Cx::new(STEPS, Some(DriverMutant::NoTombstone)));
    let SearchOutcome::Broken(found) = search::shortest(&session, usize::MAX) else {
        panic!("a host without tombstones is found out");
    };
    let trace = Trace::of(&session, &found.actions);
    assert_eq!(trace.violation, Some(found.violation));
    assert_eq!(found.violation.rule, 5);
    let shorter = &found.actions[..found.actions.len() - 1];
    assert_eq!(Trace::of(&session, shorter).violation, None);
    settle::forget();
}

#[test]
fn a_trace_reads_as_text_and_as_a_diagram() {
    let session = SessionModel::new(Cx::new(SMALL, None));
    let actions = [Action::Dial(0), Action::ToClient(0), Action::ToHost(0), Action::ToClient(0)];
    let trace = Trace::of(&session, &actions);
    let text = trace.text();
    assert!(text.contains("Open incarnation=0 host=0.0"), "{text}");
    assert!(text.contains("client 0: tells attached (Opened, epoch 0, incarnation 0)"), "{text}");
    let diagram = trace.mermaid();
    assert!(diagram.starts_with("sequenceDiagram\n"), "{diagram}");
    assert!(diagram.contains("client0->>attach0: "), "{diagram}");
}

#[test]
fn a_seed_is_a_run() {
    let taken = |seed| match simulate::run(seed, 300).1 {
        simulate::RandomRun::Holds(steps) => steps,
        simulate::RandomRun::Broken(found) => panic!("seed {seed}: {}", found.violation),
    };
    assert_eq!(taken(7), taken(7));
}

#[test]
fn an_action_is_read_as_it_is_written() {
    for action in [Action::Dial(0), Action::KillServer(2), Action::Day] {
        assert_eq!(action.word().parse(), Ok(action));
    }
    assert!("Fly 3".parse::<Action>().is_err());
    assert!("Dial".parse::<Action>().is_err());
}

#[test]
fn every_pair_of_kinds_stands_in_a_checked_profile() {
    use rejoin_model_check::profiles::{self, generated};
    let checked = profiles::checked();
    assert_eq!(generated::missing(&checked), []);
    let by_hand: Vec<Profile> = profiles::CI.iter().chain(profiles::HUNTS).copied().collect();
    let (all, missing) = (generated::wanted().len(), generated::missing(&by_hand).len());
    println!("{} of {all} pairs stand in profiles made by hand", all - missing);
    println!("the other {missing} stand in {} that are generated", generated::profiles().len());
}

#[test]
fn a_simulated_world_knows_every_kind_of_event_but_a_day() {
    use rejoin_model_check::profiles::generated::{FEATURES, Feature, has};
    let of_chance = FEATURES.iter().filter(|kind| matches!(kind, Feature::Chance(_)));
    for kind in of_chance {
        let is_known = (0..512).any(|seed| has(&simulate::profile(seed), *kind));
        assert_eq!(is_known, *kind != Feature::Chance(Chance::Day), "{kind:?}");
    }
}
