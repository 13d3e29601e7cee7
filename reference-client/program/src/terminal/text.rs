//! Text that fits into a line.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// In the largest two units.
pub(crate) fn round(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// A line that changes in its place, before anything else is on the screen.
pub(crate) fn moving(text: &str, width: u16) -> String {
    format!("\r{}\x1b[K", cut(text, usize::from(width.saturating_sub(1))))
}

/// Takes such a line away.
pub(crate) const MOVED: &str = "\r\x1b[K";

/// As much of a text as fits.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let fits = |character: &char| {
        used += character.width().unwrap_or(0);
        used <= width
    };
    text.chars().take_while(fits).collect()
}

/// With a mark where something is left out.
pub(crate) fn shortened(text: &str, width: usize) -> String {
    match cut(text, width) {
        whole if whole == text => whole,
        _ => cut(text, width.saturating_sub(1)) + "…",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 3), "abc");
        assert_eq!(cut("漢字漢字", 5), "漢字");
        assert_eq!(cut("abc", 0), "");
    }
}
