//! Which worlds are searched, and how far.

use std::sync::Arc;

use rejoin_protocol::paths::{Config, Path, Properties};

use super::witness::{PathWitness, SeenPathWitnesses};

/// What happens at most so many times.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PathChance {
    /// A link ends.
    End,
    /// The client machine closes the link that is used.
    GivenUp,
    /// A link does not come as far as it should have in its time.
    Overdue,
    /// A suspicion becomes a doubt.
    Doubt,
    /// Something is sent that is to be acknowledged.
    Send,
    /// A login, or the server program, needs a person.
    Need,
    /// The host's key needs a person.
    HostKey,
    /// A quick path is of no use.
    Unavailable,
    /// The machine that the client runs on has slept.
    Sleep,
    /// Its network has changed.
    Move,
    /// A person asks for an attempt.
    Retry,
    /// A person is there to be asked.
    Person,
    /// A path can be had that could not.
    Available,
    /// A better link can be had over the same path.
    Outdated,
    /// Whether a link is to stand by changes.
    Standby,
    /// Whether something is expected changes.
    Expecting,
}

const COUNT: usize = PathChance::Expecting as usize + 1;

/// Of what there is any number.
pub const UNBOUNDED: u8 = u8::MAX;

/// What may still happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PathBudget([u8; COUNT]);

impl PathBudget {
    /// Nothing but what is listed.
    pub const fn of(chances: &[(PathChance, u8)]) -> Self {
        let mut budget = [0; COUNT];
        let mut at = 0;
        while at < chances.len() {
            budget[chances[at].0 as usize] = chances[at].1;
            at += 1;
        }
        Self(budget)
    }

    /// Whether it may happen once more.
    pub const fn has(&self, chance: PathChance) -> bool {
        self.left(chance) > 0
    }

    /// How often it may still happen.
    pub const fn left(&self, chance: PathChance) -> u8 {
        self.0[chance as usize]
    }

    /// It happens.
    pub fn spend(&mut self, chance: PathChance) {
        let left = &mut self.0[chance as usize];
        *left = left.saturating_sub(1);
    }
}

/// One world, with its bounds.
#[derive(Clone, Debug)]
pub struct PathProfile {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// The paths.
    pub config: Config,
    /// What may happen.
    pub budget: PathBudget,
    /// What was seen in it.
    pub seen: Arc<SeenPathWitnesses>,
}

impl PathProfile {
    fn new(
        name: &'static str,
        about: &'static str,
        config: Config,
        budget: &[(PathChance, u8)],
    ) -> Self {
        Self {
            name,
            about,
            config,
            budget: PathBudget::of(budget),
            seen: Arc::new(SeenPathWitnesses::new()),
        }
    }

    /// Something was seen.
    pub fn see(&self, witness: PathWitness) {
        self.seen.mark(witness);
    }

    fn has(&self, path: Path, what: impl Fn(Properties) -> bool) -> bool {
        self.config.properties(path).is_some_and(what)
    }

    /// Whether links over this path are there much sooner than others.
    pub fn is_quick(&self, path: Path) -> bool {
        self.has(path, |properties| properties.is_quick)
    }

    /// Whether a link over this path holds what a second one cannot have.
    pub fn is_exclusive(&self, path: Path) -> bool {
        self.has(path, |properties| properties.is_exclusive)
    }

    /// Whether all links over this path share a connection.
    pub fn is_shared(&self, path: Path) -> bool {
        self.has(path, |properties| properties.is_shared)
    }

    /// Whether the host's key is judged on this path.
    pub fn judges_keys(&self, path: Path) -> bool {
        self.has(path, |properties| properties.judges_keys)
    }

    /// Whether a link over this path can stand by.
    pub fn can_stand_by(&self, path: Path) -> bool {
        let is_fit = |it: Properties| !it.is_quick && !it.is_exclusive && !it.is_shared;
        self.has(path, is_fit)
    }

    /// The rank of a path; the worst for one that does not exist.
    pub fn rank(&self, path: Path) -> u8 {
        self.config.properties(path).map_or(u8::MAX, |properties| properties.rank)
    }
}

const FAST: Properties = Properties {
    rank: 0,
    is_quick: true,
    is_exclusive: false,
    is_shared: false,
    judges_keys: false,
};

fn exclusive() -> Config {
    let main = Properties { is_exclusive: true, ..Config::PLAIN.main };
    Config { main, ..Config::PLAIN }
}

fn shared() -> Config {
    let main = Properties { is_shared: true, ..Config::PLAIN.main };
    Config { main, ..Config::PLAIN }
}

