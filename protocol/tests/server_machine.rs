//! The machines' behaviour, one story each: the server's side.

mod common;

use common::drive::{ServerDrive, past, sent_by_server};
use common::{
    ALICE, BOB, EPOCH, OTHER_HOST, ack, close, hello, holder, input, item, open, output, resume,
};
use rejoin_protocol::error::{Divergence, Misbehaviour};
use rejoin_protocol::frame::{Bye, From, How, Refused, Scope, Wish};
use rejoin_protocol::reason::{SpawnError, SpawnErrorKind};
use rejoin_protocol::server::{Effect, Event, Extent, Past};
use rejoin_protocol::{
    AttachNumber, ClientName, Counter, ExitStatus, Frame, Incarnation, Item, Link, Reason, Seq,
    Tenure, Timer,
};

fn reason(effects: &[Effect], link: u64) -> Option<Reason> {
    sent_by_server(effects, link).into_iter().find_map(|frame| match frame {
        Frame::Refused(Refused { reason, .. }) => Some(reason),
        _ => None,
    })
}

fn welcomed(effects: &[Effect], link: u64) -> Option<How> {
    sent_by_server(effects, link).into_iter().find_map(|frame| match frame {
        Frame::Welcome(welcome) => Some(welcome.how),
        _ => None,
    })
}

fn claim(tenure: u64) -> Wish {
    Wish::Claim { expected: Some(holder(tenure)), from: From::FirstHeld }
}

#[test]
fn a_duplicate_open_joins_and_starts_nothing() {
    let mut drive = ServerDrive::attached();
    let effects = drive.hello(2, 2, open(0));
    assert_eq!(welcomed(&effects, 2), Some(How::Opened));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Start { .. })));
}

#[test]
fn an_open_of_an_incarnation_that_was_used_is_process_gone() {
    let mut drive = ServerDrive::absent(past(0, 0));
    assert_eq!(reason(&drive.hello(1, 1, open(0)), 1), Some(Reason::ProcessGone));
    assert!(matches!(drive.hello(1, 2, open(1))[..], [Effect::Start { .. }]));
}

#[test]
fn a_failed_start_burns_its_number_and_is_answered_the_same_way_again() {
    let error = SpawnError::new(SpawnErrorKind::NotFound, "no such file");
    let mut drive = ServerDrive::starting();
    let effects = drive.step(Event::StartFailed(error.clone()));
    let [Effect::Bury(past), Effect::Send(..), Effect::Close(_), Effect::Stop] = &effects[..]
    else {
        panic!("the tombstone is first: {effects:?}")
    };
    let mut again = ServerDrive::absent(past.clone());
    let failed = Some(Reason::SpawnFailed(error));
    assert_eq!(reason(&again.hello(1, 2, open(0)), 1), failed);
    assert_eq!(reason(&again.hello(1, 3, open(0)), 1), failed);
    assert!(matches!(again.hello(1, 4, open(1))[..], [Effect::Start { .. }]));
}

#[test]
fn a_refusal_writes_the_tombstone_before_it_answers() {
    let mut drive = ServerDrive::absent(past(3, 0));
    let effects = drive.hello(1, 1, resume(EPOCH, 0));
    assert_eq!(effects[0], Effect::Bury(past(3, 0)));
    assert_eq!(reason(&effects[1..], 1), Some(Reason::ProcessGone));
    // Nothing is known: nothing is written.
    let mut drive = ServerDrive::absent(Past::default());
    let effects = drive.hello(1, 1, resume(EPOCH, 0));
    assert_eq!((effects.len(), reason(&effects, 1)), (1, Some(Reason::Unknown)));
}

#[test]
fn items_behind_a_refused_resume_are_ignored_and_the_next_hello_is_heard() {
    let mut drive = ServerDrive::absent(past(0, 0));
    drive.hello(1, 2, resume(EPOCH, 0));
    assert_eq!(drive.frame(1, item(0, input("for the old one"))), []);
    assert!(matches!(drive.hello(1, 3, open(1))[..], [Effect::Start { .. }]));
    drive.start(rejoin_protocol::spec::Overflow::Block);
    let typed = drive.frame(1, item(0, input("ls")));
    assert_eq!(typed, [Effect::HandOver(Seq(0), input("ls"))]);
}

