//! What does not change while a machine lives.

/// A way to open a link to the host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Path {
    /// The usual one: the user's own ssh, or a stream of a connection that is shared.
    Main,
    /// One that is sooner there: the client's own implementation of SSH.
    Fast,
}

impl Path {
    /// How many there are.
    pub const COUNT: usize = 2;
    /// All of them. Where several may be dialled, they are in this order, the quickest first.
    pub const ALL: [Self; Self::COUNT] = [Self::Fast, Self::Main];
}

/// What is fixed about a path.
#[allow(clippy::struct_excessive_bools, reason = "each is a property of its own")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Properties {
    /// Where a session should stay: on the lowest rank that works.
    pub rank: u8,
    /// Whether its links are there much sooner than others: a session uses one as soon as it is open, and
    /// waits for it before it uses another that has not greeted. Such a path is only for coming back.
    pub is_quick: bool,
    /// Whether a link holds something that a second one cannot have, such as forwarded ports.
    pub is_exclusive: bool,
    /// Whether all links over it share a connection that somebody else watches: a second one is no help
    /// where the first is silent.
    pub is_shared: bool,
    /// Whether the host's key is judged by the user's own ssh here: what that does not trust is not used.
    pub judges_keys: bool,
}

/// What does not change while a machine lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// The usual path.
    pub main: Properties,
    /// The quick one, if there is one.
    pub fast: Option<Properties>,
    /// Whether the machine gives up after [`Timer::Patience`](super::Timer::Patience).
    pub has_patience: bool,
    /// Whether what a quick path needs is found out while a link over any path is calm, and not only while
    /// one of the lowest rank is.
    pub learns_anywhere: bool,
    /// Whether it is found out at all.
    pub learns: bool,
}

impl Config {
    /// A machine with one path that nothing is special about.
    pub const PLAIN: Self = Self {
        main: Properties {
            rank: 0,
            is_quick: false,
            is_exclusive: false,
            is_shared: false,
            judges_keys: true,
        },
        fast: None,
        has_patience: false,
        learns_anywhere: false,
        learns: false,
    };

    /// What is fixed about a path, if there is that path.
    pub fn properties(&self, path: Path) -> Option<Properties> {
        match path {
            Path::Main => Some(self.main),
            Path::Fast => self.fast,
        }
    }

    pub(super) fn is_quick(&self, path: Path) -> bool {
        self.properties(path).is_some_and(|properties| properties.is_quick)
    }

    /// The rank of a path; the worst for one that does not exist.
    pub(super) fn rank(&self, path: Path) -> u8 {
        self.properties(path).map_or(u8::MAX, |properties| properties.rank)
    }
}
