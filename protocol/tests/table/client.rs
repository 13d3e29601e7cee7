//! The client's states and events.

use rejoin_protocol::client::{Event, OnLoss};
use rejoin_protocol::error::Misbehaviour;
use rejoin_protocol::frame::{Bye, From, How, Welcome};
use rejoin_protocol::{
    AttachNumber, Client, ClientName, Frame, HostId, Incarnation, Item, Link, Reason, Seq, Tenure,
    Timer, Version, VersionRange,
};

use super::Line;
use crate::common::catalogue::reasons;
use crate::common::drive::{ClientDrive, FAR, FAR_SEQ};
use crate::common::show::{BAD_BYTES, client_effect, effects};
use crate::common::{
    self, ALICE, BOB, HOST, OTHER_EPOCH, OTHER_HOST, ack, client_config, close, exit, greeting,
    hello, holder, input, item, output, refused,
};

pub fn lines() -> Vec<Line> {
    let states = states();
    states.iter().flat_map(|(state, drive)| lines_of(state, drive)).collect()
}

fn lines_of(state: &str, before: &ClientDrive) -> Vec<Line> {
    let lines = events(before).into_iter().map(|(event, what)| {
        let mut after = before.clone();
        let caused = after.step(what);
        Line {
            state: state.to_owned(),
            name: before.client.name(),
            event,
            after: after.client.name(),
            is_same: after.client == before.client,
            effects: effects(&caused, client_effect),
        }
    });
    lines.collect()
}

