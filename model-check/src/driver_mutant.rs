//! Wrong drivers: what the environment must not do.
//!
//! What is wrong in the machines is data, in the lists of `mutants/`. These are about what surrounds
//! the machines, and so they are part of the model.

macro_rules! driver_mutants {
    ($($name:ident = $rule:literal, $text:literal;)*) => {
        /// A wrong driver.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum DriverMutant {
            $(#[doc = $text] $name,)*
        }

        impl DriverMutant {
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

driver_mutants! {
    NoTombstone = 5, "no tombstone is written";
    ReapByEpoch = 7, "only what the record names is reaped";
    RemovedBeforeEnded = 7, "the entry is removed before the descendants have ended";
    AckBehindData = 15, "a server does not read its link while it cannot hand over";
    EpochReused = 14, "a server takes the epoch of an earlier one";
}
