//! Forwarded ports and sockets beside a link, and those that could not be made.

use super::stream::BoxFuture;

/// The kind of a forward: which side listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForwardKind {
    /// On this machine (`-L`, `-D`).
    Local,
    /// On the host (`-R`).
    Remote,
    /// A tunnel between two devices (`-w`); nothing listens.
    Tunnel,
}

/// The address on which a forward listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListenAddress {
    /// A port.
    Port(u16),
    /// A Unix socket.
    Path(String),
    /// ssh did not say.
    Unknown,
}

/// A forward that the configuration asks for and that a connection does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingForward {
    /// Which side listens.
    pub kind: ForwardKind,
    /// The address on which it listens.
    pub listen: ListenAddress,
    /// The reason, in the system's words, if ssh reported it.
    pub reason: Option<String>,
    /// Whether [`Forwards::make`] can make it on the current connection.
    pub can_be_made: bool,
}

/// The result of an attempt to make a forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardOutcome {
    /// It was made.
    Made,
    /// It was not made; a later attempt may succeed.
    Failed,
    /// There is no connection, or ssh cannot be asked for this forward.
    Impossible,
}

/// The forwards of a connector's links.
pub trait Forwards: Send + Sync {
    /// Completes when a new link is open, with the forwards that it lacks. Only the last link is reported,
    /// once. Cancel-safe.
    fn opened(&self) -> BoxFuture<'_, Vec<MissingForward>>;

    /// Makes this forward on the link that was opened last. Dropping the future cancels the attempt.
    fn make(&self, missing: &MissingForward) -> BoxFuture<'static, ForwardOutcome>;
}
