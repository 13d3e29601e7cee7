//! The commands of a server program, as words behind its name (SPEC section 14.1). A login shell needs
//! no quotes for them.

use alloc::string::String;
use core::fmt::Write as _;

use crate::SessionId;

/// Lists the sessions; answered with a [`SessionList`](super::SessionList).
pub const LIST: &str = "ls --json";

/// Removes what dead servers left; answered with a [`PruneReport`](super::PruneReport).
pub const PRUNE: &str = "prune --json";

/// Looks at the host; answered with a [`HostReport`](super::HostReport).
pub const REPORT: &str = "doctor";

/// Ends these sessions; answered with a [`KillReport`](super::KillReport).
///
/// ```
/// use rejoin_protocol::SessionId;
/// use rejoin_protocol::admin::words;
///
/// let session = SessionId::from_bytes([0xab; 16]);
/// assert_eq!(words::kill([session]), "kill --json abababababababababababababababab");
/// ```
pub fn kill(sessions: impl IntoIterator<Item = SessionId>) -> String {
    let mut words = String::from("kill --json");
    for session in sessions {
        // A String takes everything.
        let _ = write!(words, " {session}");
    }
    words
}
