//! What has to be true of a dial, of a link that is dropped, and after each step.

use rejoin_protocol::Link;
use rejoin_protocol::paths::{Class, Event, MANY_ENDS, Mode, Need, Path, Timer, Wake, Why};

use super::act::StepContext;
use super::ghost::PathHistory;
use super::profile::PathProfile;
use super::witness::PathWitness;
use super::world::{LinkStage, PathLink, PathWorld, SessionState};

impl PathWorld {
    pub(super) fn judge_dial(&mut self, step: &StepContext<'_>, path: Path, mode: Mode) {
        let profile = step.profile;
        if self.session == SessionState::Over {
            self.breaks(1, "a link is dialled after the end");
        }
        if self.beside().any(|(_, line)| line.path == path) {
            self.breaks(1, "a path has two links beside the used one");
        }
        if profile.is_exclusive(path) && self.links().any(|(_, line)| line.path == path) {
            self.breaks(6, "an exclusive path is dialled while a link of it is open");
        }
        self.judge_people(profile, path, mode);
        let lane = *self.ghost.lane(path);
        self.see_pace(profile, path);
        if lane.is_put_off && self.is_attached() && !self.machine.is_doubted() {
            self.breaks(2, "a path that did not hold is dialled again at once");
        }
        if lane.is_person_due {
            self.breaks(3, "a path that needs a person is dialled at once");
        }
        if !self.ghost.lane_mut(path).dial() {
            self.breaks(2, "a path is dialled within its pause");
        }
    }

    fn see_pace(&mut self, profile: &PathProfile, path: Path) {
        let lane = self.ghost.lane(path);
        if lane.is_due && !lane.is_excused {
            profile.see(PathWitness::DialGranted);
        }
        if lane.is_due && lane.is_excused {
            profile.see(PathWitness::PauseSkipped);
        }
        if lane.step == 7 {
            profile.see(PathWitness::LastStep);
        }
    }

    fn judge_people(&mut self, profile: &PathProfile, path: Path, mode: Mode) {
        if self.ghost.is_distrusted && !profile.judges_keys(path) {
            self.breaks(3, "a host whose key is not trusted is dialled over another path");
        }
        if profile.is_quick(path) && !self.ghost.is_known {
            self.breaks(3, "a path that is only for coming back is dialled first");
        }
        if mode == Mode::Asking {
            profile.see(PathWitness::Asked);
            let may = core::mem::take(&mut self.ghost.may_ask);
            if !may || profile.is_quick(path) || self.used().is_some() {
                self.breaks(3, "a person is asked who is not there");
            }
        }
    }

    pub(super) fn judge_drop_of_used(&mut self, step: &StepContext<'_>, line: PathLink) {
        let may = match step.event {
            Event::Timer(Timer::Dial(path)) => path == line.path && !step.was_attached,
            Event::Timer(Timer::Hold) => step.is_doubted && step.profile.is_exclusive(line.path),
            Event::Woken(Wake::Slept) => !step.was_attached,
            Event::Ended(_, Why::NeedsPerson(Need::HostKey)) => {
                !step.profile.judges_keys(line.path)
            }
            _ => false,
        };
        if !may {
            self.breaks(4, "a link that works is dropped");
        }
        // A dial from before a sleep is made again as it was.
        self.ghost.may_ask |= line.mode == Mode::Asking && step.event == Event::Woken(Wake::Slept);
        match step.event {
            Event::Timer(Timer::Hold) => step.profile.see(PathWitness::LetGo),
            Event::Timer(Timer::Dial(_)) => step.profile.see(PathWitness::UsedOverdue),
            _ => {}
        }
    }

