//! What ties a signature to one connection and one host.

use bytes::Bytes;

/// Proof that a host has agreed on keys with this client: its signature over what both sides have said, which
/// anybody who has its key can verify. An agent that is told it before it signs
/// (`session-bind@openssh.com`, OpenSSH's `PROTOCOL.agent`) knows for which host it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The host's key or certificate, as it showed it.
    pub host_key: Bytes,
    /// The number of the connection, which nobody can choose: the hash that the host has signed.
    pub session_id: Bytes,
    /// The signature, as the host sent it: the name of its kind and itself, as strings.
    pub signature: Bytes,
}
