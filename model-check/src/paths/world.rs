//! The machine, the links that it has opened, and the session that it opens them for.

use rejoin_protocol::Link;
use rejoin_protocol::paths::{Mode, Path, Paths, Timer};

use super::ghost::PathGhost;
use super::profile::{PathBudget, PathProfile};
use super::rules::BrokenPathRule;

/// How many links there can be at once: one that is used, and one beside it for each path.
pub const PLACES: usize = 1 + Path::COUNT;

/// All of the world.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PathWorld {
    /// The machine that ships.
    pub machine: Paths,
    /// The links by number.
    pub lines: [Option<PathLink>; PLACES],
    /// What the client machine makes of it.
    pub session: SessionState,
    /// The timers that run.
    pub armed: PathTimers,
    /// History that only the checker has.
    pub ghost: PathGhost,
    /// What may still happen.
    pub left: PathBudget,
    /// The rule that was broken.
    pub broken: Option<BrokenPathRule>,
}

/// A link, as the driver has it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PathLink {
    /// The path that it goes over.
    pub path: Path,
    /// Whether a person may be asked.
    pub mode: Mode,
    /// Whether that is over.
    pub has_begun: bool,
    /// Whether it has taken too long to be waited for.
    pub is_late: bool,
    /// How far it has come.
    pub stage: LinkStage,
    /// Whether nothing will come of it any more; only while the world settles.
    pub is_dead: bool,
}

/// How far a link has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LinkStage {
    /// It is being opened.
    Dialled,
    /// It can be written to.
    Open,
    /// The host has greeted.
    Greeted,
    /// It was closed, and holds what it held until it has ended.
    Closing,
}

/// What the session does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SessionState {
    /// It is about to report that it wants a link.
    Wanting,
    /// It has reported that.
    Waiting,
    /// It uses a link.
    Using {
        /// Which one.
        link: Link,
        /// Whether it is attached.
        is_attached: bool,
    },
    /// It is over.
    Over,
}

/// A set of timers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct PathTimers(u16);

impl PathTimers {
    fn bit(timer: Timer) -> u16 {
        let at = Timer::ALL.iter().position(|other| *other == timer);
        at.map_or(0, |at| 1 << at)
    }

    /// Whether it runs.
    pub fn has(self, timer: Timer) -> bool {
        self.0 & Self::bit(timer) != 0
    }

    /// It runs from now on.
    pub fn arm(&mut self, timer: Timer) {
        self.0 |= Self::bit(timer);
    }

    /// It does not run any more.
    pub fn disarm(&mut self, timer: Timer) {
        self.0 &= !Self::bit(timer);
    }

    /// Those that run.
    pub fn all(self) -> impl Iterator<Item = Timer> {
        Timer::ALL.into_iter().filter(move |timer| self.has(*timer))
    }
}

impl PathWorld {
    /// The world before anything has happened.
    pub fn new(profile: &PathProfile) -> Self {
        Self {
            machine: Paths::new(),
            lines: [None; PLACES],
            session: SessionState::Wanting,
            armed: PathTimers::default(),
            ghost: PathGhost::new(),
            left: profile.budget,
            broken: None,
        }
    }

    /// A rule is broken; the first one counts.
    pub fn breaks(&mut self, rule: u8, what: &'static str) {
        self.broken.get_or_insert(BrokenPathRule { rule, what });
    }

    /// A link that is there.
    pub fn line(&self, link: Link) -> Option<&PathLink> {
        self.lines.get(usize::try_from(link.0).ok()?)?.as_ref()
    }

    /// A link's place.
    pub fn place(&mut self, link: Link) -> Option<&mut Option<PathLink>> {
        self.lines.get_mut(usize::try_from(link.0).ok()?)
    }

    /// The links that are there.
    pub fn links(&self) -> impl Iterator<Item = (Link, PathLink)> + '_ {
        (0..).zip(&self.lines).filter_map(|(at, line)| line.map(|line| (Link(at), line)))
    }

    /// The link that the session uses.
    pub fn used(&self) -> Option<Link> {
        match self.session {
            SessionState::Using { link, .. } => Some(link),
            _ => None,
        }
    }

    /// The path of the link that is used.
    pub fn used_path(&self) -> Option<Path> {
        self.line(self.used()?).map(|line| line.path)
    }

    /// Whether the session is attached.
    pub fn is_attached(&self) -> bool {
        matches!(self.session, SessionState::Using { is_attached: true, .. })
    }

    /// The links that are neither used nor closed.
    pub fn beside(&self) -> impl Iterator<Item = (Link, PathLink)> + '_ {
        let used = self.used();
        self.links()
            .filter(move |(link, line)| Some(*link) != used && line.stage != LinkStage::Closing)
    }

    /// Whether a link is being opened over this path, and not used.
    pub fn is_dialling(&self, path: Path) -> bool {
        self.beside().any(|(_, line)| line.path == path && line.stage < LinkStage::Greeted)
    }

    /// Whether a link is being opened over this path that is still worth waiting for.
    pub fn is_awaited(&self, path: Path) -> bool {
        let mut beside = self.beside();
        beside.any(|(_, it)| it.path == path && it.stage < LinkStage::Greeted && !it.is_late)
    }

    /// Whether the link that is used is suspected or doubted.
    pub fn is_suspected(&self) -> bool {
        self.armed.has(Timer::Doubt) || self.machine.is_doubted()
    }
}