    pub(super) fn judge_drop_beside(&mut self, step: &StepContext<'_>, line: PathLink) {
        let is_end = self.session == SessionState::Over;
        let is_distrusted = self.ghost.is_distrusted && !step.profile.judges_keys(line.path);
        if line.stage == LinkStage::Greeted {
            if is_end || is_distrusted {
                return;
            }
            step.profile.see(PathWitness::SuperfluousDropped);
            if !self.is_attached() || self.is_suspected() {
                self.breaks(5, "a link that may be needed is dropped");
            }
            self.ghost.lane_mut(line.path).is_granted = true;
            return;
        }
        let may = match step.event {
            Event::Timer(Timer::Dial(path)) if step.profile.is_quick(path) => {
                path == line.path && step.was_late
            }
            Event::Timer(Timer::Dial(path)) => path == line.path && line.stage == LinkStage::Open,
            Event::Woken(Wake::Slept) => {
                (line.mode == Mode::Alone || line.has_begun) && !step.was_attached
            }
            _ => is_end || is_distrusted,
        };
        if !may {
            self.breaks(5, "a dial is cut off");
        }
        if matches!(step.event, Event::Timer(_)) {
            step.profile.see(PathWitness::DialOverdue);
        }
    }

    /// What has to be true after each step.
    pub(super) fn judge(&mut self, step: &StepContext<'_>) {
        if self.session == SessionState::Over {
            if self.machine.links().next().is_some() || self.armed.all().next().is_some() {
                self.breaks(1, "a link or a timer is left at the end");
            }
            if self.beside().next().is_some() {
                self.breaks(1, "a link is not dropped at the end");
            }
            self.lines = [None; super::world::PLACES];
            return;
        }
        self.judge_links(step.profile);
        self.judge_pauses();
        self.judge_watch(step);
        self.judge_waits(step.profile);
        self.judge_beside(step.profile);
        self.judge_stories();
    }

    fn judge_links(&mut self, profile: &PathProfile) {
        let mut named: Vec<Link> = self.machine.links().collect();
        named.sort();
        if !named.iter().copied().eq(self.links().map(|(link, _)| link)) {
            self.breaks(1, "the machine has other links than there are");
        }
        let is_right =
            |(link, line): (Link, PathLink)| self.machine.path_of(link) == Some(line.path);
        if !self.links().all(is_right) || self.machine.used().map(|(link, _)| link) != self.used() {
            self.breaks(1, "the machine takes a link for another one");
        }
        if self.machine.is_attached() != self.is_attached() {
            self.breaks(5, "the machine takes the session for attached, or not");
        }
        for (link, line) in self.beside().collect::<Vec<_>>() {
            // Whoever opens a late one sees to its end.
            let is_awaited = profile.is_quick(line.path) && !line.is_late;
            let is_timed = line.stage == LinkStage::Open || is_awaited;
            if is_timed
                && line.stage < LinkStage::Greeted
                && !self.armed.has(Timer::Dial(line.path))
            {
                self.breaks(7, "a link that was dialled has no deadline");
            }
            if self.is_asking(link) {
                profile.see(PathWitness::AskedBeside);
            }
        }
        if let Some(line) = self.used().and_then(|link| self.line(link)).copied()
            && !self.is_attached()
            && (line.stage == LinkStage::Open || profile.is_quick(line.path))
            && !self.armed.has(Timer::Dial(line.path))
        {
            self.breaks(7, "a link that is used and not attached has no deadline");
        }
    }

    fn judge_pauses(&mut self) {
        for path in Path::ALL {
            let lane = self.ghost.lane(path);
            let has_timer = self.armed.has(Timer::Pause(path));
            if lane.is_unarmed || lane.pause.is_some() != has_timer {
                self.breaks(2, "a dial has no pause behind it");
            }
        }
    }

    /// What is thought of the link that is attached.
    fn judge_watch(&mut self, step: &StepContext<'_>) {
        let is_suspected = self.is_suspected();
        if is_suspected && !self.is_attached() {
            return self.breaks(5, "a link is doubted that is not attached");
        }
        if !self.is_attached() || !self.ghost.is_expecting {
            if is_suspected {
                self.breaks(5, "a link is doubted on which nothing is expected");
            }
            return;
        }
        if step.event == Event::Timer(Timer::Doubt) && !self.machine.is_doubted() {
            self.breaks(5, "a link that has shown nothing is not doubted");
        }
        if step.event == Event::Answered && is_suspected {
            self.breaks(5, "a link that has answered is doubted");
        }
        if self.ghost.is_unanswered && !is_suspected {
            self.breaks(5, "a link that has not answered is not doubted any more");
        }
        if !is_suspected && !self.armed.has(Timer::Silence) {
            self.breaks(7, "nobody listens for silence");
        }
        if self.ghost.is_asked && !is_suspected && !self.armed.has(Timer::Answer) {
            self.breaks(7, "nobody waits for the answer");
        }
        let is_watched = self.armed.has(Timer::Question) || self.ghost.is_asked || is_suspected;
        if self.ghost.is_owed && !is_watched {
            self.breaks(7, "nobody waits for the acknowledgement");
        }
    }

