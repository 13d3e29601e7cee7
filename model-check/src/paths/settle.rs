//! Rule P7 as a safety property: from every world, if one path works from now on, the session is
//! attached over a link that works within a bounded number of steps.
//!
//! The schedule is fair and fixed: what a path that works can report it reports; what is dialled over any
//! other comes to nothing; timers fire once nothing else goes on, each in its turn; at last the client
//! machine gives up the link that it uses. It has no randomness, so that a world that it has passed before
//! is known to settle.

use std::collections::HashMap;

use rejoin_protocol::Link;
use rejoin_protocol::paths::{Event, Path, Timer, Why};

use super::action::PathAction;
use super::profile::{PathBudget, PathProfile};
use super::rules::BrokenPathRule;
use super::world::{LinkStage, PathWorld, SessionState};
use crate::shared::digest;

/// The number of steps within which every session is attached.
pub const LIMIT: u32 = 120;

/// What goes on from now on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FaultlessRest {
    /// The path that works.
    path: Path,
    /// Whether the links that are there work too, if they go over that path.
    is_whole: bool,
}

/// What is known to settle, by digest of the world: after how many steps.
#[derive(Debug, Default)]
pub struct SettledWorlds {
    known: HashMap<u64, u32, ahash::RandomState>,
    /// The most steps that were needed.
    pub longest: u32,
}

impl SettledWorlds {
    /// Continues a world in every way in which one path works; the rule that is broken by then.
    pub fn check(&mut self, profile: &PathProfile, world: &PathWorld) -> Option<BrokenPathRule> {
        let paths = Path::ALL
            .into_iter()
            .filter(|path| *path == Path::Main || can_work(profile, world, *path));
        let endings =
            paths.flat_map(|path| [true, false].map(|is_whole| FaultlessRest { path, is_whole }));
        endings.into_iter().find_map(|ending| self.settle(profile, world, ending).err())
    }

    fn settle(
        &mut self,
        profile: &PathProfile,
        world: &PathWorld,
        ending: FaultlessRest,
    ) -> Result<(), BrokenPathRule> {
        let mut run = PathSettlingRun::new(world, ending);
        let mut passed = Vec::new();
        let mut known = 0;
        while let Some(action) = run.next() {
            let here = run.digest();
            if let Some(left) = self.known.get(&here) {
                known = *left;
                break;
            }
            passed.push(here);
            run.world.act(profile, action);
            if let Some(broken) = run.world.broken {
                return Err(broken);
            }
            if passed.len() > LIMIT as usize {
                return Err(BrokenPathRule {
                    rule: 7,
                    what: "the session is not attached although a path works",
                });
            }
        }
        for (steps, digest) in (known + 1..).zip(passed.into_iter().rev()) {
            self.known.insert(digest, steps);
            self.longest = self.longest.max(steps);
        }
        Ok(())
    }
}

/// A quick path alone brings a session back only where it may be used.
fn can_work(profile: &PathProfile, world: &PathWorld, path: Path) -> bool {
    profile.config.properties(path).is_some()
        && world.ghost.is_known
        && !world.ghost.is_distrusted
        && !world.ghost.lane(path).is_unavailable
}

struct PathSettlingRun {
    world: PathWorld,
    ending: FaultlessRest,
    /// The timer that was fired last.
    turn: usize,
}

impl PathSettlingRun {
    fn new(world: &PathWorld, ending: FaultlessRest) -> Self {
        let mut world = world.clone();
        world.left = PathBudget::of(&[]);
        for line in world.lines.iter_mut().flatten() {
            line.is_dead = !ending.is_whole || line.path != ending.path;
        }
        Self { world, ending, turn: 0 }
    }

    fn digest(&self) -> u64 {
        // What only rules are judged by does not decide what comes next.
        let PathWorld { machine, lines, session, armed, .. } = &self.world;
        digest(&(machine, lines, session, armed, self.ending, self.turn)).get()
    }

    /// What happens next, unless everything is well.
    fn next(&mut self) -> Option<PathAction> {
        let event = match self.world.session {
            SessionState::Over => return None,
            SessionState::Wanting => Some(Event::Wanted { may_ask: false }),
            SessionState::Waiting => None,
            SessionState::Using { link, is_attached } => {
                if is_attached && self.works(link) && !self.world.is_suspected() {
                    return None;
                }
                self.report_used(link, is_attached)
            }
        };
        event.or_else(|| self.report_links()).or_else(|| self.timer()).map(PathAction)
    }

    fn works(&self, link: Link) -> bool {
        self.world.line(link).is_some_and(|it| !it.is_dead && it.path == self.ending.path)
    }

    fn report_used(&self, link: Link, is_attached: bool) -> Option<Event> {
        let stage = self.world.line(link)?.stage;
        if !self.works(link) {
            return None;
        }
        Some(match (stage, is_attached) {
            (_, true) => Event::Answered,
            (LinkStage::Greeted, false) => Event::Attached,
            _ => Event::Greeted(link),
        })
    }

    /// A dial comes to its end by itself as long as the link cannot be written to: whoever opens it sees to that.
    fn report_links(&self) -> Option<Event> {
        let used = self.world.used();
        self.world.links().filter(|(link, _)| Some(*link) != used).find_map(|(link, line)| {
            let works = self.works(link);
            match line.stage {
                LinkStage::Dialled if works => Some(Event::Opened(link)),
                LinkStage::Dialled | LinkStage::Closing => Some(Event::Ended(link, Why::Closed)),
                LinkStage::Open if works => Some(Event::Greeted(link)),
                LinkStage::Greeted | LinkStage::Open => None,
            }
        })
    }

    /// Each in its turn, at the end of which the client machine gives up a link that says nothing. Patience is
    /// longer than all of that.
    fn timer(&mut self) -> Option<Event> {
        let turns = Timer::ALL.len() + 1;
        for _ in 0..turns {
            self.turn = (self.turn + 1) % turns;
            match Timer::ALL.get(self.turn) {
                Some(Timer::Patience | Timer::Learn | Timer::Settled | Timer::Calm) => {}
                Some(timer) if self.world.armed.has(*timer) => return Some(Event::Timer(*timer)),
                Some(_) => {}
                None => {
                    if let Some(link) = self.world.used() {
                        return Some(Event::GivenUp(link));
                    }
                }
            }
        }
        None
    }
}
