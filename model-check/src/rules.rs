//! The rules, and how one is broken.

use std::fmt;

/// A rule of the protocol that was broken, and how.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Violation {
    /// Which rule, from 1.
    pub rule: u8,
    /// What happened, in words.
    pub what: &'static str,
}

/// The rules by number, in short: each is a property of the model under this name.
pub const RULES: [&str; 16] = [
    "rule 1: what is handed over is a gapless, duplicate-free prefix of what was sent",
    "rule 2: acknowledged means handed over, and only that trims a log",
    "rule 3: logs are bounded, producers wait, links are always read",
    "rule 4: the exit status is the last item, and is acknowledged before the entry goes",
    "rule 5: an incarnation is started at most once",
    "rule 6: opening is idempotent, and authority is judged first",
    "rule 7: at most one process lives once its server serves; retention ends it",
    "rule 8: nothing is started on a guess",
    "rule 9: what fails leaves nothing behind",
    "rule 10: one link is served, the newest",
    "rule 11: attach numbers and tenures decide, and never fall",
    "rule 12: who was superseded is told, is done, and does not fight back",
    "rule 13: a stream dies with its server, and answers say what they answer",
    "rule 14: numbers that cannot be are told, never papered over",
    "rule 15: once faults stop, everything settles",
    "rule 16: every change is told",
];

impl Violation {
    /// The rule's name.
    pub fn name(&self) -> &'static str {
        RULES.get(usize::from(self.rule).wrapping_sub(1)).copied().unwrap_or("no rule")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: {}", self.rule, self.what)
    }
}
