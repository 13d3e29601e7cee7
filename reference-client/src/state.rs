//! What an application keeps to come back after its own restart.

use rejoin_protocol::{Epoch, Holder, HostId, Incarnation, Seq, SessionId, Tenure};
use serde::{Deserialize, Serialize};

/// A position within a session: enough to claim it after a restart and to go on with the first
/// output that was not taken.
///
/// Write it down no later than what it counts as taken: a position that lies behind the last
/// acknowledgement is refused as a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// The session.
    pub session: SessionId,
    /// The host it is on, once known.
    pub host: Option<HostId>,
    /// The server, once known.
    pub epoch: Option<Epoch>,
    /// The process.
    pub incarnation: Incarnation,
    /// The tenure that the client had.
    pub tenure: Tenure,
    /// The first output that was not taken.
    pub next_output: Seq,
}

impl SessionState {
    /// What a claim names as the holder: the client that wrote this.
    pub fn holder(&self) -> Option<Holder> {
        let (incarnation, tenure) = (self.incarnation, self.tenure);
        self.epoch.map(|epoch| Holder { epoch, incarnation, tenure })
    }
}
