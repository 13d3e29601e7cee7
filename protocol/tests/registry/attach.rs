//! Attach: in which order, and what it answers whatever fails.

use rejoin_protocol::frame::{From, Hello, Refused, Scope, Wish};
use rejoin_protocol::registry::{
    Attach, Attached, FailureKind, Next, Operation, Program, Standing,
};
use rejoin_protocol::{AttachNumber, Frame, Incarnation, Reason};

use crate::common::{self, ALICE, EPOCH, OTHER_HOST, close, open, resume, server_config};
use crate::fake::{Fake, recorded, run};

fn hello(wish: Wish) -> Hello {
    match common::hello(ALICE, 1, 0, wish) {
        Frame::Hello(hello) => hello,
        other => unreachable!("{other:?}"),
    }
}

fn attach(wish: Wish) -> Attach {
    Attach::new(server_config(), hello(wish))
}

fn reason(end: Attached) -> Reason {
    match end {
        Attached::Answers(Frame::Refused(Refused { reason, .. })) => reason,
        other => panic!("{other:?}"),
    }
}

fn closed(ended: u32) -> Attached {
    Attached::Answers(Frame::Closed { attach: AttachNumber(1), ended })
}

#[test]
fn attach_starts_a_server_for_a_new_session_and_keeps_no_lock() {
    let mut fake = Fake::default();
    assert_eq!(run(attach(open(0)), &mut fake), Attached::Joins);
    let reserved = recorded(0, false, EPOCH);
    assert_eq!(
        fake.done,
        [
            Operation::OpenRegistry { makes: true },
            Operation::OpenLock { makes: true },
            Operation::TryLock,
            Operation::CheckPath,
            Operation::Reap { all: false },
            Operation::ReadEntry,
            Operation::CheckPath,
            Operation::WriteRecord(reserved),
            Operation::Fork,
            Operation::LetGo,
        ]
    );
}

#[test]
fn attach_folds_and_removes_what_a_dead_server_left_before_it_starts_another() {
    let mut fake = Fake::dead(0);
    assert_eq!(run(attach(open(1)), &mut fake), Attached::Joins);
    let order = [
        Operation::RemoveEntry,
        Operation::WriteRecord(recorded(1, false, EPOCH)),
        Operation::Fork,
        Operation::LetGo,
    ];
    assert!(fake.done.ends_with(&order), "{:?}", fake.done);
    assert_eq!(fake.used(), Some(Incarnation(0)));
}

#[test]
fn attach_answers_a_stranger_without_making_anything() {
    for wish in [resume(EPOCH, 0), Wish::Claim { expected: None, from: From::Latest }] {
        let mut fake = Fake::default();
        assert_eq!(reason(run(attach(wish), &mut fake)), Reason::Unknown);
        assert_eq!(fake.done, [Operation::OpenRegistry { makes: false }]);
    }
}

#[test]
fn attach_objects_without_looking_at_the_registry() {
    let (incarnation, spec) = (Incarnation(0), bytes::Bytes::new());
    let wish = Wish::Open { incarnation, host: OTHER_HOST, spec };
    let mut fake = Fake::default();
    let found = reason(run(attach(wish), &mut fake));
    assert!(matches!(found, Reason::DifferentHost { .. }), "{found:?}");
    assert_eq!(fake.done, []);
}

#[test]
fn attach_refuses_once_the_tombstone_is_written_and_the_lock_is_let_go_of() {
    let mut fake = Fake::dead(0);
    assert_eq!(reason(run(attach(resume(EPOCH, 0)), &mut fake)), Reason::ProcessGone);
    let last = &fake.done[fake.done.len() - 3..];
    assert!(matches!(last[0], Operation::WriteTombstone(_)), "{last:?}");
    assert_eq!(last[1..], [Operation::RemoveEntry, Operation::LetGo]);
}

#[test]
fn attach_ends_everything_only_for_a_close_of_the_session() {
    let process = Wish::Close { incarnation: Incarnation(0), scope: Scope::Process };
    for (wish, all) in [(close(0), true), (process, false), (open(0), false)] {
        let mut fake = Fake::dead(0);
        run(attach(wish), &mut fake);
        assert!(fake.has_done(&Operation::Reap { all }), "{:?}", fake.done);
    }
}

#[test]
fn attach_closes_a_session_by_its_tombstone() {
    let mut fake = Fake::dead(0);
    assert_eq!(run(attach(close(3)), &mut fake), closed(2));
    assert_eq!((fake.used(), fake.known.has_entry), (Some(Incarnation(3)), false));
}

#[test]
fn attach_removes_an_entry_without_a_record_and_a_blank_lock_file() {
    let mut fake = Fake::remnant();
    fake.known.has_lock = true;
    assert_eq!(reason(run(attach(resume(EPOCH, 0)), &mut fake)), Reason::Unknown);
    assert!(!fake.known.has_entry && !fake.known.has_lock, "{fake:?}");
    // A socket that nobody listens on is in a new server's way.
    let mut fake = Fake::remnant();
    assert_eq!(run(attach(open(0)), &mut fake), Attached::Joins);
    assert!(fake.has_done(&Operation::RemoveEntry), "{:?}", fake.done);
}

