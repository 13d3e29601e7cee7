//! A line of a recording is altered, as if a client or a server had been wrong: the property that is
//! broken is named, and every property of recordings is broken by some test.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod story;

use rejoin_model_check::properties::Property;
use rejoin_model_check::recording::{RecordedRun, Recording, Track, check};
use rejoin_protocol::client::{Effect, Event, Notice};
use rejoin_protocol::frame::{From, Hello, How, Refused, Scope, Wish};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::record::{ClientStep, ServerStep, Step};
use rejoin_protocol::server::{self, Limits, Past, Server};
use rejoin_protocol::spec::{Overflow, ProcessSpec};
use rejoin_protocol::{
    AttachNumber, Capabilities, ClientInstance, ClientName, Epoch, Frame, Holder, HostId,
    Incarnation, Link, Reason, Seq, SessionId, Tenure, Timer, Version, VersionRange,
};
use story::Story;

/// A cut, input on both sides of it, and the end.
fn whole() -> Vec<Recording> {
    let mut story = Story::begin();
    story.open();
    story.output("one");
    story.output("two");
    story.input("in");
    story.take(2);
    story.cut();
    story.output("three");
    story.reconnect();
    story.input("more");
    story.exit();
    story.finish();
    story.recordings()
}

/// A server is lost, and the process with it.
fn replaced() -> Vec<Recording> {
    let mut story = Story::begin();
    story.open();
    story.lose_server();
    story.replace();
    story.exit();
    story.finish();
    story.recordings()
}

const HOST: HostId = HostId { machine: [2; 16], boot: [3; 16] };
const EPOCH: Epoch = Epoch::from_bytes([7; 16]);

fn hello(instance: u8, attach: u64, wish: Wish) -> Hello {
    Hello {
        version: Version(1),
        session: SessionId::from_bytes([1; 16]),
        instance: ClientInstance::from_bytes([instance; 16]),
        name: ClientName::default(),
        attach: AttachNumber(attach),
        tenure: Tenure(0),
        wish,
    }
}

/// A server whose session changes hands.
fn taken_over() -> Vec<Recording> {
    let config = server::Config {
        session: SessionId::from_bytes([1; 16]),
        host: HOST,
        versions: VersionRange::SUPPORTED,
        capabilities: Capabilities::default(),
    };
    let limits = Limits { window: ProcessSpec::DEFAULT_WINDOW, overflow: Overflow::Block };
    let open = Wish::Open { incarnation: Incarnation(0), host: HOST, spec: "spec".into() };
    let holder = Holder { epoch: EPOCH, incarnation: Incarnation(0), tenure: Tenure(0) };
    let claim = Wish::Claim { expected: Some(holder), from: From::Latest };
    let events = [
        server::Event::Frame(Link(1), Frame::Hello(hello(4, 1, open))),
        server::Event::Started(EPOCH, limits),
        server::Event::Frame(Link(2), Frame::Hello(hello(5, 1, claim))),
        server::Event::TenureRecorded,
    ];
    let state = Server::Absent(Past::default());
    let mut machine = state.clone();
    let step = |event: server::Event| {
        let effects = machine.step(&config, event.clone());
        Step { event, effects }
    };
    let steps = events.into_iter().map(step).collect();
    let run = RecordedRun::Server(Track { config, state, steps });
    vec![Recording { name: "server".into(), run, torn: None, is_cut: false }]
}

fn client(recordings: &mut [Recording]) -> &mut Vec<ClientStep> {
    match &mut recordings[0].run {
        RecordedRun::Client(track) => &mut track.steps,
        _ => unreachable!("the first one is the client's"),
    }
}

/// The steps of the first server.
fn server(recordings: &mut [Recording]) -> &mut Vec<ServerStep> {
    let servers = recordings.iter_mut().filter_map(|recording| match &mut recording.run {
        RecordedRun::Server(track) => Some(&mut track.steps),
        _ => None,
    });
    servers.into_iter().next().expect("a server")
}

fn welcome_of(frame: &mut Frame) -> Option<&mut rejoin_protocol::frame::Welcome> {
    if let Frame::Welcome(welcome) = frame { Some(welcome) } else { None }
}

/// The last Welcome that a server sent.
fn sent_welcome(recordings: &mut [Recording]) -> &mut rejoin_protocol::frame::Welcome {
    let effects = server(recordings).iter_mut().flat_map(|step| &mut step.effects);
    let welcomes = effects.filter_map(|effect| match effect {
        server::Effect::Send(_, frame) => welcome_of(frame),
        _ => None,
    });
    welcomes.last().expect("a Welcome")
}

/// The Welcomes that a client read.
fn read_welcomes(
    recordings: &mut [Recording],
) -> impl DoubleEndedIterator<Item = &mut rejoin_protocol::frame::Welcome> {
    client(recordings).iter_mut().filter_map(|step| match &mut step.event {
        Event::Frame(_, frame) => welcome_of(frame),
        _ => None,
    })
}

