//! The path machine: when and how a client reconnects (SPEC section 7.9).
//!
//! The client machine decides about the session; this machine decides about links: which to open, over which
//! *path*, which one the session uses, which to drop, how long to pause, and what to report. There is one
//! path machine for each connection to a host.
//!
//! ```text
//!              dial             open              greeted
//!   at rest ----------> dialling ----> (usable) ----------> ready      one of these per path
//!      ^                   |                                  |
//!      +---- pause <-------+---- it ended, or is dropped <----+
//!
//!   used: none ----> open ----> greeted ----> attached ----> calm      one for all paths
//!   doubt: none ----> suspected ----> doubted                          about the link that is used
//! ```
//!
//! # The driver's contract
//! - Carry out the effects of a step in their order, before the next step.
//! - Links are numbered from 0. The number of a link that was dropped, was replaced or has ended is free
//!   again. Report nothing about such a link: its number may mean another link by then.
//! - Answer every [`Effect::Dial`] with [`Event::Opened`], [`Event::Begun`], [`Event::Greeted`] and
//!   [`Event::Ended`] in that order; any of them but the last may be left out.
//! - Timers have a name, a [`Class`] and a doubling step. The driver chooses the durations.
//! - A link that ends for the session ends here, too: report [`Event::GivenUp`] when the client machine has
//!   closed the used link, and then [`Event::Wanted`] when it wants another.
//!
//! The state has no instants, no durations and no randomness, and it is finite: a model checker can visit all
//! of it.

mod choose;
mod config;
mod doubt;
mod effect;
mod event;
mod route;
mod used;

pub use config::{Config, Path, Properties};
pub use effect::{Class, Effect, Effects, Mode, Story, Timer, Urgency};
pub use event::{Event, Need, Wake, Why};

use doubt::Doubt;
use route::Route;
use used::{Stage, Used};

use crate::machine::Link;

/// How many links have to greet and end in a row for a report: see [`Story::Ends`].
pub const MANY_ENDS: u8 = 3;

/// The machine's state.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub struct Paths {
    routes: [Route; Path::COUNT],
    used: Option<Used>,
    wish: Wish,
    doubt: Doubt,
    /// Whether something sent is not answered, and whether an answer was requested.
    is_owed: bool,
    is_asked: bool,
    /// Whether a Hello was ever sent to a host. Before that, the first failure ends the machine.
    has_asked: bool,
    /// Whether the session was ever attached: only then is there something to reconnect to.
    is_known: bool,
    /// Whether bytes are expected on the used link.
    is_expecting: bool,
    /// Whether a standby link is worth its cost.
    wants_standby: bool,
    /// Whether it is time to open it.
    is_settled: bool,
    /// What a person is needed for, and what was reported of that.
    need: Option<Need>,
    told_need: Option<Need>,
    /// Whether the host's key is untrusted: no path is used until a person has decided.
    is_distrusted: bool,
    told: Told,
    patience: Patience,
}

/// What was reported about the current wait for a link.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
enum Told {
    Nothing,
    /// That an attempt is under way.
    UnderWay,
    /// That one will be made.
    Pausing,
}

/// The application's remaining patience.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
enum Patience {
    /// The session does not wait.
    Resting,
    /// Its timer runs.
    Running,
    /// It is used up: if the used link does not become attached, it is the last one.
    Over,
}

/// What the session wants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
enum Wish {
    /// Nothing: the session has a link, or does not want one yet.
    Nothing,
    /// A link. The first dial may ask a person.
    Link { may_ask: bool },
    /// Nothing any more.
    Over,
}

impl Default for Paths {
    fn default() -> Self {
        Self::new()
    }
}

impl Paths {
    /// A machine that has no link and wants none yet.
    pub fn new() -> Self {
        Self {
            routes: [Route::new(); Path::COUNT],
            used: None,
            wish: Wish::Nothing,
            doubt: Doubt::None,
            is_owed: false,
            is_asked: false,
            has_asked: false,
            is_known: false,
            is_expecting: true,
            wants_standby: false,
            is_settled: false,
            need: None,
            told_need: None,
            is_distrusted: false,
            told: Told::Nothing,
            patience: Patience::Resting,
        }
    }

