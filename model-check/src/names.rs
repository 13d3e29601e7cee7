//! The ids and payloads of the model: small numbers that can be read back.

use bytes::Bytes;
use rejoin_protocol::{
    ClientInstance, Epoch, HostId, Item, Seq, SessionId, Stream, Version, VersionRange,
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

/// What a process writes as its item `seq`: says which process it was, and which item.
pub fn output(epoch: u8, seq: Seq) -> Bytes {
    one_byte(epoch << 4 | low(seq.0))
}

/// The item that a process wrote.
pub fn output_item(epoch: u8, seq: Seq) -> Item {
    Item::Output { stream: Stream::Stdout, data: output(epoch, seq) }
}

/// What a process wrote where this item arrives; of an exit, there is only one.
pub fn written(epoch: u8, seq: Seq, arrived: &Item) -> Item {
    match arrived {
        Item::Exit(_) => arrived.clone(),
        _ => output_item(epoch, seq),
    }
}

/// What a party's generation types as its item `number`.
pub fn input(party: u8, generation: u8, number: u8) -> Item {
    Item::Input(one_byte(party << 6 | generation << 4 | number))
}

/// Who typed an input item, and as which: party, generation, number.
pub fn typed(item: &Item) -> Option<(u8, u8, u8)> {
    let byte = *item.payload().first()?;
    Some((byte >> 6, byte >> 4 & 3, byte & 15))
}

#[allow(clippy::cast_possible_truncation)]
fn low(number: u64) -> u8 {
    (number & 15) as u8
}
