//! The machines' behaviour, one story each: the client's side.

mod common;

use common::drive::{ClientDrive, sent_by_client};
use common::{
    BOB, EPOCH, HOST, OTHER_EPOCH, OTHER_HOST, ack, exit, holder, input, item, output, refused,
};
use rejoin_protocol::client::{Effect, Event, Loss, Notice, OnLoss, Patience};
use rejoin_protocol::frame::{From, How, Scope, Wish};
use rejoin_protocol::reason::{SpawnError, SpawnErrorKind};
use rejoin_protocol::{
    AttachNumber, Client, ClientName, Frame, HostId, Incarnation, Item, Link, Reason, Seq, Signal,
    Tenure, Timer,
};

/// What payloads leave free of the tests' window for signals and sizes.
const RESERVE: u64 = 32 * Item::OVERHEAD;

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

#[test]
fn a_first_open_waits_for_the_greeting_and_names_its_host() {
    let mut drive = ClientDrive::open(OnLoss::Fail);
    let dialed = drive.dial();
    assert_eq!(sent_by_client(&dialed, drive.link), []);
    let greeted = drive.greet();
    let frames = sent_by_client(&greeted, drive.link);
    assert!(matches!(wish(&frames), Wish::Open { host, .. } if *host == HOST));
    assert!(greeted.contains(&Effect::Arm(Timer::GiveUp)), "an Open is not repeated for ever");
}

#[test]
fn a_resume_and_all_unacknowledged_input_go_out_without_waiting_for_the_greeting() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    for text in ["a", "b", "c"] {
        drive.input(input(text));
    }
    drive.frame(ack(1));
    drive.cut();
    let dialed = drive.dial();
    let frames = sent_by_client(&dialed, drive.link);
    assert!(matches!(wish(&frames), Wish::Resume { .. }));
    assert_eq!(frames[1..], [item(1, input("b")), item(2, input("c"))]);
}

#[test]
fn a_cut_during_the_hello_repeats_the_same_incarnation_with_a_higher_attach() {
    let mut drive = ClientDrive::open(OnLoss::Respawn);
    drive.dial();
    drive.greet();
    assert_eq!(told(&drive.cut()), [], "nothing was attached, nothing is told");
    drive.dial();
    drive.greet();
    let hello = drive.hello.unwrap();
    assert_eq!(hello.attach, AttachNumber(2));
    assert!(matches!(hello.wish, Wish::Open { incarnation: Incarnation(0), .. }));
}

#[test]
fn a_welcome_for_an_older_attach_is_ignored() {
    let mut drive = ClientDrive::open(OnLoss::Fail);
    drive.dial();
    drive.greet();
    drive.cut();
    drive.dial();
    drive.greet();
    let late = Frame::Welcome(common::welcome(1, How::Opened));
    assert_eq!(drive.frame(late), []);
    assert!(!drive.client.is_attached());
    drive.welcome();
    assert!(drive.client.is_attached());
}

#[test]
fn what_another_link_brings_is_ignored() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    drive.cut();
    drive.dial();
    drive.welcome();
    for frame in [item(0, output("zombie")), ack(9), refused(2, Reason::ProcessGone)] {
        assert_eq!(drive.step(Event::Frame(Link(1), frame)), []);
    }
    assert_eq!(drive.step(Event::LinkLost(Link(1))), []);
    assert!(drive.client.is_attached());
}

#[test]
fn a_cut_during_the_replay_delivers_each_item_once() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    drive.frame(item(0, output("a")));
    drive.cut();
    drive.dial();
    assert!(matches!(
        drive.hello.as_ref().unwrap().wish,
        Wish::Resume { next_output: Seq(1), epoch: EPOCH, .. }
    ));
    drive.welcome();
    assert_eq!(drive.frame(item(0, output("a"))), [], "what arrives twice is dropped");
    let delivered = drive.frame(item(1, output("b")));
    assert_eq!(delivered, [Effect::Deliver(Seq(1), output("b"))]);
}

#[test]
fn output_is_acknowledged_when_it_was_taken_and_again_with_the_next_welcome() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    let delivered = drive.frame(item(0, output("a")));
    assert_eq!(delivered, [Effect::Deliver(Seq(0), output("a"))], "no Ack yet");
    assert_eq!(drive.step(Event::Taken(Seq(1))), [Effect::Send(drive.link, ack(1))]);
    // That Ack is lost with its link: a server whose log is full would wait for it for ever.
    drive.cut();
    drive.dial();
    let welcomed = drive.welcome();
    assert_eq!(sent_by_client(&welcomed, drive.link), [ack(1)]);
}

