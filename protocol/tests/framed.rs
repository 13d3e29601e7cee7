//! The same frames through tokio-util's traits.
#![cfg(feature = "codec")]

mod common;

use bytes::BytesMut;
use common::strategies::frame;
use proptest::prelude::*;
use rejoin_protocol::framed::{CodecError, FrameCodec};
use tokio_util::codec::{Decoder as _, Encoder as _};

proptest! {
    #[test]
    fn one_end_reads_what_the_other_writes(
        frames in prop::collection::vec(frame(), 0..8),
        step in 1usize..100,
    ) {
        for (mut writer, mut reader) in [
            (FrameCodec::client(), FrameCodec::server()),
            (FrameCodec::server(), FrameCodec::client()),
        ] {
            let (mut bytes, mut buffer, mut read) = (BytesMut::new(), BytesMut::new(), Vec::new());
            for frame in &frames {
                writer.encode(frame, &mut bytes).unwrap();
            }
            for piece in bytes.chunks(step) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = reader.decode(&mut buffer).unwrap() {
                    read.push(frame);
                }
            }
            prop_assert_eq!(&read, &frames);
            prop_assert!(reader.decode_eof(&mut buffer).unwrap().is_none());
            prop_assert!(reader.decoder().is_started() || frames.is_empty());
        }
    }
}

#[test]
fn the_magic_goes_out_once_and_only_with_a_frame_that_encodes() {
    let mut codec = FrameCodec::client();
    let mut bytes = BytesMut::new();
    let message = "x".repeat(5000);
    let bad = common::refused(1, rejoin_protocol::Reason::Forbidden { message });
    assert!(matches!(codec.encode(&bad, &mut bytes), Err(CodecError::Frame(_))));
    assert!(bytes.is_empty());
    codec.encode(&common::ack(1), &mut bytes).unwrap();
    codec.encode(&common::ack(2), &mut bytes).unwrap();
    assert_eq!(bytes.len(), 8 + 2 * common::wire(&common::ack(1)).len());
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_an_error() {
    let mut bytes = BytesMut::new();
    FrameCodec::client().encode(&common::ack(1), &mut bytes).unwrap();
    bytes.truncate(bytes.len() - 1);
    let error = FrameCodec::server().decode_eof(&mut bytes).unwrap_err();
    assert!(matches!(error, CodecError::Io(_)), "{error}");
}
