//! Items: what the two logs hold (SPEC section 5).

use core::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::seq::Seq;

/// One entry of a log. Client to server: [`Item::Input`], [`Item::InputEnd`], [`Item::Resize`],
/// [`Item::Signal`]. Server to client: [`Item::Output`], [`Item::Exit`], [`Item::Gap`]
/// (SPEC section 5.1).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Item {
    /// Bytes for the process.
    Input(#[cfg_attr(feature = "record", serde(with = "crate::record::payload"))] Bytes),
    /// No more bytes follow for the process.
    InputEnd,
    /// The terminal's size. A Resize to the current size asks the program to redraw.
    Resize(WindowSize),
    /// A signal for the process, or for the foreground group of its terminal.
    Signal(Signal),
    /// Bytes from the process.
    Output {
        /// Where the process wrote them.
        stream: Stream,
        /// What it wrote.
        #[cfg_attr(feature = "record", serde(with = "crate::record::payload"))]
        data: Bytes,
    },
    /// How the process ended: the last item of its log.
    Exit(ExitStatus),
    /// Replaces dropped output: every item up to `next`, not included.
    Gap {
        /// The first item that was not dropped.
        next: Seq,
    },
}

impl Item {
    /// The most payload bytes of one item.
    pub const MAX_PAYLOAD: usize = 64 * 1024;

    /// The cost of an item without its payload, in bytes of window (SPEC section 5.3).
    pub const OVERHEAD: u64 = 64;

    /// Whether clients send this item; servers send the others.
    pub fn is_input(&self) -> bool {
        matches!(self, Self::Input(_) | Self::InputEnd | Self::Resize(_) | Self::Signal(_))
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        match self {
            Self::Input(data) | Self::Output { data, .. } => data,
            _ => &[],
        }
    }

    /// The cost of the item, in bytes of window (SPEC section 5.3).
    pub fn cost(&self) -> u64 {
        // A usize fits in 64 bits on every platform that Rust supports.
        self.payload().len() as u64 + Self::OVERHEAD
    }

    /// The number after the item, if its own is `seq`.
    pub fn end(&self, seq: Seq) -> Seq {
        match self {
            Self::Gap { next } => seq.next().max(*next),
            _ => seq.next(),
        }
    }
}

/// Where a process writes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error, where it is separate.
    Stderr,
}

/// A terminal's size, in characters and in pixels (0 where unknown).
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize,
)]
pub struct WindowSize {
    /// Rows of characters.
    pub rows: u16,
    /// Columns of characters.
    pub cols: u16,
    /// Width in pixels.
    pub xpixel: u16,
    /// Height in pixels.
    pub ypixel: u16,
}

/// A signal, by its number on Linux x86 (SPEC section 5.4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Signal(pub u8);

impl Signal {
    /// The terminal hung up.
    pub const HUP: Self = Self(1);
    /// Interrupted from the keyboard.
    pub const INT: Self = Self(2);
    /// Quit from the keyboard.
    pub const QUIT: Self = Self(3);
    /// Killed.
    pub const KILL: Self = Self(9);
    /// Asked to end.
    pub const TERM: Self = Self(15);
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ExitStatus {
    /// The process exited with this status.
    Code(u8),
    /// A signal ended the process.
    Signal(Signal),
}

impl ExitStatus {
    /// What a shell reports: the status, or 128 + n after signal n.
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(Signal(number)) => number.saturating_add(128),
        }
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(Signal(number)) => write!(f, "ended by signal {number}"),
        }
    }
}
