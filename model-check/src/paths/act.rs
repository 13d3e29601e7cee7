//! One step: an event is reported, the effects are carried out, and both are judged.

use rejoin_protocol::Link;
use rejoin_protocol::paths::{
    Class, Effect, Event, MANY_ENDS, Mode, Need, Path, Story, Timer, Urgency, Wake, Why,
};

use super::action::PathAction;
use super::profile::{PathProfile, UNBOUNDED};
use super::witness::PathWitness;
use super::world::{LinkStage, PathLink, PathWorld, SessionState};

/// What a step is judged with.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy)]
pub(super) struct StepContext<'a> {
    pub(super) profile: &'a PathProfile,
    pub(super) event: Event,
    /// Whether the link that was used before it was attached, and whether it is doubted by then.
    pub(super) was_attached: bool,
    pub(super) is_doubted: bool,
    /// Whether the link that is dialled over the quick path was late before.
    pub(super) was_late: bool,
    /// Whether the usual path is dialled in answer, or waits for the quick one to go first.
    pub(super) dials_usual: bool,
}

impl PathWorld {
    /// Something happens.
    pub fn act(&mut self, profile: &PathProfile, action: PathAction) {
        let event = action.0;
        if let Some(chance) = self.chance(event)
            && self.left.left(chance) != UNBOUNDED
        {
            self.left.spend(chance);
        }
        self.take(profile, event);
        // What nobody sees any more is not told apart.
        if self.session == SessionState::Over && self.broken.is_none() {
            self.probe_end(profile);
            self.ghost = super::ghost::PathGhost::new();
            self.left = super::profile::PathBudget::of(&[]);
        }
    }

    pub(super) fn take(&mut self, profile: &PathProfile, event: Event) {
        let is_doubted = (self.machine.is_doubted() || event == Event::Timer(Timer::Doubt))
            && event != Event::Answered;
        let mut machine = self.machine.clone();
        let effects = machine.step(&profile.config, event);
        let is_usual = |effect: &Effect| match effect {
            Effect::Dial { path, .. } | Effect::Arm(Timer::Pause(path), Class::HeadStart, _) => {
                !profile.is_quick(*path)
            }
            _ => false,
        };
        let step = StepContext {
            profile,
            event,
            was_attached: self.is_attached(),
            is_doubted,
            was_late: self.beside().any(|(_, line)| line.is_late),
            dials_usual: effects.iter().any(is_usual),
        };
        self.note(&step);
        let was_doubted = self.machine.is_doubted();
        self.machine = machine;
        let answered = matches!(event, Event::Answered | Event::Heard) && was_doubted;
        if answered && !self.machine.is_doubted() && self.beside().next().is_some() {
            profile.see(PathWitness::DoubtAnswered);
        }
        for effect in &effects {
            self.carry(&step, *effect);
        }
        self.judge(&step);
        if effects.contains(&Effect::Ask) && self.is_attached() {
            self.take(profile, Event::Pinged);
        }
    }

    /// Nothing is dialled once it is over.
    fn probe_end(&mut self, profile: &PathProfile) {
        let mut machine = self.machine.clone();
        for event in [Event::Wanted { may_ask: true }, Event::Retry { may_ask: false }] {
            if !machine.step(&profile.config, event).is_empty() {
                self.breaks(1, "something is done after the end");
            }
        }
    }

    fn carry(&mut self, step: &StepContext<'_>, effect: Effect) {
        match effect {
            Effect::Dial { path, link, mode } => self.dial(step, path, link, mode),
            Effect::Use(link) => self.use_first(step, link),
            Effect::Replace { old, new } => self.replace(step, old, new),
            Effect::Drop(link) => self.drop_link(step, link),
            Effect::Ask if !self.is_attached() => {
                self.breaks(5, "a link that is not attached is asked");
            }
            Effect::Ask | Effect::Prepare => {}
            Effect::Learn => step.profile.see(PathWitness::Learnt),
            Effect::Arm(timer, class, pause) => {
                if class == Class::HeadStart {
                    step.profile.see(PathWitness::HeadStart);
                }
                self.arm(timer, class, pause);
            }
            Effect::Disarm(timer) => self.disarm(timer),
            Effect::Tell(story) => self.tell(step, story),
            Effect::GiveUp(urgency) => self.give_up(step, urgency),
        }
    }

