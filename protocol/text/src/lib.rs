//! Makes text from a peer safe to print on a terminal.
//!
//! Host names, client names, messages and lines of stderr come from another machine. Printed as they
//! are, they can move the cursor, reorder the line around them, or hide in it. [`printable`] and
//! [`printable_bytes`] turn them into one bounded line. Everything that rejoin prints of a peer's words
//! goes through them; the output of a process does not.
//!
//! # Characters that are removed
//!
//! - All control characters: C0, DEL and C1 (`General_Category=Cc`), with the two exceptions below.
//! - All of `Bidi_Control`: marks, embeddings, overrides and isolates.
//! - All of `Default_Ignorable_Code_Point`: soft hyphen, zero width space, joiner and non-joiner, word
//!   joiner, byte order mark, fillers, variation selectors, tags.
//! - Line and paragraph separator (U+2028, U+2029).
//! - The interlinear annotation characters (U+FFF9 to U+FFFB).
//! - Noncharacters (U+FDD0 to U+FDEF, and the last two code points of each plane).
//!
//! The properties are those of Unicode 16.0. Code points that Unicode reserves for future ignorable
//! characters have the property already.
//!
//! # Characters that are replaced
//!
//! Tab and line feed become a space, so that the words around them stay apart. White space at the end is
//! removed. Bytes that are not UTF-8 become U+FFFD.
//!
//! # Characters that stay
//!
//! Everything else: letters and signs of all scripts, combining marks, wide characters, emoji, private use
//! and unassigned code points. An emoji that is joined from several, or selected by a variation selector,
//! falls apart into its visible parts, because joiners and selectors are ignorable. Scripts that use
//! joiners stay legible, but lose the distinction.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::String;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// `text` as one line of at most `most` bytes, cut at a character. The crate's page says which
/// characters are removed and which are replaced.
///
/// The result is the same when it is passed through again.
///
/// ```
/// assert_eq!(rejoin_text::printable("a\x1b[2J\u{202e}b\tc\r\n", 100), "a[2Jb c");
/// assert_eq!(rejoin_text::printable("äöü", 5), "äö");
/// ```
pub fn printable(text: &str, most: usize) -> String {
    line(text.chars(), most)
}

/// The same of bytes that should be UTF-8. Each sequence that is not becomes U+FFFD, as with
/// [`String::from_utf8_lossy`].
///
/// ```
/// assert_eq!(rejoin_text::printable_bytes(b"a\x9b2J\xff", 100), "a\u{fffd}2J\u{fffd}");
/// ```
pub fn printable_bytes(text: &[u8], most: usize) -> String {
    let characters = text.utf8_chunks().flat_map(|chunk| {
        let replacement = (!chunk.invalid().is_empty()).then_some(char::REPLACEMENT_CHARACTER);
        chunk.valid().chars().chain(replacement)
    });
    line(characters, most)
}

fn line(characters: impl Iterator<Item = char>, most: usize) -> String {
    let spaced = characters.map(|c| if matches!(c, '\t' | '\n') { ' ' } else { c });
    let mut line = String::new();
    for character in spaced.filter(|&c| is_printable(c)) {
        if line.len() + character.len_utf8() > most {
            break;
        }
        line.push(character);
    }
    line.truncate(line.trim_end().len());
    line
}

/// Whether a character stays as it is. Tab and line feed do not.
pub fn is_printable(character: char) -> bool {
    !(character.is_control() || is_invisible(character) || is_noncharacter(character))
}

/// `Default_Ignorable_Code_Point` and `Bidi_Control`, which is a part of it, of Unicode 16.0; the two
/// separators; and interlinear annotations.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' // soft hyphen
            | '\u{34f}' // combining grapheme joiner
            | '\u{61c}' // Arabic letter mark
            | '\u{115f}'..='\u{1160}' // Hangul fillers
            | '\u{17b4}'..='\u{17b5}' // Khmer inherent vowels
            | '\u{180b}'..='\u{180f}' // Mongolian variation selectors and vowel separator
            | '\u{200b}'..='\u{200f}' // zero width characters, directional marks
            | '\u{2028}'..='\u{202e}' // separators, embeddings and overrides
            | '\u{2060}'..='\u{206f}' // word joiner, invisible operators, isolates
            | '\u{3164}' // Hangul filler
            | '\u{fe00}'..='\u{fe0f}' // variation selectors
            | '\u{feff}' // byte order mark
            | '\u{ffa0}' // half width Hangul filler
            | '\u{fff0}'..='\u{fffb}' // reserved, interlinear annotations
            | '\u{1bca0}'..='\u{1bca3}' // shorthand format controls
            | '\u{1d173}'..='\u{1d17a}' // musical format controls
            | '\u{e0000}'..='\u{e0fff}' // tags, variation selectors, reserved
    )
}

/// `Noncharacter_Code_Point`, which will never change.
fn is_noncharacter(character: char) -> bool {
    matches!(character, '\u{fdd0}'..='\u{fdef}') || u32::from(character) & 0xfffe == 0xfffe
}