#[test]
fn an_exit_is_told_once_it_was_taken_and_then_the_session_is_closed() {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    drive.input(input("never taken"));
    drive.frame(item(0, exit(3)));
    let taken = drive.step(Event::Taken(Seq(1)));
    let exited =
        Notice::Exited { status: rejoin_protocol::ExitStatus::Code(3), unacknowledged_input: 11 };
    assert_eq!(told(&taken), [exited]);
    assert_eq!(sent_by_client(&taken, drive.link), [ack(1), Frame::Close]);
    let closed = drive.frame(Frame::Closed { attach: AttachNumber(1), ended: 0 });
    assert_eq!(told(&closed), [Notice::Closed { ended: 0 }]);
    assert!(drive.client.is_ended());
}

#[test]
fn a_process_that_was_seen_to_exit_is_not_replaced() {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    drive.frame(item(0, exit(3)));
    drive.cut();
    drive.dial();
    drive.greet();
    let effects = drive.frame(refused(2, Reason::ProcessGone));
    assert_eq!(told(&effects), []);
    let taken = drive.step(Event::Taken(Seq(1)));
    assert!(matches!(told(&taken)[..], [Notice::Exited { .. }]));
}

#[test]
fn close_is_repeated_until_closed() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    assert!(drive.step(Event::Close).contains(&Effect::Send(Link(1), Frame::Close)));
    drive.cut();
    for attempt in 2..5 {
        drive.dial();
        let greeted = drive.greet();
        let frames = sent_by_client(&greeted, drive.link);
        assert!(matches!(wish(&frames), Wish::Close { incarnation: Incarnation(0), .. }));
        assert_eq!(drive.attach_number(), attempt);
        drive.cut();
    }
    drive.dial();
    drive.greet();
    let closed = drive.frame(Frame::Closed { attach: AttachNumber(5), ended: 0 });
    assert_eq!(told(&closed), [Notice::Closed { ended: 0 }]);
}

#[test]
fn a_close_without_an_answer_is_given_up_and_told() {
    let config = common::client_config(BOB, OnLoss::Fail);
    let client = Client::close(&config, Incarnation(0), Tenure(0));
    let mut drive = ClientDrive::new(config, client);
    let effects = drive.step(Event::Timer(Timer::Reconnect));
    assert!(effects.contains(&Effect::Arm(Timer::GiveUp)), "also when no link ever comes up");
    drive.step(Event::LinkFailed);
    let effects = drive.step(Event::Timer(Timer::GiveUp));
    assert_eq!(told(&effects), [Notice::GaveUp(Patience::Close)]);
}

#[test]
fn closing_before_anything_was_asked_for_ends_at_once() {
    let mut drive = ClientDrive::open(OnLoss::Fail);
    assert_eq!(told(&drive.step(Event::Close)), [Notice::Closed { ended: 0 }]);
    assert!(drive.client.is_ended());
}

#[test]
fn unacknowledged_input_never_goes_to_a_replacement() {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    drive.input(input("rm -r x"));
    drive.cut();
    drive.dial();
    drive.greet();
    let effects = drive.frame(refused(2, Reason::ProcessGone));
    let [Notice::Replaced { old, new, unacknowledged_input, .. }] = &told(&effects)[..] else {
        panic!("Replaced is told")
    };
    assert_eq!((*old, *new, *unacknowledged_input), (Incarnation(0), Incarnation(1), 7));
    let frames = sent_by_client(&effects, drive.link);
    assert!(matches!(wish(&frames), Wish::Open { incarnation: Incarnation(1), .. }));
    assert_eq!(sent_by_client(&drive.welcome(), drive.link), []);
    let typed = drive.input(input("ls"));
    assert_eq!(typed, [Effect::Send(drive.link, item(0, input("ls")))]);
}

