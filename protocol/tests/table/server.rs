//! The server's states and events.

use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::frame::{Bye, From, Hello, How, Wish};
use rejoin_protocol::server::{Event, Limits, Past};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{
    ClientInstance, ClientName, Epoch, ExitStatus, Frame, Holder, Incarnation, Item, Link, Reason,
    Seq, SessionId, SpawnError, SpawnErrorKind, Stream, Tenure, Version,
};

use super::Line;
use super::client::all_timers;
use crate::common::drive::{FAR, FAR_SEQ, ServerDrive, past};
use crate::common::show::{BAD_BYTES, effects, server_effect};
use crate::common::{
    self, ALICE, BOB, EPOCH, OTHER_EPOCH, OTHER_HOST, ack, close, greeting, hello, holder, input,
    item, open, output, resume,
};

pub fn lines() -> Vec<Line> {
    let states = states();
    states.iter().flat_map(|(state, drive)| lines_of(state, drive)).collect()
}

fn lines_of(state: &str, before: &ServerDrive) -> Vec<Line> {
    let lines = events(before).into_iter().map(|(event, what)| {
        let mut after = before.clone();
        let caused = after.step(what);
        Line {
            state: state.to_owned(),
            name: before.server.name(),
            event,
            after: after.server.name(),
            is_same: after.server == before.server,
            effects: effects(&caused, server_effect),
        }
    });
    lines.collect()
}

