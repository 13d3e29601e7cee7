//! Bytes that pass through a relay.

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the client.
    ToServer,
    /// From the server.
    ToClient,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is reset towards both sides.
    Reset,
    /// Both sides get end of file, and nothing more is passed on.
    Close,
    /// Nothing more is passed on, and neither side notices.
    Silence,
}

/// Bytes on their way.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The connection's number, from 0, counted since the relay started.
    pub connection: u64,
    /// Their direction.
    pub way: Direction,
    /// How many have gone there before them.
    pub start: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Piece {
    /// Whether that many bytes have gone this way with this piece, of which what is beyond them is dropped.
    pub fn ends_at(&mut self, count: u64) -> bool {
        let Some(left) = self.place(count) else { return false };
        self.bytes.truncate(left);
        true
    }

    /// The byte with this number, from 0, of all that go this way, if it is in this piece.
    pub fn byte(&mut self, number: u64) -> Option<&mut u8> {
        let place = self.place(number)?;
        self.bytes.get_mut(place)
    }

    fn place(&self, number: u64) -> Option<usize> {
        let place = usize::try_from(number.checked_sub(self.start)?).ok()?;
        (place <= self.bytes.len()).then_some(place)
    }
}
