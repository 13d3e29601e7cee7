//! What a client tells.

use bytes::Bytes;

use crate::host_key::HostKeyAlgorithm;

/// What a client tells. Texts are made [printable](rejoin_text::printable_bytes), and 1024 bytes
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
    /// Answer with [`signed`](crate::Client::signed): the user's signature over this. However long that
    /// takes, nothing is sent meanwhile. An agent that signs is told [`binding`](crate::Client::binding) before.
    Sign(Vec<u8>),
    /// The server has something to say to people before they are logged in.
    Banner(String),
    /// The user is logged in.
    Authenticated,
    /// The user is not, and the client is over: it has one key only.
    AuthFailed {
        /// How the user may go on.
        methods: Vec<String>,
        /// Whether the key was right, and is not enough.
        partial: bool,
    },
    /// The command is started.
    Started,
    /// The command is not, and the client is over.
    Refused(Refusal),
    /// The command's output, in pieces of up to 32 KiB: short messages of the server are copied together. Say
    /// with [`consumed`](crate::Client::consumed) when it was dealt with.
    Data(Bytes),
    /// The command's error output. The same holds. Which came first of output and error output is not kept where
    /// neither was taken yet.
    Stderr(Bytes),
    /// The command ended with this status.
    Exit(u32),
    /// The command was ended by this signal, named without `SIG`.
    Signal(String),
    /// No more output follows.
    Eof,
    /// The channel is closed, and the client is over.
    Closed,
    /// It is time for new keys, and the client is over: it has none but the first ones. What was not
    /// handed out is lost. Move to another connection.
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
        /// Its own words.
        message: String,
    },
    /// The server opened a channel, and does not run the command in it.
    Command,
}
