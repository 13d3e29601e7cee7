//! Frames to bytes and back, whatever the bytes and however they are split.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use bytes::{Buf, Bytes, BytesMut};
use common::strategies::frame;
use common::{ack, decode_all, decode_split, wire};
use proptest::prelude::*;
use rejoin_protocol::codec::{
    CLIENT_MAGIC, Decoder, MAX_CONTROL, MAX_HELLO, MAX_ITEM, MAX_NOISE, SERVER_MAGIC, WriteQueue,
    encode,
};
use rejoin_protocol::error::FrameError;
use rejoin_protocol::spec::{Command, ProcessSpec, SpecError, Terminal};
use rejoin_protocol::{
    ClientName, Frame, Item, Reason, Seq, SpawnError, SpawnErrorKind, Stream, WindowSize,
};

/// Cuts `bytes` at the given places, each taken modulo what is left.
fn split<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for cut in cuts {
        let (piece, rest) = bytes.split_at(cut % (bytes.len() + 1));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

fn stream(magic: [u8; 8], frames: &[Frame]) -> Vec<u8> {
    frames.iter().fold(magic.to_vec(), |bytes, frame| [bytes, wire(frame)].concat())
}

/// The decoder of a stream that has started.
fn started() -> Decoder {
    let mut decoder = Decoder::of_client();
    assert_eq!(decoder.decode(&mut BytesMut::from(&CLIENT_MAGIC[..])), Ok(None));
    decoder
}

fn error_of(bytes: &[u8]) -> FrameError {
    decode_all(started(), bytes).1.expect("an error")
}

/// A frame from its parts, with a length that is right.
fn raw(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 1).unwrap().to_be_bytes();
    [&length[..], &[kind], body].concat()
}

proptest! {
    #[test]
    fn frames_come_back_as_they_were(frames in prop::collection::vec(frame(), 0..8)) {
        let bytes = stream(SERVER_MAGIC, &frames);
        prop_assert_eq!(decode_all(Decoder::of_server(), &bytes), (frames, None));
    }

    #[test]
    fn a_split_changes_nothing(
        frames in prop::collection::vec(frame(), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..40),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let bytes = [noise.clone(), stream(SERVER_MAGIC, &frames)].concat();
        let mut decoder = Decoder::of_server();
        prop_assert_eq!(decode_split(&mut decoder, split(&bytes, &cuts)), (frames, None));
        prop_assert_eq!(&decoder.noise().start, &noise);
        prop_assert_eq!(decoder.noise().skipped, noise.len());
    }

    #[test]
    fn any_bytes_are_frames_or_an_error_and_a_split_changes_neither(
        frames in prop::collection::vec(frame(), 0..4),
        junk in prop::collection::vec(any::<u8>(), 0..200),
        cuts in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let bytes = [stream(CLIENT_MAGIC, &frames), junk].concat();
        let (whole, error) = decode_all(Decoder::of_client(), &bytes);
        let (pieces, late) = decode_split(&mut Decoder::of_client(), split(&bytes, &cuts));
        prop_assert_eq!(whole, pieces);
        // A length beyond every limit is refused before the kind has come.
        let name = |error: Option<FrameError>| error.map(|error| std::mem::discriminant(&error));
        prop_assert_eq!(name(error), name(late));
    }

    #[test]
    fn damaged_frames_never_panic(frame in frame(), at in any::<usize>(), with in any::<u8>()) {
        let mut bytes = wire(&frame);
        let at = at % bytes.len();
        bytes[at] = with;
        let _ = decode_all(started(), &bytes);
    }

    #[test]
    fn what_was_decoded_encodes_again(kind in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..80)) {
        let (frames, _) = decode_all(started(), &raw(kind, &body));
        for frame in frames {
            prop_assert_eq!(decode_all(started(), &wire(&frame)), (vec![frame], None));
        }
    }

    #[test]
    fn a_queue_writes_what_encode_yields(
        frames in prop::collection::vec(frame(), 0..6),
        steps in prop::collection::vec(1usize..50, 1..200),
    ) {
        let mut queue = WriteQueue::starting_with(CLIENT_MAGIC);
        for frame in &frames {
            queue.push(frame).unwrap();
        }
        let (expected, mut written) = (stream(CLIENT_MAGIC, &frames), Vec::new());
        prop_assert_eq!(queue.remaining(), expected.len());
        for step in steps.iter().cycle() {
            let some = (*step).min(queue.chunk().len());
            written.extend_from_slice(&queue.chunk()[..some]);
            queue.advance(some);
            if !queue.has_remaining() {
                break;
            }
        }
        prop_assert_eq!(written, expected);
    }

    #[test]
    fn the_modes_of_a_terminal_come_back_in_their_order(
        modes in prop::collection::vec(any::<(u8, u32)>(), 0..=Terminal::MAX_MODES)
    ) {
        let mut spec = ProcessSpec::new(Command::LoginShell);
        let size = WindowSize { rows: 24, cols: 80, ..WindowSize::default() };
        spec.terminal = Some(Terminal { term: "vt100".into(), size, modes });
        prop_assert_eq!(ProcessSpec::decode(&spec.encode().unwrap()), Ok(spec));
    }

    #[test]
    fn a_spec_comes_back_or_is_malformed(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(spec) = ProcessSpec::decode(&bytes) {
            prop_assert_eq!(ProcessSpec::decode(&spec.encode().unwrap()), Ok(spec));
        }
    }
}

