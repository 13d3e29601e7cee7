//! What a program has made of the terminal: how to undo it, and how to make it so again.

use std::collections::{BTreeMap, BTreeSet};

use super::keys::Keys;
use super::numbers;
use super::sets::Sets;
use super::strings::Strings;
use super::style::Style;

/// Private modes that are off in a fresh terminal, and that a shell suffers from when they stay on:
/// cursor keys, reverse video, origin, blinking, keypad, margins, mouse reports, focus reports,
/// bracketed paste, clusters of characters, reports of colours and sizes, keys as on Windows.
const SET_BY_PROGRAMS: &[u16] = &[
    CURSOR_KEYS,
    REVERSE,
    ORIGIN,
    9,
    12,
    45,
    KEYPAD,
    67,
    MARGINS,
    1000,
    1001,
    1002,
    1003,
    1004,
    1005,
    1006,
    1007,
    1015,
    1016,
    2004,
    SYNCHRONISED,
    2027,
    2031,
    2048,
    9001,
];
/// Private modes that are on in a fresh terminal: line wrap, keys that repeat, the cursor.
const RESET_BY_PROGRAMS: &[u16] = &[WRAP, 8, CURSOR];
/// ANSI modes that are off in a fresh terminal: a locked keyboard, insertion, new lines for line feeds.
const ANSI_SET_BY_PROGRAMS: &[u16] = &[LOCK, INSERT, 20];
/// An ANSI mode that is on in a fresh terminal: no local echo.
const ANSI_RESET_BY_PROGRAMS: &[u16] = &[12];

const CURSOR_KEYS: u16 = 1;
const REVERSE: u16 = 5;
const ORIGIN: u16 = 6;
const WRAP: u16 = 7;
const CURSOR: u16 = 25;
const KEYPAD: u16 = 66;
const MARGINS: u16 = 69;
const SAVED_CURSOR: u16 = 1048;
const SYNCHRONISED: u16 = 2026;
/// What is set together with the screen and its region.
const IN_PLACE: &[u16] = &[ORIGIN, MARGINS, SYNCHRONISED];
/// Terminals take the last row that there is.
const LAST_ROW: u16 = 9999;
const LOCK: u16 = 2;
const INSERT: u16 = 4;

/// What is not as in a fresh terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Modes {
    private: BTreeSet<u16>,
    ansi: BTreeSet<u16>,
    alternate: Option<u16>,
    /// The parameters with which the scroll region was set.
    region: Vec<u8>,
    /// The same of the margins at the left and the right.
    margins: Vec<u8>,
    saved: Option<Saved>,
    has_keypad: bool,
    /// How keys are modified: by resource, the values.
    modified_keys: BTreeMap<u16, Vec<u8>>,
    /// Of the main screen, and of the alternate one.
    keys: [Keys; 2],
    shape: u16,
    sets: Sets,
    is_not_utf8: bool,
    style: Style,
    pub(super) strings: Strings,
}

/// What is saved with the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Saved {
    sets: Sets,
    style: Style,
    has_origin: bool,
}

impl Modes {
    #[cfg(test)]
    pub(super) fn is_alternate(&self) -> bool {
        self.alternate.is_some()
    }

    /// `ESC`, intermediate bytes, a final byte.
    pub(super) fn escape(&mut self, sequence: &[u8]) {
        match sequence {
            b"c" => *self = Self::after_reset(std::mem::take(&mut self.strings)),
            b"=" | b">" => self.has_keypad = sequence == b"=",
            b"7" => self.save(),
            b"8" => self.restore(),
            b"n" | b"o" => self.sets.lock(sequence),
            b"%@" => self.is_not_utf8 = true,
            b"%G" | b"%8" => self.is_not_utf8 = false,
            [set, name @ ..] if !name.is_empty() => self.sets.designate(*set, name),
            _ => {}
        }
    }

    /// Shift out, shift in.
    pub(super) fn shift(&mut self, is_out: bool) {
        self.sets.shift(is_out);
    }

