//! Frames to bytes and back (SPEC section 3).
//!
//! Encoding yields header and payload separately, so that a payload is never copied. Decoding slices payloads
//! out of the buffer that was read into. Every length is checked before anything is allocated for it.

mod acks;
mod hello;

use alloc::collections::VecDeque;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

pub use acks::Acks;

use crate::error::FrameError;
use crate::frame::{Bye, Frame};
use crate::item::{ExitStatus, Item, Signal, Stream, WindowSize};
use crate::preamble::Preamble;
pub use crate::preamble::{MAX_NOISE, MAX_NOISE_KEPT, Noise};
use crate::seq::Seq;
use crate::spec::ProcessSpec;

/// The magic of a server's stream. A login shell may print something before it (SPEC section 3.1).
pub const SERVER_MAGIC: [u8; 8] = *b"\xc1rejoin>";
/// The magic of a client's stream.
pub const CLIENT_MAGIC: [u8; 8] = *b"\xc1rejoin<";

/// The longest frame without a payload, in bytes after the length field.
pub const MAX_CONTROL: u32 = 4096;
/// The longest Hello: a spec and its header.
// Both terms are far below 2^32.
#[allow(clippy::cast_possible_truncation)]
pub const MAX_HELLO: u32 = ProcessSpec::MAX_ENCODED as u32 + MAX_CONTROL;
/// The longest Item.
#[allow(clippy::cast_possible_truncation)]
pub const MAX_ITEM: u32 = Item::MAX_PAYLOAD as u32 + 64;
/// The longest frame of an unknown kind that may be skipped.
pub const MAX_IGNORABLE: u32 = MAX_ITEM;
/// The ignorable bit: a peer that does not know such a kind skips the frame.
pub const IGNORABLE: u8 = 0x80;

const LENGTH_LEN: usize = 4;
/// Every Item and every Ack has a header shorter than this.
const SHORT_HEADER: usize = 32;
/// How much room is reserved for heads at once: enough for some hundred frames.
const HEADS: usize = 4096;

/// The kind bytes (SPEC section 4.1).
mod kind {
    pub(super) const GREETING: u8 = 0x01;
    pub(super) const HELLO: u8 = 0x02;
    pub(super) const WELCOME: u8 = 0x03;
    pub(super) const REFUSED: u8 = 0x04;
    pub(super) const ITEM: u8 = 0x05;
    pub(super) const ACK: u8 = 0x06;
    pub(super) const PING: u8 = 0x07;
    pub(super) const PONG: u8 = 0x08;
    pub(super) const SUPERSEDED: u8 = 0x09;
    pub(super) const DETACH: u8 = 0x0a;
    pub(super) const CLOSE: u8 = 0x0b;
    pub(super) const CLOSED: u8 = 0x0c;
    pub(super) const BYE: u8 = 0x0d | super::IGNORABLE;
}

#[derive(Serialize, Deserialize)]
struct ItemHeader {
    seq: Seq,
    item: ItemKind,
}

#[derive(Serialize, Deserialize)]
enum ItemKind {
    Input,
    InputEnd,
    Resize(WindowSize),
    Signal(Signal),
    Output(Stream),
    Exit(ExitStatus),
    Gap { next: Seq },
}

/// A frame in bytes: the head, and the payload after it, which is not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Length, kind and header.
    pub head: Bytes,
    /// The payload; often empty.
    pub payload: Bytes,
}

/// Writes a frame.
///
/// # Errors
/// [`FrameError::TooLong`] if the frame is longer than its kind may be, [`FrameError::BadPayload`] if an
/// item's payload is too long or an Output is empty. Only a payload or a text of the caller can cause these
/// errors.
pub fn encode(frame: &Frame) -> Result<Encoded, FrameError> {
    encode_with(frame, &mut BytesMut::new())
}

/// The same, with room for heads that many frames share. An allocation for each head would cost more than its
/// frame.
pub(crate) fn encode_sharing(frame: &Frame, heads: &mut BytesMut) -> Result<Encoded, FrameError> {
    if heads.capacity() < LENGTH_LEN + 1 + SHORT_HEADER {
        heads.reserve(HEADS);
    }
    encode_with(frame, heads)
}

fn encode_with(frame: &Frame, heads: &mut BytesMut) -> Result<Encoded, FrameError> {
    let none = Bytes::new;
    match frame {
        Frame::Greeting(greeting) => finish(kind::GREETING, greeting, none(), heads),
        Frame::Hello(hello) => hello::encode(hello, heads),
        Frame::Welcome(welcome) => finish(kind::WELCOME, welcome, none(), heads),
        Frame::Refused(refused) => finish(kind::REFUSED, refused, none(), heads),
        Frame::Item { seq, item } => encode_item(*seq, item, heads),
        Frame::Ack { next } => finish(kind::ACK, next, none(), heads),
        Frame::Ping { token } => finish(kind::PING, token, none(), heads),
        Frame::Pong { token } => finish(kind::PONG, token, none(), heads),
        Frame::Superseded { by, name } => finish(kind::SUPERSEDED, &(by, name), none(), heads),
        Frame::Detach => finish(kind::DETACH, &(), none(), heads),
        Frame::Close => finish(kind::CLOSE, &(), none(), heads),
        Frame::Closed { attach, ended } => finish(kind::CLOSED, &(attach, ended), none(), heads),
        Frame::Bye(bye) => finish(kind::BYE, bye, none(), heads),
    }
}