type State = (&'static str, ServerDrive);

fn states() -> Vec<State> {
    [absent(), starting(), serving(), taking_over(), ending()].concat()
}

fn after(mut drive: ServerDrive, script: impl FnOnce(&mut ServerDrive)) -> ServerDrive {
    script(&mut drive);
    drive
}

fn failure() -> SpawnError {
    SpawnError::new(SpawnErrorKind::NotFound, "no such file")
}

fn absent() -> Vec<State> {
    let failed = Past { failed: Some((Incarnation(0), failure())), ..past(0, 0) };
    vec![
        ("absent-empty", ServerDrive::absent(Past::default())),
        ("absent-used", ServerDrive::absent(past(0, 0))),
        ("absent-failed", ServerDrive::absent(failed)),
        ("absent-tenure-1", ServerDrive::absent(past(1, 1))),
    ]
}

fn starting() -> Vec<State> {
    let starting = ServerDrive::starting();
    let alone = after(starting.clone(), |drive| drop(drive.step(Event::LinkLost(Link(1)))));
    vec![("starting", starting), ("starting-alone", alone)]
}

/// Attached by attach 3 on link 1: input 0 taken and 1 not; output 0 acknowledged, 1 and 2 not.
fn busy() -> ServerDrive {
    after(ServerDrive::attached(), |drive| {
        drive.hello(1, 3, resume(EPOCH, 0));
        drive.frame(1, item(0, input("a")));
        drive.frame(1, item(1, input("bc")));
        drive.step(Event::InputTaken(Seq(1)));
        drive.output("x");
        drive.output("yz");
        drive.output("end");
        drive.frame(1, ack(1));
    })
}

fn cut(drive: ServerDrive) -> ServerDrive {
    after(drive, |drive| drop(drive.step(Event::LinkLost(Link(1)))))
}

fn exited() -> ServerDrive {
    after(busy(), |drive| drop(drive.step(Event::Exited(ExitStatus::Code(3)))))
}

fn serving() -> Vec<State> {
    vec![
        ("attached", ServerDrive::attached()),
        ("attached-busy", busy()),
        ("detached", cut(busy())),
        ("exited-attached", exited()),
        ("exited-detached", cut(exited())),
    ]
}

fn claim(expected: Option<Holder>, from: From) -> Wish {
    Wish::Claim { expected, from }
}

fn taking_over() -> Vec<State> {
    let claimed = after(busy(), |drive| {
        drive.frame(2, hello(BOB, 1, 0, claim(Some(holder(0)), From::FirstHeld)));
    });
    let gone = after(claimed.clone(), |drive| drop(drive.step(Event::LinkLost(Link(2)))));
    let done = after(claimed.clone(), |drive| drop(drive.step(Event::TenureRecorded)));
    vec![("taking-over", claimed), ("taking-over-alone", gone), ("taken-over", done)]
}

fn ending() -> Vec<State> {
    let waited = after(busy(), |drive| drop(drive.frame(1, Frame::Close)));
    let alone = after(cut(busy()), |drive| {
        drive.step(Event::Timer(rejoin_protocol::Timer::Retention));
    });
    let displaced = after(waited.clone(), |drive| drop(drive.step(Event::Displaced)));
    let gone = after(waited.clone(), |drive| drop(drive.step(Event::Ended(0))));
    vec![
        ("ending-waited-for", waited),
        ("ending", alone),
        ("ending-displaced", displaced),
        ("gone", gone),
    ]
}

type Named = (String, Event);

fn events(state: &ServerDrive) -> Vec<Named> {
    let current = state.server.attached().unwrap_or(Link(1));
    let mut events = Vec::new();
    for (who, instance, attach, tenure) in [
        ("owner", ALICE, 10, 0),
        ("owner stale", ALICE, 1, 0),
        ("bob again", BOB, 10, 1),
        ("other", ClientInstance::from_bytes([0xcc; 16]), 1, 1),
        ("other, tenure 0", ClientInstance::from_bytes([0xcc; 16]), 1, 0),
    ] {
        for (name, wish) in wishes() {
            let frame = hello(instance, attach, tenure, wish);
            events.push((format!("{who}: {name}"), Event::Frame(Link(7), frame)));
        }
    }
    let second = hello(ALICE, 10, 0, resume(EPOCH, 1));
    events.push(("same link: Resume".into(), Event::Frame(current, second)));
    for (name, frame) in objectionable().into_iter().chain(frames()) {
        events.push((name.into(), Event::Frame(current, frame)));
    }
    for (name, frame) in late() {
        events.push((format!("old link: {name}"), Event::Frame(Link(99), frame)));
    }
    [events, links(current), timers(), process()].concat()
}

fn wishes() -> Vec<(&'static str, Wish)> {
    let other = Holder { epoch: OTHER_EPOCH, ..holder(0) };
    let incarnation = Incarnation(1);
    let identity = Wish::Resume { incarnation, epoch: EPOCH, next_output: Seq(1) };
    vec![
        ("Open 0", open(0)),
        ("Open 1", open(1)),
        ("Open 2", open(2)),
        (
            "Open other host",
            Wish::Open { incarnation, host: OTHER_HOST, spec: bytes::Bytes::default() },
        ),
        ("Resume", resume(EPOCH, 1)),
        ("Resume all seen", resume(EPOCH, 3)),
        ("Resume behind", resume(EPOCH, 0)),
        ("Resume ahead", resume(EPOCH, FAR_SEQ.0)),
        ("Resume other epoch", resume(OTHER_EPOCH, 1)),
        ("Resume other incarnation", identity),
        ("Claim whoever", claim(None, From::FirstHeld)),
        ("Claim tenure 0", claim(Some(holder(0)), From::FirstHeld)),
        ("Claim tenure 1", claim(Some(holder(1)), From::Latest)),
        ("Claim other epoch", claim(Some(other), From::FirstHeld)),
        ("Claim from 0", claim(Some(holder(0)), From::Seq(Seq(0)))),
        ("Claim from 2", claim(Some(holder(0)), From::Seq(Seq(2)))),
        ("Claim from far", claim(Some(holder(0)), From::Seq(FAR_SEQ))),
        ("Close 0", close(0)),
        ("Close 5", close(5)),
    ]
}

fn objectionable() -> Vec<(&'static str, Frame)> {
    let with = |change: fn(&mut Hello)| {
        let mut frame = hello(ALICE, 10, 0, close(0));
        if let Frame::Hello(hello) = &mut frame {
            change(hello);
        }
        frame
    };
    vec![
        ("Hello other version", with(|hello| hello.version = Version(9))),
        ("Hello other session", with(|hello| hello.session = SessionId::from_bytes([0; 16]))),
    ]
}

fn frames() -> Vec<(&'static str, Frame)> {
    let large = Item::Input(vec![0; usize::try_from(common::WINDOW).unwrap()].into());
    vec![
        ("Item 0", item(0, input("a"))),
        ("Item 2", item(2, input("new"))),
        ("Item 2 too large", item(2, large)),
        ("Item far ahead", item(FAR_SEQ.0, input("x"))),
        ("Item of output", item(0, output("x"))),
        ("Ack 1", ack(1)),
        ("Ack 2", ack(2)),
        ("Ack 4", ack(4)),
        ("Ack too far", ack(FAR_SEQ.0)),
        ("Ping", Frame::Ping { token: 7 }),
        ("Pong", Frame::Pong { token: 7 }),
        ("Detach", Frame::Detach),
        ("Close", Frame::Close),
        ("Bye", Frame::Bye(Bye::Ending)),
        ("Greeting (wrong side)", greeting(common::HOST)),
        ("Welcome (wrong side)", Frame::Welcome(common::welcome(1, How::Opened))),
        ("Refused (wrong side)", common::refused(1, Reason::Unknown)),
        (
            "Superseded (wrong side)",
            Frame::Superseded { by: Tenure(1), name: ClientName::default() },
        ),
        ("Closed (wrong side)", Frame::Closed { attach: FAR, ended: 0 }),
    ]
}

fn late() -> Vec<(&'static str, Frame)> {
    vec![
        ("Item", item(2, input("zombie"))),
        ("Ack", ack(2)),
        ("Ping", Frame::Ping { token: 7 }),
        ("Detach", Frame::Detach),
        ("Close", Frame::Close),
    ]
}

fn links(current: Link) -> Vec<Named> {
    let bad = Misbehaviour::Frame(BAD_BYTES);
    [
        ("LinkLost", Event::LinkLost(current)),
        ("LinkMisbehaved", Event::LinkMisbehaved(current, bad)),
        ("claimant: LinkLost", Event::LinkLost(Link(2))),
        ("old link: LinkLost", Event::LinkLost(Link(99))),
        ("old link: LinkMisbehaved", Event::LinkMisbehaved(Link(99), bad)),
    ]
    .map(|(name, event)| (name.to_owned(), event))
    .to_vec()
}

fn timers() -> Vec<Named> {
    all_timers().map(|timer| (format!("{timer:?} fired"), Event::Timer(timer))).to_vec()
}

fn process() -> Vec<Named> {
    let limits = Limits { window: common::WINDOW, overflow: Overflow::Block };
    let started = |epoch: Epoch| Event::Started(epoch, limits);
    [
        ("Started", started(EPOCH)),
        ("StartFailed", Event::StartFailed(failure())),
        ("TenureRecorded", Event::TenureRecorded),
        ("TenureNotRecorded", Event::TenureNotRecorded),
        ("InputTaken 1", Event::InputTaken(Seq(1))),
        ("InputTaken 2", Event::InputTaken(Seq(2))),
        ("InputTaken too far", Event::InputTaken(FAR_SEQ)),
        ("Output", Event::Output(Stream::Stderr, bytes::Bytes::from_static(b"more"))),
        ("Output, empty", Event::Output(Stream::Stdout, bytes::Bytes::new())),
        ("Exited", Event::Exited(ExitStatus::Code(0))),
        ("Ended", Event::Ended(0)),
        ("Displaced", Event::Displaced),
    ]
    .map(|(name, event)| (name.to_owned(), event))
    .to_vec()
}