    fn save(&mut self) {
        let has_origin = self.private.contains(&ORIGIN);
        self.saved = Some(Saved { sets: self.sets.clone(), style: self.style.clone(), has_origin });
    }

    fn restore(&mut self) {
        let Saved { sets, style, has_origin } = self.saved.clone().unwrap_or_default();
        (self.sets, self.style) = (sets, style);
        note(&mut self.private, (SET_BY_PROGRAMS, RESET_BY_PROGRAMS), ORIGIN, has_origin);
    }

    /// `CSI`, parameters and intermediate bytes, a final byte.
    pub(super) fn control(&mut self, parameters: &[u8], ending: u8) {
        match (parameters, ending) {
            ([b'?', modes @ ..], b'h' | b'l') => self.private(modes, ending == b'h'),
            ([b'>', rest @ ..], b'u') => self.current_keys().push(rest),
            ([b'<', rest @ ..], b'u') => self.current_keys().pop(rest),
            ([b'=', rest @ ..], b'u') => self.current_keys().assign(rest),
            ([b'>', rest @ ..], b'm') => self.modify_keys(rest),
            ([b'>', rest @ ..], b'n') => {
                let resource = numbers(rest).next().unwrap_or(2);
                self.modified_keys.insert(resource, Vec::new());
            }
            (b"!", b'p') => self.soft_reset(),
            ([shape @ .., b' '], b'q') => self.shape = numbers(shape).next().unwrap_or(0),
            (plain, _) if is_plain(plain) => self.plain_control(plain, ending),
            // A style may have parts behind colons.
            (style, b'm') if style.iter().all(|byte| matches!(byte, b'0'..=b';')) => {
                self.style.set(style);
            }
            _ => {}
        }
    }

    /// One whose parameters are numbers.
    fn plain_control(&mut self, parameters: &[u8], ending: u8) {
        match ending {
            b'h' | b'l' => self.ansi(parameters, ending == b'h'),
            b'm' => self.style.set(parameters),
            b'r' => self.region = parameters.to_vec(),
            b's' if self.private.contains(&MARGINS) => self.margins = parameters.to_vec(),
            b's' => self.save(),
            b'u' => self.restore(),
            b't' => self.strings.window(parameters),
            _ => {}
        }
    }

    fn current_keys(&mut self) -> &mut Keys {
        &mut self.keys[usize::from(self.alternate.is_some())]
    }

    fn modify_keys(&mut self, parameters: &[u8]) {
        let mut all = numbers(parameters);
        match (all.next(), all.next()) {
            (None, _) => self.modified_keys.clear(),
            (Some(resource), None | Some(0)) => drop(self.modified_keys.remove(&resource)),
            (Some(resource), Some(_)) => {
                self.modified_keys.insert(resource, parameters.to_vec());
            }
        }
    }

    fn private(&mut self, modes: &[u8], is_set: bool) {
        for mode in numbers(modes) {
            match mode {
                47 | 1047 | 1049 => self.switch_screen(mode, is_set),
                SAVED_CURSOR if is_set => self.save(),
                SAVED_CURSOR => self.restore(),
                _ => note(&mut self.private, (SET_BY_PROGRAMS, RESET_BY_PROGRAMS), mode, is_set),
            }
            if mode == MARGINS {
                self.margins.clear();
            }
        }
    }

    fn switch_screen(&mut self, mode: u16, to_alternate: bool) {
        match (to_alternate, mode) {
            (true, 1049) if self.alternate.is_none() => self.save(),
            (false, 1049) => self.restore(),
            _ => {}
        }
        self.alternate = to_alternate.then(|| self.alternate.unwrap_or(mode));
    }

    fn ansi(&mut self, modes: &[u8], is_set: bool) {
        for mode in numbers(modes) {
            note(&mut self.ansi, (ANSI_SET_BY_PROGRAMS, ANSI_RESET_BY_PROGRAMS), mode, is_set);
        }
    }