#[test]
fn an_open_for_another_host_starts_nothing() {
    let mut drive = ServerDrive::absent(Past::default());
    let wish =
        Wish::Open { incarnation: Incarnation(0), host: OTHER_HOST, spec: bytes::Bytes::default() };
    let answer = reason(&drive.hello(1, 1, wish), 1);
    assert!(matches!(answer, Some(Reason::DifferentHost { .. })));
}

#[test]
fn authority_is_judged_before_the_incarnation() {
    let mut drive = ServerDrive::absent(past(0, 2));
    let superseded = Reason::Superseded { by: Tenure(2), name: ClientName::default() };
    assert_eq!(reason(&drive.hello(1, 1, open(0)), 1), Some(superseded));
    let mut drive = ServerDrive::attached();
    let other = Wish::Resume { incarnation: Incarnation(9), epoch: EPOCH, next_output: Seq(0) };
    let stale = Reason::Stale { last: AttachNumber(1) };
    assert_eq!(reason(&drive.hello(2, 1, other), 2), Some(stale));
}

#[test]
fn a_newer_attach_closes_the_older_link_and_the_late_loss_does_not_detach_the_new_one() {
    let mut drive = ServerDrive::attached();
    let effects = drive.hello(2, 2, resume(EPOCH, 0));
    assert_eq!(sent_by_server(&effects, 1), [Frame::Bye(Bye::Replaced)]);
    assert!(effects.contains(&Effect::Close(Link(1))));
    assert_eq!(drive.frame(1, item(0, input("zombie"))), []);
    assert_eq!(drive.step(Event::LinkLost(Link(1))), []);
    assert_eq!(drive.server.attached(), Some(Link(2)));
}

#[test]
fn a_late_hello_of_an_older_attach_is_stale() {
    let mut drive = ServerDrive::attached();
    drive.hello(2, 5, resume(EPOCH, 0));
    let stale = Some(Reason::Stale { last: AttachNumber(5) });
    assert_eq!(reason(&drive.hello(3, 4, open(0)), 3), stale);
    assert_eq!(reason(&drive.hello(3, 5, open(0)), 3), stale);
    assert_eq!(drive.server.attached(), Some(Link(2)));
}

#[test]
fn a_second_hello_on_a_link_is_judged_as_the_first_was() {
    let mut drive = ServerDrive::attached();
    let held = drive.frame(2, hello(BOB, 1, 0, open(0)));
    assert!(matches!(reason(&held, 2), Some(Reason::Held { .. })));
    let effects = drive.frame(2, hello(BOB, 2, 0, claim(0)));
    assert_eq!(effects, [Effect::RecordTenure(Tenure(1), ClientName::new("bob"))]);
}

#[test]
fn a_takeover_records_its_tenure_tells_the_loser_and_only_then_welcomes() {
    let mut drive = ServerDrive::attached();
    drive.frame(2, hello(BOB, 1, 0, claim(0)));
    assert_eq!(drive.server.attached(), Some(Link(1)), "not yet");
    let effects = drive.step(Event::TenureRecorded);
    let name = ClientName::new("bob");
    assert_eq!(
        sent_by_server(&effects, 1),
        [Frame::Superseded { by: Tenure(1), name: name.clone() }]
    );
    assert_eq!(welcomed(&effects, 2), Some(How::Claimed));
    // The loser comes back: it is told again.
    let effects = drive.hello(3, 9, resume(EPOCH, 0));
    assert_eq!(reason(&effects, 3), Some(Reason::Superseded { by: Tenure(1), name }));
}

#[test]
fn a_claim_that_names_another_holder_is_refused_because_somebody_came_first() {
    let mut drive = ServerDrive::attached();
    drive.frame(2, hello(BOB, 1, 0, claim(0)));
    drive.step(Event::TenureRecorded);
    let third = rejoin_protocol::ClientInstance::from_bytes([0xcc; 16]);
    let effects = drive.frame(3, hello(third, 1, 0, claim(0)));
    let by = holder(1);
    assert_eq!(reason(&effects, 3), Some(Reason::Held { by, name: ClientName::new("bob") }));
}

