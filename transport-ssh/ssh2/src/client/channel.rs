//! The one channel, and the command in it (RFC 4254).

use super::event_queue::OutputStream;
use super::limits::{MAX_OUTPUT, WINDOW};
use super::pending_input::PendingInput;
use super::transport::PacketTransport;
use crate::error::{Error, Misprediction, Misuse, Unsuitable, Violation, unexpected};
use crate::event::{Event, Refusal};
use crate::message;
use crate::packet::Packet;
use crate::text::printable;
use crate::wire::{Reader, Writer};

/// Our number of the channel; there is no other.
const OURS: u32 = 0;
/// The longest piece of data that is taken and sent, in bytes.
const MAX_PIECE: u32 = 32 * 1024;
/// A server that takes no longer pieces than this would have us send more frame than content.
const MIN_PIECE: u32 = 256;
const STDERR: u32 = 1;
const ADMINISTRATIVELY_PROHIBITED: u32 = 1;

/// The input for the command, from the start on.
#[derive(Default)]
pub(super) struct CommandInput {
    pub(super) pending: PendingInput,
    pub(super) is_ended: bool,
    is_end_sent: bool,
}

pub(super) struct SessionChannel {
    state: ChannelState,
    /// How much more the server may send.
    window: usize,
    /// How much was handed out and not yet consumed.
    held: usize,
    has_exited: bool,
    is_ended: bool,
}

enum ChannelState {
    Opening(PendingOpen),
    Open(RemoteChannel),
}

/// What was sent before the server has confirmed the channel.
#[derive(Clone, Copy, Default)]
struct PendingOpen {
    /// The number that the command was sent to already, if it was.
    predicted: Option<u32>,
    /// How much input may be sent behind the command.
    ahead: usize,
    /// How much was.
    sent: usize,
}

#[derive(Clone, Copy)]
struct RemoteChannel {
    number: u32,
    window: usize,
    /// How much was sent that the server has not said yet that it takes.
    debt: usize,
    /// How much it has said in all that it takes.
    granted: usize,
    max_piece: usize,
    /// Whether the command's start was confirmed.
    is_started: bool,
}

/// The result of a message.
pub(super) enum ChannelProgress {
    Same,
    /// The server gave the channel this number.
    Confirmed(u32),
    /// The command is started, and the server takes so much input, in all.
    Started(usize),
    Over,
}

impl SessionChannel {
    /// Asks for the channel; on a prediction, for the command in it as well, behind which so much input may
    /// follow.
    pub(super) fn begin(
        predicted: Option<u32>,
        ahead: usize,
        command: &[u8],
        transport: &mut PacketTransport,
    ) -> Result<Self, Error> {
        let open = Writer::message(message::CHANNEL_OPEN).string("session").uint32(OURS);
        // WINDOW fits.
        let window = u32::try_from(WINDOW).unwrap_or(u32::MAX);
        transport.send(open.uint32(window).uint32(MAX_PIECE))?;
        if let Some(number) = predicted {
            exec(number, command, transport)?;
        }
        let ahead = if predicted.is_some() { ahead } else { 0 };
        let state = ChannelState::Opening(PendingOpen { predicted, ahead, sent: 0 });
        Ok(Self { state, window: WINDOW, held: 0, has_exited: false, is_ended: false })
    }

