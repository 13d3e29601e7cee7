//! Runs that chance does not find: windows that are filled exactly, and what comes in the midst of a
//! takeover or of an end.

use rejoin_protocol::client::{self, OnLoss};
use rejoin_protocol::frame::{From, How, Scope, Wish};
use rejoin_protocol::server::{Event, Limits, Past};
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{Client, Frame, Incarnation, Item, Link, Reason, Seq, Stream};

use crate::common::drive::{ClientDrive, ServerDrive};
use crate::common::show::{client_effect, effects, server_effect};
use crate::common::{
    ALICE, BOB, EPOCH, WINDOW, ack, client_config, hello, holder, input, item, open, output,
    refused, resume, welcome,
};

/// Room for two items of 40 bytes, and for nothing else.
const FULL: u64 = 2 * (Item::OVERHEAD + 40);

fn forty() -> bytes::Bytes {
    vec![b'x'; 40].into()
}

fn story(steps: Vec<rejoin_protocol::server::Effects>) -> String {
    let lines: Vec<String> = steps.iter().map(|step| effects(step, server_effect)).collect();
    lines.join("\n")
}

fn told(steps: Vec<rejoin_protocol::client::Effects>) -> String {
    let lines: Vec<String> = steps.iter().map(|step| effects(step, client_effect)).collect();
    lines.join("\n")
}

fn with_full_window(overflow: Overflow) -> ServerDrive {
    let mut drive = ServerDrive::starting();
    drive.step(Event::Started(EPOCH, Limits { window: FULL, overflow }));
    drive
}

/// Input and output that fill a window exactly.
pub fn full_windows() -> String {
    let mut config = client_config(ALICE, OnLoss::Respawn);
    config.window = FULL;
    let client = Client::open(&config);
    let mut typist = ClientDrive::new(config, client);
    let typed = [0, 1].map(|_| typist.input(Item::Input(forty())));
    let mut reader = with_full_window(Overflow::Block);
    let handed = [0, 1].map(|seq| reader.frame(1, item(seq, Item::Input(forty()))));
    let mut writer = with_full_window(Overflow::DropOldest);
    writer.step(Event::LinkLost(Link(1)));
    let written = [0, 1].map(|_| writer.step(Event::Output(Stream::Stdout, forty())));
    let resumed = writer.hello(2, 2, resume(EPOCH, 0));
    [told(typed.to_vec()), story(handed.to_vec()), story(written.to_vec()), story(vec![resumed])]
        .join("\n")
}

/// A claimant whose predecessor left input: it is acknowledged, or the claimant comes back before.
pub fn left_input() -> String {
    let mut drive = ClientDrive::claim(BOB, Some(holder(0)), From::FirstHeld);
    drive.dial();
    drive.greet();
    let mut busy = drive.matching();
    (busy.handed_over, busy.accepted, busy.buffered) = (Seq(1), Seq(3), WINDOW / 2);
    let first = drive.frame(Frame::Welcome(busy.clone()));
    let mut cut = drive.clone();
    let acked = drive.frame(ack(3));
    let room = drive.client.input_room();
    cut.cut();
    cut.dial();
    cut.greet();
    (busy.how, busy.attach) = (How::Resumed, cut.matching().attach);
    let resumed = cut.frame(Frame::Welcome(busy));
    told(vec![first, acked, resumed]) + &room.to_string()
}

/// A claimant whose input waits for room: its predecessor's input fills half of the window.
pub fn waiting_input() -> String {
    let mut drive = ClientDrive::claim(BOB, Some(holder(0)), From::FirstHeld);
    drive.dial();
    drive.greet();
    let half = usize::try_from(WINDOW / 2 - Item::OVERHEAD).unwrap();
    let typed = [0, 1].map(|_| drive.input(Item::Input(vec![b'x'; half].into())));
    let mut busy = drive.matching();
    (busy.accepted, busy.buffered) = (Seq(1), WINDOW / 2);
    let attached = drive.frame(Frame::Welcome(busy));
    let acked = drive.frame(ack(1));
    told([typed.to_vec(), vec![attached, acked]].concat())
}

/// A claimant that closes the session before it has asked for it.
pub fn closed_before_asking() -> String {
    let mut drive = ClientDrive::claim(BOB, Some(holder(0)), From::FirstHeld);
    told(vec![drive.step(client::Event::Close), drive.dial(), drive.greet()])
}

/// A server that goes on with output which the client has.
pub fn earlier_output() -> String {
    let mut drive = ClientDrive::open(OnLoss::Respawn).attached();
    drive.frame(item(0, output("hello")));
    drive.cut();
    drive.dial();
    drive.greet();
    let earlier = welcome(drive.attach_number(), How::Resumed);
    told(vec![drive.frame(Frame::Welcome(earlier))])
}

/// A client that takes over hears again and again that another one holds the session.
pub fn held_again() -> String {
    let mut drive = ClientDrive::claim(BOB, None, From::FirstHeld);
    drive.dial();
    drive.greet();
    let name = rejoin_protocol::ClientName::new("alice");
    let held = || Reason::Held { by: holder(0), name: name.clone() };
    let mut steps = vec![drive.frame(refused(drive.attach_number(), held()))];
    let mut gone = drive.clone();
    steps.push(drive.frame(refused(drive.attach_number(), held())));
    steps.push(gone.frame(refused(gone.attach_number(), Reason::ProcessGone)));
    steps.push(gone.frame(refused(gone.attach_number(), held())));
    told(steps)
}

/// Bob claims the session on this link.
fn claims(drive: &mut ServerDrive, link: u64, attach: u64) -> rejoin_protocol::server::Effects {
    let wish = Wish::Claim { expected: Some(holder(0)), from: From::FirstHeld };
    drive.frame(link, hello(BOB, attach, 0, wish))
}

/// A takeover on the link of the holder, which detaches; whose holder moves; or which comes again.
pub fn takeovers() -> String {
    let then: [fn(&mut ServerDrive) -> rejoin_protocol::server::Effects; 4] = [
        |drive| drive.frame(1, Frame::Detach),
        |drive| drive.hello(2, 2, resume(EPOCH, 0)),
        |drive| claims(drive, 3, 6),
        |drive| claims(drive, 3, 4),
    ];
    let runs = then.map(|then| {
        let mut drive = ServerDrive::attached();
        let steps = vec![
            claims(&mut drive, 1, 5),
            then(&mut drive),
            drive.output("while it is recorded"),
            drive.step(Event::TenureRecorded),
            drive.output("behind it"),
        ];
        story(steps)
    });
    runs.join("\n\n")
}

/// A process whose exit was acknowledged is closed once more, from ahead or from behind.
pub fn closes_at_the_end() -> String {
    let ends = [(5, Scope::Process), (1, Scope::Process), (5, Scope::Session)];
    let runs = ends.map(|(incarnation, scope)| {
        let mut drive = ServerDrive::absent(Past::default());
        drive.hello(1, 1, open(3));
        drive.start(Overflow::Block);
        drive.frame(1, item(0, input("x")));
        drive.step(Event::Exited(rejoin_protocol::ExitStatus::Code(3)));
        let acked = drive.frame(1, ack(1));
        let wish = Wish::Close { incarnation: Incarnation(incarnation), scope };
        let closing = drive.hello(2, 2, wish);
        story(vec![acked, closing, drive.step(Event::Ended(0))])
    });
    runs.join("\n\n")
}
