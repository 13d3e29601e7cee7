//! Which characters the bytes mean: the sets that `ESC ( x` and so on designate, and the shifts.

/// What designates the four sets of 94 characters.
const SETS: [u8; 4] = *b"()*+";
/// The same for sets of 96, of which G0 takes none.
const LARGER_SETS: [u8; 3] = *b"-./";
const ASCII: u8 = b'B';

/// What is not as in a fresh terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sets {
    /// What designated G0 to G3, where they are not ASCII.
    designated: [Option<Vec<u8>>; 4],
    /// The control function that shifted to another set than G0.
    shift: Option<Vec<u8>>,
}

impl Sets {
    /// Shift out, shift in.
    pub(super) fn shift(&mut self, is_out: bool) {
        self.shift = is_out.then(|| b"\x0e".to_vec());
    }

    /// `ESC n`, `ESC o`: to G2 and G3.
    pub(super) fn lock(&mut self, function: &[u8]) {
        self.shift = Some([b"\x1b", function].concat());
    }

    /// `ESC`, which set, its name.
    pub(super) fn designate(&mut self, set: u8, name: &[u8]) {
        let smaller = SETS.iter().position(|&other| other == set);
        let larger = LARGER_SETS.iter().position(|&other| other == set).map(|at| at + 1);
        if let Some(at) = smaller.or(larger) {
            let is_ascii = name == [ASCII] && larger.is_none();
            self.designated[at] = (!is_ascii).then(|| [&[set], name].concat());
        }
    }

    /// Also of others, that may come back.
    pub(super) fn undo(&self, others: Option<&Self>) -> String {
        let all = || [Some(self), others].into_iter().flatten();
        let shift = if all().any(|sets| sets.shift.is_some()) { "\x0f" } else { "" };
        let is_other = |at: usize| all().any(|sets| sets.designated[at].is_some());
        let others = SETS.iter().enumerate().filter(|(at, _)| is_other(*at));
        let ascii = others.map(|(_, set)| format!("\x1b{}{}", char::from(*set), char::from(ASCII)));
        shift.to_owned() + &ascii.collect::<String>()
    }

    pub(super) fn redo(&self) -> Vec<u8> {
        let designated = self.designated.iter().flatten().map(|set| [b"\x1b", &set[..]].concat());
        designated.chain(self.shift.clone()).flatten().collect()
    }
}
