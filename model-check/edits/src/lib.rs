//! Changes to source texts, written down as data.
//!
//! A change looks as in a diff, but has no line numbers: the lines that it replaces must occur in
//! the file exactly once. [`edits`] reads a list of changes, and [`apply`] makes them. [`mutants`]
//! reads a list of mutants, each with its changes, and [`switch`] makes a text that has all of the
//! mutants in it and runs one of them. The README of `rejoin-model-check` describes the format.

mod apply;
mod functions;
mod read;
mod switch;

use std::fmt;

pub use apply::apply;
pub use read::{edits, mutants};
pub use switch::{AFTER_SHIPPED, BEFORE_SHIPPED, SWITCH, switch};

/// A change to one place of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edit {
    /// The file, relative to the folder that the list is about.
    pub file: String,
    /// The function that the place is in, if the list names it.
    pub function: Option<String>,
    /// The lines that stand there. White space at their ends does not count.
    pub before: Vec<String>,
    /// The lines that take their place.
    pub after: Vec<String>,
}

/// A fault that is made on purpose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mutant {
    /// Its name: lower case, with hyphens.
    pub name: String,
    /// The number of the rule that it breaks.
    pub rule: u8,
    /// What is wrong, in one sentence.
    pub fault: String,
    /// Why no run of the model can show it, if none can.
    pub unseen: Option<String>,
    /// The changes that cause the fault; at least one.
    pub edits: Vec<Edit>,
}

/// Why a list cannot be read, or a change cannot be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EditError(pub(crate) String);

impl EditError {
    /// The same, with the name of the file or the mutant that it is about.
    #[must_use]
    pub fn of(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for EditError {}
