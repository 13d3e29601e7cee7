//! Ghost state, which only the checker has, for judging the rules.

use rejoin_protocol::paths::{Class, Need, Path};

/// The highest step of a pause.
const LAST_STEP: u8 = 7;

/// What has happened, as far as a rule needs it.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PathGhost {
    /// Of each path.
    pub lanes: [PathHistory; Path::COUNT],
    /// Whether an attempt may be told, and whether it has to be.
    pub may_tell: bool,
    /// The same.
    pub must_tell: bool,
    /// What was told that a person is needed for, since the last success where the session stays.
    pub told: Option<Need>,
    /// What a person is needed for that is not told yet.
    pub untold: Option<Need>,
    /// Whether a person may be asked in the next dial.
    pub may_ask: bool,
    /// Whether the host's key was not trusted, and the user's own ssh has not been greeted since.
    pub is_distrusted: bool,
    /// Whether a Ping on the link that is used is not answered.
    pub is_asked: bool,
    /// Whether it was not answered in time, so that only an answer ends the doubt.
    pub is_unanswered: bool,
    /// Whether something that was sent is not acknowledged.
    pub is_owed: bool,
    /// Whether the session was ever attached, and something asked of the host.
    pub is_known: bool,
    /// The same.
    pub has_asked: bool,
    /// Whether something is expected to come.
    pub is_expecting: bool,
    /// Whether a link that stands by is wanted, and the time for it has come.
    pub wants_standby: bool,
    /// The same.
    pub is_settled: bool,
    /// Whether a better link than the used one can be had over the same path.
    pub is_outdated: bool,
    /// Whether the link that is used has proved to be calm.
    pub is_calm: bool,
}

/// The history of one path.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PathHistory {
    /// The class of the pause whose timer runs.
    pub pause: Option<Class>,
    /// Whether no pause has run out since the last dial.
    pub is_due: bool,
    /// Whether the pause was cut short by somebody who may.
    pub is_excused: bool,
    /// Whether a wake-up or a change of the network has cut one short since one ran out.
    pub is_woken: bool,
    /// The same.
    pub is_moved: bool,
    /// Whether something grants a dial within a pause.
    pub is_granted: bool,
    /// Whether that was used since a pause ran out.
    pub is_spent: bool,
    /// Whether a person was needed, and neither the pause has run out nor a person has asked.
    pub is_person_due: bool,
    /// The step that the pause of the next dial has to have.
    pub step: u8,
    /// Whether a dial waits for its pause to be armed.
    pub is_unarmed: bool,
    /// How many links in a row have greeted and ended.
    pub ends: u8,
    /// Whether a link over it has led nowhere since the session was attached.
    pub has_failed: bool,
    /// Whether the last link that was attached over it did not hold.
    pub has_fallen: bool,
    /// Whether it is left alone for a while for that.
    pub is_put_off: bool,
    /// Whether it is known to be of no use.
    pub is_unavailable: bool,
}

impl PathHistory {
    const NEW: Self = Self {
        pause: None,
        is_due: false,
        is_excused: false,
        is_woken: false,
        is_moved: false,
        is_granted: false,
        is_spent: false,
        is_person_due: false,
        step: 0,
        is_unarmed: false,
        ends: 0,
        has_failed: false,
        has_fallen: false,
        is_put_off: false,
        is_unavailable: false,
    };

    /// A link is dialled; whether it may.
    pub fn dial(&mut self) -> bool {
        let is_granted = self.is_granted && !self.is_spent;
        let may = !self.is_due || self.is_excused || is_granted;
        if self.is_due && !self.is_excused {
            self.is_spent = true;
        }
        (self.is_due, self.is_excused, self.is_unarmed) = (true, false, true);
        may
    }

    /// The pause of a dial begins; whether its step is right.
    pub fn armed(&mut self, step: u8) -> bool {
        self.is_unarmed = false;
        core::mem::replace(&mut self.step, step.saturating_add(1).min(LAST_STEP)) == step
    }

    /// A pause has run out, while a link over this path is attached or not.
    pub fn ran_out(&mut self, is_attached: bool) {
        if self.pause.take() == Some(Class::HeadStart) {
            return;
        }
        (self.is_due, self.is_excused, self.is_person_due) = (false, false, false);
        self.is_put_off = false;
        (self.is_woken, self.is_moved, self.is_spent) = (false, false, false);
        self.is_granted = is_attached;
    }
}

impl PathGhost {
    /// Before anything has happened.
    pub fn new() -> Self {
        Self {
            lanes: [PathHistory::NEW; Path::COUNT],
            may_tell: true,
            must_tell: true,
            told: None,
            untold: None,
            may_ask: false,
            is_distrusted: false,
            is_asked: false,
            is_unanswered: false,
            is_owed: false,
            is_known: false,
            has_asked: false,
            is_expecting: true,
            wants_standby: false,
            is_settled: false,
            is_outdated: false,
            is_calm: false,
        }
    }

    /// The history of one path.
    pub fn lane(&self, path: Path) -> &PathHistory {
        let [main, fast] = &self.lanes;
        match path {
            Path::Main => main,
            Path::Fast => fast,
        }
    }

    /// The same, to be written.
    pub fn lane_mut(&mut self, path: Path) -> &mut PathHistory {
        let [main, fast] = &mut self.lanes;
        match path {
            Path::Main => main,
            Path::Fast => fast,
        }
    }

    /// Another attempt follows.
    pub fn begin_attempt(&mut self) {
        (self.may_tell, self.must_tell) = (true, true);
    }

    /// Nothing is thought of the link that is used.
    pub fn forget_doubt(&mut self) {
        (self.is_asked, self.is_unanswered, self.is_owed) = (false, false, false);
    }

    /// Another link is used, or none.
    pub fn leave(&mut self) {
        self.forget_doubt();
        (self.is_settled, self.is_outdated, self.is_calm) = (false, false, false);
    }
}

impl Default for PathGhost {
    fn default() -> Self {
        Self::new()
    }
}
