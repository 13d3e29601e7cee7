//! What a program has made of the terminal, followed in the output that passes by: whether something
//! may be drawn now, and what to undo when the program is gone or left.

use std::collections::BTreeSet;

/// Modes that are off in a fresh terminal, and that a shell suffers from when they stay on: cursor
/// keys, mouse reports, focus reports, alternate screens, bracketed paste, synchronised output.
const SET_BY_PROGRAMS: &[u16] = &[
    1, 9, 47, 66, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1015, 1016, 1047, 1049, 2004,
    2026, 2031, 2048,
];
/// Modes that are on in a fresh terminal: line wrap, the cursor.
const RESET_BY_PROGRAMS: &[u16] = &[7, 25];
const ALTERNATE_SCREENS: &[u16] = &[47, 1047, 1049];

/// A longer one is none that matters here.
const MAX_PARAMETERS: usize = 64;
const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;

/// Follows a terminal's state.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    parser: Parser,
    parameters: Vec<u8>,
    /// Bytes that the character which has begun still needs.
    rest_of_character: u8,
    /// Modes that are not as in a fresh terminal.
    modes: BTreeSet<u16>,
    has_region: bool,
    has_keypad: bool,
    has_modified_keys: bool,
    keyboard_flags: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Parser {
    #[default]
    Ground,
    /// Behind an escape.
    Escape,
    /// Behind an escape and what a final byte follows.
    Intermediate,
    /// In a control sequence.
    Control,
    /// In a string, which ends with a BEL or `ESC \`.
    Text,
    /// In a string, behind an escape.
    TextEscape,
}

impl Screen {
    /// Takes note of what the program writes.
    pub(crate) fn pass(&mut self, mut output: &[u8]) {
        while let Some(&byte) = output.first() {
            if self.parser == Parser::Ground {
                let plain = output.iter().position(|&byte| byte == ESC).unwrap_or(output.len());
                self.characters(&output[..plain]);
                output = &output[plain..];
                if !output.is_empty() {
                    self.parser = Parser::Escape;
                    output = &output[1..];
                }
            } else {
                self.sequence(byte);
                output = &output[1..];
            }
        }
    }

    /// Whether the program is between two characters and two sequences, so that bytes of another
    /// origin do not end up inside, and whether the cursor's line and the one below are the screen's.
    pub(crate) fn can_draw(&self) -> bool {
        let is_between = self.parser == Parser::Ground && self.rest_of_character == 0;
        is_between && (self.is_alternate() || !self.has_region)
    }

    /// Whether a full-screen program has a screen of its own.
    pub(crate) fn is_alternate(&self) -> bool {
        ALTERNATE_SCREENS.iter().any(|mode| self.modes.contains(mode))
    }

    /// What brings the terminal back to what a shell expects. The program counts as gone.
    pub(crate) fn undo(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.parser != Parser::Ground {
            // Ends what the program did not: CAN, and for a string its end.
            bytes.extend_from_slice(b"\x18\x1b\\");
        }
        for _ in 0..self.keyboard_flags {
            bytes.extend_from_slice(b"\x1b[<u");
        }
        for mode in &self.modes {
            let ending = if RESET_BY_PROGRAMS.contains(mode) { 'h' } else { 'l' };
            bytes.extend_from_slice(format!("\x1b[?{mode}{ending}").as_bytes());
        }
        let others: [(bool, &[u8]); 3] = [
            // Setting the region moves the cursor.
            (self.has_region, b"\x1b7\x1b[r\x1b8"),
            (self.has_keypad, b"\x1b>"),
            (self.has_modified_keys, b"\x1b[>4m"),
        ];
        others.iter().filter(|(is_set, _)| *is_set).for_each(|(_, undo)| bytes.extend(*undo));
        if !bytes.is_empty() {
            bytes.extend_from_slice(b"\x1b[0m");
        }
        *self = Self::default();
        bytes
    }

