//! How a client came to its process, and over which lane.

use serde::{Deserialize, Serialize};

/// How a client came to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It was started.
    Opened,
    /// The same process goes on.
    Resumed,
    /// It was taken over from another client.
    Claimed,
}

impl From<rejoin_protocol::frame::How> for How {
    fn from(how: rejoin_protocol::frame::How) -> Self {
        match how {
            rejoin_protocol::frame::How::Opened => Self::Opened,
            rejoin_protocol::frame::How::Resumed => Self::Resumed,
            rejoin_protocol::frame::How::Claimed => Self::Claimed,
        }
    }
}

/// Over what a link goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkLane {
    /// The connector's usual way: ssh.
    Ssh,
    /// Its [fast](rejoin_ssh::Connect::fast) one.
    Fast,
}