    /// Takes an event, and returns every effect of it.
    pub fn step(&mut self, config: &Config, event: Event) -> Effects {
        let mut effects = Effects::new();
        if self.wish != Wish::Over {
            self.take(config, event, &mut effects);
            self.choose(config, &mut effects);
        }
        effects
    }

    fn take(&mut self, config: &Config, event: Event, effects: &mut Effects) {
        match event {
            Event::Wanted { may_ask } => self.wanted(config, may_ask, effects),
            Event::Unwanted => self.unwanted(effects),
            Event::Opened(link) => self.opened(config, link, effects),
            Event::Begun(link) => self.begun(config, link, effects),
            Event::Greeted(link) => self.greeted(config, link, effects),
            Event::Ended(link, why) => self.ended(config, link, why, effects),
            Event::Asked => self.has_asked = true,
            Event::Attached => self.attached(config, effects),
            Event::Progressed => self.progressed(),
            Event::GivenUp(link) => self.given_up(config, link, effects),
            Event::Sent => self.sent(effects),
            Event::Pinged => self.pinged(effects),
            Event::Heard => self.heard(effects),
            Event::Answered => self.answered(effects),
            Event::Timer(timer) => self.timer(config, timer, effects),
            Event::Woken(wake) => self.woken(config, wake, effects),
            Event::Retry { may_ask } => self.retry(may_ask, effects),
            Event::Available(path) => self.available(path, effects),
            Event::Outdated => self.outdated(),
            Event::Standby(is_wanted) => self.wants_standby = is_wanted,
            Event::Expecting(is_expecting) => self.expecting(is_expecting, effects),
            Event::Stop => self.stop(config, effects),
        }
    }

    /// The used link, and its path.
    pub fn used(&self) -> Option<(Link, Path)> {
        self.used.map(|used| (used.link, used.path))
    }

    /// Whether the used link is attached.
    pub fn is_attached(&self) -> bool {
        self.used.is_some_and(|used| used.stage >= Stage::Attached)
    }

    /// Whether the used link may be dead.
    pub fn is_doubted(&self) -> bool {
        self.doubt.is_doubted()
    }

    /// Whether a link is wanted and there is none.
    pub fn is_waiting(&self) -> bool {
        matches!(self.wish, Wish::Link { .. }) && self.used.is_none()
    }

    /// Whether a dial is under way.
    pub fn is_under_way(&self) -> bool {
        Path::ALL.into_iter().any(|path| self.route(path).is_dialling())
    }

    /// What a person is needed for.
    pub fn need(&self) -> Option<Need> {
        self.need
    }

    /// The path of a link that is open, or is being opened.
    pub fn path_of(&self, link: Link) -> Option<Path> {
        let used = self.used.filter(|used| used.link == link).map(|used| used.path);
        used.or_else(|| Path::ALL.into_iter().find(|path| self.route(*path).link() == Some(link)))
    }

    /// Each link that is open or is being opened, the used link first.
    pub fn links(&self) -> impl Iterator<Item = Link> + '_ {
        let beside = self.routes.iter().filter_map(Route::link);
        self.used.iter().map(|used| used.link).chain(beside)
    }

    /// Whether nothing is wanted any more.
    pub fn is_over(&self) -> bool {
        self.wish == Wish::Over
    }

    fn route(&self, path: Path) -> &Route {
        let [main, fast] = &self.routes;
        match path {
            Path::Main => main,
            Path::Fast => fast,
        }
    }

    fn route_mut(&mut self, path: Path) -> &mut Route {
        let [main, fast] = &mut self.routes;
        match path {
            Path::Main => main,
            Path::Fast => fast,
        }
    }

    /// The lowest number that no link has.
    fn free_link(&self) -> Link {
        let mut link = Link(0);
        while self.links().any(|other| other == link) {
            link.0 += 1;
        }
        link
    }
}
