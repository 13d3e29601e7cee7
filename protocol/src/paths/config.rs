//! What does not change while a machine lives.

/// A way to open a link to the host.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub enum Path {
    /// The usual path: the user's own ssh, or a stream of a shared connection.
    Main,
    /// The quick path: the client's own SSH implementation.
    Fast,
}

impl Path {
    /// The number of paths.
    pub const COUNT: usize = 2;
    /// All paths. If several may be dialled, this is the order, the quickest first.
    pub const ALL: [Self; Self::COUNT] = [Self::Fast, Self::Main];
}

/// The fixed properties of a path.
#[allow(clippy::struct_excessive_bools, reason = "each is a property of its own")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Properties {
    /// The preference: a session should stay on the lowest rank that works.
    pub rank: u8,
    /// Whether its links are ready much sooner than others. A session uses such a link as soon as it is open,
    /// and waits for it before it uses another link without a Greeting. Such a path is used only to
    /// reconnect.
    pub is_quick: bool,
    /// Whether a link holds something that a second one cannot have, such as forwarded ports.
    pub is_exclusive: bool,
    /// Whether all links over it share a connection that another path machine watches: if the first link is
    /// silent, a second one does not help.
    pub is_shared: bool,
    /// Whether the user's own ssh judges the host's key on this path. A host that it does not trust is not
    /// used.
    pub judges_keys: bool,
}

/// What does not change while a machine lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Config {
    /// The usual path.
    pub main: Properties,
    /// The quick path, if there is one.
    pub fast: Option<Properties>,
    /// Whether the machine gives up after [`Timer::Patience`](super::Timer::Patience).
    pub has_patience: bool,
    /// Whether the machine learns what the quick path needs while a link over any path is calm, and not only
    /// over a path of the lowest rank.
    pub learns_anywhere: bool,
    /// Whether the machine learns it at all.
    pub learns: bool,
}

impl Config {
    /// A machine with one ordinary path.
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

    /// The properties of a path, if it exists.
    pub fn properties(&self, path: Path) -> Option<Properties> {
        match path {
            Path::Main => Some(self.main),
            Path::Fast => self.fast,
        }
    }

    pub(super) fn is_quick(&self, path: Path) -> bool {
        self.properties(path).is_some_and(|properties| properties.is_quick)
    }

    /// The rank of a path; the worst rank if the path does not exist.
    pub(super) fn rank(&self, path: Path) -> u8 {
        self.properties(path).map_or(u8::MAX, |properties| properties.rank)
    }
}
