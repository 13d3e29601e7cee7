//! Whether the link that is used may be dead.

use super::used::Stage;
use super::{Class, Config, Effect, Effects, Paths, Timer};

/// What is thought of the link that is used. Only an attached one is doubted: one that was never attached
/// and says nothing has failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Doubt {
    None,
    /// It has a moment to show that it works.
    Suspected(Cause),
    /// Another link is worth its cost, and the first that is ready takes its place.
    Doubted(Cause),
}

/// What the doubt is for, and so what ends it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[cfg_attr(feature = "record", derive(serde::Serialize, serde::Deserialize))]
pub(super) enum Cause {
    /// Nothing came: anything that comes ends it.
    Silence,
    /// What was sent is not answered: only an answer ends it. After an outage, each direction heals in its own
    /// time.
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

    /// Begins to watch the link that is attached.
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

    /// Nothing is known any more that speaks against the link.
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

    /// The link has one more moment. What a new one needs is got ready meanwhile.
    pub(super) fn suspect(&mut self, cause: Cause, class: Class, effects: &mut Effects) {
        if !self.is_attached_and_expecting() {
            return;
        }
        // What only an answer ends does not become what anything ends.
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

    /// What was said is not acknowledged, for which there are other reasons, too: a process may not read.
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

    /// What the doubted link holds is given up, so that another one can have it.
    pub(super) fn let_go(&mut self, config: &Config, effects: &mut Effects) {
        if let Some(used) = self.used.filter(|_| self.doubt.is_doubted()) {
            effects.push(Effect::Drop(used.link));
            self.leave(used, effects);
            self.close(config, used.path, used.link);
        }
    }
}
