//! The magic at the start of a stream, after anything that a login shell printed (SPEC section 3.1).

use alloc::vec::Vec;
use bytes::{Buf, BytesMut};

use crate::error::FrameError;

/// *Noise* is what precedes a server's magic: at most this many bytes are skipped.
pub const MAX_NOISE: usize = 64 * 1024;
/// How much of the noise is kept for reports, in bytes.
pub const MAX_NOISE_KEPT: usize = 1024;

/// What preceded the magic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// How many bytes there were.
    pub skipped: usize,
    /// The first of them, at most [`MAX_NOISE_KEPT`].
    pub start: Vec<u8>,
}

/// Looks for a magic in a growing buffer.
///
/// Feed it everything that arrives, in any split. It removes from the buffer what precedes the magic, and
/// keeps no more of that than [`MAX_NOISE_KEPT`] bytes.
#[derive(Clone, Debug)]
pub struct Preamble {
    magic: [u8; 8],
    allowed_noise: usize,
    noise: Noise,
    is_found: bool,
}

impl Preamble {
    /// For what a host sends: up to [`MAX_NOISE`] bytes before the magic are skipped.
    pub fn of_host(magic: [u8; 8]) -> Self {
        Self::new(magic, MAX_NOISE)
    }

    /// For what a client sends: the stream starts with the magic.
    pub fn of_client(magic: [u8; 8]) -> Self {
        Self::new(magic, 0)
    }

    fn new(magic: [u8; 8], allowed_noise: usize) -> Self {
        Self { magic, allowed_noise, noise: Noise::default(), is_found: false }
    }

    /// The noise so far.
    pub fn noise(&self) -> &Noise {
        &self.noise
    }

    /// Whether the magic was seen.
    pub fn is_found(&self) -> bool {
        self.is_found
    }

    /// Looks for the magic in everything that has arrived, and returns whether it was found. Then `buffer`
    /// starts after the magic, and is not changed any more.
    ///
    /// # Errors
    /// [`FrameError::NoMagic`] as soon as it is certain that too many bytes precede the magic.
    pub fn find(&mut self, buffer: &mut BytesMut) -> Result<bool, FrameError> {
        if self.is_found {
            return Ok(true);
        }
        if let Some(at) = position(buffer, &self.magic) {
            self.skip(buffer, at)?;
            buffer.advance(self.magic.len());
            self.is_found = true;
            return Ok(true);
        }
        let start = buffer.len() - partial_len(buffer, &self.magic);
        self.skip(buffer, start)?;
        Ok(false)
    }

    fn skip(&mut self, buffer: &mut BytesMut, len: usize) -> Result<(), FrameError> {
        let keep = len.min(MAX_NOISE_KEPT.saturating_sub(self.noise.start.len()));
        self.noise.start.extend_from_slice(&buffer[..keep]);
        self.noise.skipped += len;
        buffer.advance(len);
        if self.noise.skipped > self.allowed_noise { Err(FrameError::NoMagic) } else { Ok(()) }
    }
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// How many bytes at the end of `buffer` may be the start of `needle`.
fn partial_len(buffer: &[u8], needle: &[u8]) -> usize {
    (1..needle.len()).rev().find(|&len| buffer.ends_with(&needle[..len])).unwrap_or(0)
}
