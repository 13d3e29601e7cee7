//! The rules of the path machine (SPEC section 7.9), and how one is broken.

use std::fmt;

/// A rule of the path machine that was broken, and how.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BrokenPathRule {
    /// Which rule, from 1.
    pub rule: u8,
    /// What happened, in words.
    pub what: &'static str,
}

/// The names of the properties, by number.
pub const NAMES: [&str; 10] = ["P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P10"];

/// The rules by number, in short.
pub const RULES: [&str; 10] = [
    "no link leaks",
    "dials are paced",
    "what a person is needed for is not tried again at once",
    "a link that works is left only for a better one",
    "only an attached link is doubted, and a dial ends its login",
    "an exclusive path has one link at a time",
    "something is always under way, and everything settles",
    "no host refuses a healthy user",
    "each attempt is told once",
    "what replaces a process is paced and bounded",
];

impl BrokenPathRule {
    /// The rule, in short.
    pub fn rule_text(&self) -> &'static str {
        RULES.get(usize::from(self.rule).wrapping_sub(1)).copied().unwrap_or("no such rule")
    }
}

impl fmt::Display for BrokenPathRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "P{}: {}", self.rule, self.what)
    }
}
