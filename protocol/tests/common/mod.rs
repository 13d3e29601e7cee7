//! What the tests share: names, configurations, short constructors, and files that can be renewed.
// A helper of a test fails by panicking, as the test itself.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod catalogue;
pub mod describe;
pub mod drive;
pub mod show;
pub mod strategies;

use bytes::{Bytes, BytesMut};
use rejoin_protocol::client::{self, OnLoss};
use rejoin_protocol::codec::{Decoder, encode};
use rejoin_protocol::error::FrameError;
use rejoin_protocol::frame::{Greeting, Hello, How, Refused, Scope, Welcome, Wish};
use rejoin_protocol::reason::Counters;
use rejoin_protocol::server;
use rejoin_protocol::{
    AttachNumber, Capabilities, Client, ClientInstance, ClientName, Epoch, ExitStatus, Frame,
    Holder, HostId, Incarnation, Item, Link, Reason, Seq, SessionId, Stream, Tenure, Version,
    VersionRange,
};

pub const SESSION: SessionId = SessionId::from_bytes([0x5e; 16]);
pub const EPOCH: Epoch = Epoch::from_bytes([0xe1; 16]);
pub const OTHER_EPOCH: Epoch = Epoch::from_bytes([0xe2; 16]);
pub const ALICE: ClientInstance = ClientInstance::from_bytes([0xaa; 16]);
pub const BOB: ClientInstance = ClientInstance::from_bytes([0xbb; 16]);
pub const HOST: HostId = HostId { machine: [0x11; 16], boot: [0x22; 16] };
pub const OTHER_HOST: HostId = HostId { machine: [0x33; 16], boot: [0x44; 16] };
pub const WINDOW: u64 = 128 * 1024;

pub fn server_config() -> server::Config {
    server::Config {
        session: SESSION,
        host: HOST,
        versions: VersionRange::SUPPORTED,
        capabilities: Capabilities(0),
    }
}

pub fn client_config(instance: ClientInstance, on_loss: OnLoss) -> client::Config {
    client::Config {
        session: SESSION,
        instance,
        name: ClientName::new(if instance == ALICE { "alice" } else { "bob" }),
        versions: VersionRange::SUPPORTED,
        spec: Some(Bytes::from_static(b"spec")),
        on_loss,
        take_over: false,
        window: WINDOW,
    }
}

pub fn greeting(host: HostId) -> Frame {
    let versions = VersionRange::SUPPORTED;
    Frame::Greeting(Greeting { versions, host, host_name: "box".into() })
}

pub fn hello(instance: ClientInstance, attach: u64, tenure: u64, wish: Wish) -> Frame {
    Frame::Hello(Hello {
        version: Version(1),
        session: SESSION,
        instance,
        name: ClientName::new(if instance == ALICE { "alice" } else { "bob" }),
        attach: AttachNumber(attach),
        tenure: Tenure(tenure),
        wish,
    })
}

pub fn open(incarnation: u64) -> Wish {
    let spec = Bytes::from_static(b"spec");
    Wish::Open { incarnation: Incarnation(incarnation), host: HOST, spec }
}

pub fn resume(epoch: Epoch, next_output: u64) -> Wish {
    Wish::Resume { incarnation: Incarnation(0), epoch, next_output: Seq(next_output) }
}

pub fn close(incarnation: u64) -> Wish {
    Wish::Close { incarnation: Incarnation(incarnation), scope: Scope::Session }
}

pub fn holder(tenure: u64) -> Holder {
    Holder { epoch: EPOCH, incarnation: Incarnation(0), tenure: Tenure(tenure) }
}

/// A Welcome to a process that has done nothing yet.
pub fn welcome(attach: u64, how: How) -> Welcome {
    Welcome {
        attach: AttachNumber(attach),
        version: Version(1),
        capabilities: Capabilities(0),
        epoch: EPOCH,
        incarnation: Incarnation(0),
        tenure: Tenure(0),
        accepted: Seq(0),
        handed_over: Seq(0),
        buffered: 0,
        first_output: Seq(0),
        next_output: Seq(0),
        window: WINDOW,
        how,
    }
}

pub fn refused(attach: u64, reason: Reason) -> Frame {
    let counters = Counters { used: Some(Incarnation(0)), ..Counters::default() };
    Frame::Refused(Refused { attach: AttachNumber(attach), reason, counters })
}

pub fn input(text: &'static str) -> Item {
    Item::Input(Bytes::from_static(text.as_bytes()))
}

pub fn output(text: &'static str) -> Item {
    Item::Output { stream: Stream::Stdout, data: Bytes::from_static(text.as_bytes()) }
}

pub fn exit(code: u8) -> Item {
    Item::Exit(ExitStatus::Code(code))
}

pub fn item(seq: u64, item: Item) -> Frame {
    Frame::Item { seq: Seq(seq), item }
}

pub fn ack(next: u64) -> Frame {
    Frame::Ack { next: Seq(next) }
}

/// A frame as it travels.
pub fn wire(frame: &Frame) -> Vec<u8> {
    let encoded = encode(frame).unwrap();
    [&encoded.head[..], &encoded.payload[..]].concat()
}

/// Everything that a decoder makes of `bytes`, given at once.
pub fn decode_all(mut decoder: Decoder, bytes: &[u8]) -> (Vec<Frame>, Option<FrameError>) {
    decode_split(&mut decoder, [bytes])
}

/// Everything that a decoder makes of the pieces, one after the other.
pub fn decode_split<'a>(
    decoder: &mut Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<FrameError>) {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hex_digit).collect()
}

fn hex_digit(value: u8) -> char {
    char::from_digit(value.into(), 16).unwrap()
}

pub fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "odd number of digits in {text:?}");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Compares with a file of this package; with `variable` set in the environment, renews the file.
pub fn check_file(path: &str, variable: &str, actual: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os(variable).is_some() {
        std::fs::write(&path, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differences = difference(&expected, actual);
    assert!(
        differences.is_empty(),
        "{} is out of date; {variable}=1 renews it:\n{differences}",
        path.display()
    );
}

/// The lines that only one of the two has, in order, at most 60 of them.
fn difference(expected: &str, actual: &str) -> String {
    let old: std::collections::BTreeSet<&str> = expected.lines().collect();
    let new: std::collections::BTreeSet<&str> = actual.lines().collect();
    let gone =
        expected.lines().filter(|line| !new.contains(line)).map(|line| format!("- {line}\n"));
    let come = actual.lines().filter(|line| !old.contains(line)).map(|line| format!("+ {line}\n"));
    let lines: String = gone.chain(come).take(60).collect();
    if lines.is_empty() && expected != actual { "the order of lines\n".into() } else { lines }
}

/// A machine that has been driven somewhere: a client, attached by its first Open on link 1.
pub fn attached_client(config: &client::Config) -> Client {
    let mut client = Client::open(config);
    client.step(config, client::Event::Timer(rejoin_protocol::Timer::Reconnect));
    client.step(config, client::Event::LinkOpened(Link(1)));
    client.step(config, client::Event::Frame(Link(1), greeting(HOST)));
    let welcome = Frame::Welcome(welcome(1, How::Opened));
    client.step(config, client::Event::Frame(Link(1), welcome));
    assert!(client.is_attached());
    client
}
