//! The magic that a stream starts with, behind whatever a login shell printed (SPEC section 3.1).

use alloc::vec::Vec;
use bytes::{Buf, BytesMut};

use crate::error::FrameError;

/// The most noise skipped before a server's magic, in bytes.
pub const MAX_NOISE: usize = 64 * 1024;
/// How much of the noise is kept for a report, in bytes.
pub const MAX_NOISE_KEPT: usize = 1024;

/// What stood before the magic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Noise {
    /// How many bytes there were.
    pub skipped: usize,
    /// The first of them, at most [`MAX_NOISE_KEPT`].
    pub start: Vec<u8>,
}

/// Looks for a magic in a growing buffer.
///
/// Feed it everything that arrives, in any split. It takes out of the buffer what stands before
/// the magic, and keeps no more of that than [`MAX_NOISE_KEPT`] bytes.
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

    /// For what a client sends: it starts with the magic.
    pub fn of_client(magic: [u8; 8]) -> Self {
        Self::new(magic, 0)
    }

    fn new(magic: [u8; 8], allowed_noise: usize) -> Self {
        Self { magic, allowed_noise, noise: Noise::default(), is_found: false }
    }

    /// What was skipped so far.
    pub fn noise(&self) -> &Noise {
        &self.noise
    }

    /// Whether the magic was seen.
    pub fn is_found(&self) -> bool {
        self.is_found
    }

    /// Whether the magic was seen, with what has come since. Once it was, `buffer` starts with
    /// what stands behind it, and is left alone.
    ///
    /// # Errors
    /// [`FrameError::NoMagic`] as soon as it is known that too much stands before the magic.
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