    /// Something is under way, or will be, wherever a link is wanted.
    fn judge_waits(&mut self, profile: &PathProfile) {
        let is_going = |path: Path| {
            self.armed.has(Timer::Pause(path))
                || self.links().any(|(link, line)| line.path == path && Some(link) != self.used())
        };
        let is_barred = |path: Path| {
            self.ghost.is_distrusted && !profile.judges_keys(path)
                || self.ghost.lane(path).is_unavailable
                || profile.config.properties(path).is_none()
        };
        let mut paths = Path::ALL.into_iter().filter(|path| !is_barred(*path));
        match self.session {
            SessionState::Waiting => {
                let is_idle = !paths.any(is_going);
                if is_idle {
                    return self.breaks(7, "a session waits, and nothing is under way");
                }
                // Patience does not run while a person is asked or needed.
                let is_asked = self.links().any(|(link, _)| self.is_asking(link));
                let is_patient =
                    profile.config.has_patience && self.machine.need().is_none() && !is_asked;
                if is_patient && !self.armed.has(Timer::Patience) {
                    self.breaks(7, "a session waits without an end");
                }
            }
            SessionState::Using { .. } if self.machine.is_doubted() => {
                let is_held = |path: Path| {
                    profile.is_shared(path)
                        || (profile.is_exclusive(path) && self.used_path() == Some(path))
                };
                let is_left_out = paths.any(|path| !is_held(path) && !is_going(path));
                if is_left_out {
                    return self.breaks(5, "a link is doubted, and a path is left out");
                }
                let is_held = self.used_path().is_some_and(|path| profile.is_exclusive(path));
                if is_held && !self.armed.has(Timer::Hold) {
                    self.breaks(6, "a link that is doubted is held without an end");
                }
            }
            _ => {}
        }
    }

    /// Only what is of use stays open.
    fn judge_beside(&mut self, profile: &PathProfile) {
        let has_reason = self.is_suspected() || self.ghost.is_asked || !self.is_attached();
        for (_, line) in self.beside().collect::<Vec<_>>() {
            if line.stage != LinkStage::Greeted {
                continue;
            }
            let ghost = &self.ghost;
            let is_standby =
                ghost.wants_standby && ghost.is_settled && profile.can_stand_by(line.path);
            if is_standby {
                profile.see(PathWitness::StandsBy);
            } else if !has_reason {
                self.breaks(5, "a link that nobody needs stays open");
            }
            if self.session == SessionState::Waiting {
                self.breaks(7, "a session waits beside a link that is ready");
            }
            if self.machine.is_doubted() {
                self.breaks(5, "a doubted link is kept beside one that is ready");
            }
        }
        let is_distrusted =
            |line: PathLink| self.ghost.is_distrusted && !profile.judges_keys(line.path);
        let is_left =
            self.links().any(|(_, it)| it.stage != LinkStage::Closing && is_distrusted(it));
        if is_left {
            self.breaks(3, "a link leads to a host whose key is not trusted");
        }
    }

    fn judge_stories(&mut self) {
        if self.session == SessionState::Waiting && self.ghost.must_tell {
            self.breaks(9, "an attempt is not told");
        }
        if self.ghost.lanes.iter().any(|lane| lane.ends == MANY_ENDS) {
            self.breaks(9, "links that greet and end are not told of");
        }
        let is_clear = self.is_attached() || (self.used().is_none() && !self.is_coming());
        if is_clear && self.ghost.untold.is_some() {
            self.breaks(3, "what a person is needed for is not told");
        }
        let is_person = |lane: &PathHistory| lane.pause == Some(Class::Person);
        let lanes = self.ghost.lanes;
        if lanes.iter().any(|lane| lane.is_person_due && !is_person(lane)) {
            self.breaks(3, "a path that needs a person has another pause");
        }
    }
}