fn encode_item(seq: Seq, item: &Item, heads: &mut BytesMut) -> Result<Encoded, FrameError> {
    let (item, payload) = match item {
        Item::Input(data) => (ItemKind::Input, data.clone()),
        Item::InputEnd => (ItemKind::InputEnd, Bytes::new()),
        Item::Resize(size) => (ItemKind::Resize(*size), Bytes::new()),
        Item::Signal(signal) => (ItemKind::Signal(*signal), Bytes::new()),
        Item::Output { stream, data } => (ItemKind::Output(*stream), data.clone()),
        Item::Exit(status) => (ItemKind::Exit(*status), Bytes::new()),
        Item::Gap { next } => (ItemKind::Gap { next: *next }, Bytes::new()),
    };
    check_payload(&item, &payload)?;
    finish(kind::ITEM, &ItemHeader { seq, item }, payload, heads)
}

fn finish<T: Serialize>(
    kind: u8,
    header: &T,
    payload: Bytes,
    heads: &mut BytesMut,
) -> Result<Encoded, FrameError> {
    // Frequent frames fit, and need no memory of their own.
    let mut short = [0; SHORT_HEADER];
    if let Ok(header) = postcard::to_slice(header, &mut short) {
        return join(kind, header, payload, heads);
    }
    let header = postcard::to_allocvec(header).map_err(|_| FrameError::BadHeader(kind))?;
    join(kind, &header, payload, heads)
}

fn join(
    kind: u8,
    header: &[u8],
    payload: Bytes,
    heads: &mut BytesMut,
) -> Result<Encoded, FrameError> {
    let length = u32::try_from(1 + header.len() + payload.len()).unwrap_or(u32::MAX);
    check_length(kind, length)?;
    heads.put_u32(length);
    heads.put_u8(kind);
    heads.put_slice(header);
    Ok(Encoded { head: heads.split().freeze(), payload })
}

/// The longest frame of a kind, in bytes after the length field (SPEC section 3.2).
pub fn limit(kind: u8) -> u32 {
    match kind {
        kind::HELLO => MAX_HELLO,
        kind::ITEM => MAX_ITEM,
        kind if kind & IGNORABLE != 0 && kind != kind::BYE => MAX_IGNORABLE,
        _ => MAX_CONTROL,
    }
}

fn check_length(kind: u8, length: u32) -> Result<(), FrameError> {
    let limit = limit(kind);
    if length > limit { Err(FrameError::TooLong { kind, length, limit }) } else { Ok(()) }
}

/// Reads frames out of a growing buffer.
///
/// Feed it everything that arrives, in any split. It never asks for more buffer than the longest frame of the
/// current kind. An error is final: close the link.
#[derive(Clone, Debug)]
pub struct Decoder {
    preamble: Preamble,
}

impl Decoder {
    /// For a server's stream, as a client reads it: noise before the magic is skipped.
    pub fn of_server() -> Self {
        Self { preamble: Preamble::of_host(SERVER_MAGIC) }
    }

    /// For a client's stream, as a server reads it: the stream starts with the magic.
    pub fn of_client() -> Self {
        Self { preamble: Preamble::of_client(CLIENT_MAGIC) }
    }

    /// The noise before the magic so far.
    pub fn noise(&self) -> &Noise {
        self.preamble.noise()
    }

    /// Whether the magic was seen.
    pub fn is_started(&self) -> bool {
        self.preamble.is_found()
    }

    /// The next frame, if it is complete. Its bytes are removed from `buffer`.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes are not a frame, as early as that is certain.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        if !self.preamble.find(buffer)? {
            return Ok(None);
        }
        while let Some((kind, length)) = peek(buffer)? {
            let whole = LENGTH_LEN + length;
            if buffer.len() < whole {
                buffer.reserve(whole - buffer.len());
                return Ok(None);
            }
            let mut frame = buffer.split_to(whole).freeze();
            frame.advance(LENGTH_LEN + 1);
            if let Some(frame) = decode_body(kind, &frame)? {
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }
}

/// Kind and length of the current frame, both checked.
fn peek(buffer: &[u8]) -> Result<Option<(u8, usize)>, FrameError> {
    let Some((length, rest)) = buffer.split_first_chunk::<LENGTH_LEN>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    if length == 0 {
        return Err(FrameError::Empty);
    }
    // No kind may be longer than a Hello.
    if length > MAX_HELLO {
        let kind = rest.first().copied().unwrap_or_default();
        return Err(FrameError::TooLong { kind, length, limit: MAX_HELLO });
    }
    let Some(&kind) = rest.first() else { return Ok(None) };
    check_length(kind, length)?;
    // At most MAX_HELLO, which fits everywhere.
    Ok(Some((kind, length as usize)))
}

