//! Wrong orders of operations, and wrong drivers: what the environment must not do.
//!
//! The wrong machines are in `rejoin-protocol`, behind a compile-time switch. These are about what
//! surrounds the machines, and so they are part of the model.

macro_rules! twists {
    ($($name:ident = $rule:literal, $text:literal;)*) => {
        /// A wrong order, or a wrong driver.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Twist {
            $(#[doc = $text] $name,)*
        }

        impl Twist {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What is wrong, in words.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The rule that it breaks.
            pub const fn rule(self) -> u8 {
                match self { $(Self::$name => $rule,)* }
            }
        }
    };
}

twists! {
    ReadBeforeLock = 5, "record and tombstone are read before the lock is held";
    TombstoneAfterRemoval = 5, "the entry is removed before the tombstone is written";
    AnswerBeforeTombstone = 5, "the answer is sent before the tombstone is written";
    NoTombstone = 5, "no tombstone is written";
    ConnectWithoutLock = 15, "a refused connection is tried again without the lock";
    SocketUnlinked = 7, "a socket that refuses is taken for a dead server's, and removed";
    NoInodeCheck = 7, "the lock is taken for the session's though its file was replaced";
    NoReap = 7, "leftovers are not reaped before a server starts";
    DaemonsReaped = 9, "whoever reaps ends what has left its process, too";
    CloseSparesDaemons = 7, "where no server lives, closing the session spares what has left its process";
    ReapByEpoch = 7, "only what the record names is reaped";
    LateStart = 5, "an attach starts a server after its own deadline";
    AnswerUnderLock = 15, "an attach answers while it holds the lock";
    LockKeptByAttach = 9, "an attach keeps its copy of the lock after the fork";
    LockNotCheckedAgain = 7, "neither attach nor server looks again whether the lock is the session's";
    ForkBeforeRecord = 5, "the process is started before the record says so";
    RemovedBeforeEnded = 7, "the entry is removed before the descendants have ended";
    ServerBuriesAfterRemoval = 5, "a server removes its entry before it writes the tombstone";
    AckBehindData = 15, "a server does not read its link while it cannot hand over";
    EpochReused = 14, "a server takes the epoch of an earlier one";
}
