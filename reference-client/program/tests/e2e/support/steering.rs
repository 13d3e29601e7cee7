//! What a host must not get printed on a terminal.

/// Characters that steer a terminal, reorder text, or hide in it.
pub(crate) const EVIL: &str = "\u{1b}\u{9b}\u{61c}\u{200b}\u{2066}\u{ad}\u{180e}\u{e0041}\u{fff9}";

/// Whether a character has no place in what rejoin prints, line by line.
pub(crate) fn is_steering(character: char) -> bool {
    (character.is_control() && character != '\n')
        || EVIL.contains(character)
        || character == '\u{202e}'
}
