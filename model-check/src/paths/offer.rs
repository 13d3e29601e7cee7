//! What can happen next.

use std::sync::LazyLock;

use rejoin_protocol::Link;
use rejoin_protocol::paths::{Event, Mode, Need, Timer, Wake, Why};

use super::action::{PathAction, all};
use super::profile::{PathChance, PathProfile};
use super::world::{LinkStage, PathWorld, SessionState};

static EVENTS: LazyLock<Vec<Event>> = LazyLock::new(all);

impl PathWorld {
    /// Everything that can happen in this world within the bounds of a profile.
    pub fn actions(&self, profile: &PathProfile, actions: &mut Vec<PathAction>) {
        if self.broken.is_none() && self.session != SessionState::Over {
            let can = |event: &&Event| self.is_possible(profile, **event) && self.is_left(**event);
            actions.extend(EVENTS.iter().filter(can).map(|event| PathAction(*event)));
        }
    }

    fn is_left(&self, event: Event) -> bool {
        self.chance(event).is_none_or(|chance| self.left.has(chance))
    }

    /// What an event uses up.
    pub(super) fn chance(&self, event: Event) -> Option<PathChance> {
        let is_used = |link: Link| self.used() == Some(link);
        match event {
            Event::Ended(link, why) => self.chance_of_end(link, why),
            Event::GivenUp(link) if is_used(link) => Some(PathChance::GivenUp),
            Event::Timer(Timer::Dial(_)) => Some(PathChance::Overdue),
            Event::Timer(Timer::Doubt) => Some(PathChance::Doubt),
            Event::Sent => Some(PathChance::Send),
            Event::Woken(Wake::Slept) => Some(PathChance::Sleep),
            Event::Woken(Wake::NetworkChanged) => Some(PathChance::Move),
            Event::Retry { may_ask: false } => Some(PathChance::Retry),
            Event::Wanted { may_ask: true } | Event::Retry { may_ask: true } => {
                Some(PathChance::Person)
            }
            Event::Available(_) => Some(PathChance::Available),
            Event::Outdated => Some(PathChance::Outdated),
            Event::Standby(_) => Some(PathChance::Standby),
            Event::Expecting(_) | Event::Unwanted => Some(PathChance::Expecting),
            _ => None,
        }
    }

    /// That a link ends which was closed is no fault.
    fn chance_of_end(&self, link: Link, why: Why) -> Option<PathChance> {
        let is_fault = self.line(link).is_some_and(|line| line.stage != LinkStage::Closing);
        is_fault.then_some(match why {
            Why::NeedsPerson(Need::HostKey) => PathChance::HostKey,
            Why::NeedsPerson(_) => PathChance::Need,
            Why::Unavailable | Why::Failed => PathChance::Unavailable,
            Why::Closed | Why::Unreachable => PathChance::End,
        })
    }

    fn is_possible(&self, profile: &PathProfile, event: Event) -> bool {
        let stage = |link: Link| self.line(link).map(|line| line.stage);
        match event {
            Event::Wanted { .. } => self.session == SessionState::Wanting,
            Event::Unwanted => self.session == SessionState::Waiting,
            Event::Opened(link) => stage(link) == Some(LinkStage::Dialled),
            Event::Begun(link) => stage(link) == Some(LinkStage::Open) && self.is_asking(link),
            Event::Greeted(link) => {
                matches!(stage(link), Some(LinkStage::Dialled | LinkStage::Open))
            }
            Event::Ended(link, why) => self.can_end(profile, link, why),
            Event::Asked => self.used().is_some() && !self.ghost.has_asked,
            Event::Attached => {
                let is_attached = self.is_attached();
                self.used().is_some_and(|link| stage(link) == Some(LinkStage::Greeted))
                    && !is_attached
            }
            Event::Progressed | Event::Answered | Event::Heard | Event::Pinged => {
                self.is_attached()
            }
            Event::GivenUp(link) => self.used() == Some(link),
            Event::Sent => self.is_attached(),
            // Where nothing is to stand by, it changes nothing.
            Event::Timer(Timer::Settled) => {
                profile.budget.has(PathChance::Standby) && self.armed.has(Timer::Settled)
            }
            Event::Timer(timer) => self.armed.has(timer),
            Event::Standby(is_wanted) => is_wanted != self.ghost.wants_standby,
            Event::Expecting(is_expecting) => is_expecting != self.ghost.is_expecting,
            Event::Available(path) => profile.config.properties(path).is_some(),
            Event::Outdated => self.is_attached() && !self.ghost.is_outdated,
            Event::Woken(_) | Event::Retry { .. } | Event::Stop => true,
        }
    }

    /// A reason that is about the opening of a link comes before the host has greeted.
    fn can_end(&self, profile: &PathProfile, link: Link, why: Why) -> bool {
        let Some(line) = self.line(link) else { return false };
        let is_quick = profile.config.properties(line.path).is_some_and(|it| it.is_quick);
        match why {
            Why::Closed => true,
            // As far as the machine goes, the same as Closed.
            Why::Unreachable => false,
            Why::NeedsPerson(Need::Server) => line.stage == LinkStage::Open && !is_quick,
            Why::NeedsPerson(_) => line.stage < LinkStage::Greeted && self.used() != Some(link),
            Why::Unavailable => is_quick && line.stage == LinkStage::Dialled,
            Why::Failed => is_quick && line.stage < LinkStage::Greeted,
        }
    }

    /// Whether a person may be asked on this link, now.
    pub(super) fn is_asking(&self, link: Link) -> bool {
        self.line(link).is_some_and(|line| line.mode == Mode::Asking && !line.has_begun)
    }
}
