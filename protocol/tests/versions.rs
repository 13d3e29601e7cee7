//! Two versions side by side: what a client makes of peers that speak others (SPEC section 9).

#![allow(clippy::unwrap_used)]

mod common;

use bytes::{Buf, BytesMut};
use common::drive::{ClientDrive, sent_by_client};
use common::{HOST, input, refused};
use rejoin_protocol::client::{Effect, Effects, Notice, OnLoss};
use rejoin_protocol::codec::{CLIENT_MAGIC, Decoder, WriteQueue};
use rejoin_protocol::error::FrameError;
use rejoin_protocol::frame::{Greeting, Hello, Wish};
use rejoin_protocol::{Frame, Reason, Version, VersionRange};

const BOTH: VersionRange = VersionRange { min: Version(1), max: Version(2) };
const OLD: VersionRange = VersionRange { min: Version(1), max: Version(1) };
const NEW: VersionRange = VersionRange { min: Version(2), max: Version(2) };

/// A client that understands versions 1 and 2, on a link that is open.
fn dialing() -> ClientDrive {
    let mut drive = ClientDrive::open(OnLoss::Fail);
    drive.config.versions = BOTH;
    drive.dial();
    drive
}

fn greet(drive: &mut ClientDrive, versions: VersionRange) -> Vec<Frame> {
    let greeting = Greeting { versions, host: HOST, host_name: String::new() };
    let effects = drive.frame(Frame::Greeting(greeting));
    sent_by_client(&effects, drive.link)
}

fn refuse(drive: &mut ClientDrive, supported: VersionRange) -> Effects {
    drive.frame(refused(drive.attach_number(), Reason::Incompatible { supported }))
}

fn hello(frames: &[Frame]) -> &Hello {
    let [Frame::Hello(hello), ..] = frames else { panic!("a Hello first: {frames:?}") };
    hello
}

#[test]
fn the_newest_common_version_is_asked_for() {
    for (offered, version) in [(OLD, 1), (BOTH, 2), (NEW, 2)] {
        let frames = greet(&mut dialing(), offered);
        assert_eq!(hello(&frames).version, Version(version));
    }
}

#[test]
fn a_server_that_is_older_than_what_greeted_is_asked_again_in_its_version() {
    let mut drive = dialing();
    let frames = greet(&mut drive, BOTH);
    let first = hello(&frames).clone();
    let effects = refuse(&mut drive, OLD);
    let frames = sent_by_client(&effects, drive.link);
    let again = hello(&frames);
    assert_eq!(again.version, Version(1));
    assert_eq!((&again.wish, again.attach), (&first.wish, first.attach.next().unwrap()));
}

#[test]
fn a_session_keeps_the_version_of_its_server_whatever_greets() {
    let mut drive = dialing();
    greet(&mut drive, OLD);
    drive.welcome();
    drive.input(input("typed"));
    drive.cut();
    drive.dial();
    assert_eq!(drive.hello.as_ref().unwrap().version, Version(1));
    assert_eq!(greet(&mut drive, BOTH), [], "the Resume is on its way");
    drive.cut();
    drive.dial();
    assert_eq!(drive.hello.as_ref().unwrap().version, Version(1));
}

#[test]
fn who_speaks_no_common_version_is_told_and_nothing_is_tried_in_circles() {
    let ends = |effects: Effects, supported| {
        let told = Effect::Tell(Notice::Refused(Reason::Incompatible { supported }));
        assert!(effects.contains(&told), "{effects:?}");
    };
    let mut drive = dialing();
    greet(&mut drive, BOTH);
    refuse(&mut drive, OLD);
    // Behind an attach program that speaks 1 only, a server that speaks 2 only.
    ends(refuse(&mut drive, NEW), NEW);
    assert!(drive.client.is_ended());

    let mut drive = dialing();
    let later = VersionRange { min: Version(3), max: Version(9) };
    assert_eq!(greet(&mut drive, later), []);
    assert!(drive.client.is_ended());
}

fn sent_as(version: u8, wish_byte: Option<u8>) -> Result<Option<Frame>, FrameError> {
    let mut drive = dialing();
    let mut hello = hello(&greet(&mut drive, BOTH)).clone();
    hello.version = Version(1);
    hello.wish = Wish::Close {
        incarnation: rejoin_protocol::Incarnation(0),
        scope: rejoin_protocol::frame::Scope::Session,
    };
    let mut queue = WriteQueue::starting_with(CLIENT_MAGIC);
    queue.push(&Frame::Hello(hello)).unwrap();
    let mut bytes = BytesMut::from(&queue.copy_to_bytes(queue.remaining())[..]);
    // The version is the first field; the wish, here of three bytes, the last.
    bytes[13] = version;
    let wish_at = bytes.len() - 3;
    bytes[wish_at] = wish_byte.unwrap_or(bytes[wish_at]);
    Decoder::of_client().decode(&mut bytes)
}

#[test]
fn a_hello_of_a_later_version_is_read_as_far_as_it_can_be() {
    let Ok(Some(Frame::Hello(hello))) = sent_as(99, Some(0x7f)) else { panic!("a Hello") };
    assert_eq!((hello.version, hello.wish), (Version(99), Wish::Unreadable));
    assert!(matches!(sent_as(1, Some(0x7f)), Err(FrameError::BadHeader(_))));
    assert!(matches!(sent_as(1, None), Ok(Some(Frame::Hello(_)))));
}