#[test]
fn a_claimant_that_comes_again_before_its_tenure_is_recorded_waits_on_its_new_link() {
    let mut drive = ServerDrive::attached();
    drive.frame(2, hello(BOB, 1, 0, claim(0)));
    let effects = drive.frame(3, hello(BOB, 2, 0, claim(0)));
    assert_eq!(sent_by_server(&effects, 3), []);
    assert_eq!(sent_by_server(&effects, 2), [Frame::Bye(Bye::Replaced)]);
    let effects = drive.step(Event::TenureRecorded);
    assert_eq!(welcomed(&effects, 3), Some(How::Claimed));
}

#[test]
fn a_takeover_whose_tenure_cannot_be_recorded_leaves_the_holder_alone() {
    let mut drive = ServerDrive::attached();
    drive.frame(2, hello(BOB, 1, 0, claim(0)));
    let effects = drive.step(Event::TenureNotRecorded);
    assert_eq!(reason(&effects, 2), Some(Reason::Unresponsive));
    assert_eq!(drive.server.attached(), Some(Link(1)));
}

#[test]
fn a_claimant_is_told_when_the_session_ends_under_its_claim() {
    let mut drive = ServerDrive::attached();
    drive.frame(2, hello(BOB, 1, 0, claim(0)));
    let effects = drive.frame(1, Frame::Close);
    assert_eq!(sent_by_server(&effects, 2), [Frame::Bye(Bye::Ending)]);
    assert!(effects.contains(&Effect::Close(Link(2))));
}

#[test]
fn input_is_acknowledged_when_the_process_took_it() {
    let mut drive = ServerDrive::attached();
    assert_eq!(drive.frame(1, item(0, input("a"))), [Effect::HandOver(Seq(0), input("a"))]);
    assert_eq!(drive.step(Event::InputTaken(Seq(1))), [Effect::Send(Link(1), ack(1))]);
    assert_eq!(drive.frame(1, item(0, input("a"))), [], "a duplicate is dropped");
}

#[test]
fn output_is_sent_again_until_it_is_acknowledged() {
    let mut drive = ServerDrive::attached();
    drive.output("a");
    drive.output("b");
    drive.frame(1, ack(1));
    drive.step(Event::LinkLost(Link(1)));
    let effects = drive.hello(2, 2, resume(EPOCH, 1));
    assert_eq!(sent_by_server(&effects, 2)[1..], [item(1, output("b"))]);
}

#[test]
fn acknowledging_what_was_never_sent_is_diverged_and_costs_the_link() {
    let mut drive = ServerDrive::attached();
    let effects = drive.frame(1, ack(1));
    assert_eq!(reason(&effects, 1), Some(Reason::Diverged(Divergence::OutputAhead)));
    assert_eq!(drive.server.name(), "Detached");
}

#[test]
fn a_cut_during_the_exit_delivers_it_again_and_its_ack_ends_the_session() {
    let mut drive = ServerDrive::attached();
    drive.step(Event::Exited(ExitStatus::Code(3)));
    drive.step(Event::LinkLost(Link(1)));
    let effects = drive.hello(2, 2, resume(EPOCH, 0));
    let status = Item::Exit(ExitStatus::Code(3));
    assert_eq!(sent_by_server(&effects, 2)[1..], [item(0, status)]);
    assert!(drive.frame(2, ack(1)).contains(&Effect::EndProcess(Extent::HangUp)));
    drive.frame(2, Frame::Close);
    let effects = drive.step(Event::Ended(0));
    assert_eq!(effects[0], Effect::Bury(past(0, 0)), "before anything is answered");
    assert_eq!(sent_by_server(&effects, 2), [Frame::Closed { attach: AttachNumber(2), ended: 0 }]);
    assert_eq!(effects.last(), Some(&Effect::Stop));
}

