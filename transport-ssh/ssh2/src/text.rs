//! Texts of a server, for people.

use rejoin_text::printable_bytes;

/// The most that is kept of one text, in bytes.
pub(crate) const MAX_TEXT: usize = 1024;

/// A server's text as one line of at most [`MAX_TEXT`] bytes that is safe on a terminal.
pub(crate) fn printable(text: &[u8]) -> String {
    printable_bytes(text, MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_made_printable_and_bounded() {
        assert_eq!(printable("a\x1b[2J\u{9b}b\u{202e}c\td\ne\r\n".as_bytes()), "a[2Jbc d e");
        assert_eq!(printable(&[b'x'; 10_000]).len(), MAX_TEXT);
        assert_eq!(printable(b"\xff"), "\u{fffd}");
    }
}