/// The quick path is only for the time until the usual one is there.
fn bridge() -> Config {
    Config { fast: Some(Properties { rank: 1, ..FAST }), ..Config::PLAIN }
}

/// The session may stay on the quick path.
fn stay() -> Config {
    Config { fast: Some(FAST), learns: true, ..Config::PLAIN }
}

/// All of them.
#[allow(clippy::too_many_lines, reason = "it is a table")]
pub fn all() -> Vec<PathProfile> {
    use PathChance::{
        Available, Doubt, End, Expecting, GivenUp, HostKey, Move, Need, Outdated, Overdue, Person,
        Retry, Send, Sleep, Standby, Unavailable,
    };
    let any = UNBOUNDED;
    let fast_beside_exclusive =
        Config { fast: Some(Properties { rank: 1, ..FAST }), ..exclusive() };
    let fast_beside_shared = Config { fast: Some(Properties { rank: 1, ..FAST }), ..shared() };
    let patient = Config { has_patience: true, ..Config::PLAIN };
    let patient_bridge = Config { has_patience: true, ..bridge() };
    vec![
        PathProfile::new(
            "path-plain",
            "one path, any number of faults",
            Config::PLAIN,
            &[(End, any), (GivenUp, any), (Doubt, any), (Send, any)],
        ),
        PathProfile::new(
            "path-late",
            "one path, links that come to nothing in time",
            Config::PLAIN,
            &[(GivenUp, 1), (Overdue, 9), (Doubt, 1)],
        ),
        PathProfile::new(
            "path-exclusive",
            "one path that has one link at a time",
            exclusive(),
            &[(End, 2), (GivenUp, 1), (Overdue, 1), (Doubt, 1), (Retry, 1), (Sleep, 1)],
        ),
        PathProfile::new(
            "path-shared",
            "one path, all links of which share a connection",
            shared(),
            &[(End, 1), (GivenUp, 1), (Doubt, 1), (Outdated, 1), (Available, 1), (Expecting, 2)],
        ),
        PathProfile::new(
            "path-bridge",
            "a quick path until the usual one is there",
            bridge(),
            &[(End, 1), (Doubt, 1)],
        ),
        PathProfile::new(
            "path-stay",
            "a quick path to stay on",
            stay(),
            &[(End, 1), (Doubt, 1), (Unavailable, 1)],
        ),
        PathProfile::new(
            "path-held",
            "a quick path beside an exclusive one",
            fast_beside_exclusive,
            &[(End, 1), (Doubt, 1)],
        ),
        PathProfile::new(
            "path-joint",
            "a quick path beside a shared one",
            fast_beside_shared,
            &[(End, 1), (Doubt, 1)],
        ),
        PathProfile::new(
            "path-standby",
            "a link that stands by",
            Config::PLAIN,
            &[(End, 2), (GivenUp, 1), (Doubt, 1), (Standby, 2)],
        ),
        PathProfile::new(
            "path-patience",
            "an application that waits for so long",
            patient,
            &[(End, 1), (GivenUp, 1), (Overdue, 1), (Need, 1), (Retry, 1), (Person, 1)],
        ),
        PathProfile::new(
            "path-hurry",
            "the same with two paths",
            patient_bridge,
            &[(End, 1), (Overdue, 1), (Need, 1)],
        ),
        PathProfile::new(
            "path-people",
            "what only a person can give",
            Config::PLAIN,
            &[(End, 1), (Need, any), (HostKey, any), (Retry, 1), (Person, 1), (Sleep, 1)],
        ),
        PathProfile::new(
            "path-keys",
            "a host's key beside a quick path",
            bridge(),
            &[(End, 1), (HostKey, 1), (Retry, 1)],
        ),
        PathProfile::new(
            "path-wakes",
            "sleeps, and changes of the network",
            Config::PLAIN,
            &[(End, 1), (Overdue, 1), (Doubt, 1), (Sleep, 2), (Move, 1)],
        ),
        PathProfile::new(
            "path-absences",
            "a person is needed in one absence and in the next, beside a quick path to stay on",
            stay(),
            &[(End, 2), (Need, 2)],
        ),
        PathProfile::new(
            "path-wakes-two",
            "the same with two paths",
            bridge(),
            &[(End, 1), (Sleep, 1), (Move, 1), (Retry, 1)],
        ),
    ]
}

/// The profile with a name.
pub fn named(name: &str) -> Option<PathProfile> {
    all().into_iter().find(|profile| profile.name == name)
}
