//! What the fuzz targets share.

pub mod frames;
pub mod ledger;

use bytes::BytesMut;
use rejoin_protocol::Frame;
use rejoin_protocol::codec::{CLIENT_MAGIC, Decoder, encode};
use rejoin_protocol::error::FrameError;
use rejoin_protocol::frame::{Hello, Wish};

/// Cuts `bytes` into pieces, in a way that `seed` decides: 1 to 16 bytes, or up to 4096.
pub fn pieces(mut bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let longest = if seed & 1 == 0 { 16 } else { 4096 };
    let mut state = u32::from(seed);
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = (1 + (state >> 16) as usize % longest).min(bytes.len());
        let (piece, rest) = bytes.split_at(length);
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// That a frame encodes to bytes which decode to the same frame. A Hello of a later version, whose wish cannot
/// be read, cannot be sent.
pub fn check_round_trip(frame: &Frame) {
    if matches!(frame, Frame::Hello(Hello { wish: Wish::Unreadable, .. })) {
        assert_eq!(encode(frame), Err(FrameError::BadHeader(2)));
        return;
    }
    let encoded = match encode(frame) {
        Ok(encoded) => encoded,
        Err(error) => panic!("{frame:?} does not encode: {error}"),
    };
    let mut buffer = BytesMut::from(&CLIENT_MAGIC[..]);
    buffer.extend_from_slice(&encoded.head);
    buffer.extend_from_slice(&encoded.payload);
    assert_eq!(Decoder::of_client().decode(&mut buffer).as_ref(), Ok(&Some(frame.clone())));
    assert!(buffer.is_empty());
}

/// Whether the events of a run are to be printed: `REJOIN_FUZZ_SHOW=1`, to understand what was found.
pub fn is_shown() -> bool {
    std::env::var_os("REJOIN_FUZZ_SHOW").is_some()
}
