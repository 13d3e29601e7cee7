//! The binary packet protocol (RFC 4253 section 6), before and after there are keys.

mod cipher;
mod sizes;

use bytes::{Buf as _, Bytes, BytesMut};

pub use cipher::Cipher;
pub(crate) use cipher::{DirectionKeys, OpeningKey, SealingKey};
use sizes::{LENGTH_LEN, MIN_PADDING};
pub(crate) use sizes::{MAX_PACKET, TAG_LEN};

use crate::error::{Error, Violation};

/// The longest line before there are packets, in bytes with its end: as long as OpenSSH takes it.
const MAX_LINE: usize = 8 * 1024;
/// The most that one key seals, in bytes (RFC 4253 section 9 recommends new keys after a gigabyte). It also
/// keeps the sequence numbers, of which chacha20-poly1305 makes its nonces, far from where they wrap.
pub(crate) const MAX_UNDER_ONE_KEY: u64 = 1 << 30;

/// Makes packets of payloads.
#[derive(Default)]
pub(crate) struct PacketWriter {
    key: SealingKey,
    sequence: u32,
    sealed: u64,
}

impl PacketWriter {
    /// Seals what follows with this key. The sequence numbers start at 0 again, as strict key exchange requires.
    pub(crate) fn rekey(&mut self, key: SealingKey) {
        *self = Self { key, ..Self::default() };
    }

    /// Whether the key has served for as much as it may.
    pub(crate) fn is_worn(&self) -> bool {
        self.sealed >= MAX_UNDER_ONE_KEY
    }

    /// Appends the packet with this payload to `out`.
    pub(crate) fn seal(&mut self, payload: &[u8], out: &mut BytesMut) -> Result<(), Error> {
        let padding = self.key.padding(payload.len());
        let length = 1 + payload.len() + padding;
        let start = out.len();
        out.reserve(LENGTH_LEN + length + TAG_LEN);
        // Both are far below what their fields hold: payloads are bounded, and padding is below 32.
        #[allow(clippy::cast_possible_truncation)]
        out.extend_from_slice(&(length as u32).to_be_bytes());
        #[allow(clippy::cast_possible_truncation)]
        out.extend_from_slice(&[padding as u8]);
        out.extend_from_slice(payload);
        let mut random = [0; 2 * TAG_LEN];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| Error::Local)?;
        out.extend_from_slice(&random[..padding]);
        if let Some(tag) = self.key.seal(self.sequence, &mut out[start..])? {
            out.extend_from_slice(&tag);
        }
        self.sealed += (out.len() - start) as u64;
        self.sequence = self.sequence.wrapping_add(1);
        Ok(())
    }
}

/// One packet's payload, which is never empty.
pub(crate) struct Packet {
    /// The number of the packet, for those that answer it.
    pub(crate) sequence: u32,
    /// The content.
    pub(crate) payload: Bytes,
}

/// Takes packets off a stream.
#[derive(Default)]
pub(crate) struct PacketReader {
    key: OpeningKey,
    sequence: u32,
    opened: u64,
    buffer: BytesMut,
    /// The length of the next packet, once its field was read. With a stream cipher it is read once only.
    length: Option<usize>,
    taken: usize,
}

impl PacketReader {
    /// Opens what follows with this key, including input that was fed but not taken.
    pub(crate) fn rekey(&mut self, key: OpeningKey) {
        (self.key, self.sequence, self.opened) = (key, 0, 0);
    }

    /// Whether the key has served for as much as it may.
    pub(crate) fn is_worn(&self) -> bool {
        self.opened >= MAX_UNDER_ONE_KEY
    }

    /// More of the stream.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// How much was fed and not taken.
    pub(crate) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// How many bytes of packets were taken, in all. Lines do not count.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// The next line, without its end: identifications are lines (RFC 4253 section 4.2). It is
    /// [`MAX_LINE`] long at most.
    pub(crate) fn line(&mut self) -> Result<Option<Bytes>, Error> {
        let searched = &self.buffer[..self.buffer.len().min(MAX_LINE)];
        let Some(end) = searched.iter().position(|byte| *byte == b'\n') else {
            let is_too_long = self.buffer.len() >= MAX_LINE;
            return if is_too_long { Err(Error::Peer(Violation::TooMuch)) } else { Ok(None) };
        };
        let mut line = self.buffer.split_to(end + 1);
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Ok(Some(line.freeze()))
    }

    /// The next packet, if all of it is here. After an error the stream is not to be used any more.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>, Error> {
        let Some(length) = self.next_length()? else { return Ok(None) };
        let total = LENGTH_LEN + length + self.key.tag_len();
        if self.buffer.len() < total {
            return Ok(None);
        }
        let mut packet = self.buffer.split_to(total);
        self.key.open(self.sequence, &mut packet)?;
        packet.truncate(LENGTH_LEN + length);
        packet.advance(LENGTH_LEN);
        let payload = unpadded(packet)?;
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        self.length = None;
        self.opened += total as u64;
        self.taken += total;
        Ok(Some(Packet { sequence, payload }))
    }

    fn next_length(&mut self) -> Result<Option<usize>, Error> {
        if self.length.is_none() {
            let Some(field) = self.buffer.first_chunk() else { return Ok(None) };
            self.length = Some(self.key.length(self.sequence, *field)?);
        }
        Ok(self.length)
    }
}

fn unpadded(mut packet: BytesMut) -> Result<Bytes, Error> {
    let malformed = Error::Peer(Violation::Malformed);
    let padding = usize::from(*packet.first().ok_or(malformed.clone())?);
    let end = packet.len().checked_sub(padding).ok_or(malformed.clone())?;
    if padding < MIN_PADDING || end < 2 {
        return Err(malformed);
    }
    packet.truncate(end);
    packet.advance(1);
    Ok(packet.freeze())
}

#[cfg(test)]
impl PacketWriter {
    /// As if the key had served for as much.
    pub(crate) fn wear(&mut self, sealed: u64) {
        self.sealed = sealed;
    }

    /// The next packet has this number.
    pub(crate) fn number(&mut self, sequence: u32) {
        self.sequence = sequence;
    }
}

#[cfg(test)]
impl PacketReader {
    /// As if the key had served for as much.
    pub(crate) fn wear(&mut self, opened: u64) {
        self.opened = opened;
    }

    /// The next packet has this number.
    pub(crate) fn number(&mut self, sequence: u32) {
        self.sequence = sequence;
    }
}

#[cfg(test)]
#[path = "packet/packet_tests.rs"]
mod tests;