#[test]
fn attach_looks_again_while_a_server_does_not_answer_and_then_says_so() {
    let mut fake = Fake { is_held: true, ..Fake::default() };
    let mut attach = attach(open(0));
    let mut waits = 0;
    while waits < 3 {
        let Next::Do(operation) = attach.next() else { panic!("it goes on") };
        waits += u32::from(operation == Operation::Wait);
        attach.done(fake.carry_out(&operation));
    }
    attach.overdue();
    assert_eq!(reason(run(attach, &mut fake)), Reason::Unresponsive);
    assert!(!fake.has_done(&Operation::RemoveEntry) && !fake.has_done(&Operation::RemoveLock));
}

#[test]
fn attach_that_is_late_leaves_without_a_word_and_without_a_trace() {
    for (mut fake, is_left) in [(Fake::default(), false), (Fake::dead(0), true)] {
        let mut attach = attach(open(1));
        attach.overdue();
        assert_eq!(run(attach, &mut fake), Attached::Leaves);
        assert_eq!((fake.known.has_lock, fake.known.has_entry), (is_left, is_left));
        assert!(!fake.has_done(&Operation::Reap { all: false }));
    }
}

#[test]
fn attach_opens_again_a_lock_file_that_was_replaced() {
    let standings =
        vec![Standing::Replaced, Standing::Current, Standing::Missing, Standing::Current];
    let mut fake = Fake { standings, ..Fake::default() };
    assert_eq!(run(attach(open(0)), &mut fake), Attached::Joins);
    let opens = |it: &&Operation| matches!(it, Operation::OpenLock { .. });
    assert_eq!(fake.done.iter().filter(opens).count(), 3);
}

const KINDS: [FailureKind; 5] = [
    FailureKind::Busy,
    FailureKind::Missing,
    FailureKind::Full,
    FailureKind::Denied,
    FailureKind::Broken,
];

fn befores() -> Vec<Fake> {
    let mut blank = Fake::default();
    blank.known.has_lock = true;
    let mut remnant = Fake::remnant();
    remnant.known.has_lock = true;
    vec![Fake::default(), blank, Fake::dead(0), Fake::buried(0), Fake::remnant(), remnant]
}

fn wishes() -> Vec<Wish> {
    let claim = Wish::Claim { expected: None, from: From::Latest };
    vec![open(0), open(1), resume(EPOCH, 0), claim, close(0), close(4)]
}

/// Whether an answer says what only a tombstone can make true from now on.
fn relies(end: &Attached) -> bool {
    match end {
        Attached::Answers(Frame::Closed { .. }) => true,
        Attached::Answers(Frame::Refused(Refused { reason, .. })) => {
            matches!(reason, Reason::ProcessGone | Reason::SpawnFailed(_))
        }
        _ => false,
    }
}

#[test]
fn attach_answers_by_a_tombstone_only_if_it_was_written_whatever_fails() {
    let mut answers = 0;
    for wish in wishes() {
        for before in befores() {
            for at in 0..16 {
                for kind in KINDS {
                    let mut fake = before.clone().failing(at, kind);
                    let end = run(attach(wish.clone()), &mut fake);
                    let case = format!("{wish:?} {kind:?} at {at}: {end:?} after {:?}", fake.done);
                    if relies(&end) {
                        answers += 1;
                        assert!(fake.used().is_some(), "{case}");
                    }
                    if end == closed(fake.reaped.ended) || end == closed(0) {
                        let Wish::Close { incarnation, .. } = wish else { panic!("{case}") };
                        assert!(fake.used() >= Some(incarnation), "{case}");
                    }
                    assert!(!fake.has_lock, "it ends and holds the lock: {case}");
                    let is_reserved = fake.known.record.as_ref().is_some_and(|it| !it.is_starting);
                    assert_eq!(is_reserved, end == Attached::Joins, "{case}");
                }
            }
        }
    }
    assert!(answers > 100);
}

#[test]
fn attach_says_what_failed_and_tries_again_what_may_pass() {
    for at in 0..9 {
        let failing = |kind| Fake::default().failing(at, kind);
        let end = run(attach(open(0)), &mut failing(FailureKind::Full));
        let message = String::from("no");
        assert_eq!(reason(end), Reason::Forbidden { message }, "at {at}");
        let mut fake = failing(FailureKind::Busy);
        let end = run(attach(open(0)), &mut fake);
        if at == 0 {
            assert_eq!(reason(end), Reason::Unresponsive);
        } else {
            assert_eq!(end, Attached::Joins, "at {at}");
            assert!(fake.has_done(&Operation::Wait), "at {at}");
        }
    }
}