#[test]
fn retention_ends_a_detached_process_only() {
    let mut drive = ServerDrive::attached();
    assert_eq!(drive.step(Event::Timer(Timer::Retention)), []);
    let effects = drive.step(Event::LinkLost(Link(1)));
    assert!(effects.contains(&Effect::Arm(Timer::Retention)));
    let effects = drive.step(Event::Timer(Timer::Retention));
    assert!(effects.contains(&Effect::EndProcess(Extent::Session)));
}

#[test]
fn retention_runs_from_the_start_when_nobody_waits_for_it() {
    let mut drive = ServerDrive::starting();
    drive.step(Event::LinkLost(Link(1)));
    let effects = drive.start(rejoin_protocol::spec::Overflow::Block);
    assert_eq!(effects, [Effect::Arm(Timer::Retention)]);
}

#[test]
fn a_close_of_what_is_absent_uses_up_its_incarnation() {
    let mut drive = ServerDrive::absent(Past::default());
    let effects = drive.hello(1, 2, close(0));
    assert_eq!(effects[0], Effect::Bury(past(0, 0)));
    assert_eq!(sent_by_server(&effects, 1), [Frame::Closed { attach: AttachNumber(2), ended: 0 }]);
    assert_eq!(reason(&drive.hello(2, 1, open(0)), 2), Some(Reason::ProcessGone));
}

#[test]
fn a_displaced_server_ends_its_process_and_buries_and_closes_nothing() {
    let mut drive = ServerDrive::attached();
    assert!(drive.step(Event::Displaced).contains(&Effect::EndProcess(Extent::Descendants)));
    drive.frame(2, hello(ALICE, 9, 0, close(0)));
    let effects = drive.step(Event::Ended(0));
    assert_eq!(effects, [Effect::Close(Link(2)), Effect::Stop]);
}

#[test]
fn a_superseded_client_may_not_close() {
    let mut drive = ServerDrive::attached();
    drive.frame(2, hello(BOB, 1, 0, claim(0)));
    drive.step(Event::TenureRecorded);
    let effects = drive.hello(3, 9, close(0));
    assert!(matches!(reason(&effects, 3), Some(Reason::Superseded { .. })));
}

#[test]
fn whoever_closes_anothers_session_supersedes_its_holder() {
    let mut drive = ServerDrive::attached();
    let effects = drive.frame(2, hello(BOB, 1, 0, close(0)));
    let [Frame::Superseded { by: Tenure(1), .. }] = sent_by_server(&effects, 1)[..] else {
        panic!("{effects:?}")
    };
    let effects = drive.step(Event::Ended(0));
    let Some(Effect::Bury(past)) = effects.first() else { panic!("{effects:?}") };
    let mut absent = ServerDrive::absent(past.clone());
    assert!(matches!(reason(&absent.hello(3, 9, open(1)), 3), Some(Reason::Superseded { .. })));
    let effects = absent.frame(4, hello(BOB, 2, 0, close(0)));
    assert_eq!(sent_by_server(&effects, 4), [Frame::Closed { attach: AttachNumber(2), ended: 0 }]);
}

#[test]
fn a_full_log_makes_the_process_wait_and_an_ack_lets_it_go_on() {
    let mut drive = ServerDrive::attached();
    let chunk = bytes::Bytes::from(vec![0; 60_000]);
    let mut count = 0;
    while drive.server.output_room() >= chunk.len() {
        drive.step(Event::Output(rejoin_protocol::Stream::Stdout, chunk.clone()));
        count += 1;
    }
    assert_eq!(count, 2);
    drive.frame(1, ack(1));
    assert!(drive.server.output_room() >= chunk.len());
}

#[test]
fn misbehaviour_costs_the_link_and_not_the_session() {
    for (frame, what) in [
        (item(9, input("x")), Misbehaviour::SkippedItems),
        (item(0, output("x")), Misbehaviour::WrongSide),
        (common::greeting(common::HOST), Misbehaviour::WrongSide),
        (item(0, Item::Input(vec![0; 131_072].into())), Misbehaviour::WindowExceeded),
    ] {
        let mut drive = ServerDrive::attached();
        let effects = drive.frame(1, frame);
        assert_eq!(sent_by_server(&effects, 1), [Frame::Bye(Bye::Misbehaved(what))]);
        assert_eq!(drive.server.name(), "Detached");
    }
}

