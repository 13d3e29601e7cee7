//! What the fast lane reports.

use std::fmt;
use std::sync::Arc;

use super::eligibility::Ineligible;

/// What happens on the fast lane to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FastLaneEvent {
    /// The host was learnt: the next fast link can use the fast lane.
    Learnt,
    /// The fast lane is not used.
    Ineligible(Ineligible),
    /// A link was made over the fast lane, and the command runs.
    Taken,
    /// A link over the fast lane failed; the reason.
    Failed(String),
    /// The host key differs from the one that ssh accepted. rejoin sent the host
    /// nothing.
    OtherHost,
}

impl fmt::Display for FastLaneEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Learnt => f.write_str("the fast lane is ready"),
            Self::Ineligible(why) => write!(f, "no fast lane: {why}"),
            Self::Taken => f.write_str("connected over the fast lane"),
            Self::Failed(why) => write!(f, "the fast lane failed: {why}"),
            Self::OtherHost => f.write_str(
                "the host key differs from the one that ssh accepted; rejoin sent the host nothing, and leaves the decision to ssh",
            ),
        }
    }
}

/// Called with each event.
pub(crate) type OnFastLaneEvent = Arc<dyn Fn(&FastLaneEvent) + Send + Sync>;
