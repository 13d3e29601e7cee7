//! The answer to `doctor` (SPEC section 14.7).

use serde::{Deserialize, Serialize};

use super::{AdminVersion, Text};
use crate::VersionRange;

/// What matters to sessions about a host. An answer may leave out everything but its braces.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct HostReport {
    /// The version of the server program, such as `0.1.0`.
    #[serde(rename = "version")]
    pub program_version: Text,
    /// The versions of the protocol that it understands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<VersionRange>,
    /// Where the program lies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<Text>,
    /// The host's own name.
    pub host: Text,
    /// The machine, in 32 hexadecimal digits: the first value of its host id (section 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_id: Option<Text>,
    /// What becomes of a process when the login that started it ends.
    pub persistence: Persistence,
    /// What the user can do if processes end with the login.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence_advice: Option<Text>,
    /// The folder with the sessions.
    pub registry: RegistryReport,
    /// The version of this answer.
    #[serde(rename = "admin")]
    pub version: AdminVersion,
}

/// What becomes of a process when the login that started it ends.
#[derive(Clone, Default, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "Text", into = "Text")]
#[non_exhaustive]
pub enum Persistence {
    /// It stays.
    Stays,
    /// It stays, because it runs in a scope of the user's own service manager.
    InScope,
    /// It ends with the login.
    Ends,
    /// The host cannot tell.
    #[default]
    Unknown,
    /// Something that this version does not know.
    Other(Text),
}

impl Persistence {
    /// The word for it in an answer.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stays => "stays",
            Self::InScope => "in_scope",
            Self::Ends => "ends",
            Self::Unknown => "unknown",
            Self::Other(text) => text,
        }
    }
}

impl From<Text> for Persistence {
    fn from(text: Text) -> Self {
        match text.as_str() {
            "stays" => Self::Stays,
            "in_scope" => Self::InScope,
            "ends" => Self::Ends,
            "unknown" => Self::Unknown,
            _ => Self::Other(text),
        }
    }
}

impl From<Persistence> for Text {
    fn from(persistence: Persistence) -> Self {
        Self::new(persistence.as_str())
    }
}

/// The folder with the sessions of the host's user.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct RegistryReport {
    /// Its path, if it can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<Text>,
    /// Why it, or a session in it, cannot be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Text>,
    /// How many sessions have a server.
    pub living: u64,
    /// How many sessions have lost theirs, and were not removed yet.
    pub dead: u64,
}
