//! The codec for tokio-util's `Framed` (SPEC section 3).

use bytes::{BufMut, BytesMut};
use tokio_util::codec;

use crate::codec::{CLIENT_MAGIC, Decoder, SERVER_MAGIC, encode_sharing};
use crate::error::FrameError;
use crate::frame::Frame;

/// Either end of a link for `FramedRead`, `FramedWrite` and `Framed`.
///
/// The encoder copies payloads, because tokio-util wants one contiguous buffer; a driver that must not copy
/// uses [`crate::codec::WriteQueue`].
#[derive(Debug)]
pub struct FrameCodec {
    decoder: Decoder,
    magic: Option<[u8; 8]>,
    heads: BytesMut,
}

impl FrameCodec {
    /// The client's end: writes client frames, reads server frames.
    pub fn client() -> Self {
        Self { decoder: Decoder::of_server(), magic: Some(CLIENT_MAGIC), heads: BytesMut::new() }
    }

    /// The server's end: writes server frames, reads client frames.
    pub fn server() -> Self {
        Self { decoder: Decoder::of_client(), magic: Some(SERVER_MAGIC), heads: BytesMut::new() }
    }

    /// The decoder, which has the noise before the magic.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }
}

/// A stream that ended, failed, or carried no frames.
#[derive(Debug)]
pub enum CodecError {
    /// The stream failed.
    Io(std::io::Error),
    /// The bytes are not a frame.
    Frame(FrameError),
}

impl core::fmt::Display for CodecError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Frame(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for CodecError {}

impl From<std::io::Error> for CodecError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<FrameError> for CodecError {
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl codec::Decoder for FrameCodec {
    type Item = Frame;
    type Error = CodecError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        Ok(self.decoder.decode(buffer)?)
    }
}

impl codec::Encoder<&Frame> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, frame: &Frame, buffer: &mut BytesMut) -> Result<(), CodecError> {
        let encoded = encode_sharing(frame, &mut self.heads)?;
        if let Some(magic) = self.magic.take() {
            buffer.put_slice(&magic);
        }
        buffer.put_slice(&encoded.head);
        buffer.put_slice(&encoded.payload);
        Ok(())
    }
}