    /// `CSI ! p`. What not every terminal resets stays noted: to undo it once more harms nobody.
    fn soft_reset(&mut self) {
        for mode in [CURSOR_KEYS, ORIGIN, WRAP, CURSOR, KEYPAD] {
            self.private.remove(&mode);
        }
        for mode in [LOCK, INSERT] {
            self.ansi.remove(&mode);
        }
        self.region.clear();
        self.has_keypad = false;
        self.saved = None;
        self.sets = Sets::default();
        self.style = Style::default();
    }

    fn after_reset(strings: Strings) -> Self {
        Self { strings: strings.after_reset(), ..Self::default() }
    }

    /// What makes it a fresh terminal.
    pub(super) fn undo(&self) -> String {
        let mut all = Vec::new();
        if self.private.contains(&SYNCHRONISED) {
            all.push(private(SYNCHRONISED, false));
        }
        all.push(self.undo_screen());
        let others = self.private.iter().filter(|mode| !IN_PLACE.contains(mode));
        all.extend(others.map(|mode| private(*mode, RESET_BY_PROGRAMS.contains(mode))));
        let others = self.ansi.iter();
        all.extend(others.map(|mode| ansi(*mode, ANSI_RESET_BY_PROGRAMS.contains(mode))));
        if self.has_keypad {
            all.push("\x1b>".to_owned());
        }
        all.extend(self.modified_keys.keys().map(|resource| format!("\x1b[>{resource}m")));
        if self.shape != 0 {
            all.push("\x1b[0 q".to_owned());
        }
        all.push(self.undo_sets());
        all.push(self.strings.undo());
        let all = all.concat();
        let end = if all.is_empty() && self.style.is_default() { "" } else { "\x1b[0m" };
        all + end
    }

    /// The region first: to reset it moves the cursor, which leaving the alternate screen brings back.
    fn undo_screen(&self) -> String {
        let [main, alternate] = [self.keys[0].undo(), self.keys[1].undo()];
        match self.alternate {
            Some(mode) => {
                let (region, origin) = (self.undo_region(), self.undo_saved_origin(mode));
                format!("{region}{alternate}{}{origin}{main}", private(mode, false))
            }
            None if alternate.is_empty() => self.undo_region_around_cursor() + &main,
            None => {
                let (there, back) = (private(47, true), private(47, false));
                format!("{}{there}{alternate}{back}{main}", self.undo_region_around_cursor())
            }
        }
    }

    fn undo_region(&self) -> String {
        let parts = [
            (self.private.contains(&ORIGIN), private(ORIGIN, false)),
            (self.private.contains(&MARGINS), private(MARGINS, false)),
            (!self.region.is_empty(), "\x1b[r".to_owned()),
        ];
        chosen(parts)
    }

    /// With this mode, leaving the alternate screen brings back the origin that was saved with the cursor.
    fn undo_saved_origin(&self, mode: u16) -> String {
        let is_back = mode == 1049 && self.saved.as_ref().is_some_and(|saved| saved.has_origin);
        if is_back {
            format!("{}\x1b[{LAST_ROW};1H", private(ORIGIN, false))
        } else {
            String::new()
        }
    }

    /// The saved cursor's place is the program's, and what is saved includes the origin: then the
    /// cursor goes to the last row, below all that was written.
    fn undo_region_around_cursor(&self) -> String {
        let region = self.undo_region();
        if region.is_empty() {
            region
        } else if self.saved.is_some() || self.private.contains(&ORIGIN) {
            format!("{region}\x1b[{LAST_ROW};1H")
        } else {
            format!("\x1b7{region}\x1b8")
        }
    }

    /// Also those that are saved with the cursor: leaving the alternate screen brings them back.
    fn undo_sets(&self) -> String {
        let utf8 = if self.is_not_utf8 { "\x1b%G" } else { "" };
        utf8.to_owned() + &self.sets.undo(self.saved.as_ref().map(|saved| &saved.sets))
    }

    fn redo_sets(&self) -> Vec<u8> {
        let other = if self.is_not_utf8 { b"\x1b%@".as_slice() } else { b"" };
        [&self.sets.redo(), other].concat()
    }

