//! The link that the session uses.

use super::doubt::Doubt;
use super::route::Grant;
use super::{Class, Config, Effect, Effects, Mode, Path, Paths, Timer, Told, Why, Wish};
use crate::machine::Link;

/// The link that the session uses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Used {
    pub(super) link: Link,
    pub(super) path: Path,
    pub(super) stage: Stage,
    /// Whether its dial could ask a person.
    pub(super) mode: Mode,
    /// Whether a better link can be had over the same path.
    pub(super) is_outdated: bool,
}

impl Used {
    pub(super) fn new(link: Link, path: Path, stage: Stage, mode: Mode) -> Self {
        Self { link, path, stage, mode, is_outdated: false }
    }

    /// Whether the session should rather use a link over this path.
    pub(super) fn is_worse_than(self, config: &Config, path: Path) -> bool {
        let is_outdated = self.is_outdated && self.stage >= Stage::Attached;
        config.rank(path) < config.rank(self.path) || (is_outdated && path == self.path)
    }
}

/// The progress of the used link.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Stage {
    Open,
    Greeted,
    Attached,
    /// Attached for a while: only that counts as a success.
    Calm,
}

impl Paths {
    pub(super) fn attached(&mut self, config: &Config, effects: &mut Effects) {
        let Some(used) = self.used.as_mut() else { return };
        let path = used.path;
        if used.stage < Stage::Attached {
            // From here on, the timer belongs to a link beside this one.
            used.stage = Stage::Attached;
            effects.push(Effect::Disarm(Timer::Dial(path)));
        }
        self.is_known = true;
        self.has_asked = true;
        self.is_settled = false;
        self.told = Told::Nothing;
        self.stop_patience(effects);
        for route in &mut self.routes {
            route.has_failed = false;
        }
        let route = self.route_mut(path);
        route.ends = 0;
        // If this link falls silent at once, a second link must be dialled beside it at once.
        route.give_grant();
        effects.push(Effect::Arm(Timer::Calm, Class::Usual, 0));
        effects.push(Effect::Arm(Timer::Settled, Class::Usual, 0));
        let learns = config.learns && (config.learns_anywhere || config.rank(path) == 0);
        if learns {
            effects.push(Effect::Arm(Timer::Learn, Class::Usual, 0));
        }
        self.forget_doubt(effects);
        self.watch(effects);
        self.end_head_start(effects);
        self.put_off_falls(config, path, effects);
    }

    /// The session does not return at once to a path whose link did not last.
    fn put_off_falls(&mut self, config: &Config, path: Path, effects: &mut Effects) {
        for other in Path::ALL.into_iter().filter(|other| *other != path) {
            let is_better = config.rank(other) < config.rank(path);
            let route = self.route_mut(other);
            if is_better && route.falls > 0 && route.pause != Some(Class::Person) {
                route.pause = Some(Class::Aside);
                // The grant of the link that fell is not for this one.
                route.grant = Grant::Spent;
                effects.push(Effect::Arm(Timer::Pause(other), Class::Aside, route.falls));
            }
        }
    }

    /// The attached link has lasted for a while. A doubted link still has to show that.
    pub(super) fn calm(&mut self, config: &Config, effects: &mut Effects) {
        if self.doubt != Doubt::None {
            return effects.push(Effect::Arm(Timer::Calm, Class::Usual, 0));
        }
        let Some(used) = self.used.as_mut().filter(|used| used.stage == Stage::Attached) else {
            return;
        };
        used.stage = Stage::Calm;
        let path = used.path;
        self.route_mut(path).succeeded();
        // On the path where the session stays, no person is needed. In another absence, the need is reported
        // again.
        if path == Path::Main || config.rank(path) == 0 {
            (self.need, self.told_need) = (None, None);
            self.routes.iter_mut().for_each(|route| route.needs = 0);
        }
        // A failure of the client's own path may not repeat in another absence.
        for path in Path::ALL {
            self.route_mut(path).is_unavailable = false;
        }
    }

    /// The link made progress: its next pause is the first one's again. That is not a success yet.
    pub(super) fn progressed(&mut self) {
        if let Some(used) = self.used.filter(|used| used.stage >= Stage::Attached) {
            self.route_mut(used.path).step = 0;
        }
    }

    pub(super) fn given_up(&mut self, config: &Config, link: Link, effects: &mut Effects) {
        if let Some(used) = self.used.filter(|used| used.link == link) {
            self.leave(used, effects);
            self.close(config, used.path, used.link);
            if used.stage < Stage::Attached {
                self.failed(config, used.path, Why::Closed, effects);
            }
        }
    }

    pub(super) fn outdated(&mut self) {
        if let Some(used) = self.used.as_mut() {
            used.is_outdated = true;
        }
    }

    /// The session has no link any more. Pauses for the sake of a working link have no reason to be long any
    /// more.
    pub(super) fn leave(&mut self, used: Used, effects: &mut Effects) {
        self.used = None;
        self.is_settled = false;
        self.told = Told::Nothing;
        self.forget_doubt(effects);
        if used.stage < Stage::Attached {
            effects.push(Effect::Disarm(Timer::Dial(used.path)));
        }
        for timer in [Timer::Calm, Timer::Settled, Timer::Learn] {
            effects.push(Effect::Disarm(timer));
        }
        if used.stage == Stage::Attached {
            self.route_mut(used.path).fell();
        }
        for path in Path::ALL {
            self.route_mut(path).hasten(path, effects);
        }
    }

    pub(super) fn begin_use(&mut self, used: Used) {
        self.used = Some(used);
        self.wish = Wish::Nothing;
    }
}
