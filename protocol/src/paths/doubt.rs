//! Doubts that the used link works.

use super::used::Stage;
use super::{Class, Config, Effect, Effects, Paths, Timer};

/// The doubt about the used link. Only an attached link is doubted: a link that was never attached and is
/// silent has failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Doubt {
    None,
    /// The link has a moment to show that it works.
    Suspected(Cause),
    /// Another link is worth its cost. The first link that is ready replaces this one.
    Doubted(Cause),
}

/// The cause of the doubt, and so what ends it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Cause {
    /// Nothing arrived: any byte ends the doubt.
    Silence,
    /// Something sent is not answered: only an answer ends the doubt. After an outage, each direction
    /// recovers in its own time.
    NoAnswer,
}

impl Doubt {
    pub(super) fn is_doubted(self) -> bool {
        matches!(self, Self::Doubted(_))
    }

    fn cause(self) -> Option<Cause> {
        match self {
            Self::None => None,
            Self::Suspected(cause) | Self::Doubted(cause) => Some(cause),
        }
    }
}

impl Paths {
    fn is_attached_and_expecting(&self) -> bool {
        self.is_expecting && self.is_attached()
    }

    /// Starts watching the attached link.
    pub(super) fn watch(&mut self, effects: &mut Effects) {
        if self.is_attached_and_expecting() {
            effects.push(Effect::Arm(Timer::Silence, Class::Usual, 0));
        }
    }

    pub(super) fn expecting(&mut self, is_expecting: bool, effects: &mut Effects) {
        if self.is_expecting != is_expecting {
            self.is_expecting = is_expecting;
            self.forget_doubt(effects);
            self.watch(effects);
        }
    }

    /// No reason for doubt remains.
    pub(super) fn forget_doubt(&mut self, effects: &mut Effects) {
        self.doubt = Doubt::None;
        (self.is_owed, self.is_asked) = (false, false);
        for timer in [Timer::Silence, Timer::Question, Timer::Answer, Timer::Doubt, Timer::Hold] {
            effects.push(Effect::Disarm(timer));
        }
    }

    pub(super) fn sent(&mut self, effects: &mut Effects) {
        if self.is_attached_and_expecting() && !self.is_owed && !self.is_asked {
            self.is_owed = true;
            effects.push(Effect::Arm(Timer::Question, Class::Usual, 0));
        }
    }

    pub(super) fn pinged(&mut self, effects: &mut Effects) {
        if self.is_attached_and_expecting() && !self.is_asked {
            self.is_asked = true;
            effects.push(Effect::Arm(Timer::Answer, Class::Answer, 0));
        }
    }

    pub(super) fn heard(&mut self, effects: &mut Effects) {
        if self.doubt.cause() == Some(Cause::Silence) {
            self.end_doubt(effects);
        }
    }

    pub(super) fn answered(&mut self, effects: &mut Effects) {
        if self.is_attached() && (self.is_owed || self.is_asked || self.doubt != Doubt::None) {
            self.forget_doubt(effects);
            self.watch(effects);
        }
    }

    fn end_doubt(&mut self, effects: &mut Effects) {
        self.doubt = Doubt::None;
        effects.push(Effect::Disarm(Timer::Doubt));
        effects.push(Effect::Disarm(Timer::Hold));
        self.watch(effects);
    }

    /// The link has one more moment. Meanwhile, what a new link needs is prepared.
    pub(super) fn suspect(&mut self, cause: Cause, class: Class, effects: &mut Effects) {
        if !self.is_attached_and_expecting() {
            return;
        }
        // A doubt that only an answer ends does not become one that any byte ends.
        let cause = self.doubt.cause().map_or(cause, |known| known.max(cause));
        if self.doubt.is_doubted() {
            self.doubt = Doubt::Doubted(cause);
        } else {
            self.doubt = Doubt::Suspected(cause);
            if !self.is_asked {
                effects.push(Effect::Ask);
            }
            effects.push(Effect::Prepare);
            effects.push(Effect::Arm(Timer::Doubt, class, 0));
        }
    }

    /// Something sent is not acknowledged. There are other causes, too: a process may not read.
    pub(super) fn question(&mut self, effects: &mut Effects) {
        if self.is_attached_and_expecting() && core::mem::take(&mut self.is_owed) && !self.is_asked
        {
            effects.push(Effect::Ask);
        }
    }

    pub(super) fn doubted(&mut self, config: &Config, effects: &mut Effects) {
        let Doubt::Suspected(cause) = self.doubt else { return };
        let Some(used) = self.used.filter(|used| used.stage >= Stage::Attached) else { return };
        self.doubt = Doubt::Doubted(cause);
        let is_exclusive = config.properties(used.path).is_some_and(|it| it.is_exclusive);
        if is_exclusive {
            effects.push(Effect::Arm(Timer::Hold, Class::Usual, 0));
        }
    }

    /// Drops the doubted link, so that another link can have what it holds.
    pub(super) fn let_go(&mut self, config: &Config, effects: &mut Effects) {
        if let Some(used) = self.used.filter(|_| self.doubt.is_doubted()) {
            effects.push(Effect::Drop(used.link));
            self.leave(used, effects);
            self.close(config, used.path, used.link);
        }
    }
}
