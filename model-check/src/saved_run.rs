//! Runs in files: a few header lines, then one action per line.
//!
//! ```text
//! profile cuts
//! mutant no-attach-number
//! broken rule 11: an attach that is not newer is welcomed
//! Dial 0
//! ToClient 0
//! ```

use std::fmt;

use crate::profile::Profile;
use crate::profiles;
use crate::rules::Violation;
use crate::search::Counterexample;
use crate::simulate;
use crate::world::Action;

/// A run with its profile.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavedRun {
    /// The profile, or `seed N` for a simulated one.
    pub profile: String,
    /// The mutant.
    pub mutant: Option<String>,
    /// What happens, and the rule that it breaks.
    pub counterexample: Counterexample,
}

/// Why a file is not a valid run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParseRunError {
    /// The line, from 1.
    pub line: usize,
    /// The error.
    pub message: String,
}

impl fmt::Display for ParseRunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ParseRunError {}

/// A run as read from a file, with what is needed to repeat it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Script {
    /// The profile, or `seed N`.
    pub profile: String,
    /// The mutant.
    pub mutant: Option<String>,
    /// The rule that it broke with the mutant.
    pub broken: Option<u8>,
    /// What happens.
    pub actions: Vec<Action>,
}

impl Script {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The first line that is neither a header nor an action.
    pub fn parse(text: &str) -> Result<Self, ParseRunError> {
        let mut script = Self::default();
        for (number, line) in (1..).zip(text.lines().map(str::trim)) {
            if line.is_empty() || line.starts_with("//") {
                continue;
            }
            if let Some(profile) = line.strip_prefix("profile ") {
                profile.clone_into(&mut script.profile);
            } else if let Some(mutant) = line.strip_prefix("mutant ") {
                script.mutant = Some(mutant.to_owned());
            } else if let Some(broken) = line.strip_prefix("broken rule ") {
                let rule = broken.split(':').next().and_then(|rule| rule.parse().ok());
                script.broken = rule;
            } else {
                let action = line.parse::<Action>();
                let action = action.map_err(|error| ParseRunError {
                    line: number,
                    message: format!("{line}: {error}"),
                })?;
                script.actions.push(action);
            }
        }
        Ok(script)
    }

    /// The profile of the run.
    pub fn profile(&self) -> Option<Profile> {
        if let Some(seed) = self.profile.strip_prefix("seed ") {
            return seed.parse().ok().map(simulate::profile);
        }
        profiles::named(&self.profile)
    }
}

impl fmt::Display for SavedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "profile {}", self.profile)?;
        if let Some(mutant) = &self.mutant {
            writeln!(f, "mutant {mutant}")?;
        }
        let Counterexample { violation: Violation { rule, what }, actions } = &self.counterexample;
        writeln!(f, "broken rule {rule}: {what}")?;
        actions.iter().try_for_each(|action| writeln!(f, "{}", action.word()))
    }
}