    fn dial(&mut self, step: &StepContext<'_>, path: Path, link: Link, mode: Mode) {
        self.judge_dial(step, path, mode);
        let line = PathLink {
            path,
            mode,
            has_begun: false,
            is_late: false,
            stage: LinkStage::Dialled,
            is_dead: false,
        };
        match self.place(link) {
            Some(place @ None) => *place = Some(line),
            Some(Some(_)) => self.breaks(1, "a link has the number of another"),
            None => self.breaks(1, "there are more links than one for each path and the used one"),
        }
    }

    fn use_first(&mut self, step: &StepContext<'_>, link: Link) {
        if matches!(self.session, SessionState::Using { .. } | SessionState::Over) {
            self.breaks(1, "a session that wants no link gets one");
        }
        match self.line(link).map(|line| (line.stage, line.path)) {
            Some((LinkStage::Greeted, _)) => {}
            Some((LinkStage::Open, path)) => {
                if self.is_asking(link) {
                    self.breaks(3, "a link is used while a person is asked");
                }
                let is_quick = |path| step.profile.is_quick(path);
                if !is_quick(path)
                    && Path::ALL.into_iter().any(|it| is_quick(it) && self.is_awaited(it))
                {
                    self.breaks(4, "a link is used before a quicker one that is under way");
                }
            }
            _ => self.breaks(1, "a link is used that is not open"),
        }
        self.session = SessionState::Using { link, is_attached: false };
    }

    fn replace(&mut self, step: &StepContext<'_>, old: Link, new: Link) {
        let stages = (self.line(old).copied(), self.line(new).copied());
        let (Some(left), Some(taken)) = stages else {
            return self.breaks(1, "a link is replaced that is not there");
        };
        if self.used() != Some(old) || taken.stage != LinkStage::Greeted || old == new {
            self.breaks(1, "a link is replaced that is not used, or by one that is not ready");
        }
        let (rank, best) = (step.profile.rank(left.path), step.profile.rank(taken.path));
        let is_better = best < rank || (left.path == taken.path && self.ghost.is_outdated);
        let was_doubted = step.is_doubted && step.was_attached;
        // A quick one that is not attached has shown nothing yet, and the last one like it led nowhere. Over the
        // usual path, a login that is given up counts at the host.
        let is_hopeless = !step.was_attached
            && self.ghost.lane(left.path).has_failed
            && step.profile.is_quick(left.path);
        if !is_better && !was_doubted && !is_hopeless {
            self.breaks(4, "a link that works is left for one that is no better");
        }
        step.profile.see(match (step.is_doubted, best < rank) {
            (true, _) => PathWitness::ReplacedInDoubt,
            (false, true) => PathWitness::ReplacedByRank,
            (false, false) => PathWitness::ReplacedOutdated,
        });
        self.leave();
        self.remove(step.profile, old);
        self.session = SessionState::Using { link: new, is_attached: false };
    }

    fn drop_link(&mut self, step: &StepContext<'_>, link: Link) {
        let Some(line) = self.line(link).copied() else {
            return self.breaks(1, "a link is dropped that is not there");
        };
        if matches!(step.event, Event::Timer(Timer::Dial(_))) {
            self.ghost.lane_mut(line.path).has_failed = true;
        }
        if self.used() == Some(link) {
            self.judge_drop_of_used(step, line);
            self.lose();
        } else {
            self.judge_drop_beside(step, line);
        }
        self.remove(step.profile, link);
        if step.event == Event::Woken(Wake::Slept) {
            self.ghost.may_tell = true;
        } else {
            self.end_attempt(step, line.path);
        }
    }

    /// A link is closed; of an exclusive path, it holds what it held until it has ended.
    fn remove(&mut self, profile: &PathProfile, link: Link) {
        let Some(place) = self.place(link) else { return };
        *place = place.map(|line| PathLink { stage: LinkStage::Closing, ..line });
        if !place.is_some_and(|line| profile.is_exclusive(line.path)) {
            *place = None;
        }
    }