    pub(super) fn take(
        &mut self,
        kind: u8,
        packet: &Packet,
        command: &[u8],
        transport: &mut PacketTransport,
    ) -> Result<ChannelProgress, Error> {
        let mut reader = Reader::new(&packet.payload[1..]);
        match kind {
            message::GLOBAL_REQUEST => {
                let _name = reader.string()?;
                if reader.boolean()? {
                    transport.reply(Writer::message(message::REQUEST_FAILURE))?;
                }
                return Ok(ChannelProgress::Same);
            }
            message::CHANNEL_OPEN => return refuse_channel(reader, transport),
            message::CHANNEL_OPEN_CONFIRMATION..=message::CHANNEL_FAILURE => {}
            // The server may send its extensions late.
            message::EXT_INFO => return Ok(ChannelProgress::Same),
            message::NEWKEYS..message::GLOBAL_REQUEST => return Err(unexpected(kind)),
            _ => return transport.reply_unimplemented(packet).map(|()| ChannelProgress::Same),
        }
        if reader.uint32()? != OURS {
            return Err(Error::Peer(Violation::Malformed));
        }
        match &mut self.state {
            ChannelState::Opening(opening) => match kind {
                message::CHANNEL_OPEN_CONFIRMATION => {
                    let opening = *opening;
                    let remote = confirmed(&mut reader, opening)?;
                    if opening.predicted.is_none() {
                        exec(remote.number, command, transport)?;
                    }
                    self.state = ChannelState::Open(remote);
                    Ok(ChannelProgress::Confirmed(remote.number))
                }
                message::CHANNEL_OPEN_FAILURE => {
                    let (reason, message) = (reader.uint32()?, printable(reader.string()?));
                    transport.tell(Event::Refused(Refusal::Channel { reason, message }));
                    Ok(ChannelProgress::Over)
                }
                _ => Err(unexpected(kind)),
            },
            ChannelState::Open(remote) => {
                let mut remote = *remote;
                let turn = self.take_open(kind, reader, &mut remote, transport)?;
                self.state = ChannelState::Open(remote);
                Ok(turn)
            }
        }
    }

    fn take_open(
        &mut self,
        kind: u8,
        mut reader: Reader<'_>,
        remote: &mut RemoteChannel,
        transport: &mut PacketTransport,
    ) -> Result<ChannelProgress, Error> {
        match kind {
            message::CHANNEL_WINDOW_ADJUST => {
                remote.grant(reader.size()?)?;
            }
            message::CHANNEL_DATA => self.data(reader, OutputStream::Output, transport)?,
            message::CHANNEL_EXTENDED_DATA => {
                let is_stderr = reader.uint32()? == STDERR;
                if !is_stderr {
                    return Err(Error::Peer(Violation::Malformed));
                }
                self.data(reader, OutputStream::ErrorOutput, transport)?;
            }
            message::CHANNEL_EOF if !self.is_ended => {
                self.is_ended = true;
                transport.tell(Event::Eof);
            }
            message::CHANNEL_CLOSE => {
                transport.reply(Writer::message(message::CHANNEL_CLOSE).uint32(remote.number))?;
                transport.tell(Event::Closed);
                return Ok(ChannelProgress::Over);
            }
            message::CHANNEL_REQUEST => self.request(reader, *remote, transport)?,
            message::CHANNEL_SUCCESS if !remote.is_started => {
                remote.is_started = true;
                transport.tell(Event::Started);
                return Ok(ChannelProgress::Started(remote.granted));
            }
            message::CHANNEL_FAILURE if !remote.is_started => {
                transport.tell(Event::Refused(Refusal::Command));
                return Ok(ChannelProgress::Over);
            }
            _ => return Err(unexpected(kind)),
        }
        Ok(ChannelProgress::Same)
    }

    fn data(
        &mut self,
        mut reader: Reader<'_>,
        stream: OutputStream,
        transport: &mut PacketTransport,
    ) -> Result<(), Error> {
        let data = reader.string()?;
        reader.end()?;
        let window = self.window.checked_sub(data.len()).filter(|_| !self.is_ended);
        self.window = window.ok_or(Error::Peer(Violation::TooMuch))?;
        self.held += data.len();
        transport.tell_output(stream, data);
        Ok(())
    }

    fn request(
        &mut self,
        mut reader: Reader<'_>,
        remote: RemoteChannel,
        transport: &mut PacketTransport,
    ) -> Result<(), Error> {
        let (name, wants_reply) = (reader.string()?, reader.boolean()?);
        let end = match name {
            b"exit-status" => Some(Event::Exit(reader.uint32()?)),
            b"exit-signal" => Some(Event::Signal(printable(reader.string()?))),
            _ => None,
        };
        if let Some(event) = end {
            // A command ends once.
            if std::mem::replace(&mut self.has_exited, true) {
                return Err(unexpected(message::CHANNEL_REQUEST));
            }
            transport.tell(event);
        }
        if wants_reply {
            transport.reply(Writer::message(message::CHANNEL_FAILURE).uint32(remote.number))?;
        }
        Ok(())
    }

