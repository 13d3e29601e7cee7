//! One path: its dial, and its pauses.

use super::used::Stage;
use super::{
    Class, Config, Effect, Effects, MANY_ENDS, Mode, Need, Path, Paths, Story, Timer, Told,
    Urgency, Why, Wish,
};
use crate::machine::Link;

/// The highest step: more than the bound of any class needs.
const LAST_STEP: u8 = 7;

/// The state of one path.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) struct Route {
    pub(super) attempt: Attempt,
    /// The pause that runs.
    pub(super) pause: Option<Class>,
    /// The number of dials since the last success.
    pub(super) step: u8,
    /// How many times in a row a person was needed.
    pub(super) needs: u8,
    /// How many dials in a row took too long.
    pub(super) overdue: u8,
    /// How many links in a row greeted and ended.
    pub(super) ends: u8,
    /// How many links in a row were attached and did not last.
    pub(super) falls: u8,
    /// Whether a dial over it has failed since the session was attached.
    pub(super) has_failed: bool,
    pub(super) grant: Grant,
    /// Whether a wake-up, or a network change, has cut a pause short since one last ran out.
    pub(super) is_woken: bool,
    pub(super) is_moved: bool,
    /// Whether the path is useless during this absence.
    pub(super) is_unavailable: bool,
}

/// Whether one dial is allowed during a pause: one in each pause that runs out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Grant {
    None,
    Given,
    Spent,
}

/// A link that the session does not use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Attempt {
    None,
    Dialling {
        link: Link,
        mode: Mode,
        is_open: bool,
        /// Whether it takes too long to wait for. It is not cut off, because hosts count abandoned logins.
        is_late: bool,
        /// Whether a person may still be asked.
        is_asking: bool,
    },
    /// The host has greeted.
    Ready {
        link: Link,
    },
    /// It was dropped, and still holds what the next link needs.
    Closing {
        link: Link,
    },
}

impl Route {
    pub(super) const fn new() -> Self {
        Self {
            attempt: Attempt::None,
            pause: None,
            step: 0,
            needs: 0,
            overdue: 0,
            ends: 0,
            falls: 0,
            has_failed: false,
            grant: Grant::None,
            is_woken: false,
            is_moved: false,
            is_unavailable: false,
        }
    }

    pub(super) fn link(&self) -> Option<Link> {
        match self.attempt {
            Attempt::None => None,
            Attempt::Dialling { link, .. }
            | Attempt::Ready { link }
            | Attempt::Closing { link } => Some(link),
        }
    }

    pub(super) fn ready(&self) -> Option<Link> {
        match self.attempt {
            Attempt::Ready { link } => Some(link),
            _ => None,
        }
    }

    /// Whether a dial is under way that is still worth waiting for.
    pub(super) fn is_dialling_in_time(&self) -> bool {
        matches!(self.attempt, Attempt::Dialling { is_late: false, .. })
    }

    pub(super) fn is_dialling(&self) -> bool {
        matches!(self.attempt, Attempt::Dialling { .. })
    }

    /// A link over it has been attached for a while.
    pub(super) fn succeeded(&mut self) {
        (self.step, self.needs, self.overdue, self.falls) = (0, 0, 0, 0);
        (self.is_woken, self.is_moved) = (false, false);
    }

    /// A link over it was attached, and ended before that was a success.
    pub(super) fn fell(&mut self) {
        self.falls = self.falls.saturating_add(1).min(LAST_STEP);
    }

    /// Shortens a pause that is long because nothing was urgent to that of a session that waits.
    pub(super) fn hasten(&mut self, path: Path, effects: &mut Effects) {
        if matches!(self.pause, Some(Class::Aside | Class::Standby)) {
            self.pause = Some(Class::Retry);
            effects.push(Effect::Arm(Timer::Pause(path), Class::Retry, self.step));
        }
    }

    pub(super) fn end_pause(&mut self, path: Path, effects: &mut Effects) {
        if self.pause.take().is_some() {
            effects.push(Effect::Disarm(Timer::Pause(path)));
        }
    }

