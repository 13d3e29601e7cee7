//! Decides from the state: which link is used, what is dialled, what is reported.

use super::doubt::Cause;
use super::route::Attempt;
use super::used::{Stage, Used};
use super::{
    Class, Config, Effect, Effects, Mode, Path, Paths, Patience, Story, Timer, Told, Urgency, Wake,
    Wish,
};
use crate::machine::Link;

impl Paths {
    pub(super) fn wanted(&mut self, config: &Config, may_ask: bool, effects: &mut Effects) {
        if self.used.is_some() {
            return;
        }
        let could_ask = matches!(self.wish, Wish::Link { may_ask: true });
        self.wish = Wish::Link { may_ask: may_ask || could_ask };
        self.be_patient(config, effects);
    }

    /// A dial that is under way finishes its login, and serves the next wish for a link.
    pub(super) fn unwanted(&mut self, effects: &mut Effects) {
        if matches!(self.wish, Wish::Link { .. }) {
            self.wish = Wish::Nothing;
            self.told = Told::Nothing;
            self.stop_patience(effects);
        }
    }

    /// A person asks for an attempt. The person sets the pace.
    pub(super) fn retry(&mut self, may_ask: bool, effects: &mut Effects) {
        if matches!(self.wish, Wish::Link { .. }) && !self.route(Path::Main).is_dialling() {
            self.wish = Wish::Link { may_ask };
        }
        for path in Path::ALL {
            let route = self.route_mut(path);
            route.is_unavailable = false;
            route.end_pause(path, effects);
        }
    }

    pub(super) fn available(&mut self, path: Path, effects: &mut Effects) {
        let route = self.route_mut(path);
        route.is_unavailable = false;
        route.end_pause(path, effects);
    }

    /// A dial from before a sleep is useless. A dial from before a network change may still succeed, and such
    /// changes come in bursts.
    pub(super) fn woken(&mut self, config: &Config, wake: Wake, effects: &mut Effects) {
        if self.is_attached() {
            return self.suspect(Cause::NoAnswer, Class::Suspicious, effects);
        }
        if wake == Wake::Slept {
            self.drop_stale(config, effects);
        }
        for path in Path::ALL {
            let route = self.route_mut(path);
            let skipped = match wake {
                Wake::Slept => &mut route.is_woken,
                Wake::NetworkChanged => &mut route.is_moved,
            };
            let can_skip = !matches!(route.pause, None | Some(Class::Person));
            if can_skip && !core::mem::replace(skipped, true) {
                route.end_pause(path, effects);
            }
        }
    }

    /// A dial that asks a person for a password continues. To drop even the very first dial says nothing
    /// about the host: the dial is repeated unchanged.
    fn drop_stale(&mut self, config: &Config, effects: &mut Effects) {
        for path in Path::ALL {
            if let Attempt::Dialling { is_asking: false, .. } = self.route(path).attempt {
                self.drop_beside(config, path, effects);
            }
        }
        if let Some(used) = self.used {
            effects.push(Effect::Drop(used.link));
            self.leave(used, effects);
            self.close(config, used.path, used.link);
            self.wish = Wish::Link { may_ask: used.mode == Mode::Asking };
        }
    }

    pub(super) fn timer(&mut self, config: &Config, timer: Timer, effects: &mut Effects) {
        match timer {
            Timer::Pause(path) => self.pause_ended(config, path, effects),
            Timer::Dial(path) => self.overdue(config, path, effects),
            Timer::Calm => self.calm(config, effects),
            Timer::Settled => self.is_settled = self.is_attached(),
            Timer::Silence => self.suspect(Cause::Silence, Class::Usual, effects),
            Timer::Question => self.question(effects),
            Timer::Answer if self.is_asked => self.suspect(Cause::NoAnswer, Class::Usual, effects),
            Timer::Doubt => self.doubted(config, effects),
            Timer::Hold => self.let_go(config, effects),
            Timer::Patience if self.patience == Patience::Running => {
                self.patience = Patience::Over;
            }
            Timer::Learn if self.is_attached() => {
                effects.extend([Effect::Learn, Effect::Arm(Timer::Learn, Class::Usual, 1)]);
            }
            Timer::Answer | Timer::Patience | Timer::Learn => {}
        }
    }

    fn pause_ended(&mut self, config: &Config, path: Path, effects: &mut Effects) {
        let is_used =
            self.used.is_some_and(|used| used.path == path && used.stage >= Stage::Attached);
        let Some(class) = self.route_mut(path).pause_ended(is_used) else { return };
        if class == Class::HeadStart
            && self.can_dial(config, path)
            && let Some(class) = self.reason_to_dial(config, path)
        {
            self.dial(config, path, class, effects);
        }
    }

