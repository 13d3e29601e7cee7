//! The ids and payloads of the model: small numbers that can be read back.

use bytes::Bytes;
use rejoin_protocol::{
    ClientInstance, Epoch, ExitStatus, HostId, Item, Seq, SessionId, Signal, Stream, Version,
    VersionRange, WindowSize,
};

/// The one session that there is.
pub const SESSION: SessionId = SessionId::from_bytes([0x5e; 16]);

/// What a later server speaks, and no client here.
pub const LATER: VersionRange = VersionRange { min: Version(60), max: Version(60) };

/// A host in one of its boots.
pub const fn host(machine: u8, boot: u8) -> HostId {
    HostId { machine: [machine + 1; 16], boot: [boot + 1; 16] }
}

/// The client instance of a party's generation.
pub const fn instance(party: u8, generation: u8) -> ClientInstance {
    ClientInstance::from_bytes([0xa0 | party << 2 | generation; 16])
}

/// The epoch of the server that started as number `index`.
pub const fn epoch(index: u8) -> Epoch {
    Epoch::from_bytes([index + 1; 16])
}

/// The number of an epoch.
pub fn epoch_index(epoch: Epoch) -> u8 {
    epoch.as_bytes()[0].wrapping_sub(1)
}

static BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut at = 0;
    while at < 256 {
        // Below 256 by the loop's condition.
        #[allow(clippy::cast_possible_truncation)]
        let byte = at as u8;
        bytes[at] = byte;
        at += 1;
    }
    bytes
};

fn one_byte(value: u8) -> Bytes {
    Bytes::from_static(std::slice::from_ref(&BYTES[usize::from(value)]))
}

/// A byte, and more of no meaning behind it.
fn bytes_of(value: u8, length: u16) -> Bytes {
    if length <= 1 {
        return one_byte(value);
    }
    let mut bytes = vec![0; usize::from(length)];
    bytes[0] = value;
    Bytes::from(bytes)
}

/// How long what a process writes as its item `seq` is: one byte where no lengths are given.
pub fn output_length(seq: Seq, lengths: &[u16]) -> u16 {
    let count = u64::try_from(lengths.len()).unwrap_or(1).max(1);
    let at = usize::try_from(seq.0 % count).unwrap_or_default();
    lengths.get(at).copied().unwrap_or(1)
}

/// What a process writes as its item `seq`: says which process it was, and which item. Where lengths
/// are given, every other one goes to the other stream.
pub fn output_item(epoch: u8, seq: Seq, lengths: &[u16]) -> Item {
    let is_plain = lengths.is_empty() || seq.0.is_multiple_of(2);
    let stream = if is_plain { Stream::Stdout } else { Stream::Stderr };
    Item::Output { stream, data: bytes_of(epoch << 4 | low(seq.0), output_length(seq, lengths)) }
}

/// How a process ends whose last item has this number.
pub fn exit_status(epoch: u8, seq: Seq) -> ExitStatus {
    let number = epoch << 4 | low(seq.0);
    if number.is_multiple_of(2) {
        ExitStatus::Code(number)
    } else {
        ExitStatus::Signal(Signal(number))
    }
}

/// What somebody puts in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum InputKind {
    /// So many bytes.
    Bytes(u16),
    /// A terminal's size.
    Resize,
    /// A signal.
    Signal,
    /// No more bytes. What puts it in puts in nothing behind it.
    End,
}

/// What a process wrote where this item arrives, or how it ended.
pub fn written(epoch: u8, seq: Seq, arrived: &Item, lengths: &[u16]) -> Item {
    match arrived {
        Item::Exit(_) => Item::Exit(exit_status(epoch, seq)),
        _ => output_item(epoch, seq, lengths),
    }
}

/// What a party's generation types as its item `number`.
pub fn input(party: u8, generation: u8, number: u8) -> Item {
    input_of(party, generation, number, &[])
}

/// The same, where it types items of these kinds in turn.
pub fn input_of(party: u8, generation: u8, number: u8, kinds: &[InputKind]) -> Item {
    let name = party << 6 | generation << 4 | number;
    let at = usize::from(number) % kinds.len().max(1);
    match kinds.get(at).copied().unwrap_or(InputKind::Bytes(1)) {
        InputKind::Bytes(length) => Item::Input(bytes_of(name, length)),
        InputKind::Resize => {
            Item::Resize(WindowSize { cols: u16::from(name), ..WindowSize::default() })
        }
        InputKind::Signal => Item::Signal(Signal(name)),
        InputKind::End => Item::InputEnd,
    }
}

/// Who typed an input item, and as which: party, generation, number.
pub fn typed(item: &Item) -> Option<(u8, u8, u8)> {
    let byte = match item {
        Item::Resize(size) => u8::try_from(size.cols).ok()?,
        Item::Signal(signal) => signal.0,
        item => *item.payload().first()?,
    };
    Some((byte >> 6, byte >> 4 & 3, byte & 15))
}

#[allow(clippy::cast_possible_truncation)]
fn low(number: u64) -> u8 {
    (number & 15) as u8
}
