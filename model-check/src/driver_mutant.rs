//! Faulty drivers: what the environment must not do.
//!
//! The mutants of the machines are data, in the lists of `mutants/`. These mutants are faults of
//! the drivers, and so they are part of the model.

macro_rules! driver_mutants {
    ($($name:ident = $rule:literal, $text:literal;)*) => {
        /// A faulty driver.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum DriverMutant {
            $(#[doc = $text] $name,)*
        }

        impl DriverMutant {
            /// All driver mutants.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// A description of the fault.
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

driver_mutants! {
    NoTombstone = 5, "no tombstone is written";
    ReapByEpoch = 7, "only what the record names is reaped";
    RemovedBeforeEnded = 7, "the entry is removed before the descendants have ended";
    AckBehindData = 15, "a server does not read its link while it cannot hand over";
    EpochReused = 14, "a server takes the epoch of an earlier one";
}
