//! The two directions of the stream, and the events to report.

use bytes::{Buf as _, BytesMut};
use zeroize::Zeroizing;

use super::event_queue::{EventQueue, OutputStream};
use super::limits::MAX_OUTPUT;
use crate::error::{Error, Misuse, Unsuitable, Violation, unexpected};
use crate::event::Event;
use crate::message;
use crate::packet::{MAX_PACKET, OpeningKey, Packet, PacketReader, PacketWriter, SealingKey};
use crate::text::printable;
use crate::wire::{Reader, Writer};

/// The most replies to unsolicited requests that may wait to be written, in bytes. A server that causes more does
/// not read.
const MAX_REPLIES: usize = 256 * 1024;
/// The most input that is buffered while it is not processed, in bytes.
const MAX_KEPT: usize = 2 * MAX_PACKET;

#[derive(Default)]
pub(super) struct PacketTransport {
    packet_writer: PacketWriter,
    packet_reader: PacketReader,
    output: BytesMut,
    event_queue: EventQueue,
}

/// A received packet.
pub(super) enum Incoming {
    /// A packet without meaning, to ignore.
    Ignored,
    /// The server wants new keys.
    Rekey,
    /// It is for what comes above the transport: its kind and itself.
    Message(u8, Packet),
}

impl PacketTransport {
    pub(super) fn push_line(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    pub(super) fn send(&mut self, message: Writer) -> Result<(), Error> {
        // There may be a password in it. Its copy in the output is sealed where it stands.
        self.packet_writer.seal(&Zeroizing::new(message.finish()), &mut self.output)
    }

    /// Sends a reply to an unsolicited request.
    pub(super) fn reply(&mut self, message: Writer) -> Result<(), Error> {
        if self.output.len() > MAX_OUTPUT + MAX_REPLIES {
            return Err(Error::Peer(Violation::TooMuch));
        }
        self.send(message)
    }

    pub(super) fn seal_with(&mut self, key: SealingKey) {
        self.packet_writer.rekey(key);
    }

    pub(super) fn open_with(&mut self, key: OpeningKey) {
        self.packet_reader.rekey(key);
    }

    /// Whether a key has served for as much as it may.
    pub(super) fn is_worn(&self) -> bool {
        self.packet_writer.is_worn() || self.packet_reader.is_worn()
    }

    #[cfg(test)]
    pub(super) fn wear_out(&mut self) {
        self.packet_reader.wear(u64::MAX);
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.event_queue.push(event);
    }

    pub(super) fn tell_output(&mut self, stream: OutputStream, bytes: &[u8]) {
        self.event_queue.push_output(stream, bytes);
    }

    pub(super) fn event(&mut self) -> Option<Event> {
        self.event_queue.pop()
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
        self.packet_reader.feed(bytes);
    }

    /// Fails if too much input is buffered.
    pub(super) fn check_kept(&self) -> Result<(), Error> {
        let is_too_much = self.packet_reader.buffered() > MAX_KEPT;
        if is_too_much { Err(Error::Peer(Violation::TooMuch)) } else { Ok(()) }
    }

    pub(super) fn taken(&self) -> usize {
        self.packet_reader.taken()
    }

    pub(super) fn line(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        self.packet_reader.line()
    }

    /// The next packet of the initial key exchange, which has to be of this kind: strict key exchange
    /// suffers no other, not even those that mean nothing.
    pub(super) fn next_of(&mut self, kind: u8) -> Result<Option<Packet>, Error> {
        let Some(packet) = self.packet_reader.next()? else { return Ok(None) };
        match packet.payload[0] {
            found if found == kind => Ok(Some(packet)),
            message::DISCONNECT => Err(disconnected(&packet)?),
            found => Err(unexpected(found)),
        }
    }

    /// The next packet after the initial key exchange.
    pub(super) fn next(&mut self) -> Result<Option<Incoming>, Error> {
        let Some(packet) = self.packet_reader.next()? else { return Ok(None) };
        Ok(Some(match packet.payload[0] {
            message::DISCONNECT => return Err(disconnected(&packet)?),
            // There is nothing in what this client sends that a server could do without.
            message::UNIMPLEMENTED => return Err(Error::Unsuitable(Unsuitable::Unimplemented)),
            message::IGNORE | message::DEBUG => Incoming::Ignored,
            message::KEXINIT => Incoming::Rekey,
            kind => Incoming::Message(kind, packet),
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