    pub(super) fn stop(&mut self, config: &Config, effects: &mut Effects) {
        for path in Path::ALL {
            self.drop_beside(config, path, effects);
        }
        effects.extend(Timer::ALL.map(Effect::Disarm));
        *self = Self { wish: Wish::Over, ..Self::new() };
    }

    /// Derives the effects from the state.
    pub(super) fn choose(&mut self, config: &Config, effects: &mut Effects) {
        self.use_best(config, effects);
        if self.patience == Patience::Over && self.is_waiting() {
            effects.push(Effect::GiveUp(Urgency::Patience));
            return self.stop(config, effects);
        }
        self.drop_superfluous(config, effects);
        for path in Path::ALL {
            if self.can_dial(config, path)
                && let Some(class) = self.reason_to_dial(config, path)
            {
                self.dial_in_turn(config, path, class, effects);
            }
        }
        self.tell_need(effects);
        self.tell_wait(effects);
    }

    /// Reports what a person is needed for, once it is clear whether the session continues without.
    fn tell_need(&mut self, effects: &mut Effects) {
        let Some(need) = self.need.filter(|need| self.told_need != Some(*need)) else { return };
        if self.is_attached() || (self.used.is_none() && !self.is_under_way()) {
            self.told_need = Some(need);
            effects.push(Effect::Tell(Story::Needs(need)));
        }
    }

    fn use_best(&mut self, config: &Config, effects: &mut Effects) {
        let ready = self.best_ready(config);
        match (self.used, ready) {
            (None, Some((path, link))) if self.is_waiting() => {
                effects.push(Effect::Use(link));
                self.use_ready(path, link, effects);
            }
            (None, None) if self.is_waiting() => self.use_open(config, effects),
            (Some(used), Some((path, link))) if self.is_better(config, used, path) => {
                effects.push(Effect::Replace { old: used.link, new: link });
                self.leave(used, effects);
                self.close(config, used.path, used.link);
                self.use_ready(path, link, effects);
            }
            _ => {}
        }
    }

    fn best_ready(&self, config: &Config) -> Option<(Path, Link)> {
        let ready = Path::ALL.into_iter().filter_map(|it| Some((it, self.route(it).ready()?)));
        ready.min_by_key(|(path, _)| config.rank(*path))
    }

    /// The session leaves a working link only for a better one, or if the working one is doubted. It leaves a
    /// link that is not attached only on a quick path: hosts count abandoned logins.
    fn is_better(&self, config: &Config, used: Used, path: Path) -> bool {
        let is_hopeless = self.is_hopeless(used) && config.is_quick(used.path);
        self.doubt.is_doubted() || used.is_worse_than(config, path) || is_hopeless
    }

    /// Whether the link is not attached, and a dial over its path has failed during this absence.
    fn is_hopeless(&self, used: Used) -> bool {
        used.stage < Stage::Attached && self.route(used.path).has_failed
    }

    /// A Greeting does not show that the link still works: it has to answer in time.
    fn use_ready(&mut self, path: Path, link: Link, effects: &mut Effects) {
        let route = self.route_mut(path);
        route.attempt = Attempt::None;
        effects.push(Effect::Arm(Timer::Dial(path), Class::Answer, route.overdue));
        self.begin_use(Used::new(link, path, Stage::Greeted, Mode::Alone));
    }

    /// Uses a link without a Greeting, unless a quicker one is under way.
    fn use_open(&mut self, config: &Config, effects: &mut Effects) {
        for path in Path::ALL {
            let is_quick = config.is_quick(path);
            let attempt = self.route(path).attempt;
            if let Attempt::Dialling { link, mode, is_open: true, is_asking: false, .. } = attempt
                && (is_quick || !self.is_quick_dialled(config))
            {
                self.route_mut(path).attempt = Attempt::None;
                effects.push(Effect::Use(link));
                return self.begin_use(Used::new(link, path, Stage::Open, mode));
            }
        }
    }

    fn is_quick_promising(&self, config: &Config) -> bool {
        let mut paths = Path::ALL.into_iter().filter(|path| config.is_quick(*path));
        paths.any(|path| {
            let route = self.route(path);
            route.is_dialling_in_time() && !route.has_failed
        })
    }

    fn is_quick_dialled(&self, config: &Config) -> bool {
        let mut paths = Path::ALL.into_iter();
        paths.any(|path| config.is_quick(path) && self.route(path).is_dialling_in_time())
    }

