//! The form of what lies in the registry's files: a mark, a version, a length and a checksum in
//! front of postcard bytes, so that damage is told from absence.
//!
//! Later versions only append to the postcard bytes. An earlier program therefore still reads,
//! from a session that a later one keeps, all that it knows of.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fnv;

const VERSION: u8 = 1;
const HEADER: usize = 4 + 1 + 2 + 8;

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// Nothing was written yet.
    Nothing,
    /// Bytes that make no sense: damaged, or not ours.
    Damaged,
    /// This.
    Whole(T),
}

impl<T> Found<T> {
    /// What was found whole.
    pub fn whole(self) -> Option<T> {
        match self {
            Self::Whole(value) => Some(value),
            Self::Nothing | Self::Damaged => None,
        }
    }
}

/// `value` in its form; nothing if it is too long for a length of 16 bits.
pub(super) fn seal<T: Serialize>(mark: [u8; 4], value: &T) -> Option<Vec<u8>> {
    let payload = postcard::to_allocvec(value).ok()?;
    let length = u16::try_from(payload.len()).ok()?;
    let mut sealed = Vec::with_capacity(HEADER + payload.len());
    sealed.extend_from_slice(&mark);
    sealed.push(VERSION);
    sealed.extend_from_slice(&length.to_le_bytes());
    sealed.extend_from_slice(&fnv::hash64(&payload).to_le_bytes());
    sealed.extend_from_slice(&payload);
    Some(sealed)
}

/// What `bytes` hold. Bytes behind the sealed ones do not matter; zeros only are nothing.
pub(super) fn open<T: DeserializeOwned>(mark: [u8; 4], bytes: &[u8]) -> Found<T> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Found::Nothing;
    }
    payload(mark, bytes)
        .and_then(|payload| postcard::take_from_bytes(payload).ok())
        .map_or(Found::Damaged, |(value, _)| Found::Whole(value))
}

fn payload(mark: [u8; 4], bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(&mark)?;
    let (version, rest) = rest.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let payload = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
    let is_whole = fnv::hash64(payload) == u64::from_le_bytes(*checksum);
    (*version >= VERSION && is_whole).then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: [u8; 4] = *b"test";

    #[test]
    fn what_was_sealed_is_found_whole() {
        let sealed = seal(MARK, &(7_u32, "text")).unwrap();
        assert_eq!(open(MARK, &sealed), Found::Whole((7_u32, String::from("text"))));
    }

    #[test]
    fn bytes_that_a_later_version_appends_are_passed_over() {
        let mut later = seal(MARK, &(7_u32, "text", 99_u64)).unwrap();
        later[4] = 9;
        assert_eq!(open(MARK, &later), Found::Whole((7_u32, String::from("text"))));
    }

    #[test]
    fn any_flipped_bit_and_any_missing_byte_is_found() {
        let sealed = seal(MARK, &(7_u32, "text")).unwrap();
        for at in 0..sealed.len() {
            if at != 4 {
                let mut damaged = sealed.clone();
                damaged[at] ^= 1;
                assert_eq!(open::<(u32, String)>(MARK, &damaged), Found::Damaged, "byte {at}");
            }
            let expected = if at == 0 { Found::Nothing } else { Found::Damaged };
            assert_eq!(open::<(u32, String)>(MARK, &sealed[..at]), expected, "cut at {at}");
        }
    }

    #[test]
    fn zeros_are_nothing() {
        assert_eq!(open::<u32>(MARK, &[0; 1024]), Found::Nothing);
    }
}