    /// Whether a dial may begin.
    fn can_dial(&self) -> bool {
        self.attempt == Attempt::None
            && !self.is_unavailable
            && match self.pause {
                None => true,
                Some(Class::Person | Class::HeadStart) => false,
                Some(_) => self.grant == Grant::Given,
            }
    }

    pub(super) fn give_grant(&mut self) {
        if self.grant == Grant::None {
            self.grant = Grant::Given;
        }
    }

    /// A dial is made, or will be. During a pause, only a grant allows it.
    pub(super) fn spend_grant(&mut self) {
        if self.pause.is_some() {
            self.grant = Grant::Spent;
        }
    }

    /// A pause has run out; returns its class. If a link over this path `is_used` by then, it grants a dial
    /// again.
    pub(super) fn pause_ended(&mut self, is_used: bool) -> Option<Class> {
        let class = self.pause.take()?;
        if class != Class::HeadStart {
            (self.is_woken, self.is_moved) = (false, false);
            self.grant = if is_used { Grant::Given } else { Grant::None };
        }
        Some(class)
    }
}

impl Paths {
    /// Whether a dial over this path may begin now.
    pub(super) fn can_dial(&self, config: &Config, path: Path) -> bool {
        let Some(properties) = config.properties(path) else { return false };
        let is_held = properties.is_exclusive && self.used.is_some_and(|used| used.path == path);
        let is_barred = self.is_distrusted && !properties.judges_keys;
        let is_first = properties.is_quick && !self.is_known;
        !is_held && !is_barred && !is_first && self.route(path).can_dial()
    }

    /// Dials. The pause before the next dial starts now: a dial that takes long is pause enough.
    pub(super) fn dial(
        &mut self,
        config: &Config,
        path: Path,
        class: Class,
        effects: &mut Effects,
    ) {
        let link = self.free_link();
        let mode = self.mode(config, path);
        let route = self.route_mut(path);
        route.spend_grant();
        route.attempt = Attempt::Dialling {
            link,
            mode,
            is_open: false,
            is_late: false,
            is_asking: mode == Mode::Asking,
        };
        route.pause = Some(class);
        let step = route.step;
        route.step = step.saturating_add(1).min(LAST_STEP);
        effects.push(Effect::Dial { path, link, mode });
        effects.push(Effect::Arm(Timer::Pause(path), class, step));
        if config.is_quick(path) {
            effects.push(self.arm_login(config, path));
        }
        self.be_patient(config, effects);
        if self.told == Told::Pausing {
            self.told = Told::UnderWay;
        }
    }

    /// A person is asked once, over the user's own path, and only if the session has no link.
    fn mode(&mut self, config: &Config, path: Path) -> Mode {
        match &mut self.wish {
            Wish::Link { may_ask } if self.used.is_none() && !config.is_quick(path) => {
                if core::mem::take(may_ask) {
                    Mode::Asking
                } else {
                    Mode::Alone
                }
            }
            _ => Mode::Alone,
        }
    }

    /// Until a link is open, the driver limits its time: it may have much to send first.
    pub(super) fn opened(&mut self, config: &Config, link: Link, effects: &mut Effects) {
        let Some(path) = self.path_of(link) else { return };
        let route = self.route_mut(path);
        let Attempt::Dialling { is_open, .. } = &mut route.attempt else { return };
        if !core::mem::replace(is_open, true) {
            effects.push(self.arm_login(config, path));
        }
    }

    /// A login that asked a person has finished asking, and now has as long as any other login.
    pub(super) fn begun(&mut self, config: &Config, link: Link, effects: &mut Effects) {
        let Some(path) = self.path_of(link) else { return };
        if let Attempt::Dialling { is_asking, .. } = &mut self.route_mut(path).attempt
            && core::mem::take(is_asking)
        {
            effects.push(self.arm_login(config, path));
            self.be_patient(config, effects);
        }
    }

