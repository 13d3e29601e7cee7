//! How rejoin ends.

use crate::terminal::quote::shown;

/// A result, or how rejoin ends instead, with nothing started.
pub(crate) type Fallible<T> = Result<T, Ending>;

/// The status of rejoin's own failures, as ssh's.
pub(crate) const FAILED: u8 = 255;

/// How rejoin ends: its status, and one line that says why and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) code: u8,
    pub(crate) line: Option<String>,
}

impl Ending {
    /// Nothing is to be said.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, line: None }
    }

    pub(crate) fn told(code: u8, line: impl AsRef<str>) -> Self {
        Self { code, line: Some(shown(line.as_ref())) }
    }

    /// Rejoin's own failure.
    pub(crate) fn failed(line: impl AsRef<str>) -> Self {
        Self::told(FAILED, line)
    }

    /// With something more to say.
    pub(crate) fn and(self, more: Option<String>) -> Self {
        let lines = self.line.into_iter().chain(more);
        Self { line: lines.reduce(|line, more| format!("{line}; {more}")), ..self }
    }
}
