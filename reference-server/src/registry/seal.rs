//! The format of the registry's files: a magic number, a version, a length and a checksum in front
//! of postcard bytes. It distinguishes damaged files from empty ones.
//!
//! Later versions only append to the postcard bytes. So an older program can read all fields that
//! it knows from a newer session.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fnv;

const VERSION: u8 = 1;
const HEADER: usize = 4 + 1 + 2 + 8;

/// The content of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<T> {
    /// Nothing was written yet: the file is empty or all zeros.
    Nothing,
    /// The content is damaged, or not rejoin's.
    Damaged,
    /// A valid value.
    Whole(T),
}

impl<T> Found<T> {
    /// The value, if it is valid.
    pub fn whole(self) -> Option<T> {
        match self {
            Self::Whole(value) => Some(value),
            Self::Nothing | Self::Damaged => None,
        }
    }
}

/// The bytes of `value` in this format; `None` if they are too long for a 16-bit length.
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

/// The content of `bytes`. Bytes after the sealed ones are ignored; all zeros mean nothing.
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
    fn opens_what_it_sealed() {
        let sealed = seal(MARK, &(7_u32, "text")).unwrap();
        assert_eq!(open(MARK, &sealed), Found::Whole((7_u32, String::from("text"))));
    }

    #[test]
    fn ignores_bytes_that_a_later_version_appends() {
        let mut later = seal(MARK, &(7_u32, "text", 99_u64)).unwrap();
        later[4] = 9;
        assert_eq!(open(MARK, &later), Found::Whole((7_u32, String::from("text"))));
    }

    #[test]
    fn detects_any_flipped_bit_and_missing_byte() {
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
