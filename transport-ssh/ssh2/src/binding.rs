//! Binds a signature to one connection and one host.

use bytes::Bytes;

/// Proof that a host has exchanged keys with this client: its signature over the exchange hash, which
/// anybody with the host key can verify. An agent that receives it before it signs
/// (`session-bind@openssh.com`, OpenSSH's `PROTOCOL.agent`) knows for which host it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionBinding {
    /// The host key or certificate, as the host sent it.
    pub host_key: Bytes,
    /// The session id, which nobody can choose: the exchange hash that the host signed.
    pub session_id: Bytes,
    /// The signature, as the host sent it: the name of its kind and itself, as strings.
    pub signature: Bytes,
}
