//! The golden vectors in `vectors/`: `UPDATE_VECTORS=1` writes them anew.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::catalogue::{describe, frames, plain};
use common::{ack, check_file, decode_all, from_hex, to_hex, wire};
use rejoin_protocol::codec::{CLIENT_MAGIC, Decoder, SERVER_MAGIC, encode};
use rejoin_protocol::error::FrameError;
use rejoin_protocol::spec::{Command, Overflow, ProcessSpec, Terminal};
use rejoin_protocol::{Frame, WindowSize};
use serde_json::{Value, json};

fn raw(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 1).unwrap().to_be_bytes();
    [&length[..], &[kind], body].concat()
}

/// Streams from their first byte: magic, noise, frames that are skipped.
fn streams() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let greeting = wire(&common::greeting(common::HOST));
    let skipped = raw(0xfe, b"from a later version");
    vec![
        ("a client's stream", "client", [&CLIENT_MAGIC[..], &wire(&ack(1))].concat()),
        ("a server's stream", "server", [&SERVER_MAGIC[..], &greeting].concat()),
        (
            "noise before the magic, a part of the magic in it",
            "server",
            [b"Last login: Mon\r\n\xc1rejoin!", &SERVER_MAGIC[..], &greeting].concat(),
        ),
        (
            "an unknown ignorable frame is skipped",
            "server",
            [&SERVER_MAGIC[..], &skipped, &wire(&ack(2)), &raw(0x80, &[]), &wire(&ack(3))].concat(),
        ),
    ]
}

/// What stands behind a client's magic, and the error that it is.
fn invalid() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("length 0", vec![0, 0, 0, 0]),
        ("unknown kind that is not ignorable", raw(0x0e, &[])),
        ("unknown kind 0", raw(0x00, &[])),
        ("an Ack longer than its limit", vec![0, 0, 0x10, 0x01, 0x06]),
        ("an Item longer than its limit", vec![0, 1, 0, 0x41, 0x05]),
        ("a Hello longer than its limit", vec![0, 0x20, 0x10, 0x01, 0x02]),
        ("an ignorable frame longer than its limit", vec![0, 1, 0, 0x41, 0xfe]),
        ("a Bye longer than its limit", vec![0, 0, 0x10, 0x01, 0x8d]),
        ("an Ack without its number", raw(0x06, &[])),
        ("an Ack with a number that ends early", raw(0x06, &[0x80])),
        ("an Ack with a number beyond 64 bits", raw(0x06, &[0xff; 10])),
        ("an Ack with bytes behind it", raw(0x06, &[1, 1])),
        ("a Detach with a body", raw(0x0a, &[0])),
        ("an InputEnd with a payload", raw(0x05, &[0, 1, 0])),
        ("an item of an unknown kind", raw(0x05, &[0, 7])),
        ("an output of an unknown stream", raw(0x05, &[0, 4, 2])),
        ("a Superseded with a name that is no UTF-8", raw(0x09, &[0, 1, 0xff])),
        ("a Superseded with a name that ends early", raw(0x09, &[0, 2, b'a'])),
        ("a Refused with an unknown reason", raw(0x04, &[1, 13, 0, 0, 0])),
        ("a Refused with an option that is neither 0 nor 1", raw(0x04, &[1, 0, 2, 0, 0])),
        ("a Bye with an unknown reason", raw(0x8d, &[3])),
    ]
}

fn specs() -> Vec<(&'static str, ProcessSpec)> {
    let shell = ProcessSpec::new(Command::Shell(b"make test".to_vec()));
    let mut exec = ProcessSpec::new(Command::Exec(vec![b"/bin/cat".to_vec(), b"-u".to_vec()]));
    exec.directory = Some(b"/tmp".to_vec());
    exec.environment = vec![(b"LANG".to_vec(), b"C.UTF-8".to_vec())];
    exec.overflow = Overflow::DropOldest;
    exec.retention = 60;
    let mut login = ProcessSpec::new(Command::LoginShell);
    let size = WindowSize { rows: 24, cols: 80, xpixel: 0, ypixel: 0 };
    login.terminal = Some(Terminal { term: "xterm-256color".into(), size });
    let sftp = ProcessSpec::new(Command::Subsystem("sftp".into()));
    vec![("shell", shell), ("exec", exec), ("login shell", login), ("subsystem", sftp)]
}

