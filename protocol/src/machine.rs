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
    /// Client: a link was opened and has not led to an answer.
    Handshake,
    /// Both: nothing was sent on the attached link for a while. The driver starts it again by
    /// itself, with each frame it sends, for as long as it is armed.
    Heartbeat,
    /// Both: nothing came from the attached link for a while. The driver starts it again by
    /// itself, with each byte that comes, for as long as it is armed.
    LinkSilent,
    /// Client: the next attempt is due.
    Reconnect,
    /// Client: what it waits for has not come for as long as it is willing to wait;
    /// [`crate::client::Client::patience`] says what that is.
    GiveUp,
    /// Client: a process that replaced a lost one has been attached for a while (reference: 10 s).
    Stable,
    /// Server: nobody was attached for as long as the process is to be kept.
    Retention,
}