#[test]
fn a_starting_server_takes_nothing_but_opens_for_the_process_that_it_starts() {
    for wish in [resume(EPOCH, 0), claim(0), close(0)] {
        let mut drive = ServerDrive::starting();
        let effects = drive.hello(2, 9, wish);
        assert_eq!(reason(&effects, 2), Some(Reason::Unresponsive));
        let started = drive.start(rejoin_protocol::spec::Overflow::Block);
        assert_eq!(welcomed(&started, 1), Some(How::Opened));
        assert_eq!(welcomed(&started, 2), None);
    }
}

#[test]
fn a_close_uses_up_the_incarnation_that_it_names_also_where_an_earlier_one_lives() {
    let mut drive = ServerDrive::attached();
    drive.hello(2, 2, close(1));
    let effects = drive.step(Event::Ended(0));
    assert_eq!(effects[0], Effect::Bury(past(1, 0)));
    let mut absent = ServerDrive::absent(past(1, 0));
    assert_eq!(reason(&absent.hello(3, 3, open(1)), 3), Some(Reason::ProcessGone));
}

#[test]
fn a_close_that_comes_while_the_process_is_ended_uses_up_its_incarnation_too() {
    let mut drive = ServerDrive::attached();
    drive.frame(1, Frame::Close);
    drive.hello(2, 2, close(7));
    assert_eq!(drive.step(Event::Ended(0))[0], Effect::Bury(past(7, 0)));
}

#[test]
fn a_claim_is_refused_where_no_tenure_is_left() {
    let mut drive = ServerDrive::absent(Past::default());
    drive.frame(1, hello(ALICE, 1, u64::MAX, open(0)));
    drive.start(rejoin_protocol::spec::Overflow::Block);
    for attach in [1, 2] {
        let effects = drive.frame(2, hello(BOB, attach, 0, claim(u64::MAX)));
        assert_eq!(reason(&effects, 2), Some(Reason::Exhausted(Counter::Tenure)));
    }
    assert_eq!(drive.server.attached(), Some(Link(1)), "the session stays whose it was");
}

#[test]
fn a_claimant_that_names_the_last_tenure_takes_nothing() {
    let mut drive = ServerDrive::attached();
    let effects = drive.frame(2, hello(BOB, 1, u64::MAX, claim(0)));
    assert_eq!(reason(&effects, 2), Some(Reason::Exhausted(Counter::Tenure)));
    assert_eq!(drive.server.attached(), Some(Link(1)));
}

#[test]
fn a_session_that_another_closes_at_the_last_tenure_starts_nothing_any_more() {
    let mut drive = ServerDrive::attached();
    drive.frame(2, hello(BOB, 1, u64::MAX, close(0)));
    assert_eq!(drive.step(Event::Ended(0))[0], Effect::Bury(past(u64::MAX, u64::MAX)));
}

/// What a step ends.
fn extent(effects: &[Effect]) -> Option<Extent> {
    effects.iter().find_map(|effect| match effect {
        Effect::EndProcess(extent) => Some(*extent),
        _ => None,
    })
}

fn exited() -> ServerDrive {
    let mut drive = ServerDrive::attached();
    drive.step(Event::Exited(ExitStatus::Code(0)));
    drive
}

#[test]
fn an_acknowledged_exit_hangs_up_and_a_close_or_the_end_of_retention_ends_everything() {
    assert_eq!(extent(&exited().frame(1, ack(1))), Some(Extent::HangUp));
    assert_eq!(extent(&ServerDrive::attached().frame(1, Frame::Close)), Some(Extent::Session));
    let mut detached = ServerDrive::attached();
    detached.step(Event::LinkLost(Link(1)));
    let effects = detached.step(Event::Timer(Timer::Retention));
    assert_eq!(extent(&effects), Some(Extent::Session));
}

