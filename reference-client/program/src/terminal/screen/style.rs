//! How text looks: what `CSI ... m` has set.

/// What is set, each parameter with what it is about, in the order of its setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Style(Vec<(Subject, Vec<u8>)>);

/// What a parameter is about: a later one about the same takes an earlier one's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Bold,
    Faint,
    Italic,
    Underline,
    Blink,
    Inverse,
    Hidden,
    Strike,
    Font,
    Foreground,
    Background,
    Frame,
    Overline,
    UnderlineColour,
}

/// A colour with all its parts is no longer.
const LONGEST: usize = 40;

impl Style {
    pub(super) fn is_default(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes note of the parameters.
    pub(super) fn set(&mut self, parameters: &[u8]) {
        let mut parts = parameters.split(|&byte| byte == b';');
        while let Some(part) = parts.next() {
            let code = super::numbers(part.split(|&byte| byte == b':').next().unwrap_or_default());
            let code = code.last().unwrap_or(0);
            let mut text = part.to_vec();
            if matches!(code, 38 | 48 | 58) && !part.contains(&b':') {
                let Some(rest) = colour(&mut parts) else { continue };
                for rest in rest {
                    text.push(b';');
                    text.extend_from_slice(rest);
                }
            }
            self.one(code, text);
        }
    }

    fn one(&mut self, code: u16, text: Vec<u8>) {
        let (subject, is_set) = match code {
            1 => (Subject::Bold, true),
            2 => (Subject::Faint, true),
            3 | 23 => (Subject::Italic, code == 3),
            4 | 21 | 24 => (Subject::Underline, code != 24 && text != b"4:0"),
            5 | 6 | 25 => (Subject::Blink, code != 25),
            7 | 27 => (Subject::Inverse, code == 7),
            8 | 28 => (Subject::Hidden, code == 8),
            9 | 29 => (Subject::Strike, code == 9),
            10..=20 => (Subject::Font, code != 10),
            30..=39 | 90..=97 => (Subject::Foreground, code != 39),
            40..=49 | 100..=107 => (Subject::Background, code != 49),
            51 | 52 | 54 => (Subject::Frame, code != 54),
            53 | 55 => (Subject::Overline, code == 53),
            58 | 59 => (Subject::UnderlineColour, code == 58),
            22 => {
                return self
                    .0
                    .retain(|(subject, _)| !matches!(subject, Subject::Bold | Subject::Faint));
            }
            0 => return self.0.clear(),
            _ => return,
        };
        self.0.retain(|(other, _)| *other != subject);
        if is_set && text.len() <= LONGEST {
            self.0.push((subject, text));
        }
    }

    /// What sets it, from the default.
    pub(super) fn redo(&self) -> Vec<u8> {
        if self.is_default() {
            return Vec::new();
        }
        let texts: Vec<_> = self.0.iter().map(|(_, text)| text.as_slice()).collect();
        [b"\x1b[", texts.join(&b';').as_slice(), b"m"].concat()
    }
}

/// The parts of a colour behind its first: `5;n` or `2;r;g;b`. None if some are missing: set again in front of
/// others, it would take those for its own.
fn colour<'a>(parts: &mut impl Iterator<Item = &'a [u8]>) -> Option<Vec<&'a [u8]>> {
    let kind = parts.next()?;
    let more = match kind {
        b"5" => 1,
        b"2" => 3,
        _ => return None,
    };
    let all: Vec<_> = std::iter::once(kind).chain(parts.take(more)).collect();
    (all.len() == 1 + more).then_some(all)
}
