//! The decoder on any bytes, in any pieces. The first byte of an input says whose stream it is (lowest
//! bit) and how it is split (the others).
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use rejoin_protocol::Frame;
use rejoin_protocol::codec::{Decoder, MAX_HELLO, MAX_NOISE_KEPT};
use rejoin_protocol::error::FrameError;
use rejoin_protocol_fuzz::{check_round_trip, pieces};

/// More than this is never held for one frame: the longest one, its length, and what came behind it.
const MOST_HELD: usize = 2 * (MAX_HELLO as usize + 4);

fuzz_target!(|input: &[u8]| {
    let Some((&control, stream)) = input.split_first() else { return };
    let decoder = if control & 1 == 0 { Decoder::of_client() } else { Decoder::of_server() };
    let whole = decode(decoder.clone(), [stream].into_iter());
    let split = decode(decoder, pieces(stream, control >> 1));
    assert_eq!(whole.frames, split.frames);
    assert_eq!(whole.noise, split.noise);
    // A length beyond every limit is refused before the kind has come.
    let name = |error: Option<FrameError>| error.map(|error| std::mem::discriminant(&error));
    assert_eq!(name(whole.error), name(split.error));
    whole.frames.iter().for_each(check_round_trip);
});

struct Decoded {
    frames: Vec<Frame>,
    error: Option<FrameError>,
    /// How many bytes were skipped; none is told of a stream that failed, where it depends on the split.
    noise: Option<usize>,
}

fn decode<'a>(mut decoder: Decoder, pieces: impl Iterator<Item = &'a [u8]>) -> Decoded {
    let (mut buffer, mut frames) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return Decoded { frames, error: Some(error), noise: None },
            }
        }
        assert!(buffer.capacity() <= MOST_HELD + piece.len());
    }
    assert!(decoder.noise().start.len() <= MAX_NOISE_KEPT.min(decoder.noise().skipped));
    Decoded { frames, error: None, noise: Some(decoder.noise().skipped) }
}