#[test]
fn unacknowledged_input_does_not_reach_a_process_that_somebody_else_started() {
    let mut drive = ClientDrive::open(OnLoss::Respawn);
    drive.config.take_over = true;
    drive.client = Client::open(&drive.config);
    let mut drive = drive.attached();
    drive.input(input("rm -r x"));
    drive.cut();
    drive.dial();
    drive.greet();
    let by = rejoin_protocol::Holder { epoch: OTHER_EPOCH, ..holder(0) };
    let held = || Reason::Held { by, name: ClientName::new("bob") };
    let effects = drive.frame(refused(2, held()));
    assert!(matches!(told(&effects)[..], [Notice::Replaced { unacknowledged_input: 7, .. }]));
    drive.frame(refused(3, held()));
    let mut welcome = drive.matching();
    welcome.epoch = OTHER_EPOCH;
    let effects = drive.frame(Frame::Welcome(welcome));
    assert!(drive.client.is_attached());
    assert_eq!(sent_by_client(&effects, drive.link), []);
}

#[test]
fn a_lost_process_is_told_with_what_is_not_known() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    drive.input(input("abc"));
    drive.frame(item(0, output("x")));
    drive.cut();
    drive.dial();
    let reason = Reason::EpochMismatch { current: OTHER_EPOCH };
    let effects = drive.frame(refused(2, reason.clone()));
    let lost =
        Notice::Lost { reason, replacements: 0, unacknowledged_input: 3, next_output: Seq(1) };
    assert_eq!(told(&effects), [lost]);
    assert!(drive.client.is_ended());
}

#[test]
fn a_superseded_client_is_told_is_done_and_does_not_fight_back() {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    let name = ClientName::new("bob");
    let effects = drive.frame(Frame::Superseded { by: Tenure(1), name: name.clone() });
    assert_eq!(told(&effects), [Notice::Superseded { by: Tenure(1), name }]);
    for timer in [Timer::Reconnect, Timer::Handshake, Timer::GiveUp, Timer::Heartbeat] {
        assert_eq!(drive.step(Event::Timer(timer)), []);
    }
    assert_eq!(drive.step(Event::LinkOpened(Link(7))), [Effect::Close(Link(7))]);
    assert_eq!(drive.input(input("x")), [Effect::Return(input("x"))]);
}

#[test]
fn a_failed_start_is_told_and_not_repeated() {
    let mut drive = ClientDrive::open(OnLoss::Respawn);
    drive.dial();
    drive.greet();
    let reason = Reason::SpawnFailed(SpawnError::new(SpawnErrorKind::NotFound, "no such file"));
    let effects = drive.frame(refused(1, reason.clone()));
    assert_eq!(told(&effects), [Notice::Refused(reason)]);
    assert!(drive.client.is_ended());
}

#[test]
fn a_claimant_that_names_a_holder_takes_over_from_no_other() {
    let mut drive = ClientDrive::claim(BOB, Some(holder(0)), From::FirstHeld);
    drive.dial();
    drive.greet();
    let reason = Reason::Held { by: holder(4), name: ClientName::default() };
    let effects = drive.frame(refused(1, reason.clone()));
    assert_eq!(told(&effects), [Notice::Refused(reason)]);
}

#[test]
fn a_claimant_that_names_nobody_claims_once_from_who_is_there() {
    let mut drive = ClientDrive::claim(BOB, None, From::Latest);
    drive.dial();
    drive.greet();
    let held = |by| Reason::Held { by: holder(by), name: ClientName::default() };
    drive.frame(refused(1, held(4)));
    let Wish::Claim { expected, from } = &drive.hello.as_ref().unwrap().wish else {
        panic!("a second Claim")
    };
    assert_eq!((*expected, *from), (Some(holder(4)), From::Latest));
    let effects = drive.frame(refused(2, held(5)));
    assert_eq!(told(&effects), [Notice::Refused(held(5))], "another one came first");
}

#[test]
fn what_a_predecessor_left_takes_its_part_of_the_window_and_may_be_taken_after_a_cut() {
    let mut drive = ClientDrive::claim(BOB, Some(holder(0)), From::FirstHeld);
    drive.dial();
    drive.greet();
    let mut welcome = drive.matching();
    (welcome.accepted, welcome.handed_over) = (Seq(3), Seq(1));
    welcome.buffered = common::WINDOW - 100 - RESERVE;
    drive.frame(Frame::Welcome(welcome.clone()));
    assert_eq!(drive.client.input_room(), 36);
    drive.cut();
    drive.dial();
    let mut resumed = drive.matching();
    (resumed.tenure, resumed.accepted, resumed.handed_over) = (Tenure(1), Seq(3), Seq(1));
    drive.frame(Frame::Welcome(resumed));
    drive.frame(ack(3));
    assert!(drive.client.is_attached());
    assert!(drive.client.input_room() > 36);
}

