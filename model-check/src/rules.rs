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

/// The names of the properties, by number: short, since Stateright hashes each of them for every
/// world.
pub const NAMES: [&str; 18] = [
    "rule 1", "rule 2", "rule 3", "rule 4", "rule 5", "rule 6", "rule 7", "rule 8", "rule 9",
    "rule 10", "rule 11", "rule 12", "rule 13", "rule 14", "rule 15", "rule 16", "rule 17",
    "rule 18",
];

/// The rules by number, in short.
pub const RULES: [&str; 18] = [
    "what is handed over is a gapless, duplicate-free prefix of what was sent",
    "acknowledged means handed over, and only that trims a log",
    "logs are bounded, producers wait, links are always read",
    "the exit status is the last item, and is acknowledged before the entry goes",
    "an incarnation is started at most once",
    "opening is idempotent, and authority is judged first",
    "at most one process lives once its server serves; retention ends it",
    "nothing is started on a guess",
    "what fails leaves nothing behind",
    "one link is served, the newest",
    "attach numbers and tenures decide, and never fall",
    "who was superseded is told, is done, and does not fight back",
    "a stream dies with its server, and answers say what they answer",
    "numbers that cannot be are told, never papered over",
    "once faults stop, everything settles",
    "every change is told",
    "what is said is true, and has a cause",
    "what means nothing changes nothing, and what breaks a rule costs the link",
];

impl Violation {
    /// The rule, in short.
    pub fn rule_text(&self) -> &'static str {
        RULES.get(usize::from(self.rule).wrapping_sub(1)).copied().unwrap_or("no such rule")
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: {}", self.rule, self.what)
    }
}
