//! What operating system commands (`OSC`) have set: colours, the title, a link.

use std::collections::BTreeMap;

/// A value that is longer is not kept.
const LONGEST: usize = 1024;
/// Terminals keep no more titles.
const MOST_TITLES: usize = 10;

/// What is not as in a fresh terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Strings {
    /// The colours of text, background, cursor and so on, by the number of their command.
    dynamic: BTreeMap<u16, Vec<u8>>,
    palette: BTreeMap<u16, Vec<u8>>,
    /// The link that text belongs to, whole.
    link: Vec<u8>,
    has_progress: bool,
    /// The window's title, where the program has set it.
    title: Option<Vec<u8>>,
    /// The titles put aside: the parameter with which, and what was known of each.
    titles: Vec<(u8, Option<Vec<u8>>)>,
}

impl Strings {
    /// The title that the program has set.
    pub(super) fn title(&self) -> Option<&[u8]> {
        self.title.as_deref()
    }

    /// Takes note of a command, without what begins and ends it. Of one that is too long, this is the
    /// beginning.
    pub(super) fn command(&mut self, text: &[u8]) {
        let (number, value) = split(text);
        let number = std::str::from_utf8(number).ok().and_then(|text| text.parse::<u16>().ok());
        match number {
            Some(0 | 2) => self.title = (value.len() <= LONGEST).then(|| value.to_vec()),
            Some(4) => self.palette(value),
            Some(8) => {
                let (_, target) = split(value);
                self.link = if target.is_empty() { Vec::new() } else { value.to_vec() };
            }
            Some(9) if value.starts_with(b"4;") => {
                self.has_progress = !matches!(split(&value[2..]).0, b"" | b"0");
            }
            Some(first @ 10..=19) => self.dynamic(first, value),
            Some(104) => remove(&mut self.palette, value),
            Some(number @ 110..=119) => drop(self.dynamic.remove(&(number - 100))),
            _ => {}
        }
    }

    /// Each further value is the next command's.
    fn dynamic(&mut self, first: u16, values: &[u8]) {
        for (number, value) in (first..=19).zip(values.split(|&byte| byte == b';')) {
            if !matches!(value, b"" | b"?") && value.len() <= LONGEST {
                self.dynamic.insert(number, value.to_vec());
            }
        }
    }

    fn palette(&mut self, pairs: &[u8]) {
        let parts: Vec<_> = pairs.split(|&byte| byte == b';').collect();
        for pair in parts.chunks_exact(2) {
            let number = std::str::from_utf8(pair[0]).ok().and_then(|text| text.parse().ok());
            if let Some(number @ 0..=511) = number
                && pair[1] != b"?"
                && pair[1].len() <= LONGEST
            {
                self.palette.insert(number, pair[1].to_vec());
            }
        }
    }

    /// `CSI 22 ; which t` puts a title aside, `CSI 23 ; which t` brings it back.
    pub(super) fn window(&mut self, parameters: &[u8]) {
        let mut numbers = super::numbers(parameters);
        let (operation, which) = (numbers.next(), numbers.next().unwrap_or(0));
        // The title of its icon is another one.
        let Some(which) = u8::try_from(which).ok().filter(|which| *which <= 2) else { return };
        if operation == Some(22) {
            if self.titles.len() == MOST_TITLES {
                self.titles.remove(0);
            }
            self.titles.push((which, self.title.clone()));
        } else if operation == Some(23)
            && let Some((_, title)) = self.titles.pop()
            && which != 1
        {
            self.title = title;
        }
    }

    /// What a reset of the terminal leaves, on some.
    pub(super) fn after_reset(self) -> Self {
        Self { link: Vec::new(), has_progress: false, ..self }
    }

    pub(super) fn undo(&self) -> String {
        let mut all = Vec::new();
        if !self.link.is_empty() {
            all.push("\x1b]8;;\x1b\\".to_owned());
        }
        if self.has_progress {
            all.push("\x1b]9;4;0\x1b\\".to_owned());
        }
        all.extend(self.dynamic.keys().map(|number| format!("\x1b]{}\x1b\\", number + 100)));
        all.extend(self.palette.keys().map(|number| format!("\x1b]104;{number}\x1b\\")));
        all.extend(self.titles.iter().rev().map(|(which, _)| format!("\x1b[23;{which}t")));
        all.concat()
    }

    pub(super) fn redo(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for (which, title) in &self.titles {
            all.extend(title.iter().flat_map(|title| set_title(title)));
            all.extend_from_slice(format!("\x1b[22;{which}t").as_bytes());
        }
        all.extend(self.title.iter().flat_map(|title| set_title(title)));
        for (number, value) in &self.dynamic {
            all.extend(osc(&format!("{number};"), value));
        }
        for (number, value) in &self.palette {
            all.extend(osc(&format!("4;{number};"), value));
        }
        if !self.link.is_empty() {
            all.extend(osc("8;", &self.link));
        }
        all
    }
}

fn remove(palette: &mut BTreeMap<u16, Vec<u8>>, numbers: &[u8]) {
    if numbers.is_empty() {
        palette.clear();
    }
    super::numbers(numbers).for_each(|number| drop(palette.remove(&number)));
}

/// What sets the window's title.
pub(crate) fn set_title(title: &[u8]) -> Vec<u8> {
    osc("2;", title)
}

fn osc(start: &str, value: &[u8]) -> Vec<u8> {
    [b"\x1b]", start.as_bytes(), value, b"\x1b\\"].concat()
}

/// At the first semicolon.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| byte == b';') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}
