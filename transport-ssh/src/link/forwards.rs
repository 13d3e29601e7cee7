//! What a link forwards besides its bytes, and lacks.

use super::connect::BoxFuture;

/// Where a forward listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// On this machine (`-L`, `-D`).
    Local,
    /// On the host (`-R`).
    Remote,
    /// It is a tunnel between two devices (`-w`), which listens nowhere.
    Tunnel,
}

/// On what a forward listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listen {
    /// A port.
    Port(u16),
    /// A Unix socket.
    Path(String),
    /// ssh did not say.
    Unknown,
}

/// A forward that the configuration asks for and that a connection does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unforwarded {
    /// Where it listens.
    pub side: Side,
    /// On what it listens.
    pub listen: Listen,
    /// Why it is missing, in the words of the system, if ssh has told them.
    pub reason: Option<String>,
    /// Whether [`Forwards::make`] can make it while the connection lasts.
    pub can_be_made: bool,
}

/// What came of an attempt to make a forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Making {
    /// It is there.
    Made,
    /// It is not, and a later attempt may succeed.
    Failed,
    /// There is no connection to make it on, or no words for it.
    Impossible,
}

/// The forwards of a connector's links.
pub trait Forwards: Send + Sync {
    /// Completes when another link was opened, with the forwards that this one lacks. Only the last link is
    /// reported, once. Cancel-safe.
    fn opened(&self) -> BoxFuture<'_, Vec<Unforwarded>>;

    /// Makes this forward on the link that was opened last. Dropping the future ends the attempt.
    fn make(&self, missing: &Unforwarded) -> BoxFuture<'static, Making>;
}