#[test]
fn a_payload_is_a_slice_of_the_buffer_that_was_read_into() {
    let data = Bytes::from(vec![7; 1000]);
    let item = Item::Output { stream: Stream::Stderr, data };
    let mut buffer = BytesMut::from(&wire(&Frame::Item { seq: Seq(9), item })[..]);
    let range = buffer.as_ptr_range();
    let Ok(Some(Frame::Item { item, .. })) = started().decode(&mut buffer) else {
        panic!("an item was expected")
    };
    assert_eq!(item.payload().len(), 1000);
    assert!(range.contains(&item.payload().as_ptr()));
}

#[test]
fn a_payload_is_not_copied_to_be_sent() {
    let data = Bytes::from(vec![7; 1000]);
    let encoded = encode(&common::item(0, Item::Input(data.clone()))).unwrap();
    assert_eq!(encoded.payload.as_ptr(), data.as_ptr());
}

#[test]
fn each_malformed_frame_has_its_error() {
    assert_eq!(error_of(&[0, 0, 0, 0]), FrameError::Empty);
    assert_eq!(error_of(&raw(0x0e, &[])), FrameError::UnknownKind(0x0e));
    assert_eq!(error_of(&raw(0x06, &[])), FrameError::BadHeader(0x06));
    assert_eq!(error_of(&raw(0x06, &[0xff; 11])), FrameError::BadHeader(0x06));
    assert_eq!(error_of(&raw(0x06, &[1, 1])), FrameError::UnexpectedPayload(0x06));
    assert_eq!(error_of(&raw(0x0a, &[1])), FrameError::UnexpectedPayload(0x0a));
    // InputEnd with bytes behind it; a Hello whose wish is no Open with bytes behind it.
    assert_eq!(error_of(&raw(0x05, &[0, 1, 0])), FrameError::UnexpectedPayload(0x05));
    let mut close = wire(&common::hello(common::ALICE, 1, 0, common::close(0)))[5..].to_vec();
    close.push(0);
    assert_eq!(error_of(&raw(0x02, &close)), FrameError::UnexpectedPayload(0x02));
    // An item kind that does not exist.
    assert_eq!(error_of(&raw(0x05, &[0, 7])), FrameError::BadHeader(0x05));
}

#[test]
fn each_kind_has_its_limit_and_it_is_judged_before_the_body_has_come() {
    for (kind, limit) in [
        (0x01, MAX_CONTROL),
        (0x02, MAX_HELLO),
        (0x05, MAX_ITEM),
        (0x7f, MAX_CONTROL),
        (0x8d, MAX_CONTROL),
        (0xff, MAX_ITEM),
    ] {
        let head = |length: u32| [&length.to_be_bytes()[..], &[kind]].concat();
        assert_eq!(decode_all(started(), &head(limit)), (vec![], None), "{kind:#04x}");
        let length = limit + 1;
        assert_eq!(error_of(&head(length)), FrameError::TooLong { kind, length, limit });
    }
    // Beyond every limit the kind does not matter, and is not waited for.
    let error = FrameError::TooLong { kind: 0, length: u32::MAX, limit: MAX_HELLO };
    assert_eq!(error_of(&[0xff; 4]), error);
}

#[test]
fn the_largest_item_fits_and_one_byte_more_does_not_encode() {
    let of = |len| common::item(u64::MAX, Item::Input(Bytes::from(vec![0; len])));
    let largest = of(Item::MAX_PAYLOAD);
    assert_eq!(decode_all(started(), &wire(&largest)), (vec![largest], None));
    for too_long in [1, 40, 64] {
        let too_long = encode(&of(Item::MAX_PAYLOAD + too_long));
        assert_eq!(too_long, Err(FrameError::BadPayload(0x05)));
    }
    let empty = Item::Output { stream: rejoin_protocol::Stream::Stdout, data: Bytes::new() };
    assert_eq!(encode(&common::item(0, empty)), Err(FrameError::BadPayload(0x05)));
    let message = "x".repeat(5000);
    let frame = common::refused(1, Reason::Forbidden { message });
    assert!(matches!(encode(&frame), Err(FrameError::TooLong { kind: 0x04, .. })));
}

#[test]
fn a_frame_that_does_not_encode_leaves_the_queue_as_it_was() {
    let mut queue = WriteQueue::default();
    queue.push(&ack(1)).unwrap();
    let before = queue.remaining();
    let frame = common::refused(1, Reason::Forbidden { message: "x".repeat(5000) });
    assert!(queue.push(&frame).is_err());
    assert_eq!(queue.remaining(), before);
}

#[test]
fn an_unknown_kind_is_skipped_if_it_is_ignorable() {
    let bytes = [raw(0xfe, b"news from a later version"), wire(&ack(3))].concat();
    assert_eq!(decode_all(started(), &bytes), (vec![ack(3)], None));
}

