//! What a program has made of the terminal, followed in the output that passes by: whether something
//! of another origin may be written now, what to undo when the program is left, and what to set again.

mod keys;
mod modes;
mod sets;
mod strings;
mod style;

use modes::Modes;
use strings::set_title;

/// A longer sequence is none that matters here: a picture, or what goes to the clipboard.
const LONGEST: usize = 16 * 1024;
/// Has the terminal keep the window's title.
const PUSH_TITLE: &[u8] = b"\x1b[22;2t";
const POP_TITLE: &[u8] = b"\x1b[23;2t";
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const ESC: u8 = 0x1b;
const BEL: u8 = 0x07;
const SHIFT_OUT: u8 = 0x0e;
const SHIFT_IN: u8 = 0x0f;

/// Follows a terminal's state.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    parser: Parser,
    /// What came of the sequence so far, behind the escape. Of one that is too long, its beginning.
    sequence: Vec<u8>,
    /// Bytes that the character which has begun still needs.
    rest_of_character: u8,
    modes: Modes,
    /// Whether the window has a title that is not the program's.
    is_titled: bool,
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
                let special = |&byte: &u8| matches!(byte, ESC | SHIFT_OUT | SHIFT_IN);
                let plain = output.iter().position(special).unwrap_or(output.len());
                self.characters(&output[..plain]);
                output = &output[plain..];
                if let [special, rest @ ..] = output {
                    self.special(*special);
                    output = rest;
                }
            } else {
                self.part(byte);
                output = &output[1..];
            }
        }
    }

    /// Whether the program is between two characters and two sequences, so that bytes of another
    /// origin do not end up inside.
    pub(crate) fn is_between_sequences(&self) -> bool {
        self.parser == Parser::Ground && self.rest_of_character == 0
    }

    /// Whether a full-screen program has a screen of its own.
    #[cfg(test)]
    fn is_alternate(&self) -> bool {
        self.modes.is_alternate()
    }

    /// What has this as the window's title.
    pub(crate) fn put_title(&mut self, title: &str) -> Vec<u8> {
        let keep = if std::mem::replace(&mut self.is_titled, true) { b"" } else { PUSH_TITLE };
        [keep, &set_title(title.as_bytes())].concat()
    }

    /// What brings the title back, if such a one is there: the program's, if it has set one, or else the
    /// terminal's. Not every terminal keeps its title; there, an empty one means its own.
    pub(crate) fn take_title_back(&mut self) -> Vec<u8> {
        match (std::mem::take(&mut self.is_titled), self.modes.strings.title()) {
            (false, _) => Vec::new(),
            (true, Some(title)) => [POP_TITLE, &set_title(title)].concat(),
            (true, None) => [&set_title(b""), POP_TITLE].concat(),
        }
    }

    /// What brings the terminal back to what a shell expects.
    pub(crate) fn undo(&self) -> Vec<u8> {
        let undo = self.modes.undo();
        if self.parser == Parser::Ground {
            return undo.into_bytes();
        }
        // Ends what the program did not: CAN, and for a string its end.
        let rest = if undo.is_empty() { "\x1b[0m" } else { "" };
        format!("\x18\x1b\\{undo}{rest}").into_bytes()
    }

    /// What makes the terminal, behind that, what the program expects.
    pub(crate) fn redo(&self) -> Vec<u8> {
        let mut bytes = self.modes.redo();
        if self.parser != Parser::Ground && self.sequence.len() < LONGEST {
            bytes.push(ESC);
            bytes.extend_from_slice(&self.sequence);
        }
        bytes
    }

    /// What goes before and behind a text that is not the program's, to be read as it is.
    pub(crate) fn around_plain_text(&self) -> (String, Vec<u8>) {
        self.modes.around_plain_text()
    }

    fn special(&mut self, byte: u8) {
        self.rest_of_character = 0;
        match byte {
            ESC => self.begin(),
            _ => self.modes.shift(byte == SHIFT_OUT),
        }
    }

    fn begin(&mut self) {
        self.sequence.clear();
        self.parser = Parser::Escape;
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

    /// The next byte of a sequence.
    fn part(&mut self, byte: u8) {
        match (self.parser, byte) {
            (Parser::Text, BEL) | (Parser::TextEscape, b'\\') => self.end_text(),
            (_, CAN | SUB) => self.parser = Parser::Ground,
            (Parser::Text, ESC) => {
                self.keep(byte);
                self.parser = Parser::TextEscape;
            }
            (Parser::Text, _) => self.keep(byte),
            // Another sequence cuts the string short.
            (Parser::TextEscape, _) => {
                self.begin();
                self.part(byte);
            }
            (_, ESC) => self.begin(),
            (_, SHIFT_OUT | SHIFT_IN) => self.modes.shift(byte == SHIFT_OUT),
            // Other control characters act at once, also within a sequence.
            (_, 0x00..=0x1f) => {}
            _ => {
                self.keep(byte);
                self.parser = self.parsed(byte);
            }
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.sequence.len() < LONGEST {
            self.sequence.push(byte);
        }
    }

    /// Where a byte of an escape or control sequence leads.
    fn parsed(&mut self, byte: u8) -> Parser {
        match (self.parser, byte) {
            (Parser::Escape, b']' | b'P' | b'X' | b'^' | b'_') => Parser::Text,
            (Parser::Escape | Parser::Intermediate, 0x20..=0x2f) => Parser::Intermediate,
            (Parser::Escape, b'[') | (Parser::Control, 0x20..=0x3f) => Parser::Control,
            (Parser::Control, _) => {
                self.end_control();
                Parser::Ground
            }
            _ => {
                self.modes.escape(&self.sequence);
                Parser::Ground
            }
        }
    }

    fn end_control(&mut self) {
        if self.sequence.len() < LONGEST
            && let [_, parameters @ .., ending] = self.sequence.as_slice()
        {
            self.modes.control(parameters, *ending);
        }
    }

    fn end_text(&mut self) {
        self.parser = Parser::Ground;
        if let [b']', text @ ..] = self.sequence.as_slice() {
            let text = text.strip_suffix(b"\x1b").unwrap_or(text);
            self.modes.strings.command(text);
        }
    }
}

fn numbers(parameters: &[u8]) -> impl Iterator<Item = u16> {
    let texts = parameters.split(|&byte| byte == b';');
    texts.filter_map(|text| std::str::from_utf8(text).ok()?.parse().ok())
}

#[cfg(test)]
mod tests;