    fn characters(&mut self, plain: &[u8]) {
        if plain.is_empty() {
            return;
        }
        // A character has four bytes at most: the last four tell whether the last one is whole, and
        // whatever was left over from before has ended within them.
        let tail = &plain[plain.len().saturating_sub(4)..];
        for &byte in tail {
            self.rest_of_character = match byte {
                0x80..=0xbf => self.rest_of_character.saturating_sub(1),
                0xc2..=0xdf => 1,
                0xe0..=0xef => 2,
                0xf0..=0xf4 => 3,
                _ => 0,
            };
        }
    }

    fn sequence(&mut self, byte: u8) {
        self.rest_of_character = 0;
        self.parser = match (self.parser, byte) {
            (Parser::Text, BEL | 0x18 | 0x1a) | (Parser::TextEscape, b'\\') => Parser::Ground,
            (Parser::Text, ESC) => Parser::TextEscape,
            (Parser::Text, _) => Parser::Text,
            // Another sequence cuts the string short.
            (Parser::TextEscape, _) => self.behind_escape(byte),
            (_, ESC) => Parser::Escape,
            (_, 0x18 | 0x1a) => Parser::Ground,
            // Other control characters act at once, also within a sequence.
            (parser, 0x00..=0x1f) => parser,
            (Parser::Escape, _) => self.behind_escape(byte),
            (Parser::Intermediate, 0x20..=0x2f) => Parser::Intermediate,
            (Parser::Control, 0x20..=0x3f) => self.parameter(byte),
            (Parser::Control, _) => self.control(byte),
            (Parser::Intermediate | Parser::Ground, _) => Parser::Ground,
        };
    }

    fn behind_escape(&mut self, byte: u8) -> Parser {
        self.parameters.clear();
        match byte {
            b'[' => Parser::Control,
            b']' | b'P' | b'X' | b'^' | b'_' => Parser::Text,
            0x20..=0x2f => Parser::Intermediate,
            b'c' => {
                *self = Self::default();
                Parser::Ground
            }
            b'=' | b'>' => {
                self.has_keypad = byte == b'=';
                Parser::Ground
            }
            _ => Parser::Ground,
        }
    }

    fn parameter(&mut self, byte: u8) -> Parser {
        if self.parameters.len() < MAX_PARAMETERS {
            self.parameters.push(byte);
        }
        Parser::Control
    }

    fn control(&mut self, ending: u8) -> Parser {
        let parameters = std::mem::take(&mut self.parameters);
        match (parameters.as_slice(), ending) {
            ([b'?', modes @ ..], b'h') => self.set(modes, true),
            ([b'?', modes @ ..], b'l') => self.set(modes, false),
            (region, b'r') if region.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';')) => {
                self.has_region = !region.is_empty();
            }
            ([b'>', ..], b'u') => self.keyboard_flags = self.keyboard_flags.saturating_add(1),
            ([b'<', count @ ..], b'u') => {
                let count = numbers(count).next().unwrap_or(1).max(1);
                let count = u8::try_from(count).unwrap_or(u8::MAX);
                self.keyboard_flags = self.keyboard_flags.saturating_sub(count);
            }
            ([b'>', b'4', rest @ ..], b'm') => {
                self.has_modified_keys = !matches!(rest, b"" | b";" | b";0");
            }
            _ => {}
        }
        Parser::Ground
    }

    fn set(&mut self, modes: &[u8], is_set: bool) {
        for mode in numbers(modes) {
            let is_unusual = (SET_BY_PROGRAMS.contains(&mode) && is_set)
                || (RESET_BY_PROGRAMS.contains(&mode) && !is_set);
            if is_unusual {
                self.modes.insert(mode);
            } else {
                self.modes.remove(&mode);
            }
        }
    }
}

fn numbers(parameters: &[u8]) -> impl Iterator<Item = u16> {
    let texts = parameters.split(|&byte| byte == b';');
    texts.filter_map(|text| std::str::from_utf8(text).ok()?.parse().ok())
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