#[test]
fn acknowledging_what_was_never_sent_is_diverged() {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    drive.input(input("a"));
    let effects = drive.frame(ack(2));
    assert!(matches!(told(&effects)[..], [Notice::Refused(Reason::Diverged(_))]));
    assert!(drive.client.is_ended());
}

#[test]
fn a_welcome_with_impossible_numbers_is_diverged() {
    type Change = fn(&mut rejoin_protocol::frame::Welcome);
    let changes: [Change; 5] = [
        |welcome| welcome.epoch = OTHER_EPOCH,
        |welcome| welcome.accepted = Seq(9),
        |welcome| welcome.first_output = Seq(1),
        |welcome| welcome.handed_over = Seq(1),
        |welcome| welcome.tenure = Tenure(1),
    ];
    for change in changes {
        let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
        drive.frame(item(0, output("not taken")));
        drive.cut();
        drive.dial();
        let mut welcome = drive.matching();
        change(&mut welcome);
        let effects = drive.frame(Frame::Welcome(welcome));
        assert!(matches!(told(&effects)[..], [Notice::Refused(Reason::Diverged(_))]));
    }
}

#[test]
fn another_host_is_not_asked_and_the_wait_has_an_end() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    drive.cut();
    drive.dial();
    let effects = drive.frame(common::greeting(OTHER_HOST));
    let hindered = Notice::Hindered(Reason::DifferentHost { host: OTHER_HOST });
    assert_eq!(told(&effects), [hindered]);
    assert!(effects.contains(&Effect::Arm(Timer::GiveUp)));
    assert_eq!(drive.client.name(), "Detached");
    let effects = drive.step(Event::Timer(Timer::GiveUp));
    assert_eq!(told(&effects), [Notice::GaveUp(Patience::Hindrance)]);
}

#[test]
fn the_same_machine_in_another_boot_is_the_same_host() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    drive.cut();
    drive.dial();
    let rebooted = HostId { boot: [9; 16], ..HOST };
    assert_eq!(drive.frame(common::greeting(rebooted)), []);
}

#[test]
fn an_open_sent_to_an_earlier_boot_is_not_repeated_as_it_may_have_started() {
    let rebooted = HostId { boot: [9; 16], ..HOST };
    for on_loss in [OnLoss::Fail, OnLoss::Respawn] {
        let mut drive = ClientDrive::open(on_loss);
        drive.dial();
        drive.greet();
        drive.cut();
        drive.dial();
        let effects = drive.frame(common::greeting(rebooted));
        match (on_loss, &told(&effects)[..]) {
            (OnLoss::Fail, [Notice::Lost { reason: Reason::ProcessGone, .. }]) => {}
            (OnLoss::Respawn, [Notice::Replaced { new: Incarnation(1), .. }]) => {
                let sent = sent_by_client(&effects, drive.link);
                let Wish::Open { incarnation, host, .. } = wish(&sent) else { panic!("{sent:?}") };
                assert_eq!((*incarnation, *host), (Incarnation(1), rebooted));
            }
            (_, told) => panic!("{told:?}"),
        }
    }
}

#[test]
fn a_host_that_never_speaks_the_protocol_is_given_up() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    drive.cut();
    drive.dial();
    let effects = drive.frame(Frame::Detach);
    assert!(effects.contains(&Effect::Arm(Timer::GiveUp)));
    assert_eq!(
        told(&drive.step(Event::Timer(Timer::GiveUp))),
        [Notice::GaveUp(Patience::Hindrance)]
    );
}

#[test]
fn a_network_that_is_away_ends_the_wait_for_a_hindrance() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    drive.cut();
    drive.dial();
    drive.frame(common::greeting(OTHER_HOST));
    drive.step(Event::Timer(Timer::Reconnect));
    assert!(drive.step(Event::LinkFailed).contains(&Effect::Disarm(Timer::GiveUp)));
    assert_eq!(drive.step(Event::Timer(Timer::GiveUp)), []);
}

#[test]
fn a_bad_frame_costs_the_link_and_not_the_session() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    drive.input(input("kept"));
    let effects = drive.frame(item(5, output("too far")));
    assert!(matches!(told(&effects)[..], [Notice::Detached(Loss::Misbehaved(_))]));
    let dialed = drive.dial();
    assert_eq!(sent_by_client(&dialed, drive.link)[1], item(0, input("kept")));
}