    /// The session has no link any more.
    fn lose(&mut self) {
        self.leave();
        self.session = SessionState::Wanting;
        self.ghost.begin_attempt();
    }

    /// The link that was used is not any more.
    fn leave(&mut self) {
        let has_fallen = self.is_attached() && !self.ghost.is_calm;
        let path = self.used_path().or_else(|| self.machine.used().map(|(_, path)| path));
        if let Some(path) = path.filter(|_| has_fallen) {
            self.ghost.lane_mut(path).has_fallen = true;
        }
        self.ghost.leave();
        self.ghost.lanes.iter_mut().for_each(|lane| lane.is_put_off = false);
    }

    /// What was tried has come to nothing; unless something else goes on, what follows is another attempt. The usual
    /// path that is dialled at once in place of a quick one goes on with the same.
    fn end_attempt(&mut self, step: &StepContext<'_>, failed: Path) {
        let goes_on = step.profile.is_quick(failed) && step.dials_usual;
        if self.used().is_none() && !self.is_coming() && !goes_on {
            self.ghost.begin_attempt();
        }
    }

    /// Whether a link is dialled, or waits for a quicker one to go first.
    pub(super) fn is_coming(&self) -> bool {
        let is_behind = |path| self.ghost.lane(path).pause == Some(Class::HeadStart);
        Path::ALL.into_iter().any(|path| self.is_dialling(path) || is_behind(path))
    }

    fn arm(&mut self, timer: Timer, class: Class, pause: u8) {
        self.armed.arm(timer);
        let Timer::Pause(path) = timer else { return };
        let lane = self.ghost.lane_mut(path);
        lane.pause = Some(class);
        if lane.is_unarmed && !lane.armed(pause) {
            self.breaks(2, "the step of a pause does not rise with each dial");
        }
    }

    fn disarm(&mut self, timer: Timer) {
        self.armed.disarm(timer);
        if let Timer::Pause(path) = timer {
            self.ghost.lane_mut(path).pause = None;
        }
    }

    fn tell(&mut self, step: &StepContext<'_>, story: Story) {
        match story {
            Story::Waiting => {
                if !matches!(self.session, SessionState::Waiting | SessionState::Wanting) {
                    self.breaks(9, "a wait is told that is none");
                }
                if !self.ghost.may_tell {
                    self.breaks(9, "an attempt is told twice");
                }
                (self.ghost.may_tell, self.ghost.must_tell) = (false, false);
            }
            Story::Needs(need) => {
                if self.ghost.told.replace(need) == Some(need) {
                    self.breaks(3, "what a person is needed for is told again");
                }
                self.ghost.untold = None;
                step.profile.see(PathWitness::NeedTold);
            }
            Story::Ends => {
                step.profile.see(PathWitness::EndsTold);
                match self.ghost.lanes.iter_mut().find(|lane| lane.ends == MANY_ENDS) {
                    Some(lane) => lane.ends = MANY_ENDS + 1,
                    None => self.breaks(9, "links that greet and end are told of at another time"),
                }
            }
        }
    }

    fn give_up(&mut self, step: &StepContext<'_>, urgency: Urgency) {
        match urgency {
            Urgency::First => {
                step.profile.see(PathWitness::GaveUpFirst);
                if self.ghost.has_asked {
                    self.breaks(7, "it gives up although a host was asked");
                }
            }
            Urgency::Patience => {
                step.profile.see(PathWitness::GaveUpPatience);
                if self.used().is_some() {
                    self.breaks(7, "it gives up although there is a link");
                }
            }
        }
        self.session = SessionState::Over;
    }