/// The last Hello that a server read.
fn read_hello(recordings: &mut [Recording]) -> &mut Hello {
    let hellos = server(recordings).iter_mut().filter_map(|step| match &mut step.event {
        server::Event::Frame(_, Frame::Hello(hello)) => Some(hello),
        _ => None,
    });
    hellos.last().expect("a Hello")
}

/// The effects of the first client step that tells this, and where it stands among them.
fn telling(
    recordings: &mut [Recording],
    is_it: impl Fn(&Notice) -> bool,
) -> (&mut Vec<Effect>, usize) {
    let mut steps = client(recordings).iter_mut();
    let is_told = |effect: &Effect| matches!(effect, Effect::Tell(notice) if is_it(notice));
    let found = steps.find_map(|step| Some((step.effects.iter().position(is_told)?, step)));
    let (at, step) = found.expect("such a notice");
    (&mut step.effects, at)
}

/// Adds a step behind the first output of the server.
fn behind_output(recordings: &mut [Recording], event: server::Event, effects: server::Effects) {
    let steps = server(recordings);
    let is_output = |step: &ServerStep| matches!(step.event, server::Event::Output(..));
    let at = steps.iter().position(is_output).expect("an output");
    steps.insert(at + 1, ServerStep { event, effects });
}

fn ping(link: u64) -> server::Event {
    server::Event::Frame(Link(link), Frame::Ping { token: 0 })
}

fn is_ack(step: &ClientStep) -> bool {
    matches!(step.event, Event::Frame(_, Frame::Ack { .. }))
}

#[track_caller]
fn assert_found(
    property: Property,
    mut recordings: Vec<Recording>,
    alter: impl FnOnce(&mut [Recording]),
) {
    check(&recordings).unwrap_or_else(|found| panic!("before it is altered: {found}"));
    alter(&mut recordings);
    let found = check(&recordings).expect_err("it must be found");
    assert_eq!(found.property, property, "{found}");
}

#[test]
fn finds_input_and_output_that_is_forgotten_before_it_is_acknowledged() {
    assert_found(Property::InputIsKept, whole(), |recordings| {
        client(recordings).retain(|step| !is_ack(step));
        let welcome = read_welcomes(recordings).last().unwrap();
        (welcome.accepted, welcome.handed_over) = (Seq(0), Seq(0));
    });
    assert_found(Property::OutputIsKept, whole(), |recordings| {
        sent_welcome(recordings).first_output = Seq(3);
    });
}

#[test]
fn finds_a_log_beyond_its_window() {
    assert_found(Property::LogIsBounded, whole(), |recordings| {
        let started = server(recordings).iter_mut().find_map(|step| match &mut step.event {
            server::Event::Started(_, limits) => Some(limits),
            _ => None,
        });
        started.unwrap().window = 100;
    });
}

#[test]
fn finds_an_exit_that_comes_before_its_time() {
    assert_found(Property::ExitAfterOutput, whole(), |recordings| {
        let (effects, _) = telling(recordings, |notice| matches!(notice, Notice::Exited { .. }));
        effects.retain(|effect| !matches!(effect, Effect::Send(_, Frame::Ack { .. })));
        let taken = client(recordings).iter_mut().rev().find_map(|step| match &mut step.event {
            Event::Taken(next) => Some(next),
            _ => None,
        });
        *taken.unwrap() = Seq(3);
    });
    assert_found(Property::ExitIsAcknowledged, whole(), |recordings| {
        for step in server(recordings) {
            if let server::Event::Frame(link, Frame::Ack { next: Seq(4) } | Frame::Close) =
                step.event
            {
                step.event = ping(link.0);
            }
        }
    });
    assert_found(Property::ExitEndsNothingElse, whole(), |recordings| {
        let (effects, at) = telling(recordings, |notice| matches!(notice, Notice::Exited { .. }));
        let close = Wish::Close { incarnation: Incarnation(0), scope: Scope::Session };
        let hello = Frame::Hello(hello(4, 9, close));
        effects.insert(at + 1, Effect::Send(Link(2), hello));
    });
}

#[test]
fn finds_a_replacement_that_is_not_told_or_not_new() {
    let is_replaced = |notice: &Notice| matches!(notice, Notice::Replaced { .. });
    assert_found(Property::ReplacementIsTold, replaced(), |recordings| {
        let (effects, at) = telling(recordings, is_replaced);
        effects.remove(at);
    });
    assert_found(Property::IncarnationRises, replaced(), |recordings| {
        let (effects, at) = telling(recordings, is_replaced);
        let Effect::Tell(Notice::Replaced { old, new, .. }) = &mut effects[at] else {
            unreachable!()
        };
        *new = *old;
    });
    assert_found(Property::LossesAreExact, replaced(), |recordings| {
        let (effects, at) = telling(recordings, is_replaced);
        let Effect::Tell(Notice::Replaced { unacknowledged_input, .. }) = &mut effects[at] else {
            unreachable!()
        };
        *unacknowledged_input += 1;
    });
}

