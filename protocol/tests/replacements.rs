//! How often a client replaces a process that is lost, and what it makes of counters at their end.

mod common;

use common::drive::{ClientDrive, sent_by_client};
use common::{BOB, refused};
use rejoin_protocol::client::{Effect, Event, MAX_REPLACEMENTS, Notice, OnLoss};
use rejoin_protocol::frame::{From, Refused, Wish};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::{AttachNumber, Counter, Frame, Incarnation, Reason, Tenure, Timer};

fn told(effects: &[Effect]) -> Vec<Notice> {
    let notices = effects.iter().filter_map(|effect| match effect {
        Effect::Tell(notice) => Some(notice.clone()),
        _ => None,
    });
    notices.collect()
}

fn wish(frames: &[Frame]) -> &Wish {
    let Some(Frame::Hello(hello)) = frames.first() else { panic!("a Hello first: {frames:?}") };
    &hello.wish
}

/// The answer of a host that has used up the last incarnation.
fn gone_with(attach: u64, used: u64, tenure: u64) -> Frame {
    let used = Some(Incarnation(used));
    let counters = Counters { used, tenure: Tenure(tenure), epoch: None };
    Frame::Refused(Refused { attach: AttachNumber(attach), reason: Reason::ProcessGone, counters })
}

fn lost_because(effects: &[Effect]) -> Option<(Reason, u8)> {
    match &told(effects)[..] {
        [Notice::Lost { reason, replacements, .. }] => Some((reason.clone(), *replacements)),
        _ => None,
    }
}

#[test]
fn a_process_after_the_last_incarnation_is_lost_and_not_replaced() {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    drive.cut();
    drive.dial();
    drive.greet();
    let effects = drive.frame(gone_with(2, u64::MAX, 0));
    assert_eq!(lost_because(&effects), Some((Reason::Exhausted(Counter::Incarnation), 0)));
    assert!(drive.client.is_ended());
}

#[test]
fn a_claimant_after_the_last_tenure_does_not_open() {
    let mut drive = ClientDrive::claim(BOB, None, From::FirstHeld);
    drive.dial();
    drive.greet();
    let effects = drive.frame(gone_with(1, 0, u64::MAX));
    assert_eq!(lost_because(&effects), Some((Reason::Exhausted(Counter::Tenure), 0)));
}

#[test]
fn the_first_lost_process_is_replaced_at_once_and_the_next_ones_after_the_back_off() {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    drive.cut();
    drive.dial();
    drive.greet();
    let effects = drive.frame(refused(2, Reason::ProcessGone));
    assert!(matches!(wish(&sent_by_client(&effects, drive.link)), Wish::Open { .. }));
    let effects = drive.frame(refused(3, Reason::ProcessGone));
    assert_eq!(sent_by_client(&effects, drive.link), [], "not on the same link");
    assert!(effects.contains(&Effect::Close(drive.link)));
    assert!(effects.contains(&Effect::Arm(Timer::Reconnect)));
}

#[test]
fn a_host_that_loses_every_process_is_given_up_after_a_few() {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    for replaced in 0..MAX_REPLACEMENTS {
        lose(&mut drive);
        assert_eq!(drive.client.replacements(), replaced + 1);
        drive.welcome_again();
    }
    drive.cut();
    drive.dial();
    drive.greet();
    let effects = drive.frame(refused(drive.attach_number(), Reason::ProcessGone));
    assert_eq!(lost_because(&effects), Some((Reason::ProcessGone, MAX_REPLACEMENTS)));
}

#[test]
fn a_replacement_that_stays_attached_begins_the_count_anew() {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    lose(&mut drive);
    let effects = drive.welcome_again();
    assert!(effects.contains(&Effect::Arm(Timer::Stable)));
    drive.step(Event::Timer(Timer::Stable));
    assert_eq!(drive.client.replacements(), 0);
    assert!(drive.cut().iter().all(|effect| *effect != Effect::Disarm(Timer::Stable)));
}

/// The process is gone when the client comes back.
fn lose(drive: &mut ClientDrive) {
    drive.cut();
    drive.dial();
    drive.greet();
    let effects = drive.frame(refused(drive.attach_number(), Reason::ProcessGone));
    assert!(matches!(told(&effects)[..], [Notice::Replaced { .. }]), "{effects:?}");
}