    /// What the event itself changes, before the machine is told.
    fn note(&mut self, step: &StepContext<'_>) {
        match step.event {
            Event::Wanted { may_ask } => {
                self.session = SessionState::Waiting;
                self.ghost.may_ask |= may_ask;
            }
            Event::Unwanted => {
                self.session = SessionState::Wanting;
                self.ghost.begin_attempt();
            }
            Event::Opened(link) => self.reach(link, LinkStage::Open),
            Event::Begun(link) => {
                if let Some(Some(line)) = self.place(link) {
                    line.has_begun = true;
                }
            }
            Event::Greeted(link) => self.note_greeted(link),
            Event::Ended(link, why) => self.note_ended(step, link, why),
            Event::GivenUp(link) => {
                if let Some(path) = self.used_path().filter(|_| !self.is_attached()) {
                    self.ghost.lane_mut(path).has_failed = true;
                }
                self.remove(step.profile, link);
                self.lose();
            }
            Event::Asked => self.ghost.has_asked = true,
            Event::Attached => self.note_attached(step.profile),
            Event::Progressed => {
                if let Some(path) = self.used_path() {
                    self.ghost.lane_mut(path).step = 0;
                }
            }
            Event::Stop => self.note_stop(),
            Event::Available(path) => {
                let lane = self.ghost.lane_mut(path);
                lane.is_unavailable = false;
                (lane.is_excused, lane.is_person_due, lane.is_put_off) = (true, false, false);
            }
            Event::Retry { may_ask } => self.note_retry(may_ask),
            Event::Woken(wake) => self.note_woken(wake),
            Event::Outdated => self.ghost.is_outdated = true,
            Event::Standby(is_wanted) => self.ghost.wants_standby = is_wanted,
            Event::Timer(timer) => self.note_timer(step, timer),
            Event::Expecting(_) | Event::Sent | Event::Pinged | Event::Heard | Event::Answered => {
                self.note_watch(step);
            }
        }
    }

    /// The session sees to the link that it uses by itself.
    fn note_stop(&mut self) {
        if let Some(place) = self.used().and_then(|link| self.place(link)) {
            *place = None;
        }
        self.session = SessionState::Over;
    }

    fn reach(&mut self, link: Link, stage: LinkStage) {
        if let Some(Some(line)) = self.place(link) {
            line.stage = line.stage.max(stage);
        }
    }

    fn note_greeted(&mut self, link: Link) {
        self.reach(link, LinkStage::Greeted);
        if self.line(link).is_some_and(|line| line.path == Path::Main) {
            self.ghost.is_distrusted = false;
        }
    }

    fn note_ended(&mut self, step: &StepContext<'_>, link: Link, why: Why) {
        let Some(line) = self.line(link).copied() else { return };
        let is_used = self.used() == Some(link);
        if let Some(place) = self.place(link) {
            *place = None;
        }
        let is_early = line.stage == LinkStage::Greeted
            && !self.is_attached()
            && (is_used || self.used().is_none());
        if let Why::NeedsPerson(need) = why {
            self.ghost.untold = Some(need).filter(|need| self.ghost.told != Some(*need));
        }
        let is_attached = is_used && self.is_attached();
        let lane = self.ghost.lane_mut(line.path);
        lane.has_failed |= is_early || (line.stage < LinkStage::Greeted && !is_attached);
        if is_early {
            lane.ends = lane.ends.saturating_add(1).min(MANY_ENDS + 1);
        }
        match why {
            Why::NeedsPerson(_) if line.stage < LinkStage::Greeted => {
                (lane.is_person_due, lane.is_spent) = (true, false);
                lane.is_unavailable |= step.profile.is_quick(line.path);
            }
            Why::Unavailable => (lane.is_due, lane.is_unavailable) = (false, true),
            Why::Failed => lane.is_unavailable = true,
            _ => {}
        }
        if lane.is_unavailable {
            step.profile.see(PathWitness::Unavailable);
        }
        if why == Why::NeedsPerson(Need::HostKey) && step.profile.judges_keys(line.path) {
            self.ghost.is_distrusted = true;
            if self.links().any(|(_, it)| !step.profile.judges_keys(it.path)) {
                step.profile.see(PathWitness::Distrusted);
            }
        }
        if is_used {
            self.lose();
        } else if line.stage < LinkStage::Greeted {
            self.end_attempt(step, line.path);
        }
    }

