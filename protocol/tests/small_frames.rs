//! Every short body behind every kind, and everything that is one bit or one end away from an
//! example: what is decoded encodes again, and nothing panics.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use bytes::{Bytes, BytesMut};
use common::catalogue::frames;
use common::{decode_split, wire};
use rejoin_protocol::codec::{CLIENT_MAGIC, Decoder, encode};
use rejoin_protocol::error::FrameError;
use rejoin_protocol::frame::Wish;
use rejoin_protocol::spec::{Command, ProcessSpec, Terminal};
use rejoin_protocol::{Frame, Item, WindowSize};

/// The kinds that there are (SPEC section 4.1), one that may be skipped, and one that may not.
const KINDS: [u8; 15] =
    [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x8d, 0xfe, 0x0e];

/// Where a number in bytes, an option, a variant or a length takes another course.
const TURNS: [u8; 20] =
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 0x10, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xff];

struct Reader {
    decoder: Decoder,
    buffer: BytesMut,
}

impl Reader {
    fn new() -> Self {
        let mut decoder = Decoder::of_client();
        assert_eq!(decoder.decode(&mut BytesMut::from(&CLIENT_MAGIC[..])), Ok(None));
        Self { decoder, buffer: BytesMut::with_capacity(1024) }
    }

    /// Decodes what may be one frame. What comes of it encodes again, to what decodes the same.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        self.buffer.clear();
        self.buffer.extend_from_slice(bytes);
        let decoded = self.decoder.decode(&mut self.buffer);
        if let Ok(Some(Frame::Item { item: Item::Output { data, .. }, .. })) = &decoded {
            assert!(!data.is_empty(), "{bytes:?}");
        }
        if let Ok(Some(frame)) = &decoded
            && !is_of_another_version(frame)
        {
            let encoded = encode(frame).unwrap_or_else(|error| panic!("{bytes:?}: {error}"));
            let again = [&encoded.head[..], &encoded.payload[..]].concat();
            let mut again = BytesMut::from(&again[..]);
            let decoded = self.decoder.clone().decode(&mut again);
            assert_eq!(decoded.as_ref(), Ok(&Some(frame.clone())), "{bytes:?}");
            assert!(again.is_empty(), "{bytes:?}");
        }
        decoded
    }

    /// The same of a kind and a body, with the length that they have.
    fn read_body(&mut self, kind: u8, body: &[u8]) -> Result<Option<Frame>, FrameError> {
        let length = u32::try_from(body.len() + 1).unwrap().to_be_bytes();
        let mut bytes = [0; 8];
        let whole = &mut bytes[..body.len() + 5];
        whole[..4].copy_from_slice(&length);
        whole[4] = kind;
        whole[5..].copy_from_slice(body);
        self.read(whole)
    }
}

/// The wish of a later version cannot be read, and is not sent on.
fn is_of_another_version(frame: &Frame) -> bool {
    matches!(frame, Frame::Hello(hello) if hello.wish == Wish::Unreadable)
}

#[test]
fn every_body_of_two_bytes_is_a_frame_that_encodes_again_or_an_error() {
    let mut reader = Reader::new();
    let mut read = 0;
    for kind in KINDS {
        read += usize::from(matches!(reader.read_body(kind, &[]), Ok(Some(_))));
        for first in 0..=u8::MAX {
            read += usize::from(matches!(reader.read_body(kind, &[first]), Ok(Some(_))));
            for second in 0..=u8::MAX {
                let decoded = reader.read_body(kind, &[first, second]);
                read += usize::from(matches!(decoded, Ok(Some(_))));
            }
        }
    }
    assert!(read > 50_000, "only {read} of them are frames");
}

#[test]
fn every_body_of_three_bytes_with_a_turn_among_them_encodes_again_or_is_an_error() {
    let mut reader = Reader::new();
    let mut read = 0;
    for kind in KINDS {
        for turn in TURNS {
            for other in TURNS {
                for any in 0..=u8::MAX {
                    for body in [[any, turn, other], [turn, any, other], [turn, other, any]] {
                        read += usize::from(matches!(reader.read_body(kind, &body), Ok(Some(_))));
                    }
                }
            }
        }
    }
    assert!(read > 50_000, "only {read} of them are frames");
}

#[test]
fn every_kind_that_does_not_exist_is_skipped_or_refused_by_its_highest_bit() {
    let mut reader = Reader::new();
    for kind in (0..=u8::MAX).filter(|kind| !KINDS[..13].contains(kind)) {
        for body in [&[][..], &[0], &[0xff, 0xff, 0xff]] {
            let expected = if kind < 0x80 { Err(FrameError::UnknownKind(kind)) } else { Ok(None) };
            assert_eq!(reader.read_body(kind, body), expected, "{kind:#04x}");
        }
    }
}