type State = (&'static str, ClientDrive);

fn states() -> Vec<State> {
    [waiting(), asking(), claiming(), attached(), closing(), ended()].concat()
}

/// One input sent and one not acknowledged; one output taken and one not.
fn busy(on_loss: OnLoss) -> ClientDrive {
    let mut drive = ClientDrive::open(on_loss).attached();
    drive.input(input("a"));
    drive.input(input("bc"));
    drive.frame(ack(1));
    drive.frame(item(0, output("x")));
    drive.frame(item(1, output("yz")));
    drive.step(Event::Taken(Seq(1)));
    drive
}

fn after(mut drive: ClientDrive, script: impl FnOnce(&mut ClientDrive)) -> ClientDrive {
    script(&mut drive);
    drive
}

fn dialing(drive: ClientDrive) -> ClientDrive {
    after(drive, |drive| drop(drive.step(Event::Timer(Timer::Reconnect))))
}

fn waiting() -> Vec<State> {
    let fresh = ClientDrive::open(OnLoss::Respawn);
    let hindered = after(fresh.clone(), |drive| {
        drive.dial();
        drive.greet();
        let attach = drive.attach_number();
        drive.frame(refused(attach, Reason::Unresponsive));
    });
    vec![
        ("fresh", fresh.clone()),
        ("fresh-dialing", dialing(fresh.clone())),
        ("fresh-greeting", after(fresh, |drive| drop(drive.dial()))),
        ("hindered", hindered),
        ("detached", after(busy(OnLoss::Respawn), |drive| drop(drive.cut()))),
    ]
}

fn asking() -> Vec<State> {
    let opening = after(ClientDrive::open(OnLoss::Respawn), |drive| {
        drive.dial();
        drive.greet();
    });
    let resuming = |on_loss| {
        after(busy(on_loss), |drive| {
            drive.cut();
            drive.dial();
        })
    };
    let greeted = after(resuming(OnLoss::Respawn), |drive| drop(drive.greet()));
    vec![
        ("opening", opening),
        ("resuming", resuming(OnLoss::Respawn)),
        ("resuming-greeted", greeted),
        ("resuming-or-fail", resuming(OnLoss::Fail)),
    ]
}

fn claiming() -> Vec<State> {
    let asked = |expected| {
        after(ClientDrive::claim(BOB, expected, From::FirstHeld), |drive| {
            drive.dial();
            drive.greet();
        })
    };
    vec![
        ("claiming-whoever", asked(None)),
        ("claiming-from", asked(Some(holder(0)))),
        ("claimed", ClientDrive::claim(BOB, Some(holder(0)), From::Latest).attached()),
    ]
}

fn attached() -> Vec<State> {
    let exited = after(busy(OnLoss::Respawn), |drive| drop(drive.frame(item(2, exit(3)))));
    let resuming = after(exited.clone(), |drive| {
        drive.cut();
        drive.dial();
    });
    vec![
        ("attached", ClientDrive::open(OnLoss::Respawn).attached()),
        ("attached-busy", busy(OnLoss::Respawn)),
        ("attached-exited", exited.clone()),
        ("detached-exited", after(exited.clone(), |drive| drop(drive.cut()))),
        ("resuming-exited", resuming),
    ]
}

fn closing() -> Vec<State> {
    let closing = after(busy(OnLoss::Respawn), |drive| drop(drive.step(Event::Close)));
    let cut = after(closing.clone(), |drive| drop(drive.cut()));
    let greeting = after(cut.clone(), |drive| drop(drive.dial()));
    let asked = after(greeting.clone(), |drive| drop(drive.greet()));
    let config = client_config(ALICE, OnLoss::Fail);
    let client = Client::close(&config, Incarnation(2), Tenure(1));
    vec![
        ("closing-attached", closing),
        ("closing-detached", cut.clone()),
        ("closing-dialing", dialing(cut)),
        ("closing-greeting", greeting),
        ("closing-asked", asked),
        ("fresh-closer", ClientDrive::new(config, client)),
    ]
}

fn ended() -> Vec<State> {
    let ended = after(busy(OnLoss::Respawn), |drive| {
        drive.frame(Frame::Superseded { by: Tenure(1), name: ClientName::default() });
    });
    vec![("ended", ended)]
}

type Named = (String, Event);

fn events(state: &ClientDrive) -> Vec<Named> {
    let current = state.link;
    let mut events = Vec::new();
    let mut from = |link: Link, prefix: &str, frames: Vec<(String, Frame)>| {
        for (name, frame) in frames {
            events.push((format!("{prefix}{name}"), Event::Frame(link, frame)));
        }
    };
    let old = Link(99);
    from(current, "", greetings());
    from(current, "", welcomes(state));
    from(current, "", refusals(state));
    from(current, "", others(state));
    let welcome = Frame::Welcome(state.matching());
    let attach = state.attach_number();
    from(
        old,
        "old link: ",
        vec![
            ("Greeting".into(), greeting(HOST)),
            ("Welcome".into(), welcome),
            ("Refused".into(), refused(attach, Reason::ProcessGone)),
            ("Item".into(), item(state.client.next_output().0, output("zombie"))),
            ("Ack".into(), ack(2)),
            ("Superseded".into(), Frame::Superseded { by: Tenure(1), name: ClientName::default() }),
            ("Closed".into(), Frame::Closed { attach: AttachNumber(attach), ended: 0 }),
        ],
    );
    [events, links(current, old), timers(), application()].concat()
}

fn greetings() -> Vec<(String, Frame)> {
    let rebooted = HostId { boot: [0x55; 16], ..HOST };
    let mut later = greeting(HOST);
    if let Frame::Greeting(greeting) = &mut later {
        greeting.versions = VersionRange { min: Version(7), max: Version(9) };
    }
    vec![
        ("Greeting".into(), greeting(HOST)),
        ("Greeting rebooted".into(), greeting(rebooted)),
        ("Greeting other host".into(), greeting(OTHER_HOST)),
        ("Greeting incompatible".into(), later),
    ]
}

fn welcomes(state: &ClientDrive) -> Vec<(String, Frame)> {
    let with = |name: &str, change: fn(&mut Welcome)| {
        let mut welcome = state.matching();
        change(&mut welcome);
        (format!("Welcome{name}"), Frame::Welcome(welcome))
    };
    vec![
        with("", |_| {}),
        with(" all input taken", |welcome| {
            welcome.accepted = Seq(2);
            welcome.handed_over = Seq(2);
        }),
        with(" output trimmed to 1", |welcome| welcome.first_output = Seq(1)),
        with(" other attach", |welcome| welcome.attach = FAR),
        with(" other epoch", |welcome| welcome.epoch = OTHER_EPOCH),
        with(" other incarnation", |welcome| welcome.incarnation = Incarnation(9)),
        with(" other tenure", |welcome| welcome.tenure = Tenure(9)),
        with(" other wish", |welcome| {
            welcome.how = if welcome.how == How::Opened { How::Resumed } else { How::Opened };
        }),
        with(" input never sent", |welcome| welcome.accepted = FAR_SEQ),
        with(" output behind", |welcome| {
            welcome.first_output = FAR_SEQ;
            welcome.next_output = FAR_SEQ;
        }),
        with(" numbers crossed", |welcome| welcome.handed_over = welcome.accepted.next()),
    ]
}

fn refusals(state: &ClientDrive) -> Vec<(String, Frame)> {
    let attach = state.attach_number();
    let mut frames: Vec<_> = reasons()
        .into_iter()
        .map(|(name, reason)| (format!("Refused {name}"), refused(attach, reason)))
        .collect();
    let by = rejoin_protocol::Holder { epoch: common::EPOCH, ..holder(4) };
    let held = Reason::Held { by, name: ClientName::default() };
    frames.push(("Refused held, same epoch".into(), refused(attach, held)));
    let by = rejoin_protocol::Holder { epoch: OTHER_EPOCH, ..holder(4) };
    let held = Reason::Held { by, name: ClientName::default() };
    frames.push(("Refused held, other epoch".into(), refused(attach, held)));
    frames.push(("Refused other attach".into(), refused(FAR.0, Reason::ProcessGone)));
    frames
}

fn others(state: &ClientDrive) -> Vec<(String, Frame)> {
    let attach = AttachNumber(state.attach_number());
    let large = Item::Output {
        stream: rejoin_protocol::Stream::Stdout,
        data: vec![0; usize::try_from(common::WINDOW).unwrap()].into(),
    };
    [
        ("Item 0", item(0, output("x"))),
        ("Item 2", item(2, output("new"))),
        ("Item 2 Exit", item(2, exit(3))),
        ("Item 1 Gap to 9", item(1, Item::Gap { next: Seq(9) })),
        ("Item 2 too large", item(2, large)),
        ("Item far ahead", item(FAR_SEQ.0, output("x"))),
        ("Item of input", item(0, input("x"))),
        ("Ack 1", ack(1)),
        ("Ack 2", ack(2)),
        ("Ack too far", ack(FAR_SEQ.0)),
        ("Ping", Frame::Ping { token: 7 }),
        ("Pong", Frame::Pong { token: 7 }),
        ("Superseded", Frame::Superseded { by: Tenure(1), name: ClientName::default() }),
        ("Closed", Frame::Closed { attach, ended: 0 }),
        ("Closed other attach", Frame::Closed { attach: FAR, ended: 0 }),
        ("Bye", Frame::Bye(Bye::Ending)),
        ("Hello (wrong side)", hello(BOB, 1, 0, close(0))),
        ("Detach (wrong side)", Frame::Detach),
        ("Close (wrong side)", Frame::Close),
    ]
    .map(|(name, frame)| (name.to_owned(), frame))
    .to_vec()
}

fn links(current: Link, old: Link) -> Vec<Named> {
    let bad = Misbehaviour::Frame(BAD_BYTES);
    [
        ("LinkOpened", Event::LinkOpened(Link(50))),
        ("LinkFailed", Event::LinkFailed),
        ("LinkReplaced", Event::LinkReplaced(Link(50))),
        ("LinkLost", Event::LinkLost(current)),
        ("LinkMisbehaved", Event::LinkMisbehaved(current, bad)),
        ("old link: LinkLost", Event::LinkLost(old)),
        ("old link: LinkMisbehaved", Event::LinkMisbehaved(old, bad)),
    ]
    .map(|(name, event)| (name.to_owned(), event))
    .to_vec()
}

pub fn all_timers() -> [Timer; 6] {
    [
        Timer::Handshake,
        Timer::Heartbeat,
        Timer::LinkSilent,
        Timer::Reconnect,
        Timer::GiveUp,
        Timer::Retention,
    ]
}

fn timers() -> Vec<Named> {
    all_timers().map(|timer| (format!("{timer:?} fired"), Event::Timer(timer))).to_vec()
}

fn application() -> Vec<Named> {
    let large = Item::Input(vec![0; usize::try_from(common::WINDOW).unwrap()].into());
    [
        ("app: Input", Event::Input(input("new"))),
        ("app: InputEnd", Event::Input(Item::InputEnd)),
        ("app: Input without room", Event::Input(large)),
        ("app: Input that is output", Event::Input(output("x"))),
        ("app: Taken 1", Event::Taken(Seq(1))),
        ("app: Taken 2", Event::Taken(Seq(2))),
        ("app: Taken too far", Event::Taken(FAR_SEQ)),
        ("app: Detach", Event::Detach),
        ("app: Close", Event::Close),
    ]
    .map(|(name, event)| (name.to_owned(), event))
    .to_vec()
}
