//! A server's start and end.

use rejoin_protocol::frame::Bye;
use rejoin_protocol::registry::{Burial, FailureKind, Operation, Rest, Standing, Start, Started};
use rejoin_protocol::server::{Effect, Past};
use rejoin_protocol::{AttachNumber, Frame, Incarnation, Link, SpawnError, SpawnErrorKind};

use crate::common::EPOCH;
use crate::fake::{Fake, recorded, run};

#[test]
fn a_server_records_that_it_starts_before_it_starts() {
    let record = recorded(0, true, EPOCH);
    let mut fake = Fake::default();
    assert_eq!(run(Start::new(record.clone()), &mut fake), Started::Serves);
    assert_eq!(
        fake.done,
        [
            Operation::Bind,
            Operation::CheckPath,
            Operation::WriteRecord(record),
            Operation::Spawn,
            Operation::CheckPath,
            Operation::ReadEntry,
            Operation::CheckPath,
        ]
    );
}

#[test]
fn a_server_starts_nothing_unrecorded_and_keeps_nothing_unserved_whatever_fails() {
    for at in 0..7 {
        let mut fake = Fake::default().failing(at, FailureKind::Full);
        let end = run(Start::new(recorded(0, true, EPOCH)), &mut fake);
        let case = format!("at {at}: {end:?} after {:?}", fake.done);
        assert!(matches!(end, Started::Fails(_)), "{case}");
        let has_spawned = fake.has_done(&Operation::Spawn) && at != 3;
        assert_eq!(fake.has_done(&Operation::EndProcess), has_spawned, "{case}");
        if has_spawned {
            assert!(fake.known.record.as_ref().is_some_and(|record| record.is_starting), "{case}");
        }
    }
    let error = SpawnError::new(SpawnErrorKind::NotFound, "no such program");
    let mut fake = Fake { spawned: Err(error.clone()), ..Fake::default() };
    let end = run(Start::new(recorded(0, true, EPOCH)), &mut fake);
    assert_eq!(end, Started::Fails(error));
}

#[test]
fn a_server_that_lost_its_place_while_it_started_leaves() {
    use Standing::{Current, Missing, Replaced};
    let start = || Start::new(recorded(0, true, EPOCH));
    let run_with = |standings: &[Standing]| {
        let mut fake = Fake { standings: standings.to_vec(), ..Fake::default() };
        (run(start(), &mut fake), fake)
    };
    let (end, fake) = run_with(&[Replaced]);
    assert_eq!((end, fake.done.len()), (Started::Leaves, 2));
    let (end, fake) = run_with(&[Current, Replaced]);
    assert_eq!(end, Started::Leaves);
    assert_eq!(fake.done.last(), Some(&Operation::EndProcess));
    // Who removed the registry did not take it.
    let (end, fake) = run_with(&[Current, Missing, Current]);
    assert_eq!(end, Started::Serves);
    assert!(fake.has_done(&Operation::Adopt), "{:?}", fake.done);
}

fn end_of_a_session() -> (Past, Vec<Effect>) {
    let past = Past { is_known: true, used: Some(Incarnation(0)), ..Past::default() };
    let closed = Frame::Closed { attach: AttachNumber(2), ended: 1 };
    (past, vec![Effect::Send(Link(3), closed), Effect::Close(Link(3)), Effect::Stop])
}

#[test]
fn a_server_says_that_the_session_is_closed_only_if_its_tombstone_was_written() {
    let (past, rest) = end_of_a_session();
    for at in 0..4 {
        let mut fake = Fake::dead(0).failing(at, FailureKind::Broken);
        let end = run(Burial::new(past.clone(), rest.clone()), &mut fake);
        let is_written = at >= 2;
        let answered = end.iter().any(|effect| matches!(effect, Effect::Send(..)));
        assert_eq!((fake.used().is_some(), answered), (is_written, is_written), "at {at}");
        assert_eq!(end.last(), Some(&Effect::Stop));
        assert!(end.contains(&Effect::Close(Link(3))));
        assert_eq!(fake.known.has_entry, at < 3, "at {at}");
    }
}

#[test]
fn a_server_touches_nothing_where_the_name_is_anothers() {
    let (past, rest) = end_of_a_session();
    let mut fake = Fake { standings: vec![Standing::Replaced], ..Fake::dead(0) };
    let end = run(Burial::new(past, rest), &mut fake);
    assert!(!end.iter().any(|effect| matches!(effect, Effect::Send(..))));
    assert_eq!(fake.done, [Operation::CheckPath]);
    assert_eq!(run(Rest::new(), &mut fake), Ok(0));
    assert_eq!(run(Rest::new(), &mut Fake::dead(0)), Ok(2));
}

#[test]
fn a_server_without_an_opener_buries_what_is_known_and_stops() {
    for at in 0..4 {
        let mut fake = Fake::dead(0).failing(at, FailureKind::Broken);
        assert_eq!(run(Burial::unopened(), &mut fake), [Effect::Stop]);
    }
    let mut fake = Fake::dead(0);
    assert_eq!(run(Burial::unopened(), &mut fake), [Effect::Stop]);
    assert_eq!((fake.used(), fake.known.has_entry), (Some(Incarnation(0)), false));
}

#[test]
fn a_bye_behind_an_unwritten_tombstone_closes_its_link() {
    let (past, _) = end_of_a_session();
    let rest = vec![Effect::Send(Link(1), Frame::Bye(Bye::Ending))];
    let mut fake = Fake::dead(0).failing(1, FailureKind::Full);
    assert_eq!(run(Burial::new(past, rest), &mut fake), [Effect::Close(Link(1))]);
}