#[test]
fn input_without_room_comes_back() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    let large = Item::Input(vec![0; 65_536].into());
    drive.input(large.clone());
    assert_eq!(drive.client.input_room(), 65_536 - 128 - 2048);
    assert_eq!(drive.input(large.clone()), [Effect::Return(large)]);
    assert_eq!(drive.input(output("not input")), [Effect::Return(output("not input"))]);
}

#[test]
fn a_resume_sends_a_part_at_once_and_goes_on_behind_what_had_arrived() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    let large = || Item::Input(vec![0; 6_000].into());
    for _ in 0..4 {
        drive.input(large());
    }
    drive.cut();
    let early = sent_by_client(&drive.dial(), drive.link);
    assert_eq!(early[1..], [item(0, large()), item(1, large()), item(2, large())]);
    drive.greet();
    let mut welcome = drive.matching();
    (welcome.accepted, welcome.handed_over) = (Seq(4), Seq(1));
    let effects = drive.frame(Frame::Welcome(welcome));
    assert_eq!(sent_by_client(&effects, drive.link), []);
    let effects = drive.input(input("next"));
    assert_eq!(sent_by_client(&effects, drive.link), [item(4, input("next"))]);
}

#[test]
fn signals_and_sizes_find_room_where_bytes_find_none() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    while drive.client.input_room() > 0 {
        let most = vec![0; drive.client.input_room()];
        drive.input(Item::Input(most.into()));
    }
    let effects = drive.input(Item::Signal(Signal::INT));
    assert_eq!(sent_by_client(&effects, drive.link), [item(2, Item::Signal(Signal::INT))]);
}

#[test]
fn leaving_keeps_the_process() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    let effects = drive.step(Event::Detach);
    assert_eq!(sent_by_client(&effects, drive.link), [Frame::Detach]);
    assert_eq!(told(&effects), []);
    assert!(drive.client.is_ended());
}

#[test]
fn an_open_joins_another_process_that_lives_after_all() {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    drive.input(input("lost"));
    drive.cut();
    drive.dial();
    drive.greet();
    let replaced = drive.frame(refused(drive.attach_number(), Reason::Unknown));
    assert!(matches!(told(&replaced)[..], [Notice::Replaced { new: Incarnation(1), .. }]));
    let mut welcome = drive.matching();
    welcome.how = How::Opened;
    welcome.epoch = EPOCH;
    welcome.incarnation = Incarnation(0);
    (welcome.accepted, welcome.handed_over) = (Seq(1), Seq(1));
    let effects = drive.frame(Frame::Welcome(welcome));
    assert!(matches!(told(&effects)[..], [Notice::Attached { incarnation: Incarnation(0), .. }]));
    let frames = sent_by_client(&drive.input(input("new")), drive.link);
    assert_eq!(frames, [item(1, input("new"))], "what has an unknown fate is not sent again");
}

#[test]
fn input_that_is_longer_than_an_item_may_be_is_returned() {
    let mut drive = ClientDrive::open(OnLoss::Fail).attached();
    let longest = Item::Input(vec![0; Item::MAX_PAYLOAD].into());
    assert!(!drive.input(longest.clone()).contains(&Effect::Return(longest)));
    let longer = Item::Input(vec![0; Item::MAX_PAYLOAD + 1].into());
    assert_eq!(drive.input(longer.clone()), [Effect::Return(longer)]);
}

#[test]
fn a_close_that_is_repeated_after_the_exit_ends_no_daemon() {
    let scope = |drive: &ClientDrive| match drive.hello.as_ref().map(|hello| &hello.wish) {
        Some(Wish::Close { scope, .. }) => Some(*scope),
        _ => None,
    };
    let mut ended = ClientDrive::open(OnLoss::Fail).attached();
    ended.frame(item(0, exit(0)));
    ended.step(Event::Taken(Seq(1)));
    let mut closed = ClientDrive::open(OnLoss::Fail).attached();
    closed.step(Event::Close);
    for (mut drive, expected) in [(ended, Scope::Process), (closed, Scope::Session)] {
        drive.cut();
        drive.dial();
        drive.greet();
        assert_eq!(scope(&drive), Some(expected));
    }
}
