//! What a run can do that it must not.

use std::fmt;

use crate::properties::Property;

/// A run broke a rule, or a driver its contract with its machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordingViolation {
    /// Which recording; of several that contradict each other, the later one.
    pub recording: String,
    /// Which step of it, from 1, where it is one; it stands on the line after this number.
    pub step: Option<usize>,
    /// What happened in that step.
    pub event: Option<String>,
    /// What was broken.
    pub property: Property,
    /// How.
    pub what: String,
}

impl fmt::Display for RecordingViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.recording)?;
        if let Some(step) = self.step {
            write!(f, ", step {step} (line {})", step + 1)?;
        }
        writeln!(f, ": {}", self.property)?;
        writeln!(f, "  {}", self.what)?;
        match &self.event {
            Some(event) => writeln!(f, "  at {event}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for RecordingViolation {}
