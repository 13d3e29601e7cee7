//! The golden vectors in `vectors/`: `UPDATE_VECTORS=1` writes them anew.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use bytes::BytesMut;
use common::catalogue::frames;
use common::describe::{describe, describe_spec};
use common::{ack, check_file, decode_all, from_hex, to_hex, wire};
use rejoin_protocol::codec::{
    CLIENT_MAGIC, Decoder, MAX_CONTROL, MAX_HELLO, MAX_IGNORABLE, MAX_ITEM, MAX_NOISE,
    SERVER_MAGIC, encode,
};
use rejoin_protocol::error::FrameError;
use rejoin_protocol::mux;
use rejoin_protocol::preamble::Preamble;
use rejoin_protocol::spec::{Command, Overflow, ProcessSpec, SpecError, Terminal};
use rejoin_protocol::{Frame, Item, WindowSize};
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
        ("an Output without a payload", raw(0x05, &[0, 4, 0])),
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
        ("a Refused with an unknown reason", raw(0x04, &[1, 14, 0, 0, 0])),
        ("a Refused with an unknown counter", raw(0x04, &[1, 13, 3, 0, 0, 0])),
        ("a Refused with an option that is neither 0 nor 1", raw(0x04, &[1, 0, 2, 0, 0])),
        ("a Bye with an unknown reason", raw(0x8d, &[3])),
    ]
}

/// Payloads of an Open that are no [`ProcessSpec`].
fn bad_specs() -> Vec<(&'static str, Vec<u8>)> {
    let good = ProcessSpec::new(Command::LoginShell).encode().unwrap().to_vec();
    let changed = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        bad
    };
    let with_modes =
        |modes: &[u8]| [&good[..3], &[1, 1, b'x', 24, 80, 0, 0], modes, &good[4..]].concat();
    vec![
        ("nothing", Vec::new()),
        ("a byte behind the last field", [&good[..], &[0]].concat()),
        ("the last field is missing", good[..good.len() - 3].to_vec()),
        ("an unknown command", changed(0, 4)),
        ("a directory that is neither there nor not", changed(1, 2)),
        ("more variables than bytes", changed(2, 9)),
        ("a terminal that is neither there nor not", changed(3, 2)),
        ("an unknown overflow", changed(8, 2)),
        ("a subsystem that is no UTF-8", vec![3, 1, 0xff, 0, 0, 0, 0x80, 0x80, 4, 0, 0]),
        ("a TERM that ends early", vec![0, 0, 0, 1, 5, b'x']),
        ("more modes than bytes", with_modes(&[9, 53, 1])),
        (
            "a mode whose value has more than 32 bits",
            with_modes(&[1, 53, 0xff, 0xff, 0xff, 0xff, 0x10]),
        ),
        ("161 modes", with_modes(&[&[0xa1, 1][..], &[53, 1].repeat(161)].concat())),
    ]
}

/// Bytes that are repeated so many times.
type Part = (Vec<u8>, usize);

/// A length field and a kind.
fn head(length: u32, kind: u8) -> Part {
    ([&length.to_be_bytes()[..], &[kind]].concat(), 1)
}

fn once(bytes: &[u8]) -> Part {
    (bytes.to_vec(), 1)
}

/// An Item with so much payload behind a header of three bytes or of its own.
fn long_item(header: &[u8], payload: u32) -> Vec<Part> {
    let length = 1 + u32::try_from(header.len()).unwrap() + payload;
    vec![once(&CLIENT_MAGIC), head(length, 5), once(header), (vec![b'x'], payload as usize)]
}

/// A Hello whose spec has this length.
fn long_hello(length: u32) -> Vec<Part> {
    let hello = wire(&common::hello(common::ALICE, 1, 0, common::open(0)));
    let header = &hello[5..hello.len() - b"spec".len()];
    let spec = length as usize - 1 - header.len();
    vec![once(&CLIENT_MAGIC), head(length, 2), once(header), (vec![b'x'], spec)]
}