    pub(super) fn greeted(&mut self, config: &Config, link: Link, effects: &mut Effects) {
        let Some(path) = self.path_of(link) else { return };
        if let Some(used) = self.used.as_mut().filter(|used| used.link == link) {
            used.stage = used.stage.max(Stage::Greeted);
            if !config.is_quick(path) {
                // If it does not answer from now on, the server is to blame, and not the link.
                effects.push(Effect::Disarm(Timer::Dial(path)));
            }
        } else if self.route(path).is_dialling() {
            self.route_mut(path).attempt = Attempt::Ready { link };
            effects.push(Effect::Disarm(Timer::Dial(path)));
        }
        self.route_mut(path).overdue = 0;
        if path == Path::Main {
            self.is_distrusted = false;
            self.route_mut(path).needs = 0;
        }
    }

    pub(super) fn ended(&mut self, config: &Config, link: Link, why: Why, effects: &mut Effects) {
        let Some(path) = self.path_of(link) else { return };
        if let Some(used) = self.used.filter(|used| used.link == link) {
            self.leave(used, effects);
            match used.stage {
                Stage::Open => self.failed(config, path, why, effects),
                Stage::Greeted => self.ended_early(config, path, effects),
                Stage::Attached | Stage::Calm => {}
            }
            return;
        }
        let attempt = self.route(path).attempt;
        self.route_mut(path).attempt = Attempt::None;
        effects.push(Effect::Disarm(Timer::Dial(path)));
        match attempt {
            Attempt::Dialling { .. } => self.failed(config, path, why, effects),
            Attempt::Ready { .. } if self.used.is_none() => self.ended_early(config, path, effects),
            _ => {}
        }
    }

    /// The host greets and ends the link: a failure like any other, and one that puzzles people.
    fn ended_early(&mut self, config: &Config, path: Path, effects: &mut Effects) {
        let route = self.route_mut(path);
        route.has_failed = true;
        route.ends = route.ends.saturating_add(1).min(MANY_ENDS + 1);
        if route.ends == MANY_ENDS {
            effects.push(Effect::Tell(Story::Ends));
        }
        self.end_if_first(config, path, effects);
    }

    /// A dial has failed.
    pub(super) fn failed(&mut self, config: &Config, path: Path, why: Why, effects: &mut Effects) {
        self.route_mut(path).has_failed = true;
        match why {
            Why::NeedsPerson(need) => self.needs_person(config, path, need, effects),
            Why::Unavailable if config.is_quick(path) => {
                let route = self.route_mut(path);
                route.is_unavailable = true;
                route.end_pause(path, effects);
            }
            // A failure of the client's own path would repeat, and hosts count it.
            Why::Failed if config.is_quick(path) => self.route_mut(path).is_unavailable = true,
            Why::Failed | Why::Unreachable | Why::Closed | Why::Unavailable => {}
        }
        // The next dial is a new attempt, unless a dial is still under way, or about to start.
        if !self.is_coming(config, path) && self.told == Told::UnderWay {
            self.told = Told::Nothing;
        }
        self.end_head_start(effects);
        if !matches!(why, Why::NeedsPerson(_)) {
            self.be_patient(config, effects);
        }
        self.end_if_first(config, path, effects);
    }

    /// Before the first Hello to a host, a failed dial ends the machine, as ssh ends.
    fn end_if_first(&mut self, config: &Config, path: Path, effects: &mut Effects) {
        if path == Path::Main && !self.has_asked && self.wish != Wish::Over {
            effects.push(Effect::GiveUp(Urgency::First));
            self.stop(config, effects);
        }
    }

    /// The path is dialled again when a person asks for it, or after a pause that hosts tolerate.
    fn needs_person(&mut self, config: &Config, path: Path, need: Need, effects: &mut Effects) {
        let is_quick = config.is_quick(path);
        let route = self.route_mut(path);
        route.pause = Some(Class::Person);
        route.grant = Grant::None;
        let step = route.needs;
        route.needs = step.saturating_add(1).min(LAST_STEP);
        // Failed logins over two paths are twice as many as a host tolerates: the usual path is enough.
        route.is_unavailable |= is_quick;
        effects.push(Effect::Arm(Timer::Pause(path), Class::Person, step));
        // Time in which the host only waits for a person does not count.
        self.stop_patience(effects);
        self.need = Some(need);
        let judges_keys = config.properties(path).is_some_and(|properties| properties.judges_keys);
        if need == Need::HostKey && judges_keys {
            self.distrust(config, effects);
        }
    }