    fn note_attached(&mut self, profile: &PathProfile) {
        let SessionState::Using { is_attached, .. } = &mut self.session else { return };
        *is_attached = true;
        (self.ghost.is_known, self.ghost.has_asked) = (true, true);
        self.ghost.forget_doubt();
        self.ghost.lanes.iter_mut().for_each(|lane| lane.has_failed = false);
        let Some(used) = self.used_path() else { return };
        let lane = self.ghost.lane_mut(used);
        lane.ends = 0;
        lane.is_granted = true;
        for path in Path::ALL.into_iter().filter(|path| profile.rank(*path) < profile.rank(used)) {
            let lane = self.ghost.lane_mut(path);
            lane.is_put_off = lane.has_fallen && !lane.is_person_due;
            if lane.is_put_off {
                profile.see(PathWitness::PutOff);
            }
        }
    }

    fn note_retry(&mut self, may_ask: bool) {
        if !matches!(self.session, SessionState::Using { .. }) {
            self.ghost.may_ask |= may_ask;
        }
        for lane in &mut self.ghost.lanes {
            (lane.is_excused, lane.is_put_off) = (true, false);
            (lane.is_unavailable, lane.is_person_due) = (false, false);
        }
    }

    fn note_woken(&mut self, wake: Wake) {
        if self.is_attached() {
            self.ghost.is_unanswered = self.ghost.is_expecting;
            return;
        }
        for lane in &mut self.ghost.lanes {
            let skipped = match wake {
                Wake::Slept => &mut lane.is_woken,
                Wake::NetworkChanged => &mut lane.is_moved,
            };
            let is_skippable = lane.pause.is_some() && lane.pause != Some(Class::Person);
            if is_skippable && !core::mem::replace(skipped, true) {
                lane.is_excused = true;
            }
        }
    }

    fn note_timer(&mut self, step: &StepContext<'_>, timer: Timer) {
        self.armed.disarm(timer);
        match timer {
            Timer::Pause(path) => {
                let is_attached = self.is_attached() && self.used_path() == Some(path);
                self.ghost.lane_mut(path).ran_out(is_attached);
            }
            Timer::Calm if self.is_attached() && !self.is_suspected() => {
                self.note_calm(step.profile);
            }
            Timer::Settled => self.ghost.is_settled = true,
            Timer::Answer => self.ghost.is_unanswered |= self.ghost.is_asked,
            Timer::Question => self.ghost.is_owed = false,
            Timer::Dial(path) => self.note_late(step.profile, path),
            _ => {}
        }
    }

    /// A quick link that takes too long is not waited for, and not cut off either.
    fn note_late(&mut self, profile: &PathProfile, path: Path) {
        let late = self.beside().find(|(_, it)| it.path == path && it.stage < LinkStage::Greeted);
        let Some((link, _)) = late.filter(|_| profile.is_quick(path)) else { return };
        if let Some(Some(line)) = self.place(link) {
            line.is_late = true;
            profile.see(PathWitness::Late);
        }
    }

    fn note_calm(&mut self, profile: &PathProfile) {
        let Some(path) = self.used_path() else { return };
        self.ghost.is_calm = true;
        if profile.rank(path) == 0 {
            (self.ghost.told, self.ghost.untold) = (None, None);
        }
        let lane = self.ghost.lane_mut(path);
        (lane.step, lane.has_fallen) = (0, false);
        (lane.is_woken, lane.is_moved) = (false, false);
        for lane in &mut self.ghost.lanes {
            lane.is_unavailable = false;
        }
    }

    fn note_watch(&mut self, step: &StepContext<'_>) {
        let ghost = &mut self.ghost;
        match step.event {
            Event::Expecting(is_expecting) => {
                ghost.is_expecting = is_expecting;
                ghost.forget_doubt();
            }
            Event::Sent => ghost.is_owed |= ghost.is_expecting && !ghost.is_asked,
            Event::Pinged => ghost.is_asked |= ghost.is_expecting,
            Event::Answered => ghost.forget_doubt(),
            _ => {}
        }
    }
}