/// A Refused whose message makes it this long.
fn long_refused(length: u32) -> Vec<Part> {
    let message = length as usize - 8;
    let varint =
        [u8::try_from(message & 0x7f).unwrap() | 0x80, u8::try_from(message >> 7).unwrap()];
    let header = [&[1, 12], &varint[..]].concat();
    vec![once(&SERVER_MAGIC), head(length, 4), once(&header), (vec![b'x'], message), once(&[0; 3])]
}

/// Streams at their limits and one beyond, from their first byte.
fn limits() -> Vec<(&'static str, &'static str, Vec<Part>)> {
    let greeting = wire(&common::greeting(common::HOST));
    let noise = |count| vec![(vec![b'n'], count), once(&SERVER_MAGIC), once(&greeting)];
    let mux = |noise, magic: &[u8]| vec![(vec![b'n'], noise), once(magic)];
    let skipped = |length: u32| {
        vec![
            once(&CLIENT_MAGIC),
            head(length, 0xfe),
            (vec![0], length as usize - 1),
            once(&wire(&ack(3))),
        ]
    };
    let varint = |bytes: &[u8]| vec![once(&CLIENT_MAGIC), once(&raw(6, bytes))];
    let long_zero = [&[0x80; 9][..], &[0]].concat();
    let longest = u32::try_from(Item::MAX_PAYLOAD).unwrap();
    let seq_of_ten = [&[0xff; 9][..], &[1, 0]].concat();
    vec![
        ("noise as long as allowed", "server", noise(MAX_NOISE)),
        ("a byte more noise than allowed", "server", noise(MAX_NOISE + 1)),
        ("noise before a client's magic", "client", vec![once(b"n"), once(&CLIENT_MAGIC)]),
        ("a server's magic from a client", "client", vec![once(&SERVER_MAGIC)]),
        ("an Input as long as allowed", "client", long_item(&[0, 0], longest)),
        ("an Input a byte longer than allowed", "client", long_item(&[0, 0], longest + 1)),
        (
            "an Input with the longest seq, as long as allowed",
            "client",
            long_item(&seq_of_ten, longest),
        ),
        ("an Output as long as allowed", "client", long_item(&[0, 4, 0], longest)),
        ("an Output a byte longer than allowed", "client", long_item(&[0, 4, 0], longest + 1)),
        ("an Item as long as its kind allows", "client", long_item(&[0, 0], MAX_ITEM - 3)),
        ("an Item a byte longer than its kind allows", "client", long_item(&[0, 0], MAX_ITEM - 2)),
        ("a Hello as long as allowed", "client", long_hello(MAX_HELLO)),
        ("a Hello a byte longer than allowed", "client", long_hello(MAX_HELLO + 1)),
        ("a Refused as long as allowed", "server", long_refused(MAX_CONTROL)),
        ("a Refused a byte longer than allowed", "server", long_refused(MAX_CONTROL + 1)),
        ("an ignorable frame as long as allowed", "client", skipped(MAX_IGNORABLE)),
        ("an ignorable frame a byte longer than allowed", "client", skipped(MAX_IGNORABLE + 1)),
        ("a number in two bytes instead of one", "client", varint(&[0x80, 0])),
        ("a number in ten bytes instead of one", "client", varint(&long_zero)),
        ("a number in eleven bytes", "client", varint(&[&[0x80; 10][..], &[0]].concat())),
        ("the highest number", "client", varint(&[&[0xff; 9][..], &[1]].concat())),
        ("a number of 65 bits", "client", varint(&[&[0xff; 9][..], &[2]].concat())),
        ("the magic of a connection of many links", "mux client", mux(0, &mux::CLIENT_MAGIC)),
        ("noise before it", "mux client", mux(1, &mux::CLIENT_MAGIC)),
        (
            "the host's, behind as much noise as allowed",
            "mux host",
            mux(MAX_NOISE, &mux::HOST_MAGIC),
        ),
        ("behind a byte more than allowed", "mux host", mux(MAX_NOISE + 1, &mux::HOST_MAGIC)),
    ]
}

fn unrolled(parts: &[Part]) -> Vec<u8> {
    parts.iter().flat_map(|(bytes, times)| bytes.repeat(*times)).collect()
}

