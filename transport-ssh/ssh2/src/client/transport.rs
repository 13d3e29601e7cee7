//! The two directions of the stream, and what is to be told.

use bytes::{Buf as _, BytesMut};
use zeroize::Zeroizing;

use super::told::{Stream, Told};
use crate::error::{Error, Misuse, Unsuitable, Violation, unexpected};
use crate::event::Event;
use crate::message;
use crate::packet::{MAX_PACKET, Opener, OpeningKey, Packet, Sealer, SealingKey};
use crate::text::printable;
use crate::wire::{Reader, Writer};

/// As much may wait to be written that a server asked for by itself, in bytes. One that asks for more does
/// not read what it is told.
const MAX_REPLIES: usize = 256 * 1024;
/// As much of the stream is kept while nothing of it is looked at, in bytes.
const MAX_KEPT: usize = 2 * MAX_PACKET;

#[derive(Default)]
pub(super) struct Transport {
    sealer: Sealer,
    opener: Opener,
    output: BytesMut,
    told: Told,
}

/// What is to be done with a packet.
pub(super) enum Sorted {
    /// Nothing: it was one that may come at any time and means nothing.
    Ignored,
    /// The server wants new keys.
    Rekey,
    /// It is for what comes above the transport: its kind and itself.
    Message(u8, Packet),
}

impl Transport {
    pub(super) fn push_line(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    pub(super) fn send(&mut self, message: Writer) -> Result<(), Error> {
        // There may be a password in it. Its copy in the output is sealed where it stands.
        self.sealer.seal(&Zeroizing::new(message.finish()), &mut self.output)
    }

    /// Sends what the server asked for by itself.
    pub(super) fn reply(&mut self, message: Writer) -> Result<(), Error> {
        if self.output.len() > super::MAX_OUTPUT + MAX_REPLIES {
            return Err(Error::Peer(Violation::TooMuch));
        }
        self.send(message)
    }

    pub(super) fn seal_with(&mut self, key: SealingKey) {
        self.sealer.rekey(key);
    }

    pub(super) fn open_with(&mut self, key: OpeningKey) {
        self.opener.rekey(key);
    }

    /// Whether a key has served for as much as it may.
    pub(super) fn is_worn(&self) -> bool {
        self.sealer.is_worn() || self.opener.is_worn()
    }

    #[cfg(test)]
    pub(super) fn wear_out(&mut self) {
        self.opener.wear(u64::MAX);
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.told.push(event);
    }

    pub(super) fn tell_output(&mut self, stream: Stream, bytes: &[u8]) {
        self.told.push_output(stream, bytes);
    }

    pub(super) fn event(&mut self) -> Option<Event> {
        self.told.pop()
    }

    pub(super) fn output(&self) -> &[u8] {
        &self.output
    }

    pub(super) fn sent(&mut self, count: usize) -> Result<(), Error> {
        if count > self.output.len() {
            return Err(Error::Caller(Misuse::OutOfTurn));
        }
        self.output.advance(count);
        Ok(())
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.opener.feed(bytes);
    }

    /// That no more is kept than should be, while nothing is looked at.
    pub(super) fn check_kept(&self) -> Result<(), Error> {
        let is_too_much = self.opener.buffered() > MAX_KEPT;
        if is_too_much { Err(Error::Peer(Violation::TooMuch)) } else { Ok(()) }
    }

    pub(super) fn taken(&self) -> usize {
        self.opener.taken()
    }

    pub(super) fn line(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        self.opener.line()
    }

    /// The next packet of the initial key exchange, which has to be of this kind: strict key exchange
    /// suffers no other, not even those that mean nothing.
    pub(super) fn next_of(&mut self, kind: u8) -> Result<Option<Packet>, Error> {
        let Some(packet) = self.opener.next()? else { return Ok(None) };
        match packet.payload[0] {
            found if found == kind => Ok(Some(packet)),
            message::DISCONNECT => Err(disconnected(&packet)?),
            found => Err(unexpected(found)),
        }
    }

    /// The next packet after the initial key exchange.
    pub(super) fn next(&mut self) -> Result<Option<Sorted>, Error> {
        let Some(packet) = self.opener.next()? else { return Ok(None) };
        Ok(Some(match packet.payload[0] {
            message::DISCONNECT => return Err(disconnected(&packet)?),
            // There is nothing in what this client sends that a server could do without.
            message::UNIMPLEMENTED => return Err(Error::Unsuitable(Unsuitable::Unimplemented)),
            message::IGNORE | message::DEBUG => Sorted::Ignored,
            message::KEXINIT => Sorted::Rekey,
            kind => Sorted::Message(kind, packet),
        }))
    }

    /// Tells the server that a message means nothing here.
    pub(super) fn reply_unimplemented(&mut self, packet: &Packet) -> Result<(), Error> {
        self.reply(Writer::message(message::UNIMPLEMENTED).uint32(packet.sequence))
    }
}

fn disconnected(packet: &Packet) -> Result<Error, Error> {
    let mut reader = Reader::new(&packet.payload[1..]);
    let reason = reader.uint32()?;
    Ok(Error::Disconnected { reason, message: printable(reader.string()?) })
}