    /// `count` bytes were processed. The server gets a new window when half of it is free, to limit the number of
    /// messages.
    pub(super) fn consumed(
        &mut self,
        count: usize,
        transport: &mut PacketTransport,
    ) -> Result<(), Error> {
        self.held = self.held.checked_sub(count).ok_or(Error::Caller(Misuse::TooMuchConsumed))?;
        let free = WINDOW - self.window - self.held;
        if let ChannelState::Open(remote) = &self.state
            && free >= WINDOW / 2
        {
            self.window += free;
            let grant = Writer::message(message::CHANNEL_WINDOW_ADJUST).uint32(remote.number);
            // It is not above WINDOW, which fits.
            transport.send(grant.uint32(u32::try_from(free).unwrap_or(u32::MAX)))?;
        }
        Ok(())
    }

    /// Sends as much of the input as the server takes and as may wait to be written.
    pub(super) fn flush(
        &mut self,
        input: &mut CommandInput,
        transport: &mut PacketTransport,
    ) -> Result<(), Error> {
        let remote = match &mut self.state {
            ChannelState::Opening(opening) => return opening.flush(input, transport),
            ChannelState::Open(remote) => remote,
        };
        while !input.pending.is_empty()
            && remote.window > 0
            && transport.output().len() < MAX_OUTPUT
        {
            let length = input.pending.len().min(remote.window).min(remote.max_piece);
            let data = Writer::message(message::CHANNEL_DATA).uint32(remote.number);
            transport.send(data.string(input.pending.first(length)))?;
            input.pending.advance(length);
            remote.window -= length;
        }
        if input.is_ended && input.pending.is_empty() && !input.is_end_sent {
            input.is_end_sent = true;
            transport.send(Writer::message(message::CHANNEL_EOF).uint32(remote.number))?;
        }
        Ok(())
    }
}

impl PendingOpen {
    /// Sends what may go behind the command, in one piece.
    fn flush(
        &mut self,
        input: &mut CommandInput,
        transport: &mut PacketTransport,
    ) -> Result<(), Error> {
        let length = input.pending.len().min(self.ahead - self.sent);
        let Some(number) = self.predicted.filter(|_| length > 0) else { return Ok(()) };
        let data = Writer::message(message::CHANNEL_DATA).uint32(number);
        transport.send(data.string(input.pending.first(length)))?;
        input.pending.advance(length);
        self.sent += length;
        Ok(())
    }
}

impl RemoteChannel {
    /// The server takes so much more. What was sent before it had said so counts first.
    fn grant(&mut self, more: usize) -> Result<(), Error> {
        let paid = more.min(self.debt);
        self.debt -= paid;
        let window = self.window.checked_add(more - paid);
        let window = window.filter(|window| u32::try_from(*window).is_ok());
        self.window = window.ok_or(Error::Peer(Violation::TooMuch))?;
        self.granted = self.granted.saturating_add(more);
        Ok(())
    }
}

fn exec(number: u32, command: &[u8], transport: &mut PacketTransport) -> Result<(), Error> {
    let request = Writer::message(message::CHANNEL_REQUEST).uint32(number);
    transport.send(request.string("exec").boolean(true).string(command))
}

fn confirmed(reader: &mut Reader<'_>, opening: PendingOpen) -> Result<RemoteChannel, Error> {
    let number = reader.uint32()?;
    if let Some(predicted) = opening.predicted.filter(|predicted| *predicted != number) {
        return Err(Error::Mispredicted(Misprediction::Channel { predicted, found: number }));
    }
    let window = reader.size()?;
    let max_piece = reader.uint32()?;
    if max_piece < MIN_PIECE {
        return Err(Error::Unsuitable(Unsuitable::SmallPackets));
    }
    // MAX_PIECE fits.
    let max_piece = usize::try_from(max_piece.min(MAX_PIECE)).unwrap_or_default();
    let debt = opening.sent;
    let mut remote =
        RemoteChannel { number, window: 0, debt, granted: 0, max_piece, is_started: false };
    remote.grant(window)?;
    Ok(remote)
}

/// Refuses a channel that the server opens, because nothing was requested.
fn refuse_channel(
    mut reader: Reader<'_>,
    transport: &mut PacketTransport,
) -> Result<ChannelProgress, Error> {
    let _kind = reader.string()?;
    let number = reader.uint32()?;
    let refusal = Writer::message(message::CHANNEL_OPEN_FAILURE).uint32(number);
    transport.reply(refusal.uint32(ADMINISTRATIVELY_PROHIBITED).string("").string(""))?;
    Ok(ChannelProgress::Same)
}
