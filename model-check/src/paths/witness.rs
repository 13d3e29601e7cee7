//! Witnesses: events that must occur in a search, so that no property holds vacuously.

use std::sync::atomic::{AtomicBool, Ordering};

macro_rules! witnesses {
    ($($name:ident => $text:literal,)*) => {
        /// An event that must occur in some profile.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[allow(missing_docs)]
        pub enum PathWitness { $($name,)* }

        impl PathWitness {
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
    DialGranted => "a dial is made within a pause, since one is granted",
    PauseSkipped => "a dial is made within a pause that was cut short",
    LastStep => "a pause reaches its last step",
    Asked => "a dial may ask a person",
    AskedBeside => "a link that may ask a person waits for a quicker one",
    UsedOverdue => "a link that is used and not attached is given up",
    DialOverdue => "a link that is opened and does not greet is given up",
    Late => "a quick link takes too long to be waited for",
    PutOff => "a path that did not hold is left alone for a while",
    LetGo => "a doubted link is dropped, since its path has no room for another",
    SuperfluousDropped => "a link that became superfluous is dropped once it is ready",
    StandsBy => "a link stands by",
    ReplacedInDoubt => "a doubted link is replaced by a ready one",
    ReplacedByRank => "a session moves to a path of a better rank",
    ReplacedOutdated => "a session moves to a better link over the same path",
    HeadStart => "a dial waits for a quicker one to go first",
    NeedTold => "what a person is needed for is told",
    EndsTold => "links that greet and end are told of",
    Distrusted => "a host whose key is not trusted loses its other links",
    Unavailable => "a path turns out to be of no use",
    DoubtAnswered => "a doubted link answers while another is dialled",
    Learnt => "what a quick path needs is found out",
    GaveUpFirst => "the first link fails, and that is the end",
    GaveUpPatience => "the application waits no longer",
}

/// What was seen so far.
#[derive(Debug)]
pub struct SeenPathWitnesses([AtomicBool; PathWitness::ALL.len()]);

impl SeenPathWitnesses {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self([const { AtomicBool::new(false) }; PathWitness::ALL.len()])
    }

    /// Takes note.
    pub fn mark(&self, witness: PathWitness) {
        self.0[witness as usize].store(true, Ordering::Relaxed);
    }

    /// Forgets everything: another search begins.
    pub fn forget(&self) {
        self.0.iter().for_each(|flag| flag.store(false, Ordering::Relaxed));
    }

    /// All that was seen.
    pub fn all(&self) -> Vec<PathWitness> {
        let has = |witness: &PathWitness| self.0[*witness as usize].load(Ordering::Relaxed);
        PathWitness::ALL.iter().copied().filter(has).collect()
    }
}

impl Default for SeenPathWitnesses {
    fn default() -> Self {
        Self::new()
    }
}