    /// What makes a fresh terminal what the program has made of it. A frame that has begun is not
    /// begun again: the program draws a whole one.
    pub(super) fn redo(&self) -> Vec<u8> {
        let mut all = vec![self.redo_screen()];
        let others = self.private.iter().filter(|mode| !IN_PLACE.contains(mode));
        all.extend(others.map(|mode| private(*mode, !RESET_BY_PROGRAMS.contains(mode))));
        let others = self.ansi.iter();
        all.extend(others.map(|mode| ansi(*mode, !ANSI_RESET_BY_PROGRAMS.contains(mode))));
        if self.has_keypad {
            all.push("\x1b=".to_owned());
        }
        let mut all = all.concat().into_bytes();
        for (resource, values) in &self.modified_keys {
            match values.as_slice() {
                b"" => all.extend_from_slice(format!("\x1b[>{resource}n").as_bytes()),
                values => all.extend_from_slice(&[b"\x1b[>", values, b"m"].concat()),
            }
        }
        if self.shape != 0 {
            all.extend_from_slice(format!("\x1b[{} q", self.shape).as_bytes());
        }
        all.extend(self.redo_sets());
        all.extend(self.strings.redo());
        all.extend(self.style.redo());
        all
    }

    fn redo_screen(&self) -> String {
        let [main, alternate] = [self.keys[0].redo(), self.keys[1].redo()];
        match self.alternate {
            Some(mode) => main + &private(mode, true) + &alternate + &self.redo_region(),
            None if alternate.is_empty() => main + &self.redo_region(),
            None => {
                let (there, back) = (private(47, true), private(47, false));
                format!("{main}{there}{alternate}{back}{}", self.redo_region())
            }
        }
    }

    /// Each of it moves the cursor to the first row: it goes to the last one of the region.
    fn redo_region(&self) -> String {
        let margins = String::from_utf8_lossy(&self.margins);
        let region = String::from_utf8_lossy(&self.region);
        let parts = [
            (self.private.contains(&MARGINS), private(MARGINS, true)),
            (!margins.is_empty(), format!("\x1b[{margins}s")),
            (!region.is_empty(), format!("\x1b[{region}r")),
            (self.private.contains(&ORIGIN), private(ORIGIN, true)),
        ];
        let all = chosen(parts);
        if all.is_empty() || self.alternate.is_some() {
            return all;
        }
        let last = numbers(&self.region).nth(1).unwrap_or(LAST_ROW);
        format!("{all}\x1b[{last};1H")
    }

    /// What puts text on the screen as it is, whatever the program writes as, and what has it go on.
    pub(super) fn around_plain_text(&self) -> (String, Vec<u8>) {
        let (mut before, mut behind) = (self.undo_sets(), self.redo_sets());
        if self.ansi.contains(&INSERT) {
            before += &ansi(INSERT, false);
            behind.extend(ansi(INSERT, true).into_bytes());
        }
        if !self.style.is_default() {
            before += "\x1b[0m";
            behind.extend(self.style.redo());
        }
        (before, behind)
    }
}

/// Keeps a mode that is not as in a fresh terminal.
fn note(all: &mut BTreeSet<u16>, (off, on): (&[u16], &[u16]), mode: u16, is_set: bool) {
    if if is_set { off } else { on }.contains(&mode) {
        all.insert(mode);
    } else {
        all.remove(&mode);
    }
}

/// Those parts that are wanted.
fn chosen<const N: usize>(parts: [(bool, String); N]) -> String {
    parts.into_iter().filter_map(|(is_wanted, part)| is_wanted.then_some(part)).collect()
}

fn private(mode: u16, is_set: bool) -> String {
    format!("\x1b[?{mode}{}", if is_set { 'h' } else { 'l' })
}

fn ansi(mode: u16, is_set: bool) -> String {
    format!("\x1b[{mode}{}", if is_set { 'h' } else { 'l' })
}

fn is_plain(parameters: &[u8]) -> bool {
    parameters.iter().all(|byte| matches!(byte, b'0'..=b'9' | b';'))
}