#[test]
fn every_example_comes_back_from_any_two_pieces() {
    for (name, frame) in frames() {
        let bytes = wire(&frame);
        for at in 0..=bytes.len() {
            let mut decoder = Reader::new().decoder;
            let pieces = [&bytes[..at], &bytes[at..]];
            assert_eq!(decode_split(&mut decoder, pieces), (vec![frame.clone()], None), "{name}");
        }
    }
}

#[test]
fn every_beginning_of_an_example_waits_for_the_rest() {
    let mut reader = Reader::new();
    for (name, frame) in frames() {
        let bytes = wire(&frame);
        for at in 0..bytes.len() {
            assert_eq!(reader.read(&bytes[..at]), Ok(None), "{name}, {at} bytes");
        }
    }
}

/// With the length that is left: what lacks something is an error, unless it is a payload's end.
#[test]
fn every_example_that_ends_early_is_an_error_or_has_a_shorter_payload() {
    let mut reader = Reader::new();
    for (name, frame) in frames() {
        let bytes = wire(&frame);
        let header = encode(&frame).unwrap().head.len();
        for end in 5..bytes.len() {
            let mut short = bytes[..end].to_vec();
            short[..4].copy_from_slice(&u32::try_from(end - 4).unwrap().to_be_bytes());
            match reader.read(&short) {
                Ok(Some(read)) => {
                    assert!(end >= header, "{name}, {end} bytes: {read:?}");
                    assert_ne!(read, frame, "{name}, {end} bytes");
                }
                Ok(None) => panic!("{name}, {end} bytes: it is whole"),
                Err(_) => {}
            }
        }
    }
}

#[test]
fn every_example_with_a_byte_behind_it_is_an_error_or_has_a_longer_payload() {
    let mut reader = Reader::new();
    for (name, frame) in frames() {
        let mut longer = wire(&frame);
        longer.push(0);
        let length = u32::try_from(longer.len() - 4).unwrap();
        longer[..4].copy_from_slice(&length.to_be_bytes());
        let read = reader.read(&longer);
        if has_payload(&frame) {
            assert!(matches!(read, Ok(Some(read)) if read != frame), "{name}");
        } else {
            assert_eq!(read, Err(FrameError::UnexpectedPayload(longer[4])), "{name}");
        }
    }
}

fn has_payload(frame: &Frame) -> bool {
    match frame {
        Frame::Item { item, .. } => matches!(item, Item::Input(_) | Item::Output { .. }),
        Frame::Hello(hello) => matches!(hello.wish, Wish::Open { .. }),
        _ => false,
    }
}

/// A flipped bit may make a frame longer or shorter than it is; whatever is read then encodes again.
#[test]
fn every_example_with_a_flipped_bit_is_another_frame_or_an_error() {
    let mut reader = Reader::new();
    let mut read = 0;
    for (name, frame) in frames() {
        let bytes = wire(&frame);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let decoded = reader.read(&flipped);
            assert_ne!(decoded, Ok(Some(frame.clone())), "{name}, bit {bit}");
            read += usize::from(matches!(decoded, Ok(Some(_))));
        }
    }
    assert!(read > 1_000, "only {read} of them are frames");
}

fn specs() -> Vec<ProcessSpec> {
    let mut small = ProcessSpec::new(Command::Exec(vec![b"ls".to_vec(), b"-l".to_vec()]));
    small.environment = vec![(b"A".to_vec(), b"b".to_vec())];
    let mut whole = ProcessSpec::new(Command::Shell(b"true".to_vec()));
    let size = WindowSize { rows: 24, cols: 80, xpixel: 0, ypixel: 600 };
    whole.terminal = Some(Terminal { term: "xterm".into(), size, modes: vec![(53, 1)] });
    vec![small, whole, ProcessSpec::new(Command::LoginShell)]
}

#[test]
fn every_spec_that_ends_early_or_has_a_flipped_bit_comes_back_or_is_malformed() {
    for spec in specs() {
        let bytes: Bytes = spec.encode().unwrap();
        for end in 0..bytes.len() {
            assert!(ProcessSpec::decode(&bytes[..end]).is_err(), "{spec:?}, {end} bytes");
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = ProcessSpec::decode(&flipped) {
                assert_eq!(ProcessSpec::decode(&read.encode().unwrap()), Ok(read), "bit {bit}");
            }
        }
    }
}
