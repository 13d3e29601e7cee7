//! What a server says, for people to read.

/// The most that is kept of one text, in characters.
pub(crate) const MAX_TEXT: usize = 1024;

/// The same text as one line that no terminal can mistake for a command: control characters are left
/// out, and so are those that reorder the text around them; line ends and tabs become spaces.
pub fn one_line(text: &str) -> impl Iterator<Item = char> {
    let shown = text.trim_end().chars().map(|c| if matches!(c, '\t' | '\n') { ' ' } else { c });
    shown.filter(|&c| !c.is_control() && !is_reordering(c))
}

/// What a server says, as [one line](one_line) of at most [`MAX_TEXT`] characters.
pub(crate) fn printable(text: &[u8]) -> String {
    // A character is four bytes at most: no more of a long text has to be looked at.
    let start = &text[..text.len().min(4 * MAX_TEXT)];
    one_line(&String::from_utf8_lossy(start)).take(MAX_TEXT).collect()
}

fn is_reordering(c: char) -> bool {
    matches!(
        c,
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_move_the_cursor_or_reorder_the_line_and_is_bounded() {
        assert_eq!(printable("a\x1b[2J\u{9b}b\u{202e}c\td\ne\r\n".as_bytes()), "a[2Jbc d e");
        assert_eq!(printable(&[b'x'; 10_000]).len(), MAX_TEXT);
        assert_eq!(printable(b"\xff"), "\u{fffd}");
    }
}