#[test]
fn a_longer_name_than_allowed_is_cut_when_it_is_read() {
    let mut body = vec![0];
    body.extend_from_slice(&[0x90, 0x4e]); // 10,000 bytes
    body.extend_from_slice(&[b'n'; 10_000]);
    // Too long for its kind here, but a Hello could carry it.
    assert!(matches!(error_of(&raw(0x09, &body)), FrameError::TooLong { .. }));
    let name = [&[0, 0xb8, 0x17][..], &[b'n'; 3000]].concat();
    let (frames, None) = decode_all(started(), &raw(0x09, &name)) else { panic!("no error") };
    let Frame::Superseded { name, .. } = &frames[0] else { panic!("Superseded") };
    assert_eq!(name.to_printable(), "n".repeat(128));
}

#[test]
fn names_and_messages_of_a_peer_are_shown_as_printable_text() {
    let evil = "\u{1b}\u{9b}\u{61c}\u{200b}\u{2066}\u{ad}\u{180e}\u{e0041}\u{fff9}";
    let name = ClientName::new(&format!("me{evil}@{evil}desk"));
    assert_eq!(name.to_printable(), "me@desk");
    let message = format!("no{evil} such\tfile{evil}\n");
    let failed = SpawnError { kind: SpawnErrorKind::NotFound, message: message.clone() };
    for reason in [Reason::SpawnFailed(failed), Reason::Forbidden { message }] {
        assert!(reason.to_string().ends_with(": no such file"), "{reason}");
    }
}

#[test]
fn noise_before_the_servers_magic_is_skipped_up_to_a_bound_and_reported() {
    let noise = vec![b'.'; MAX_NOISE];
    let bytes = [&noise[..], &SERVER_MAGIC, &wire(&ack(0))].concat();
    let mut decoder = Decoder::of_server();
    assert_eq!(decode_split(&mut decoder, [&bytes[..]]), (vec![ack(0)], None));
    assert_eq!((decoder.noise().skipped, decoder.noise().start.len()), (MAX_NOISE, 1024));
    let more = [b".", &bytes[..]].concat();
    assert_eq!(decode_all(Decoder::of_server(), &more).1, Some(FrameError::NoMagic));
    // Without any magic the bound holds just the same.
    let none = vec![b'.'; MAX_NOISE + 8];
    assert_eq!(decode_all(Decoder::of_server(), &none).1, Some(FrameError::NoMagic));
}

#[test]
fn a_clients_stream_starts_with_its_magic() {
    assert_eq!(decode_all(Decoder::of_client(), b"GET / HTTP").1, Some(FrameError::NoMagic));
    assert_eq!(decode_all(Decoder::of_client(), &SERVER_MAGIC).1, Some(FrameError::NoMagic));
    assert_eq!(decode_all(Decoder::of_client(), &CLIENT_MAGIC[..5]), (vec![], None));
}

#[test]
fn a_spec_has_its_errors_and_its_numbers_their_bounds() {
    let mut spec = ProcessSpec::new(Command::Exec(vec![b"ls".to_vec(), b"\xff".to_vec()]));
    spec.window = 0;
    let decoded = ProcessSpec::decode(&spec.encode().unwrap()).unwrap();
    assert_eq!(decoded.window, ProcessSpec::MIN_WINDOW);
    spec.window = u64::MAX;
    let encoded = spec.encode().unwrap();
    assert_eq!(ProcessSpec::decode(&encoded).unwrap().window, ProcessSpec::MAX_WINDOW);
    spec.retention = u64::MAX;
    let longest = ProcessSpec::decode(&spec.encode().unwrap()).unwrap().retention;
    assert_eq!(longest, ProcessSpec::MAX_RETENTION);
    assert_eq!(ProcessSpec::decode(&encoded[1..]), Err(SpecError::Malformed));
    assert_eq!(ProcessSpec::decode(&[&encoded[..], &[0]].concat()), Err(SpecError::Malformed));
    assert_eq!(ProcessSpec::decode(&[]), Err(SpecError::Malformed));
    let long = vec![0; ProcessSpec::MAX_ENCODED + 1];
    let length = long.len();
    assert_eq!(ProcessSpec::decode(&long), Err(SpecError::TooLong { length }));
    spec.command = Command::Shell(long);
    assert!(matches!(spec.encode(), Err(SpecError::TooLong { .. })));
}

#[test]
fn a_terminal_has_at_most_160_modes() {
    let mut spec = ProcessSpec::new(Command::LoginShell);
    let with = |modes: Vec<(u8, u32)>| {
        Some(Terminal { term: "vt100".into(), size: WindowSize::default(), modes })
    };
    let most: Vec<(u8, u32)> = (0..160).map(|opcode| (opcode, u32::MAX)).collect();
    spec.terminal = with(most.clone());
    assert_eq!(ProcessSpec::decode(&spec.encode().unwrap()), Ok(spec.clone()));
    spec.terminal = with([&most[..], &[(3, 127)]].concat());
    assert_eq!(spec.encode(), Err(SpecError::TooManyModes { count: 161 }));
}