fn decode_body(kind: u8, body: &Bytes) -> Result<Option<Frame>, FrameError> {
    Ok(Some(match kind {
        kind::GREETING => Frame::Greeting(whole(kind, body)?),
        kind::HELLO => hello::decode(body)?,
        kind::WELCOME => Frame::Welcome(whole(kind, body)?),
        kind::REFUSED => Frame::Refused(whole(kind, body)?),
        kind::ITEM => decode_item(body)?,
        kind::ACK => Frame::Ack { next: whole(kind, body)? },
        kind::PING => Frame::Ping { token: whole(kind, body)? },
        kind::PONG => Frame::Pong { token: whole(kind, body)? },
        kind::SUPERSEDED => {
            let (by, name) = whole(kind, body)?;
            Frame::Superseded { by, name }
        }
        kind::DETACH => whole::<()>(kind, body).map(|()| Frame::Detach)?,
        kind::CLOSE => whole::<()>(kind, body).map(|()| Frame::Close)?,
        kind::CLOSED => {
            let (attach, ended) = whole(kind, body)?;
            Frame::Closed { attach, ended }
        }
        kind::BYE => Frame::Bye(whole::<Bye>(kind, body)?),
        _ if kind & IGNORABLE != 0 => return Ok(None),
        _ => return Err(FrameError::UnknownKind(kind)),
    }))
}

/// A header with nothing after it.
fn whole<'a, T: Deserialize<'a>>(kind: u8, body: &'a Bytes) -> Result<T, FrameError> {
    match postcard::take_from_bytes(body) {
        Ok((header, [])) => Ok(header),
        Ok(_) => Err(FrameError::UnexpectedPayload(kind)),
        Err(_) => Err(FrameError::BadHeader(kind)),
    }
}

/// A header, and what follows it as a slice of the same buffer.
fn with_payload<'a, T: Deserialize<'a>>(
    kind: u8,
    body: &'a Bytes,
) -> Result<(T, Bytes), FrameError> {
    let (header, rest) =
        postcard::take_from_bytes(body).map_err(|_| FrameError::BadHeader(kind))?;
    Ok((header, body.slice(body.len() - rest.len()..)))
}

fn decode_item(body: &Bytes) -> Result<Frame, FrameError> {
    let (header, payload): (ItemHeader, _) = with_payload(kind::ITEM, body)?;
    check_payload(&header.item, &payload)?;
    let item = match header.item {
        ItemKind::Input => Item::Input(payload),
        ItemKind::Output(stream) => Item::Output { stream, data: payload },
        _ if !payload.is_empty() => return Err(FrameError::UnexpectedPayload(kind::ITEM)),
        ItemKind::InputEnd => Item::InputEnd,
        ItemKind::Resize(size) => Item::Resize(size),
        ItemKind::Signal(signal) => Item::Signal(signal),
        ItemKind::Exit(status) => Item::Exit(status),
        ItemKind::Gap { next } => Item::Gap { next },
    };
    Ok(Frame::Item { seq: header.seq, item })
}

/// An Output is not empty, and no payload is longer than an item's limit.
fn check_payload(item: &ItemKind, payload: &[u8]) -> Result<(), FrameError> {
    let is_empty = payload.is_empty() && matches!(item, ItemKind::Output(_));
    if is_empty || payload.len() > Item::MAX_PAYLOAD {
        return Err(FrameError::BadPayload(kind::ITEM));
    }
    Ok(())
}

/// Frames to write to a stream, as one buffer of many pieces: a vectored write sends them without copying a
/// payload.
#[derive(Clone, Debug, Default)]
pub struct WriteQueue {
    pieces: VecDeque<Bytes>,
    len: usize,
    /// Room for the next heads.
    heads: BytesMut,
}

impl WriteQueue {
    /// A queue that holds the magic at the start of a stream.
    pub fn starting_with(magic: [u8; 8]) -> Self {
        let mut queue = Self::default();
        queue.push_bytes(Bytes::copy_from_slice(&magic));
        queue
    }

    /// Appends a frame.
    ///
    /// # Errors
    /// As [`encode`]; the queue is then unchanged.
    pub fn push(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let Encoded { head, payload } = encode_sharing(frame, &mut self.heads)?;
        self.push_bytes(head);
        self.push_bytes(payload);
        Ok(())
    }

    fn push_bytes(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.len += bytes.len();
            self.pieces.push_back(bytes);
        }
    }
}

impl Buf for WriteQueue {
    fn remaining(&self) -> usize {
        self.len
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, slices: &mut [std::io::IoSlice<'a>]) -> usize {
        let pairs = slices.iter_mut().zip(&self.pieces);
        pairs.map(|(slice, piece)| *slice = std::io::IoSlice::new(piece)).count()
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len, "cannot advance past the end of the queue");
        self.len -= count;
        while let Some(piece) = self.pieces.front_mut() {
            if count < piece.len() {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            self.pieces.pop_front();
        }
    }
}
