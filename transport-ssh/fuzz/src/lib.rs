//! What the fuzz targets share.

use rejoin_text::printable;

/// That this is one line that is safe on a terminal, of at most so many bytes.
pub fn check_text(text: &str, most: usize) {
    assert_eq!(text, printable(text, most));
}

/// Cuts `bytes` into pieces of one length, which `seed` decides.
pub fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(1 + usize::from(seed))
}

/// What stands before the first byte of this value, and what behind it.
pub fn split_at_first(bytes: &[u8], byte: u8) -> (&[u8], &[u8]) {
    match bytes.iter().position(|at| *at == byte) {
        Some(place) => (&bytes[..place], &bytes[place + 1..]),
        None => (bytes, &[]),
    }
}
