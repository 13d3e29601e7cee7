//! Witnesses: events that must occur in a search, so that no property holds vacuously.

use std::sync::atomic::{AtomicBool, Ordering};

macro_rules! witnesses {
    ($($name:ident => $text:literal,)*) => {
        /// An event that must occur in some profile.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[allow(missing_docs)]
        pub enum Witness { $($name,)* }

        impl Witness {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// In words.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

witnesses! {
    ClientLearntFirst => "a client learns of a cut before the server",
    ServerLearntFirst => "a server learns of a cut before the client",
    RestDropped => "what was on its way is lost with its link",
    ZombieAtServer => "a frame of an abandoned link reaches the server",
    LateOpen => "an Open of an abandoned link reaches the host",
    ZombieAtClient => "a frame of an abandoned link reaches the client",
    DuplicateOutput => "output arrives twice and is dropped",
    DuplicateInput => "input arrives twice and is dropped",
    ProducerWaits => "a process waits for room in the window",
    InputWaits => "an application waits for room in the window",
    GapDelivered => "dropped output is told as a gap",
    TookOver => "a takeover is won",
    LostTakeover => "a takeover is lost to another that came first",
    Opened => "a process is opened",
    Joined => "an Open joins the living incarnation",
    Resumed => "a session is resumed",
    Replaced => "a process is replaced",
    Reaped => "a leftover is reaped",
    DaemonEnded => "a daemon is ended with its session",
    Folded => "a dead server's record is folded into the tombstone",
    Swept => "a tombstone is swept",
    LockReplaced => "a lock turns out not to be the session's any more",
    LockHeld => "a lock is held by another",
    AttachBlocked => "an attach finds a server that does not listen",
    LeftSilently => "an attach leaves silently after its deadline",
    Displaced => "a server finds its place taken",
    Mended => "a server puts back what was removed",
    AccessFailed => "an access to the registry fails",
    SpawnFailed => "a start fails",
    SpawnFailedAgain => "a failed start is answered the same way again",
    ProcessGone => "ProcessGone is answered",
    Unknown => "Unknown is answered",
    EpochMismatch => "EpochMismatch is answered",
    DifferentHost => "another host is told",
    Diverged => "Diverged is told",
    Gap => "Gap is answered",
    Stale => "Stale is answered",
    Held => "Held is answered",
    Superseded => "Superseded is told",
    Unresponsive => "Unresponsive is told",
    Incompatible => "Incompatible is answered",
    Forbidden => "Forbidden is answered",
    Exhausted => "a counter at its end is reported",
    Bounded => "no process is started in the place of the last of many that were lost",
    Stable => "a replacement stays, and the count of replacements begins anew",
    EndedExited => "a client ends with the exit status",
    EndedClosed => "a client ends with the session closed",
    EndedLost => "a client ends with the process lost",
    EndedSuperseded => "a client ends superseded",
    EndedRefused => "a client ends refused",
    EndedGaveUp => "a client ends without an outcome",
    EndedLeft => "a client leaves",
    RetentionEnds => "retention ends a detached process",
    Garbled => "a link brings what is no frame",
    Repeated => "a Hello is delivered twice",
    RolledBack => "a server is rolled back",
}

/// What was seen so far, by every thread of a search.
#[derive(Debug)]
pub struct Seen {
    flags: [AtomicBool; Witness::ALL.len()],
    is_crowded: AtomicBool,
}

impl Default for Seen {
    fn default() -> Self {
        let flags = [const { AtomicBool::new(false) }; Witness::ALL.len()];
        Self { flags, is_crowded: AtomicBool::new(false) }
    }
}

impl Seen {
    /// Takes note.
    pub fn mark(&self, witness: Witness) {
        let flag = &self.flags[witness as usize];
        if !flag.load(Ordering::Relaxed) {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was seen.
    pub fn has(&self, witness: Witness) -> bool {
        self.flags[witness as usize].load(Ordering::Relaxed)
    }

    /// A world had no place for something that could have happened.
    pub fn note_crowded(&self) {
        self.is_crowded.store(true, Ordering::Relaxed);
    }

    /// Whether one had none.
    pub fn was_crowded(&self) -> bool {
        self.is_crowded.load(Ordering::Relaxed)
    }

    /// All that was seen.
    pub fn all(&self) -> Vec<Witness> {
        Witness::ALL.iter().copied().filter(|witness| self.has(*witness)).collect()
    }
}