    /// A host that the user's own ssh does not trust is not used over any other path.
    fn distrust(&mut self, config: &Config, effects: &mut Effects) {
        self.is_distrusted = true;
        for path in Path::ALL {
            if config.properties(path).is_none_or(|properties| properties.judges_keys) {
                continue;
            }
            self.drop_beside(config, path, effects);
            if let Some(used) = self.used.filter(|used| used.path == path) {
                effects.push(Effect::Drop(used.link));
                self.leave(used, effects);
                self.close(config, path, used.link);
            }
        }
    }

    /// Closes a dial or a ready link over this path.
    pub(super) fn drop_beside(&mut self, config: &Config, path: Path, effects: &mut Effects) {
        if let Attempt::Dialling { link, .. } | Attempt::Ready { link } = self.route(path).attempt {
            effects.push(Effect::Drop(link));
            effects.push(Effect::Disarm(Timer::Dial(path)));
            self.route_mut(path).attempt = Attempt::None;
            self.close(config, path, link);
        }
    }

    /// A link over this path did not make its next step in time. That also ends a dial that asks a person and
    /// gets no answer.
    pub(super) fn overdue(&mut self, config: &Config, path: Path, effects: &mut Effects) {
        let used = self.used.filter(|used| used.path == path && used.stage < Stage::Attached);
        if let Some(used) = used {
            effects.push(Effect::Drop(used.link));
            self.leave(used, effects);
            self.close(config, path, used.link);
        } else if let Attempt::Dialling { is_late: late @ false, is_open, .. } =
            &mut self.route_mut(path).attempt
            && config.is_quick(path)
        {
            *late = true;
            let is_open = *is_open;
            self.end_head_start(effects);
            if is_open {
                effects.push(self.arm_login(config, path));
            }
            return;
        } else if let Attempt::Dialling { link, .. } = self.route(path).attempt {
            effects.push(Effect::Drop(link));
            self.route_mut(path).attempt = Attempt::None;
            self.close(config, path, link);
        } else {
            return;
        }
        let route = self.route_mut(path);
        route.overdue = route.overdue.saturating_add(1).min(LAST_STEP);
        self.failed(config, path, Why::Closed, effects);
    }

    /// Arms the time limit of the login that is under way.
    fn arm_login(&self, config: &Config, path: Path) -> Effect {
        let route = self.route(path);
        let class = match route.attempt {
            Attempt::Dialling { is_asking: true, .. } => Class::Asking,
            Attempt::Dialling { is_late: false, .. } if config.is_quick(path) => Class::Answer,
            _ => Class::Login,
        };
        Effect::Arm(Timer::Dial(path), class, route.overdue)
    }

    /// A dropped link holds what it held until it has ended.
    pub(super) fn close(&mut self, config: &Config, path: Path, link: Link) {
        if config.properties(path).is_some_and(|properties| properties.is_exclusive) {
            self.route_mut(path).attempt = Attempt::Closing { link };
        }
    }

    /// Whether a dial is under way, or waits for a quicker one to go first, which has failed.
    fn is_coming(&self, config: &Config, failed: Path) -> bool {
        let is_next = |path| {
            let is_left = config.is_quick(failed) && !config.is_quick(path);
            is_left && self.can_dial(config, path) && self.reason_to_dial(config, path).is_some()
        };
        Path::ALL.into_iter().any(|path| {
            let route = self.route(path);
            route.is_dialling() || route.pause == Some(Class::HeadStart) || is_next(path)
        })
    }

    /// Ends the wait of paths that let a quicker link go first.
    pub(super) fn end_head_start(&mut self, effects: &mut Effects) {
        for path in Path::ALL {
            if self.route(path).pause == Some(Class::HeadStart) {
                self.route_mut(path).end_pause(path, effects);
            }
        }
    }
}
