//! Profiles: which world is searched, and how far.

use rejoin_protocol::client::OnLoss;
use rejoin_protocol::frame::From;
use rejoin_protocol::spec::Overflow;
use rejoin_protocol::{Incarnation, Tenure};

use crate::action::Action;
use crate::budget::Budget;
use crate::names::InputKind;

/// What a party is there for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Opens the session; there from the start.
    Opener,
    /// Takes the session over, once it joins, with its output from there on.
    Claimant(From),
    /// Ends the session, once it joins.
    Closer,
    /// The same, naming an incarnation that was not started yet.
    CloserAhead,
}

impl Role {
    /// Takes the session over, from the first output that is held.
    pub const CLAIMANT: Self = Self::Claimant(From::FirstHeld);

    /// Whether it only ends the session.
    pub fn is_closer(self) -> bool {
        matches!(self, Self::Closer | Self::CloserAhead)
    }
}

/// One world, with its bounds.
// Each is a choice of its own.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// The parties, first the one that is there from the start.
    pub roles: &'static [Role],
    /// The highest incarnation and tenure that the first host remembers at the beginning.
    pub remembered: Option<(Incarnation, Tenure)>,
    /// Whether hosts say of every process that somebody opens that it was used and is gone.
    pub is_forgetful: bool,
    /// What clients do when the process is gone.
    pub on_loss: OnLoss,
    /// What happens to output beyond the window.
    pub overflow: Overflow,
    /// The window of each direction, in bytes of window.
    pub window: u64,
    /// How many attaches a client may ask for. What the budget allows needs fewer; this bounds a
    /// client that is refused for now, again and again.
    pub attempts: u64,
    /// Whether the registry's orders of operations are searched step by step; if not, each runs
    /// through without an interruption.
    pub is_stepwise: bool,
    /// Whether an application takes its output in its own time.
    pub has_slow_application: bool,
    /// Whether a process takes its input in its own time.
    pub has_slow_process: bool,
    /// Whether frames of a link that its client has closed may still reach that client.
    pub has_late_reports: bool,
    /// What parties put in, in turn; bytes one by one if nothing is listed.
    pub inputs: &'static [InputKind],
    /// How long what processes write is, in turn; one byte if nothing is listed.
    pub outputs: &'static [u16],
    /// What may happen.
    pub budget: Budget,
    /// What has happened before the search begins: a deep corner that it would not reach.
    pub prefix: &'static [Action],
}

/// A window with room for one item.
pub const ONE_ITEM: u64 = 100;
/// A window with room for two items.
pub const TWO_ITEMS: u64 = 160;
/// A window with room for all that a profile sends.
pub const AMPLE: u64 = 4096;

impl Profile {
    /// A world in which nothing goes wrong.
    pub const CALM: Self = Self {
        name: "calm",
        about: "nothing goes wrong",
        roles: &[Role::Opener],
        remembered: None,
        is_forgetful: false,
        on_loss: OnLoss::Respawn,
        overflow: Overflow::Block,
        window: AMPLE,
        attempts: 8,
        is_stepwise: false,
        has_slow_application: false,
        has_slow_process: false,
        has_late_reports: false,
        inputs: &[],
        outputs: &[],
        budget: Budget::of(&[]),
        prefix: &[],
    };
}