    /// A dial that is not needed any more finishes its login, because hosts count abandoned logins. Then it
    /// grants the next dial.
    fn drop_superfluous(&mut self, config: &Config, effects: &mut Effects) {
        if !self.is_attached() || self.is_asked || self.doubt != super::Doubt::None {
            return;
        }
        for path in Path::ALL {
            if self.route(path).ready().is_some() && !self.is_standby(config, path) {
                self.drop_beside(config, path, effects);
                self.route_mut(path).give_grant();
            }
        }
    }

    fn is_standby(&self, config: &Config, path: Path) -> bool {
        let is_fit = config.properties(path).is_some_and(|properties| {
            !properties.is_quick && !properties.is_exclusive && !properties.is_shared
        });
        is_fit && self.wants_standby && self.is_settled
    }

    /// Why a link over this path is wanted, as the class of the pause after its dial.
    pub(super) fn reason_to_dial(&self, config: &Config, path: Path) -> Option<Class> {
        let Some(used) = self.used else {
            let is_left_to_quick = self.is_left_to_quick(config, path);
            return (self.is_waiting() && !is_left_to_quick).then_some(Class::Retry);
        };
        let is_shared = config.properties(path).is_some_and(|properties| properties.is_shared);
        let is_attached = used.stage >= Stage::Attached;
        if (self.doubt.is_doubted() && !is_shared) || (self.is_hopeless(used) && path != used.path)
        {
            Some(Class::Retry)
        } else if used.is_worse_than(config, path) {
            if is_attached {
                Some(Class::Aside)
            } else {
                // A path whose link did not last waits until the quick path has failed, or has been attached
                // for a while.
                (self.route(path).falls == 0).then_some(Class::Retry)
            }
        } else if is_attached && self.is_standby(config, path) {
            Some(Class::Standby)
        } else {
            None
        }
    }

    /// If the session may stay on the quick path, or the other path's link did not last, the other path is
    /// dialled only after the quick path has failed.
    fn is_left_to_quick(&self, config: &Config, path: Path) -> bool {
        let is_equal = config.fast.is_some_and(|fast| fast.rank <= config.rank(path));
        let is_second = is_equal || self.route(path).falls > 0;
        is_second && !config.is_quick(path) && self.is_quick_promising(config)
    }

    /// Two simultaneous logins would compete for the same processor, and hosts admit few at a time. So the
    /// quick path goes first.
    fn dial_in_turn(&mut self, config: &Config, path: Path, class: Class, effects: &mut Effects) {
        let is_behind = self.used.is_none_or(|used| used.stage < Stage::Attached)
            && !config.is_quick(path)
            && (self.is_quick_dialled(config) || self.is_quick_opening(config));
        if is_behind {
            let route = self.route_mut(path);
            route.spend_grant();
            route.pause = Some(Class::HeadStart);
            effects.push(Effect::Arm(Timer::Pause(path), Class::HeadStart, 0));
        } else {
            self.dial(config, path, class, effects);
        }
    }

    fn is_quick_opening(&self, config: &Config) -> bool {
        self.used.is_some_and(|used| config.is_quick(used.path) && used.stage == Stage::Open)
    }

    /// Reports each attempt once, however many paths it takes.
    fn tell_wait(&mut self, effects: &mut Effects) {
        if !self.is_waiting() {
            return;
        }
        let is_under_way = self.is_under_way();
        let told = if is_under_way { Told::UnderWay } else { Told::Pausing };
        let is_news = match self.told {
            Told::Nothing => true,
            Told::UnderWay => !is_under_way,
            Told::Pausing => false,
        };
        self.told = told;
        if is_news && !is_under_way {
            effects.push(Effect::Prepare);
        }
        if is_news {
            effects.push(Effect::Tell(Story::Waiting));
        }
    }

    /// Time in which a person answers a question does not count as an unreachable host.
    pub(super) fn be_patient(&mut self, config: &Config, effects: &mut Effects) {
        if self.is_asking() {
            self.stop_patience(effects);
        } else if config.has_patience && self.is_waiting() && self.patience == Patience::Resting {
            self.patience = Patience::Running;
            effects.push(Effect::Arm(Timer::Patience, Class::Usual, 0));
        }
    }

    fn is_asking(&self) -> bool {
        let mut routes = self.routes.iter();
        routes.any(|route| matches!(route.attempt, Attempt::Dialling { is_asking: true, .. }))
    }

    pub(super) fn stop_patience(&mut self, effects: &mut Effects) {
        if core::mem::replace(&mut self.patience, Patience::Resting) == Patience::Running {
            effects.push(Effect::Disarm(Timer::Patience));
        }
    }
}