#[test]
fn a_close_of_who_has_the_exit_hangs_up_and_any_other_ends_everything() {
    let of = |scope| Wish::Close { incarnation: Incarnation(0), scope };
    assert_eq!(extent(&exited().hello(2, 2, of(Scope::Process))), Some(Extent::HangUp));
    assert_eq!(extent(&exited().hello(2, 2, of(Scope::Session))), Some(Extent::Session));
    let mut living = ServerDrive::attached();
    assert_eq!(extent(&living.hello(2, 2, of(Scope::Process))), Some(Extent::Session));
}

#[test]
fn a_close_of_everything_does_not_wait_for_a_server_that_only_hangs_up() {
    let mut drive = exited();
    drive.frame(1, ack(1));
    let effects = drive.frame(2, hello(BOB, 1, 0, close(0)));
    assert_eq!(effects, [Effect::Send(Link(2), Frame::Bye(Bye::Ending)), Effect::Close(Link(2))]);
}

#[test]
fn closed_says_how_many_processes_were_ended() {
    let mut drive = ServerDrive::attached();
    drive.frame(1, Frame::Close);
    let effects = drive.step(Event::Ended(3));
    assert_eq!(sent_by_server(&effects, 1), [Frame::Closed { attach: AttachNumber(1), ended: 3 }]);
    let mut absent = ServerDrive::absent(Past { ended: 2, ..past(0, 0) });
    let effects = absent.hello(2, 1, close(0));
    assert_eq!(sent_by_server(&effects, 2), [Frame::Closed { attach: AttachNumber(1), ended: 2 }]);
}

#[test]
fn sends_no_closed_on_a_link_that_asked_for_something_else_meanwhile() {
    let mut drive = ServerDrive::attached();
    drive.frame(1, Frame::Close);
    let effects = drive.hello(1, 2, open(1));
    assert_eq!(effects, [Effect::Send(Link(1), Frame::Bye(Bye::Ending)), Effect::Close(Link(1))]);
    assert!(sent_by_server(&drive.step(Event::Ended(0)), 1).is_empty());
}

#[test]
fn a_link_that_was_closed_takes_nothing_over() {
    for closes in [Frame::Detach, ack(9)] {
        let mut drive = ServerDrive::attached();
        let mut claimant = hello(BOB, 1, 0, claim(0));
        drive.frame(1, claimant.clone());
        assert!(drive.frame(1, closes.clone()).contains(&Effect::Close(Link(1))));
        assert!(sent_by_server(&drive.step(Event::TenureRecorded), 1).is_empty(), "{closes:?}");
        assert_eq!(drive.server.attached(), None);
        // The takeover itself holds: the claimant comes back for it.
        if let Frame::Hello(hello) = &mut claimant {
            (hello.attach, hello.tenure) = (AttachNumber(2), Tenure(1));
        }
        assert_eq!(welcomed(&drive.frame(2, claimant), 2), Some(How::Claimed));
    }
}

#[test]
fn a_claim_that_comes_again_over_another_link_detaches_the_holder_from_the_one_that_it_closes() {
    let mut drive = ServerDrive::attached();
    drive.frame(1, hello(BOB, 1, 0, claim(0)));
    let effects = drive.frame(2, hello(BOB, 2, 0, claim(0)));
    assert!(effects.contains(&Effect::Close(Link(1))));
    assert_eq!(drive.server.attached(), None);
    assert_eq!(welcomed(&drive.step(Event::TenureRecorded), 2), Some(How::Claimed));
}

#[test]
fn a_link_that_was_closed_for_a_later_one_is_not_closed_again_as_a_claimants() {
    let mut drive = ServerDrive::attached();
    drive.frame(1, hello(BOB, 1, 0, claim(0)));
    let effects = drive.frame(2, hello(BOB, 2, 0, close(0)));
    let closed = effects.iter().filter(|effect| **effect == Effect::Close(Link(1)));
    assert_eq!(closed.count(), 1, "{effects:?}");
}