/// What a reader makes of it: how many bytes it skips, the kinds of frames, and the error.
fn describe_limit(name: &str, from: &str, parts: &[Part]) -> Value {
    let bytes = unrolled(parts);
    let (skipped, frames, error) = match from {
        "mux client" => preamble(Preamble::of_client(mux::CLIENT_MAGIC), &bytes),
        "mux host" => preamble(Preamble::of_host(mux::HOST_MAGIC), &bytes),
        side => {
            let mut decoder = decoder(side);
            let (frames, error) = common::decode_split(&mut decoder, [&bytes[..]]);
            (decoder.noise().skipped, frames, error)
        }
    };
    let kinds: Vec<String> = frames.iter().map(|frame| kind_of(&describe(frame))).collect();
    let hex: Vec<Value> =
        parts.iter().map(|(bytes, times)| json!([to_hex(bytes), times])).collect();
    let skipped = if error == Some(FrameError::NoMagic) { 0 } else { skipped };
    let error = error.map(error_name);
    json!({ "name": name, "from": from, "parts": hex, "skipped": skipped, "frames": kinds, "error": error })
}

fn preamble(mut preamble: Preamble, bytes: &[u8]) -> (usize, Vec<Frame>, Option<FrameError>) {
    let error = preamble.find(&mut BytesMut::from(bytes)).err();
    (preamble.noise().skipped, Vec::new(), error)
}

fn kind_of(frame: &Value) -> String {
    let named = frame.as_object().and_then(|frame| frame.keys().next().cloned());
    named.or_else(|| frame.as_str().map(str::to_owned)).unwrap()
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
    // The erase key, IUTF8 and a speed; an opcode that nobody knows, and one that comes twice.
    let modes = vec![(129, 38_400), (3, 8), (42, 1), (53, 1), (159, u32::MAX), (53, 0)];
    login.terminal = Some(Terminal { term: "xterm-256color".into(), size, modes });
    let mut plain = ProcessSpec::new(Command::Shell(b"vi".to_vec()));
    plain.terminal = Some(Terminal { term: "dumb".into(), size, modes: Vec::new() });
    let sftp = ProcessSpec::new(Command::Subsystem("sftp".into()));
    vec![
        ("shell", shell),
        ("exec", exec),
        ("login shell", login),
        ("a terminal without modes", plain),
        ("subsystem", sftp),
    ]
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
        .map(|(name, spec)| json!({ "name": name, "spec": describe_spec(spec), "hex": to_hex(&spec.encode().unwrap()) }))
        .collect();
    let limits: Vec<Value> =
        limits().iter().map(|(name, from, parts)| describe_limit(name, from, parts)).collect();
    let bad_specs: Vec<Value> = bad_specs()
        .iter()
        .map(|(name, bytes)| {
            let error = ProcessSpec::decode(bytes).expect_err(name);
            let is_counted = matches!(error, SpecError::TooManyModes { .. });
            assert!(is_counted || error == SpecError::Malformed, "{name}");
            json!({ "name": name, "hex": to_hex(bytes) })
        })
        .collect();
    for (path, entries) in [
        ("vectors/limits.json", limits),
        ("vectors/bad_specs.json", bad_specs),
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
        assert_eq!(describe_spec(&spec), entry["spec"], "{}", entry["name"]);
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
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), (0..=13).collect::<Vec<u8>>());
}

/// The names of all fields of a description, and of all that is in it.
fn names(value: &Value, found: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                found.insert(name.clone());
                names(field, found);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| names(value, found)),
        _ => {}
    }
}

#[test]
fn every_name_in_a_description_stands_in_the_specification() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("SPEC.md");
    let spec = std::fs::read_to_string(path).unwrap();
    let words = |text: &str| -> Vec<String> {
        let is_part = |character: char| !character.is_alphanumeric() && character != '_';
        text.split(is_part).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let spec = format!(" {} ", words(&spec).join(" "));
    let mut found = std::collections::BTreeSet::new();
    for (file, field) in [("frames", "frame"), ("streams", "frames"), ("specs", "spec")] {
        for entry in load(&format!("vectors/{file}.json")) {
            names(&entry[field], &mut found);
        }
    }
    for name in found {
        let plain = format!(" {} ", name.replace('_', " "));
        assert!(spec.contains(&plain), "SPEC has no {name:?}");
    }
}
