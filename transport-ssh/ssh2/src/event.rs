//! The events of a client.

use bytes::Bytes;

use crate::host_key::HostKeyAlgorithm;

/// The events of a client. Texts are made [printable](rejoin_text::printable_bytes), and 1024 bytes
/// at most.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The host proved that it has the private part of this key. Nothing but the key exchange has been
    /// sent. If it is the right key, answer with [`accept_host`](crate::Client::accept_host); if not,
    /// drop the client.
    HostKey {
        /// The whole key or certificate.
        blob: Bytes,
        /// Its kind.
        algorithm: HostKeyAlgorithm,
    },
    /// Sign this with the user's key, and answer with [`signed`](crate::Client::signed). Nothing is sent until
    /// then. Pass [`binding`](crate::Client::binding) to the agent first.
    Sign(Vec<u8>),
    /// A text of the server for the user, before the login.
    Banner(String),
    /// The user is logged in.
    Authenticated,
    /// The login failed, and the client is over, because it has only one key.
    AuthFailed {
        /// The authentication methods that can continue.
        methods: Vec<String>,
        /// Whether the key was accepted, but is not sufficient.
        partial: bool,
    },
    /// The command is started.
    Started,
    /// The command was not started, and the client is over.
    Refused(Refusal),
    /// Output of the command, in pieces of up to 32 KiB; short messages of the server are joined. Call
    /// [`consumed`](crate::Client::consumed) when it is processed.
    Data(Bytes),
    /// Error output of the command, in the same way. The order between output and error output is lost if
    /// both wait to be taken.
    Stderr(Bytes),
    /// The command ended with this status.
    Exit(u32),
    /// The command was ended by this signal, named without `SIG`.
    Signal(String),
    /// No more output follows.
    Eof,
    /// The channel is closed, and the client is over.
    Closed,
    /// The connection needs new keys, and the client is over, because it does not support that. Data that was
    /// not delivered is lost. Use another connection.
    Rekey,
}

/// Why a command was not started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The server opened no channel.
    Channel {
        /// A number of RFC 4254 section 5.1.
        reason: u32,
        /// The server's message.
        message: String,
    },
    /// The server opened a channel, but refused to run the command.
    Command,
}
