//! Bytes that may not come close their link with a word why, and silence that may be is left alone.

use std::io::{IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rejoin_protocol::codec::{CLIENT_MAGIC, MAX_HELLO};
use rejoin_protocol::error::{FrameError, Misbehaviour};
use rejoin_protocol::frame::{Bye, From, Wish};
use rejoin_protocol::spec::{self, ProcessSpec};
use rejoin_protocol::{Epoch, Frame, Incarnation, Reason, Seq};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use crate::support::{Client, bytes_of, input, last_word, server_frames};

fn begun(bytes: &[u8]) -> Vec<u8> {
    [&CLIENT_MAGIC[..], bytes].concat()
}

/// What may not come in place of a Hello, and what it is called.
pub(crate) fn wrong_openings() -> Vec<(Vec<u8>, Misbehaviour)> {
    let frame = Misbehaviour::Frame;
    let too_long = FrameError::TooLong { kind: 2, length: MAX_HELLO + 1, limit: MAX_HELLO };
    let oversized = [&(MAX_HELLO + 1).to_be_bytes()[..], &[2]].concat();
    vec![
        (b"GET / HTTP/1.0\r\n\r\n".to_vec(), frame(FrameError::NoMagic)),
        (begun(&[0; 4]), frame(FrameError::Empty)),
        (begun(&oversized), frame(too_long)),
        (begun(&[0, 0, 0, 1, 0x7f]), frame(FrameError::UnknownKind(0x7f))),
        (begun(&[0, 0, 0, 2, 2, 0xff]), frame(FrameError::BadHeader(2))),
        (begun(&bytes_of(&Frame::Ping { token: 7 })), Misbehaviour::WrongSide),
        (begun(&bytes_of(&Frame::Ack { next: Seq(0) })), Misbehaviour::WrongSide),
        (begun(&bytes_of(&Frame::Close)), Misbehaviour::WrongSide),
        (begun(&bytes_of(&input(0, "x"))), Misbehaviour::WrongSide),
    ]
}

pub(crate) fn resume() -> Wish {
    let epoch = Epoch::from_bytes([9; 16]);
    Wish::Resume { incarnation: Incarnation(0), epoch, next_output: Seq(0) }
}

#[test]
fn an_attach_program_says_what_is_wrong_with_bytes_that_are_no_hello() {
    let client = Client::new();
    for (bytes, what) in wrong_openings() {
        let mut link = client.silent();
        link.write(&bytes);
        assert_eq!(link.bye(), Bye::Misbehaved(what), "{bytes:02x?}");
        assert!(!link.child.wait().unwrap().success());
    }
    assert!(!client.folder().exists());
}

#[test]
fn behind_a_refused_resume_input_goes_by_and_nothing_else() {
    let mut client = Client::new();
    let mut link = client.link();
    for seq in 0..2 {
        link.send(&client.hello(resume()));
        link.send(&input(seq, "never"));
        assert_eq!(link.refusal(), Reason::Unknown);
    }
    link.send(&Frame::Ping { token: 7 });
    assert_eq!(link.bye(), Bye::Misbehaved(Misbehaviour::WrongSide));
    let mut link = client.link();
    link.send(&client.hello(Wish::Claim { expected: None, from: From::Latest }));
    link.send(&input(0, "never"));
    assert_eq!(link.refusal(), Reason::Unknown);
    assert_eq!(link.bye(), Bye::Misbehaved(Misbehaviour::WrongSide));
}

#[test]
fn a_link_stands_by_with_or_without_its_magic_and_one_that_breaks_off_is_told_that_it_is_silent() {
    let mut client = Client::new();
    let (mut silent, mut begun) = (client.silent(), client.link());
    let mut tails: Vec<_> = [&CLIENT_MAGIC[..3], &[&CLIENT_MAGIC[..], &[0]].concat()]
        .into_iter()
        .map(|bytes| {
            let mut link = client.silent();
            link.write(bytes);
            link
        })
        .collect();
    let mut refused = client.link();
    refused.send(&client.hello(resume()));
    refused.write(&bytes_of(&Frame::Close)[..4]);
    assert_eq!(refused.refusal(), Reason::Unknown);
    tails.push(refused);
    // The others are older: what cuts these would have cut them.
    for link in &tails {
        assert_eq!(link.bye(), Bye::Misbehaved(Misbehaviour::Silent));
    }
    silent.write(&CLIENT_MAGIC);
    for link in [&mut silent, &mut begun] {
        link.send(&client.hello(resume()));
        assert_eq!(link.refusal(), Reason::Unknown);
    }
}

fn kept(client: &mut Client) -> crate::support::Link {
    client.open(0, "exec sleep 1000").welcomed()
}

#[test]
fn a_server_says_what_is_wrong_with_a_stream_that_brings_no_hello() {
    let mut client = Client::new();
    let attached = kept(&mut client);
    for (bytes, what) in wrong_openings() {
        let mut stream = client.stream();
        stream.write_all(&bytes).unwrap();
        let frames = server_frames(&stream);
        assert_eq!(last_word(&frames), Bye::Misbehaved(what), "{bytes:02x?}");
    }
    is_well(&mut client, attached);
}

#[test]
fn a_server_says_what_is_wrong_on_a_channel_that_is_given_to_it() {
    let mut client = Client::new();
    let attached = kept(&mut client);
    for (bytes, what) in wrong_openings() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let stream = client.stream();
        give(&stream, &theirs, &bytes);
        drop(theirs);
        let frames = server_frames(&ours);
        assert_eq!(last_word(&frames), Bye::Misbehaved(what), "{bytes:02x?}");
    }
    is_well(&mut client, attached);
}

/// Gives a channel to a server, as an attach program does that has read `bytes` of it.
fn give(mut server: &UnixStream, channel: &UnixStream, bytes: &[u8]) {
    let descriptors = [channel.as_fd(), channel.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)));
    let header = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    sendmsg(server, &[IoSlice::new(&header)], &mut ancillary, SendFlags::empty()).unwrap();
    server.write_all(bytes).unwrap();
}

/// The attached link is still served, and another one finds the same process.
fn is_well(client: &mut Client, mut attached: crate::support::Link) {
    attached.send(&Frame::Ping { token: 5 });
    attached.until(&Frame::Pong { token: 5 });
    let spec = ProcessSpec::new(spec::Command::Shell(b"exit 1".to_vec()));
    client.open_spec(0, &spec).welcomed();
}
