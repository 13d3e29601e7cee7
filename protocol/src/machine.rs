//! What both machines share: links and timers (SPEC section 7.1).

/// A link, as its driver names it: opaque to the machines, never used twice by one driver.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Link(pub u64);

/// The timers, by name. A machine arms and disarms them; the driver owns the durations and fires
/// them as events. A timer that fires when it is not armed changes nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Timer {
    /// Client: a link was opened and is not attached yet.
    Handshake,
    /// Both: nothing was sent on the attached link for a while. While it is armed, the driver restarts it
    /// with each frame that it sends.
    Heartbeat,
    /// Both: nothing arrived on the attached link for a while. While it is armed, the driver restarts it with
    /// each byte that arrives.
    LinkSilent,
    /// Client: the next attempt is due.
    Reconnect,
    /// Client: something with a deadline has not happened in time; [`crate::client::Client::patience`] says
    /// what it is.
    GiveUp,
    /// Client: a replacement has been attached for a while (reference: 10 s).
    Stable,
    /// Server: nobody was attached for the whole retention.
    Retention,
}