fn error_name(error: FrameError) -> String {
    let text = format!("{error:?}");
    text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
}

fn decoder(side: &str) -> Decoder {
    if side == "client" { Decoder::of_client() } else { Decoder::of_server() }
}

fn behind_magic(bytes: &[u8]) -> (Vec<Frame>, Option<FrameError>) {
    decode_all(Decoder::of_client(), &[&CLIENT_MAGIC[..], bytes].concat())
}

fn describe_stream(name: &str, side: &str, bytes: &[u8]) -> Value {
    let mut decoder = decoder(side);
    let (frames, error) = common::decode_split(&mut decoder, [bytes]);
    assert_eq!(error, None, "{name}");
    let frames: Vec<Value> = frames.iter().map(describe).collect();
    let noise = to_hex(&decoder.noise().start);
    json!({ "name": name, "from": side, "hex": to_hex(bytes), "noise": noise, "frames": frames })
}

fn describe_invalid(name: &str, bytes: &[u8]) -> Value {
    let (frames, error) = behind_magic(bytes);
    assert!(frames.is_empty(), "{name}");
    let error = error_name(error.unwrap_or_else(|| panic!("{name} is valid")));
    json!({ "name": name, "hex": to_hex(bytes), "error": error })
}

/// One entry a line, so that a change is a change of lines.
fn file(entries: &[Value]) -> String {
    let lines: Vec<String> = entries.iter().map(|entry| format!("  {entry}")).collect();
    format!("[\n{}\n]\n", lines.join(",\n"))
}

#[test]
fn the_files_are_what_the_codec_writes() {
    let frames: Vec<Value> = frames()
        .iter()
        .map(|(name, frame)| json!({ "name": name, "frame": describe(frame), "hex": to_hex(&wire(frame)) }))
        .collect();
    let streams: Vec<Value> =
        streams().iter().map(|(name, side, bytes)| describe_stream(name, side, bytes)).collect();
    let invalid: Vec<Value> =
        invalid().iter().map(|(name, bytes)| describe_invalid(name, bytes)).collect();
    let specs: Vec<Value> = specs()
        .iter()
        .map(|(name, spec)| json!({ "name": name, "spec": plain(spec), "hex": to_hex(&spec.encode().unwrap()) }))
        .collect();
    for (path, entries) in [
        ("vectors/frames.json", frames),
        ("vectors/streams.json", streams),
        ("vectors/invalid.json", invalid),
        ("vectors/specs.json", specs),
    ] {
        check_file(path, "UPDATE_VECTORS", &file(&entries));
    }
}

fn load(path: &str) -> Vec<Value> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn hex(entry: &Value) -> Vec<u8> {
    from_hex(entry["hex"].as_str().unwrap())
}

#[test]
fn the_bytes_of_the_files_are_the_frames_that_they_describe() {
    for entry in load("vectors/frames.json") {
        let (frames, error) = behind_magic(&hex(&entry));
        assert_eq!((frames.len(), error), (1, None), "{}", entry["name"]);
        assert_eq!(describe(&frames[0]), entry["frame"], "{}", entry["name"]);
        let encoded = encode(&frames[0]).unwrap();
        let again = [&encoded.head[..], &encoded.payload[..]].concat();
        assert_eq!(to_hex(&again), entry["hex"], "{}", entry["name"]);
    }
    for entry in load("vectors/specs.json") {
        let spec = ProcessSpec::decode(&hex(&entry)).unwrap();
        assert_eq!(plain(&spec), entry["spec"], "{}", entry["name"]);
    }
}

#[test]
fn the_invalid_bytes_of_the_files_have_the_errors_that_they_name() {
    for entry in load("vectors/invalid.json") {
        let (_, error) = behind_magic(&hex(&entry));
        assert_eq!(error_name(error.unwrap()), entry["error"], "{}", entry["name"]);
    }
}

#[test]
fn every_kind_and_reason_has_a_vector() {
    let kinds: std::collections::BTreeSet<u8> =
        load("vectors/frames.json").iter().map(|entry| hex(entry)[4]).collect();
    let expected: Vec<u8> = (0x01..=0x0c).chain([0x8d]).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
    let reasons: std::collections::BTreeSet<u8> =
        load("vectors/frames.json").iter().map(hex).filter(|b| b[4] == 4).map(|b| b[6]).collect();
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), (0..=12).collect::<Vec<u8>>());
}
