//! What can happen next.

use std::sync::LazyLock;

use rejoin_protocol::Link;
use rejoin_protocol::paths::{Event, Mode, Need, Timer, Wake, Why};

use super::action::{Action, all};
use super::profile::{Chance, Profile};
use super::world::{Session, Stage, World};

static EVENTS: LazyLock<Vec<Event>> = LazyLock::new(all);

impl World {
    /// Everything that can happen in this world within the bounds of a profile.
    pub fn actions(&self, profile: &Profile, actions: &mut Vec<Action>) {
        if self.broken.is_none() && self.session != Session::Over {
            let can = |event: &&Event| self.is_possible(profile, **event) && self.is_left(**event);
            actions.extend(EVENTS.iter().filter(can).map(|event| Action(*event)));
        }
    }

    fn is_left(&self, event: Event) -> bool {
        self.chance(event).is_none_or(|chance| self.left.has(chance))
    }

    /// What an event uses up.
    pub(super) fn chance(&self, event: Event) -> Option<Chance> {
        let is_used = |link: Link| self.used() == Some(link);
        match event {
            Event::Ended(link, why) => self.chance_of_end(link, why),
            Event::GivenUp(link) if is_used(link) => Some(Chance::GivenUp),
            Event::Timer(Timer::Dial(_)) => Some(Chance::Overdue),
            Event::Timer(Timer::Doubt) => Some(Chance::Doubt),
            Event::Sent => Some(Chance::Send),
            Event::Woken(Wake::Slept) => Some(Chance::Sleep),
            Event::Woken(Wake::NetworkChanged) => Some(Chance::Move),
            Event::Retry { may_ask: false } => Some(Chance::Retry),
            Event::Wanted { may_ask: true } | Event::Retry { may_ask: true } => {
                Some(Chance::Person)
            }
            Event::Available(_) => Some(Chance::Available),
            Event::Outdated => Some(Chance::Outdated),
            Event::Standby(_) => Some(Chance::Standby),
            Event::Expecting(_) | Event::Unwanted => Some(Chance::Expecting),
            _ => None,
        }
    }

    /// That a link ends which was closed is no fault.
    fn chance_of_end(&self, link: Link, why: Why) -> Option<Chance> {
        let is_fault = self.line(link).is_some_and(|line| line.stage != Stage::Closing);
        is_fault.then_some(match why {
            Why::NeedsPerson(Need::HostKey) => Chance::HostKey,
            Why::NeedsPerson(_) => Chance::Need,
            Why::Unavailable | Why::Failed => Chance::Unavailable,
            Why::Closed | Why::Unreachable => Chance::End,
        })
    }

    fn is_possible(&self, profile: &Profile, event: Event) -> bool {
        let stage = |link: Link| self.line(link).map(|line| line.stage);
        match event {
            Event::Wanted { .. } => self.session == Session::Wanting,
            Event::Unwanted => self.session == Session::Waiting,
            Event::Opened(link) => stage(link) == Some(Stage::Dialled),
            Event::Begun(link) => stage(link) == Some(Stage::Open) && self.is_asking(link),
            Event::Greeted(link) => {
                matches!(stage(link), Some(Stage::Dialled | Stage::Open))
            }
            Event::Ended(link, why) => self.can_end(profile, link, why),
            Event::Asked => self.used().is_some() && !self.ghost.has_asked,
            Event::Attached => {
                let is_attached = self.is_attached();
                self.used().is_some_and(|link| stage(link) == Some(Stage::Greeted)) && !is_attached
            }
            Event::Progressed | Event::Answered | Event::Heard | Event::Pinged => {
                self.is_attached()
            }
            Event::GivenUp(link) => self.used() == Some(link),
            Event::Sent => self.is_attached(),
            // Where nothing is to stand by, it changes nothing.
            Event::Timer(Timer::Settled) => {
                profile.budget.has(Chance::Standby) && self.armed.has(Timer::Settled)
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
    fn can_end(&self, profile: &Profile, link: Link, why: Why) -> bool {
        let Some(line) = self.line(link) else { return false };
        let is_quick = profile.config.properties(line.path).is_some_and(|it| it.is_quick);
        match why {
            Why::Closed => true,
            // As far as the machine goes, the same as Closed.
            Why::Unreachable => false,
            Why::NeedsPerson(Need::Server) => line.stage == Stage::Open && !is_quick,
            Why::NeedsPerson(_) => line.stage < Stage::Greeted && self.used() != Some(link),
            Why::Unavailable => is_quick && line.stage == Stage::Dialled,
            Why::Failed => is_quick && line.stage < Stage::Greeted,
        }
    }

    /// Whether a person may be asked on this link, now.
    pub(super) fn is_asking(&self, link: Link) -> bool {
        self.line(link).is_some_and(|line| line.mode == Mode::Asking && !line.has_begun)
    }
}
