//! The answers of a server program to its commands `ls`, `kill`, `prune` and `doctor`
//! (SPEC section 14).
//!
//! An answer is one line of JSON. This module has the types, their names and their bounds; the
//! caller reads and writes the text, for example with `serde_json`. [`words`] has the commands.
//!
//! A reader first reads [`AnswerVersion`] from a line. If that [is known](AdminVersion::is_known), it
//! reads the answer itself:
//!
//! | command | answer |
//! | --- | --- |
//! | `ls --json` | [`SessionList`] |
//! | `kill --json` | [`KillReport`] |
//! | `prune --json` | [`PruneReport`] |
//! | `doctor` | [`HostReport`] |
//!
//! Within a version, a newer program may add fields, and values of [`SessionStatus`] and
//! [`Persistence`]. A reader ignores the fields, and keeps the values as `Other`. Reading never holds
//! more than [`MAX_ENTRIES`] entries of a list and [`Text::MAX_LEN`] bytes of a text.

mod bounds;
mod ended;
mod host_report;
mod ids;
mod pruned;
mod sessions;
mod text;
mod version;
pub mod words;

pub use bounds::{MAX_ANSWER, MAX_ENTRIES};
pub use ended::{EndProblem, EndedSession, KillReport};
pub use host_report::{HostReport, Persistence, RegistryReport};
pub use pruned::{PruneProblem, PruneReport};
pub use sessions::{SessionInfo, SessionList, SessionStatus};
pub use text::Text;
pub use version::{AdminVersion, AnswerVersion};