#[test]
fn finds_a_living_process_that_is_denied_or_left() {
    let refused = Refused {
        attach: AttachNumber(1),
        reason: Reason::ProcessGone,
        counters: Counters::default(),
    };
    assert_found(Property::LivingIsNotGone, whole(), |recordings| {
        let denial = server::Effect::Send(Link(1), Frame::Refused(refused));
        behind_output(recordings, ping(1), vec![denial]);
    });
    assert_found(Property::ProcessEndsFirst, whole(), |recordings| {
        let end = vec![server::Effect::Bury(Past::default()), server::Effect::Stop];
        behind_output(recordings, ping(1), end);
    });
}

#[test]
fn finds_an_open_on_a_guess() {
    assert_found(Property::OpenBehindGreeting, whole(), |recordings| {
        let greeting = client(recordings).iter_mut().find_map(|step| match &mut step.event {
            Event::Frame(_, Frame::Greeting(greeting)) => Some(greeting),
            _ => None,
        });
        greeting.unwrap().host.machine = [9; 16];
    });
}

#[test]
fn finds_a_late_loss_that_detaches() {
    assert_found(Property::LateLossIgnored, whole(), |recordings| {
        let retention = vec![server::Effect::Arm(Timer::Retention)];
        behind_output(recordings, server::Event::LinkLost(Link(9)), retention);
    });
}

#[test]
fn finds_a_tenure_that_is_not_carried_and_an_attach_that_is_not_newer() {
    assert_found(Property::TenureIsCarried, whole(), |recordings| {
        read_welcomes(recordings).next().unwrap().tenure = Tenure(5);
    });
    assert_found(Property::NewestIsServed, whole(), |recordings| {
        read_hello(recordings).attach = AttachNumber(1);
        sent_welcome(recordings).attach = AttachNumber(1);
    });
}

#[test]
fn finds_a_takeover_without_a_holder_a_tenure_or_a_record() {
    assert_found(Property::ClaimNamesHolder, taken_over(), |recordings| {
        let Wish::Claim { expected: Some(holder), .. } = &mut read_hello(recordings).wish else {
            unreachable!("the last Hello is a Claim")
        };
        holder.tenure = Tenure(7);
    });
    assert_found(Property::TenureRises, taken_over(), |recordings| {
        sent_welcome(recordings).tenure = Tenure(0);
    });
    assert_found(Property::TenureFirst, taken_over(), |recordings| {
        let effects = server(recordings).iter_mut().flat_map(|step| &mut step.effects);
        let recorded = effects.into_iter().find_map(|effect| match effect {
            server::Effect::RecordTenure(tenure, _) => Some(tenure),
            _ => None,
        });
        *recorded.unwrap() = Tenure(0);
    });
    assert_found(Property::SupersededIsDone, taken_over(), |recordings| {
        let mut welcome = sent_welcome(recordings).clone();
        (welcome.attach, welcome.how) = (AttachNumber(2), How::Resumed);
        let resume =
            Wish::Resume { incarnation: Incarnation(0), epoch: EPOCH, next_output: Seq(0) };
        let event = server::Event::Frame(Link(3), Frame::Hello(hello(4, 2, resume)));
        let welcome = server::Effect::Send(Link(3), Frame::Welcome(welcome));
        let effects = vec![server::Effect::Close(Link(2)), welcome];
        server(recordings).push(ServerStep { event, effects });
    });
}

#[test]
fn finds_numbers_that_cannot_be_and_a_loss_that_is_not_told() {
    assert_found(Property::NumbersFit, whole(), |recordings| {
        read_welcomes(recordings).last().unwrap().handed_over = Seq(0);
    });
    assert_found(Property::LossIsTold, whole(), |recordings| {
        let (effects, at) = telling(recordings, |notice| matches!(notice, Notice::Detached(_)));
        effects.remove(at);
    });
}

#[test]
fn finds_a_frame_for_a_link_that_is_not_there() {
    assert_found(Property::SentToOpenLink, whole(), |recordings| {
        let stray = Effect::Send(Link(7), Frame::Ping { token: 0 });
        client(recordings)[0].effects.push(stray);
    });
}

#[test]
fn every_property_of_recordings_is_broken_by_a_test() {
    let tests = [include_str!("broken.rs"), include_str!("recording.rs")].concat();
    for property in Property::ALL {
        let calls = [
            format!("assert_found(Property::{property:?},"),
            format!("assert_broken(&recordings, Property::{property:?})"),
            format!("assert_eq!(found.property, Property::{property:?},"),
        ];
        assert!(calls.iter().any(|call| tests.contains(call)), "{property:?} is not among them");
    }
}
